"""Parting: the first event that differs, whatever lies before it, and not what only says who is whose fork."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from matrix.event import Event
from matrix.log.alike import same_event
from matrix.log.history import Histories
from matrix.log.parting import Parting, first_parting
from matrix.log.reader import LogReader
from matrix.testing.disk import MemoryDisk
from tests.log.forked import Told, compact, forked, plain_event, societies, started, write
from tests.log.histories import LOG, patient


def parting(*own: list[Event], timeless: bool = False) -> Parting | None:
    """How the last two of some simulations part; each says in its first event whose fork it is."""
    disk = MemoryDisk()
    told = [Told(1, n, [dataclasses.replace(e, simulation=n) for e in some], []) for n, some in enumerate(own, 1)]
    write(disk, told, [], segment_bytes_max=99_999)
    histories = Histories(LogReader(LOG, disk))
    return first_parting(*(histories.history(1, n) for n in (len(own) - 1, len(own))), is_timeless=timeless)


def seqs(found: Parting | None) -> tuple[int | None, int | None] | None:
    return found and (found.one and found.one.seq, found.other and found.other.seq)


ROOT = [started(), *map(plain_event, range(2, 9))]


def branch(at: int, *events: Event, **said: Any) -> list[Event]:
    """A fork of the first simulation whose events behind the mark are these, numbered and referring as its own do."""
    own = [
        dataclasses.replace(e, seq=e.seq + 1, cause=e.cause + (e.cause > at), goal=e.goal + (e.goal > at))
        for e in events
    ]
    return [forked((1, 1), at, at * 10, **said), *own]


def test_a_fork_that_goes_its_parents_way_does_not_part_from_it() -> None:
    assert parting(ROOT, branch(4, *ROOT[4:])) is None
    assert parting(ROOT, branch(4, *ROOT[4:]), branch(4, *ROOT[4:], seed=99)) is None


def test_forks_part_where_something_else_happens() -> None:
    other = dataclasses.replace(ROOT[5], data={"price": 1})
    assert seqs(parting(ROOT, branch(4, ROOT[4], other, *ROOT[6:]))) == (6, 7)
    assert seqs(parting(ROOT, branch(2, *ROOT[2:]), branch(4, ROOT[4], other))) == (7, 7)


def test_the_end_of_one_is_where_they_part() -> None:
    assert seqs(parting(ROOT, branch(4, *ROOT[4:6]))) == (7, None)
    assert seqs(parting(ROOT[:3], ROOT)) == (None, 4)


def test_parents_of_goals_and_counts_of_events_are_taken_without_the_mark() -> None:
    goals = [
        plain_event(6, kind="goal.started", data={"name": "sell"}),
        plain_event(7, kind="goal.started", goal=6, data={"name": "haggle", "parent": 6}),
        plain_event(8, kind="simulation.finished", data={"reason": "completed", "counts": {"events": 8, "turns": 3}}),
    ]
    root = [*ROOT[:5], *goals]
    theirs = [dataclasses.replace(goals[1], data={"name": "haggle", "parent": 7})]
    end = dataclasses.replace(goals[2], data={"reason": "completed", "counts": {"events": 9, "turns": 3}})
    assert parting(root, branch(4, ROOT[4], goals[0], *theirs, end)) is None
    wrong = dataclasses.replace(goals[1], data={"name": "haggle", "parent": 3})
    assert seqs(parting(root, branch(4, ROOT[4], goals[0], wrong, end))) == (7, 8)
    turns = dataclasses.replace(end, data={"reason": "completed", "counts": {"events": 9, "turns": 4}})
    assert seqs(parting(root, branch(4, ROOT[4], goals[0], *theirs, turns))) == (8, 9)


def test_how_they_were_begun_does_not_part_them() -> None:
    assert parting(ROOT, [started(seed=8, name="bazaar"), *ROOT[1:]]) is None


def test_without_time_what_was_measured_does_not_part_them() -> None:
    answer = plain_event(3, kind="call.completed", data={"result": "yes", "ms": 12.5, "step": 4, "arrival": 1})
    later = dataclasses.replace(answer, time=99, data={**answer.data, "ms": 13.0, "step": 5})
    another = dataclasses.replace(later, data={**later.data, "result": "no"})
    noted = plain_event(3, data={"ms": 1})
    assert seqs(parting([*ROOT[:2], answer], [*ROOT[:2], later])) == (3, 3)
    assert parting([*ROOT[:2], answer], [*ROOT[:2], later], timeless=True) is None
    assert seqs(parting([*ROOT[:2], answer], [*ROOT[:2], another], timeless=True)) == (3, 3)
    changed = dataclasses.replace(noted, data={"ms": 2})  # what an agent says is no measurement of ours
    assert seqs(parting([*ROOT[:2], noted], [*ROOT[:2], changed], timeless=True)) == (3, 3)


@patient
@given(societies(), st.lists(st.integers(0, 60), max_size=12), st.booleans())
def test_any_two_histories_part_where_their_events_without_marks_do(
    told: list[Told], order: list[int], is_compact: bool
) -> None:
    disk = MemoryDisk()
    write(disk, told, order, segment_bytes_max=700)
    if is_compact:
        compact(disk)
    histories = Histories(LogReader(LOG, disk))
    for one in told:
        for other in told:
            found = first_parting(histories.history(*one.place), histories.history(*other.place))
            wanted = _expected(one.whole, other.whole)
            assert seqs(found) == wanted


def _expected(one: list[Event], other: list[Event]) -> tuple[int | None, int | None] | None:
    """Event by event, with references counted in events that are no marks."""
    mine, theirs = _without_marks(one), _without_marks(other)
    for (event, plain), (other_event, other_plain) in zip(mine, theirs, strict=False):
        if not same_event(plain, other_plain):
            return event.seq, other_event.seq
    if len(mine) == len(theirs):
        return None
    ends = [some[len(mine) if some is theirs else len(theirs) :][:1] for some in (mine, theirs)]
    return tuple(end[0][0].seq if end else None for end in ends)  # type: ignore[return-value]


def _without_marks(events: list[Event]) -> list[tuple[Event, Event]]:
    marks = [event.seq for event in events if event.kind == "simulation.forked"]

    def plain(seq: int) -> int:
        return seq - sum(mark <= seq for mark in marks)

    return [
        (e, dataclasses.replace(e, seq=plain(e.seq), goal=plain(e.goal), state=plain(e.state), cause=plain(e.cause)))
        for e in events
        if e.kind not in ("simulation.started", "simulation.forked")
    ]
