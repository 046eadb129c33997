"""Every bound, with its unit; relations between them are asserted where they are defined."""

from __future__ import annotations

# -- the log ----------------------------------------------------------------------------------
FRAME_BYTES_MAX = 16 * 1024 * 1024  # a frame's payload; a longer length is damage, not data
BLOCK_EVENTS_MAX = 8_192  # events in a block as written live
COMPACT_BLOCK_EVENTS_MAX = 65_536  # events in a block of a compacted segment
SEGMENT_BYTES_MAX = 64 * 1024 * 1024  # a segment is sealed when it reaches this
COMMIT_INTERVAL_US = 10_000  # an event waits about this long for the OS; on a busy machine four times a commit's time
SYNC_INTERVAL_US = 100_000  # at most; and at level "interval" as much is lost to a power cut
CBOR_DEPTH_MAX = 64  # nesting of a payload
KIND_BYTES_MAX = 255  # a kind's name, in UTF-8
KINDS_PER_BLOCK_MAX = 4_096
FIELDS_PER_KIND_MAX = 256  # payload columns of a kind in a block; more distinct fields share one column of maps
RECEIVERS_MAX = 4 * 1024 * 1024  # receivers in one block, of events sent to several
EXPANDED_BYTES_MAX = 32 * 1024 * 1024  # text of one column once repeated values are written out; more stays a list
LONG_VALUE_BYTES_MIN = 256  # a text or nested value from so many bytes on is stored once in a segment
LONG_VALUES_KEPT_MAX = 65_536  # of those, how many a writer knows the places of, some 300 bytes each
LONG_VALUE_DEPTH_MAX = 8  # nesting up to which parts of values are looked at for ones that recur
REFERENCE_STEPS_MAX = 16  # a value referred to may hold references, and so on
REFERENCED_BYTES_KEPT_MAX = 32 * 1024 * 1024  # of values referred to, as written, that a reader keeps decoded
DIRECTORIES_KEPT_MAX = 8_192  # blocks whose directory a reader remembers, some 5 kB each
RECENT_EVENTS_KEPT_MAX = 65_536  # events in blocks that a reader keeps decoded behind the end of a log that grows
RECENT_BLOCKS_KEPT_MAX = 256
SEGMENTS_PER_SHARD_MAX = 99_999_999  # eight digits in a file's name
HISTORY_EVENTS_KEPT_MAX = 1_048_576  # events in blocks kept decoded while one simulation after the other is read
COMPARE_EVENTS_SHOWN = 1_024  # events behind the first difference, in which what was expected is looked for
HISTORY_RETRIES_MAX = 16  # times in a row that reading starts again because segments were compacted under it

# -- the runtime ------------------------------------------------------------------------------
MAILBOX_MESSAGES_MAX = 65_536
TURNS_PER_YIELD_MAX = 128  # turns between two yield points for Trio
YIELD_INTERVAL_NS = 1_000_000  # or this much wall time, whichever comes first
TURNS_WITHOUT_TIME_MAX = 10_000_000  # more is a livelock
GRACE_US = 5_000_000  # wall time that the cleanup of a stopped simulation may take
THREADS_MAX = 64  # worker threads for blocking functions called from agents
CALL_ATTEMPTS_MAX = 100  # attempts that a policy may allow one call
CALLS_GATHERED_MAX = 1_024  # calls that are begun together, after one commit
GATHER_CALLS_US = 10_000  # how long a call waits at most for others, as long as more come with each pass of Trio
IDLE_CALL_TASKS_MAX = 1_024  # Trio tasks kept for the next call
LIMITERS_MAX = 1_000  # names of calls with limits whose state is kept while nothing of theirs is under way
CARE_INTERVAL_US = 5_000_000  # how often a running runtime lets the index follow, and compacts what was sealed
PROGRESS_INTERVAL_US = 200_000  # how often a progress hook is told
HUNG_AFTER_S = 2.0  # wall time after which a turn that still runs is reported
SEED_MAX = 2**63 - 1  # so that a query can compare it
AGENTS_MAX = 2**32 - 1  # an agent's number is a u32

# -- model servers ------------------------------------------------------------------------------
ENDPOINT_ATTEMPTS = 6  # of a request, unless a policy says otherwise: with its pauses some 15 seconds of trouble
ENDPOINT_BACKOFF_S = 0.5
ENDPOINT_BACKOFF_MAX_S = 600.0  # the longest Retry-After that is waited for
ENDPOINT_TIMEOUT_S = 600.0  # of an attempt: a long answer of a slow model takes minutes
ENDPOINT_CONNECT_S = 10.0  # until a server has taken the connection
ENDPOINT_CONNECTIONS_MAX = 1_024  # to one server, of one runtime
ENDPOINT_KEPT_S = 30.0  # that an idle connection stays open: httpx may close one as too old that it just gave away
ENDPOINT_FILES_SHARE = 0.75  # of the files that a process may open (ulimit -n), for connections to one server
ENDPOINT_POOL_CONNECTIONS = 8  # in one pool, all of which are looked at for each request; more pools take milliseconds
ENDPOINT_CLOSE_S = 2.0  # for connections to part in good order when a runtime ends
ENDPOINT_ANSWER_BYTES_MAX = 8 * 1024 * 1024  # of an answer; its event must fit in a frame
ENDPOINT_ERROR_BYTES_MAX = 64 * 1024  # read of an error's body
ENDPOINT_SHOWN_CHARS_MAX = 2_000  # of it, or of what was no answer, in an error's text
ENDPOINT_DEPTH_MAX = 48  # nesting of an answer, which becomes the inner part of a payload
ENDPOINT_LAST_WORDS_S = 1.0  # that a stream may take to end after it said that it is done
ENDPOINT_WINDOW_S = 60.0  # of limits per minute
ENDPOINT_BYTES_PER_TOKEN = 4  # of a request, where its tokens are guessed
ENDPOINT_ANSWER_TOKENS = 500  # of an answer, guessed until the server has answered
CACHED_ANSWERS_KEPT_MAX = 10_000  # answers of its own that a runtime keeps in memory for `cache=True`; others it reads

assert ENDPOINT_ANSWER_BYTES_MAX < FRAME_BYTES_MAX
assert ENDPOINT_DEPTH_MAX < CBOR_DEPTH_MAX

# -- the query language -----------------------------------------------------------------------
QUERY_BYTES_MAX = 64 * 1024
QUERY_TOKENS_MAX = 2_000
QUERY_DEPTH_MAX = 64
QUERY_FIXES_MAX = 6  # rewritten queries tried for one error
QUERY_REPAIRS_MAX = 40  # texts with one word put right that are tried for one error
QUERY_REPAIR_CHARS_MAX = 1_024  # longer queries are not tried again and again

assert BLOCK_EVENTS_MAX <= COMPACT_BLOCK_EVENTS_MAX
assert FRAME_BYTES_MAX < SEGMENT_BYTES_MAX
assert LONG_VALUE_DEPTH_MAX < REFERENCE_STEPS_MAX
assert COMMIT_INTERVAL_US <= SYNC_INTERVAL_US
assert GATHER_CALLS_US <= COMMIT_INTERVAL_US  # no other commit is needed while calls gather

# -- the index --------------------------------------------------------------------------------
FOLLOW_EVENTS_MAX = 524_288  # events that the follower applies in one transaction (a compacted segment: all of it)
SETTLE_EVERY = 64  # times that a steady follower writes, before its pages are moved into the file
SETTLE_PAGES_MAX = 16_384  # pages of 4 kB in the write-ahead log of a steady follower; then SQLite moves them at once
CATALOGUE_PATHS_MAX = 1_000  # payload paths that the catalogue keeps for one kind
NOTICES_MAX = 8  # names that are nowhere and have a notice each; of more the number is told
NOTICE_NAMES_MAX = 3  # names that there are, shown for one that there is not
COMPLETION_VALUES_MAX = 50  # values of a field that completion knows
COMPLETIONS_MAX = 100  # completions offered at one place

# -- imports ----------------------------------------------------------------------------------
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
IMPORT_CHUNK_BYTES = 1024 * 1024  # of a file, read at a time
IMPORT_ELEMENT_CHARS_MAX = 256 * 1024 * 1024  # one element (a recorded simulation) must fit in memory
IMPORT_SIDE_FILE_BYTES_MAX = 64 * 1024  # a small file beside the imported one, such as a table of scores
IMPORT_LINE_BYTES_MAX = 256 * 1024 * 1024  # one line of a text file must too; a file without lines is refused by it
IMPORT_DEPTH_MAX = 48  # nesting of an element; its payloads become the inner part of an event's own
IMPORT_BATCH_EVENTS = BLOCK_EVENTS_MAX  # events handed to the writer at a time
IMPORT_FOLLOW_EVENTS = 16_384  # of a file's events, indexed in one transaction: recorded texts are long
IMPORT_ID_BYTES_MAX = 255  # a simulation's id, in UTF-8

assert IMPORT_DEPTH_MAX < CBOR_DEPTH_MAX

# -- exports ------------------------------------------------------------------------------------
EXPORT_NAME_CHARS_MAX = 64  # characters of a speaker's or tool's name: what OpenAI takes
EXPORT_KEYS_MAX = 256  # different keys of the maps at one place that become columns of Parquet; more stay JSON text
EXPORT_GROUP_ROWS = 8_192  # of a row group of Parquet
EXPORT_GROUP_BYTES = 32 * 1024 * 1024  # or as much JSON; a reader of one group holds all of it
EXPORT_SHARDS_MAX = 99_999  # files of a split: five digits in their names
EXPORT_DUPLICATES_NAMED_MAX = 1_000  # dropped rows that the card names, with what they duplicate; of more the number
EXPORT_PAIRS_PER_PLACE = 16  # pairs made of the branches at one place, unless it is said

# -- executing queries --------------------------------------------------------------------------
QUERY_BATCH_EVENTS_MAX = 262_144  # events that a thread of a scan holds at once, beside those that its filter keeps
QUERY_THREADS_MAX = 8  # threads that read blocks for one query
QUERY_THREADS_BLOCK_EVENTS = 16_384  # events in a block, on average, above which threads read faster than one
QUERY_PAIRS_MAX = 1_000_000  # pairs of an outer and an inner row that a condition is tried on at once
QUERY_FOREST_EVENTS_MAX = 16 * 1024 * 1024  # events whose causes are held at once, 30 bytes each while walked
QUERY_CAUSED_ROWS_MAX = 4 * 1024 * 1024  # rows that wait to be asked for their causes; more are decided while read
QUERY_CAUSE_ROWS_MAX = 20_000_000  # rows that `causes` or `effects` may have, one per row and ancestor (descendant)
QUERY_CAUSE_PAIRS_MAX = 50_000_000  # pairs of a row and an ancestor that a condition on both is tried on
QUERY_CAUSE_LOOKUPS_MAX = 16  # links of few events that are looked up one by one, before their simulation is read
QUERY_TREE_CHARS_MAX = 64 * 1024 * 1024  # characters of a tree drawn
QUERY_CHAT_BYTES_MAX = 1024 * 1024 * 1024  # text in one piece of a column of chats; Arrow can number 2 GiB
QUERY_STREAM_EVENTS_MAX = 8_388_608  # events of the simulations whose streams are read at once (one is never cut)
QUERY_CHAIN_PAIRS_MAX = 200_000_000  # pairs of events that conditions between steps are tried on, in those simulations
QUERY_CHAINS_MAX = 8_000_000  # chains of events that such conditions leave behind one step, before any is dropped
QUERY_BLOCKS_KEPT_MAX = 64  # blocks kept open for columns that were not read while scanning
QUERY_RETRIES_MAX = 16  # times a query starts again because segments were compacted under it
QUERY_TABLES_KEPT_MAX = 32  # entity tables kept between queries while the index does not change
QUERY_ZONES_KEPT_MAX = 65_536  # zone maps kept between queries, with their kinds decoded
RESULT_ROWS_SHOWN = 40  # of a result shown as text
RESULT_CELL_CHARS_MAX = 60
RESULT_WIDTH_MAX = 160

# -- watching -----------------------------------------------------------------------------------
WATCH_ROWS_AT_ONCE = 1_024  # rows of a look that are made Python values together
WATCH_ROWS_KEPT_MAX = 1_000_000  # rows and runs that a watch remembers; others it finds again in the log
WATCH_RUNS_KEPT_MAX = 100_000  # runs of which a watch of buckets remembers how far they have come
WATCH_RUNS_NAMED_MAX = 100  # runs that SQL names one by one; of more there is a temporary table
WATCH_NAMED_MAX = 10_000  # agents and goals that SQL names one by one; if there are more, all of their runs are read
WATCH_POSITION_CHARS_MAX = 64 * 1024  # of a position's text
WATCH_SHARDS_MAX = 16_384  # shards that a position may name
WATCH_INTERVAL_MIN_US = 2_000  # between two glances at a log that grows
WATCH_INTERVAL_MAX_US = 50_000  # between two glances at a log that does not, when the system tells of growth
WATCH_INTERVAL_UNTOLD_US = 5_000  # and when it does not; a glance takes some 20 us
WATCH_REST_MIN_US = 1_000  # between two looks
WATCH_SHARE_MAX = 0.5  # of a core's time that looks may take, unless they are quick
WATCH_LOOK_QUICK_US = 5_000  # of a core's time: a look that takes no more is quick
WATCH_LOOK_EVENTS_MAX = 262_144  # events that a watch of events goes further in one look; then there is another
WATCH_LOOKS_BEHIND = 8  # or it goes this part of the way, where each look has to read whole runs

# -- watches that are served ---------------------------------------------------------------------
SERVED_WATCHES_MAX = 1_024  # watches at once, of all connections
SERVED_WATCH_ROWS_MAX = 1_024  # rows that wait for one client; the others wait in the log
SERVED_WATCH_BYTES_MAX = 4 * 1024 * 1024  # or so many bytes of them
SERVED_WATCHES_BYTES_MAX = 256 * 1024 * 1024  # that wait for all clients together; beyond that the slowest one lags
SERVED_WATCH_SEND_BYTES = 256 * 1024  # batches handed to a connection side by side, unless one alone has more
SERVED_WATCH_BATCH_BYTES = 1024 * 1024  # of Arrow memory, in a batch of several rows
SERVED_WATCH_LAG_S = 5.0  # after which a client that takes none of them is told that it lags
SERVED_WATCH_LOOK_S = 30.0  # wall time of one look
SERVED_WATCH_POSITION_S = 1.0  # between two positions told while no row comes
SERVED_WATCH_MEMORY_BYTES = 2 * 1024 * 1024 * 1024  # of each of the two processes that look
SERVED_WATCH_SLOW_LOOK_S = 0.03  # of a processor; a watch whose looks take more leaves those that are quick
SERVED_WATCH_SLOW_LOOKS_MAX = 3  # of its last 16: one may be the machine's fault
SERVED_WATCH_SLOW_REST_S = 60.0  # of quick looks before it comes back
SERVED_WATCH_BEHIND_S = 1.0  # a watch that has not looked for so long catches up away from the quick ones
SERVED_WATCH_UNTAKEN_S = 0.1  # between two looks while nobody takes what the last ones told
SERVED_WATCH_GLANCE_S = 0.1  # between two glances of the server at what the processes that look are at
SERVED_WATCH_RESTART_S = 0.5  # before such a process is started again that died before it did anything
SERVED_WATCH_DEATHS_MAX = 5  # of processes in a row that said nothing, before their watches are ended
SERVED_WATCH_CRASHES_MAX = 2  # of the process in a watch's look, before that watch is ended

# -- the client -----------------------------------------------------------------------------------
CLIENT_CONNECT_S = 10  # until the server has said "welcome"
CLIENT_REPLY_S = 60  # of silence after a request; a server says "progress" all the time
CLIENT_PING_S = 20  # of silence before the server is pinged, and again before it counts as gone
CLIENT_CLOSE_S = 1  # for parting in good order
CLIENT_MESSAGE_BYTES_MAX = 256 * 1024 * 1024  # of a message from the server: a batch has 8 MiB, or one long row
CLIENT_NOTICES_MAX = 1_000  # remarks about one answer
CLIENT_PAGE_ROWS = 10_000  # rows in a batch of an answer that is taken whole
CLIENT_CREDIT = 8  # batches on their way for one request
CLIENT_UNANSWERED_MAX = 8  # requests sent and not yet begun to be answered; a server works at two of a connection
CLIENT_TRIES_MAX = 6  # times in a row that a watch connects anew
CLIENT_REST_S = 0.1  # before the first of them; then three times as long each time
CLIENT_REST_MAX_S = 5
CLIENT_MESSAGES_SHARE = 0.75  # of the messages a second that the server takes

# -- the prompt ---------------------------------------------------------------------------------
PROMPT_HISTORY_BYTES_MAX = 1024 * 1024  # a longer file is cut when a prompt opens
PROMPT_HISTORY_ENTRIES_KEPT = 2_000  # of the newest, when it is cut

# -- the server's protocol ------------------------------------------------------------------------
PROTOCOL_ID_MAX = 2**53 - 1  # of a request; JavaScript has no greater whole number
PROTOCOL_ID_CHARS_MAX = 64  # of a request's id that is a text
PROTOCOL_DEPTH_MAX = 16  # nesting of a message; a list of durations in params has 4
PROTOCOL_PARAMS_MAX = 256  # values for one query
PROTOCOL_PAGE_ROWS = 1_000  # rows in a batch, unless it is said
PROTOCOL_PAGE_ROWS_MAX = 10_000
PROTOCOL_CREDIT = 16  # batches that may come before more are granted, unless it is said
PROTOCOL_CREDIT_MAX = 1_000_000
SESSION_REQUESTS_MAX = 64  # requests at a time on one connection
SESSION_SEND_S = 5.0  # that a client may take to accept a chunk of a message before it is cut off
SESSION_CHUNK_BYTES = 256 * 1024  # of what goes out

# -- the server's work --------------------------------------------------------------------------
WORK_PLACES_MAX = 4  # queries at work at a time
WORK_PLACES_KEPT = 1  # of those, for queries that have not run for WORK_LONG_AFTER_S yet
WORK_PLACES_PER_CLIENT_MAX = 2
WORK_WAITING_MAX = 32  # queries that wait for a place; more are refused
WORK_SECONDS_MAX = 30.0  # wall time of a query, from when it began to run
WORK_LONG_AFTER_S = 1.0  # a query that has run for so long stands behind others
WORK_MEMORY_BYTES_MAX = 1024 * 1024 * 1024  # that a query may take beside what its process had before
WORK_SMALL_PLACES_MAX = 2  # checks, completions and summaries at work at a time, beside the queries
WORK_SMALL_SECONDS_MAX = 5.0  # wall time of one of them
WORK_STARTING_SECONDS_MAX = 60.0  # until a process says that it is ready
WORK_CANCEL_SECONDS = 0.1  # that a cancelled query may take to end by itself; then its process is killed
WORK_PROGRESS_INTERVAL_S = 0.5
WORK_PAGES_AHEAD_MAX = 16  # batches made at a time, while the client has credit
WORK_HELD_BYTES_MAX = 64 * 1024 * 1024  # of batches that are made and not yet sent, in all
WORK_HELD_PER_CLIENT_BYTES_MAX = 16 * 1024 * 1024
WORK_SPILL_BYTES_MAX = 4 * 1024 * 1024 * 1024  # of answers kept in files until clients take them
WORK_SPILL_PER_CLIENT_BYTES_MAX = 1024 * 1024 * 1024
WORK_MESSAGE_BYTES_MAX = 64 * 1024 * 1024  # from a process of the server to the other
PAGE_BYTES_MAX = 8 * 1024 * 1024  # a batch of rows on the wire
PIECE_BYTES_MAX = 1024 * 1024  # a piece of an exported file

assert WORK_PLACES_KEPT < WORK_PLACES_MAX
assert PAGE_BYTES_MAX <= WORK_HELD_PER_CLIENT_BYTES_MAX <= WORK_HELD_BYTES_MAX
assert PAGE_BYTES_MAX < WORK_MESSAGE_BYTES_MAX

# -- the server's port ------------------------------------------------------------------------------
SERVE_PORT = 8_765
SERVE_TOKEN_BYTES = 32  # of a token that is made: 256 bits, which nobody guesses
SERVE_TOKEN_CHARS_MIN = 16  # of a token that is given
SERVE_TOKEN_CHARS_MAX = 512
SERVE_FAILURES_MAX = 10  # wrong tokens in a minute; from then on each try is answered SERVE_FAILURE_DELAY_S later
SERVE_FAILURE_DELAY_S = 1.0
SERVE_CONNECTIONS_MAX = 64  # half-open ones count: each holds a descriptor and a task
SERVE_CONNECTIONS_PER_TOKEN_MAX = 16
SERVE_HEAD_BYTES_MAX = 16 * 1024  # of a request's line and headers
SERVE_HANDSHAKE_S = 5.0  # for head, upgrade and hello together
SERVE_KEEP_ALIVE_S = 5.0  # between two plain requests of one connection
SERVE_ANSWER_S = 10.0  # that a client may take to read a plain answer
SERVE_MESSAGE_BYTES_MAX = 256 * 1024  # of a message to the server: four texts of QUERY_BYTES_MAX
SERVE_FRAGMENTS_MAX = 1_024  # of a message
SERVE_FRAGMENTS_PER_MESSAGE = 10  # as many fragments count as one message: they cost about that
SERVE_MESSAGE_S = 10.0  # from a message's first byte to its last, as far as the server waits for them
SERVE_MESSAGES_PER_S = 100  # on average over SERVE_RATE_S; pings and the like count too
SERVE_RATE_S = 10.0
SERVE_PING_S = 20.0  # between two pings to a client
SERVE_SILENCE_S = 20.0  # without an answer to one
SERVE_CLOSE_S = 1.0  # for connections to hear that the server ends
SERVE_LINGER_S = 0.5  # that a refused client's bytes are read and dropped, so that it can read why

assert SERVE_MESSAGE_BYTES_MAX >= 2 * QUERY_BYTES_MAX

# -- reports ------------------------------------------------------------------------------------
REPORT_WORDS_KEPT_MAX = 262_144  # different words whose hashes are remembered, some 150 bytes each; then begun anew
REPORT_SIGNED_AT_ONCE = 4_096  # shingles whose 128 values each (2 MiB) are worked out together
REPORT_SETS_MEMORY_BYTES = 64 * 1024 * 1024  # of shingles for the comparison of texts; more lie in a file without name
REPORT_CANDIDATES_MAX = 64  # earlier texts that one is compared with in full, the likeliest first
REPORT_RECENT_TEXTS = 4_096  # texts in buckets that are still a dict, before they are sorted into arrays
REPORT_SHELF_MEMORY_BYTES = 32 * 1024 * 1024  # of texts to be shown in part; more lie in a file without name
REPORT_DISTINCT_KEPT_MAX = 1_048_576  # different n-grams counted one by one, for each n and role; of more a sample is
REPORT_VOCABULARY_KEPT_MAX = 500_000  # different words whose counts are kept; those said once go first
REPORT_FILTER_BITS_MIN = 2**20
REPORT_FILTER_BITS_MAX = 2**32  # of the filter that knows a reference's n-grams: 512 MiB
REPORT_PASSAGES_MAX = 200_000  # of a reference, with 512 bytes of memory each; those of a larger one are longer
REPORT_LINE_CHARS_MAX = 65_536  # of a line of a reference, before it is cut between two words
