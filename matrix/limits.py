"""Every bound, with its unit; relations between them are asserted where they are defined."""

from __future__ import annotations

# -- the log ----------------------------------------------------------------------------------
FRAME_BYTES_MAX = 16 * 1024 * 1024  # a frame's payload; a longer length is damage, not data
BLOCK_EVENTS_MAX = 8_192  # events in a block as written live
COMPACT_BLOCK_EVENTS_MAX = 65_536  # events in a block of a compacted segment
SEGMENT_BYTES_MAX = 64 * 1024 * 1024  # a segment is sealed when it reaches this
COMMIT_INTERVAL_US = 10_000  # an event waits at most this long before it is handed to the OS
SYNC_INTERVAL_US = 100_000  # level "interval": at most this much is lost to a power cut
CBOR_DEPTH_MAX = 64  # nesting of a payload
KIND_BYTES_MAX = 255  # a kind's name, in UTF-8

# -- the runtime ------------------------------------------------------------------------------
MAILBOX_MESSAGES_MAX = 65_536
TURNS_PER_YIELD_MAX = 128  # turns between two yield points for Trio
YIELD_INTERVAL_NS = 1_000_000  # or this much wall time, whichever comes first
TURNS_WITHOUT_TIME_MAX = 10_000_000  # more is a livelock
AGENTS_MAX = 2**32 - 1  # an agent's number is a u32

# -- the query language -----------------------------------------------------------------------
QUERY_BYTES_MAX = 64 * 1024
QUERY_TOKENS_MAX = 2_000
QUERY_DEPTH_MAX = 64

assert BLOCK_EVENTS_MAX <= COMPACT_BLOCK_EVENTS_MAX
assert FRAME_BYTES_MAX < SEGMENT_BYTES_MAX
assert COMMIT_INTERVAL_US <= SYNC_INTERVAL_US
