"""A small store with forks, and the same store with nothing shared: what answers are compared over."""

from __future__ import annotations

from pathlib import Path

from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.store import Store
from matrix.testing.forks import whole
from matrix.testing.histories import Shards
from matrix.testing.stores import write_history
from matrix.testing.telling import Telling
from tests.stories import SECOND, deal

PLACES = {"r1": (1, 1), "dear": (2, 1), "cheap": (1, 2), "early": (1, 3)}


def fork(events: list[Event], at: int, id: str, parent: str, *, seed: int = 8, **said: object) -> Telling:
    """A fork of these events, begun in its place in the store."""
    telling = Telling.forked(events[:at], simulation=PLACES[id][1])
    shard, ordinal = PLACES[parent]
    told = {"id": id, "parent": parent, "parent_shard": shard, "parent_ordinal": ordinal, "seed": seed}
    telling.fork({**told, **said})
    return telling


def forked_deals() -> Shards:
    """The deal goes on to its end; a fork at the counter-offer, a fork of that, and one inside of what that shares."""
    parent = Telling.forked(deal(), simulation=1)
    parent.time = 4 * SECOND
    parent.end_goal(1, "succeeded", {"reason": "sold"})
    parent.finish("finished", {"reason": "quiescent"})

    dear = fork(parent.events, 10, "dear", "r1", parameters={"buyers": 5}, set={"bob.limit": 3}, program="other.py")
    dear.time = 3 * SECOND
    dear.send(1, "offer", [1], {"price": 60})
    dear.spawn(2, "auditor", "dave")
    dear.reply(2, 0, "accept", {"price": 60})
    dear.change_state(1, {"budget": 2})

    cheap = fork(dear.events, 13, "cheap", "dear", seed=9)
    cheap.time = 9 * SECOND
    cheap.call(4, "tool", False, {"tool": "search", "ms": 12})
    cheap.reply(2, 0, "counter", {"price": 1})
    cheap.end_goal(1, "failed", {"reason": "too dear"})
    cheap.finish("stopped", {"reason": "asked to"})

    early = fork(dear.events, 7, "early", "dear")
    early.change_phase(2, {"phase": "opening"})
    early.send(2, "message.sent", [0, 2], {"text": "hello"})

    own = {id: told.events[at:] for id, told, at in [("dear", dear, 10), ("cheap", cheap, 13), ("early", early, 7)]}
    return {1: [*parent.events, *own["cheap"], *own["early"]], 2: own["dear"]}


def written(folder: Path, shards: Shards, *, is_compact: bool = False, block_events: int = 1_000) -> Store:
    """A store of these events; compacted, it has several segments of clustered blocks."""
    write_history(folder, shards, block_events=block_events, segment_bytes_max=1_024 if is_compact else 1 << 20)
    if is_compact:
        compact_log(folder / "log")
    return Store(folder)


def both(folder: Path, shards: Shards) -> tuple[Store, Store]:
    """The store, and the store in which every fork has copies of what it shares."""
    return written(folder / "shared", shards), written(folder / "copied", whole(shards))
