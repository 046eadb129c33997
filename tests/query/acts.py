"""Runs told act by act, for questions about sequences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matrix.event import Event
from matrix.store import Store
from matrix.testing.telling import Telling
from tests.query.asking import column, store_of
from tests.stories import SECOND

NAMES = ("alice", "bob", "carol")
Act = tuple[float, str, str, str, Mapping[str, Any]]


def act(second: float, actor: str, kind: str, to: str = "", **data: Any) -> Act:
    """At this second an agent does something, said to the agents named in ``to``; each act is a turn."""
    return second, actor, kind, to, data


def run(*acts: Act, number: int = 1, ends: bool = True) -> list[Event]:
    """A run of alice, bob and carol, whose events have seqs from 5: ``r<number>``."""
    telling = Telling(simulation=number, wall=0)
    telling.start({"id": f"r{number}", "seed": number})
    for name in NAMES:
        telling.spawn(0, "buyer" if name == "alice" else "seller", name)
    for second, actor, kind, to, data in acts:
        who = NAMES.index(actor) + 1
        telling.time = int(second * SECOND)
        telling.agents[who].turn += 1
        if to:
            telling.send(who, kind, [NAMES.index(name) for name in to.split()], data)
        else:
            telling.emit(who, kind, data)
    if ends:
        telling.finish("finished", {})
    return telling.events


def store_of_runs(folder: Path, *runs: Sequence[Event]) -> Store:
    """A store of several runs."""
    return store_of(folder, [event for events in runs for event in events])


def store_of_acts(folder: Path, *acts: Act, ends: bool = True) -> Store:
    """A store of one run."""
    return store_of_runs(folder, run(*acts, ends=ends))


def who(store: Store, sequence: str, **parameters: Any) -> list[str]:
    """The agents whose stream has a sequence."""
    return column(store, f"agents where {sequence}", "id", **parameters)


def how_many(store: Store, sequence: str, agent: str = "alice") -> int:
    """How many matches an agent's stream has."""
    counts = column(store, f"agents where id = $id | select count({sequence}) as n", "n", id=agent)
    assert len(counts) == 1
    return int(counts[0])
