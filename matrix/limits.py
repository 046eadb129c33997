"""Every bound, with its unit; relations between them are asserted where they are defined."""

from __future__ import annotations

# -- the log ----------------------------------------------------------------------------------
FRAME_BYTES_MAX = 16 * 1024 * 1024  # a frame's payload; a longer length is damage, not data
BLOCK_EVENTS_MAX = 8_192  # events in a block as written live
COMPACT_BLOCK_EVENTS_MAX = 65_536  # events in a block of a compacted segment
SEGMENT_BYTES_MAX = 64 * 1024 * 1024  # a segment is sealed when it reaches this
COMMIT_INTERVAL_US = 10_000  # an event waits about this long for the OS; on a busy machine nine times a commit's time
SYNC_INTERVAL_US = 100_000  # at most; and at level "interval" as much is lost to a power cut
CBOR_DEPTH_MAX = 64  # nesting of a payload
KIND_BYTES_MAX = 255  # a kind's name, in UTF-8
KINDS_PER_BLOCK_MAX = 4_096
FIELDS_PER_KIND_MAX = 256  # payload columns of a kind in a block; more distinct fields share one column of maps
RECEIVERS_MAX = 4 * 1024 * 1024  # receivers in one block, of events sent to several
EXPANDED_BYTES_MAX = 32 * 1024 * 1024  # text of one column once repeated values are written out; more stays a list
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

# -- the query language -----------------------------------------------------------------------
QUERY_BYTES_MAX = 64 * 1024
QUERY_TOKENS_MAX = 2_000
QUERY_DEPTH_MAX = 64
QUERY_FIXES_MAX = 6  # rewritten queries tried for one error
QUERY_REPAIRS_MAX = 40  # texts with one word put right that are tried for one error
QUERY_REPAIR_CHARS_MAX = 1_024  # longer queries are not tried again and again

assert BLOCK_EVENTS_MAX <= COMPACT_BLOCK_EVENTS_MAX
assert FRAME_BYTES_MAX < SEGMENT_BYTES_MAX
assert COMMIT_INTERVAL_US <= SYNC_INTERVAL_US
assert GATHER_CALLS_US <= COMMIT_INTERVAL_US  # no other commit is needed while calls gather

# -- the index --------------------------------------------------------------------------------
FOLLOW_EVENTS_MAX = 524_288  # events that the follower applies in one transaction (a compacted segment: all of it)
SETTLE_EVERY = 64  # times that a steady follower writes, before its pages are moved into the file
SETTLE_PAGES_MAX = 16_384  # pages of 4 kB in the write-ahead log of a steady follower; then SQLite moves them at once
CATALOGUE_PATHS_MAX = 1_000  # payload paths that the catalogue keeps for one kind
NOTICE_NAMES_MAX = 3  # names that there are, shown for one that there is not
COMPLETION_VALUES_MAX = 50  # values of a field that completion knows
COMPLETIONS_MAX = 100  # completions offered at one place

# -- imports ----------------------------------------------------------------------------------
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
IMPORT_CHUNK_BYTES = 1024 * 1024  # of a file, read at a time
IMPORT_ELEMENT_CHARS_MAX = 256 * 1024 * 1024  # one element (a recorded simulation) must fit in memory
IMPORT_DEPTH_MAX = 48  # nesting of an element; its payloads become the inner part of an event's own
IMPORT_BATCH_EVENTS = BLOCK_EVENTS_MAX  # events handed to the writer at a time
IMPORT_FOLLOW_EVENTS = 16_384  # of a file's events, indexed in one transaction: recorded texts are long
IMPORT_ID_BYTES_MAX = 255  # a simulation's id, in UTF-8

assert IMPORT_DEPTH_MAX < CBOR_DEPTH_MAX

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

# -- the prompt ---------------------------------------------------------------------------------
PROMPT_HISTORY_BYTES_MAX = 1024 * 1024  # a longer file is cut when a prompt opens
PROMPT_HISTORY_ENTRIES_KEPT = 2_000  # of the newest, when it is cut
