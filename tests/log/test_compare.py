"""Comparing: the same events pass whatever blocks they come in; of others the first that differs is found."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix.event import Event
from matrix.limits import FIELDS_PER_KIND_MAX
from matrix.log.alike import Selected, same_event, same_rows, same_value
from matrix.log.compare import Comparer, Difference
from matrix.log.history import Histories, History
from matrix.log.reader import LogReader
from matrix.log.rows import KindRows, Rows, Runs, rows_from_events
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.forked import KINDS, Told, compact, plain_event, societies, started, write
from tests.log.histories import LOG, patient, values

sizes = st.lists(st.integers(1, 9), min_size=1, max_size=5)
NAN = float("nan")


def stored(*events: Event) -> History:
    """A log with these events as one simulation."""
    disk = MemoryDisk()
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows_from_events(events))
    return History(LogReader(LOG, disk), 1, 1)


def check(comparer: Comparer, events: list[Event], sizes: list[int]) -> Difference | None:
    """Checks events in batches of these sizes, over and over, as another simulation would have them."""
    again = [dataclasses.replace(event, simulation=77, wall=5) for event in events]
    number = 0
    while again:
        size = sizes[number % len(sizes)]
        some, again, number = again[:size], again[size:], number + 1
        if difference := comparer.check(rows_from_events(some)):
            return difference
    return None


def difference_of(recorded: list[Event], actual: list[Event]) -> Difference | None:
    """The first difference, whether few events are compared one by one or all as columns."""
    history = stored(*recorded)
    one_by_one, as_columns = Comparer(history), Comparer(history)
    as_columns.few_events = 0
    found = [check(comparer, actual, [100]) for comparer in (one_by_one, as_columns)]
    assert one_by_one.next_seq == as_columns.next_seq
    assert (found[0] is None) == (found[1] is None)
    assert found[0] is not None or one_by_one.digest() == as_columns.digest()
    return found[0]


@patient
@given(societies(), st.lists(st.integers(0, 60), max_size=12), sizes, st.booleans(), st.data())
def test_the_same_events_pass_in_any_batches_and_any_other_is_found_where_it_is(
    told: list[Told], order: list[int], sizes: list[int], is_compact: bool, data: st.DataObject
) -> None:
    disk = MemoryDisk()
    write(disk, told, order, segment_bytes_max=data.draw(st.sampled_from([700, 64 * 1024])))
    if is_compact:
        compact(disk)
    one = data.draw(st.sampled_from(told))
    history = Histories(LogReader(LOG, disk)).history(*one.place)
    comparer = Comparer(history)
    comparer.few_events = data.draw(st.sampled_from([0, 3, 128]))
    assert check(comparer, one.whole, sizes) is None
    assert comparer.next_seq == len(one.whole) + 1
    assert comparer.missing() is None
    assert comparer.digest() == history.digest()
    at = data.draw(st.integers(0, len(one.whole) - 1))
    mutated = [*one.whole]
    mutated[at] = data.draw(_other(mutated[at]))
    comparer = Comparer(history)
    found = check(comparer, mutated, sizes)
    assert found is not None
    assert found.seq == comparer.next_seq == one.whole[at].seq
    assert found.recorded is not None and found.actual is not None
    assert same_event(found.recorded, one.whole[at])
    assert same_event(found.actual, mutated[at])


def _other(event: Event) -> st.SearchStrategy[Event]:
    """The event with one field changed."""
    fixed = st.sampled_from(["time", "agent", "turn", "goal", "state", "cause"]).map(
        lambda name: dataclasses.replace(event, **{name: getattr(event, name) + 1})
    )
    kind = st.sampled_from([kind for kind in (*KINDS, "new") if kind != event.kind])
    to = st.sampled_from([to for to in ((), (3,), (4,), (3, 4), (4, 3), (3, 4, 5)) if to != event.to])
    other = [name for name in event.data if name not in ("id", "versions", "parent", "parent_shard", "parent_ordinal")]
    changes = [
        fixed,
        kind.map(lambda kind: dataclasses.replace(event, kind=kind)),
        to.map(lambda to: dataclasses.replace(event, to=to)),
        values.map(lambda value: _with(event, "added", value)),
    ]
    if other:
        names = st.sampled_from(other)
        changes.append(names.map(lambda name: dataclasses.replace(event, data=_without(event, name))))
        changes.append(
            st.tuples(names, values)
            .filter(lambda pair: not same_value(event.data[pair[0]], pair[1]))
            .map(lambda pair: _with(event, *pair))
        )
    return st.one_of(changes).filter(lambda changed: not same_event(event, changed))


def _with(event: Event, name: str, value: Any) -> Event:
    return dataclasses.replace(event, data={**event.data, name: value})


def _without(event: Event, name: str) -> dict[str, Any]:
    return {key: value for key, value in event.data.items() if key != name}


@pytest.mark.parametrize(
    "recorded", [1, 1.0, True, "1", b"1", None, 0, 0.0, -0.0, False, [], {}, "", 2**64, [1], [1.0]]
)
@pytest.mark.parametrize("actual", [1, 1.0, True, "1", b"1", None, 0, 0.0, -0.0, False, [], {}, "", 2**64, [1], [1.0]])
def test_values_are_the_same_only_with_their_type(recorded: Any, actual: Any) -> None:
    is_same = type(recorded) is type(actual) and repr(recorded) == repr(actual)
    before = [started(), plain_event(2, kind="note", data={"x": recorded})]
    after = [started(), plain_event(2, kind="note", data={"x": actual})]
    assert (difference_of(before, after) is None) == is_same
    absent = difference_of(before, [started(), plain_event(2, kind="note")])
    assert absent is not None and absent.seq == 2


@given(values, values)
@example(NAN, NAN)
@example([NAN], [-NAN])
@example({"a": 1, "b": 2}, {"b": 2, "a": 1})
def test_values_are_the_same_as_columns_and_one_by_one(one: Any, other: Any) -> None:
    before, after = (plain_event(2, kind="note", data={"x": value}) for value in (one, other))
    assert (difference_of([started(), before], [started(), after]) is None) == same_value(one, other)


def test_nan_is_nan_alone_and_in_a_list() -> None:
    event = plain_event(2, data={"x": NAN, "y": [NAN, 1]})
    assert difference_of([started(), event], [started(), event]) is None


def test_an_event_too_many_has_nothing_recorded_and_one_too_few_is_missing() -> None:
    events = [started(), plain_event(2), plain_event(3)]
    found = difference_of(events, [*events, plain_event(4)])
    assert found is not None
    assert (found.seq, found.recorded) == (4, None)
    assert found.actual is not None and found.actual.seq == 4
    comparer = Comparer(stored(*events))
    assert check(comparer, events[:2], [1]) is None
    missing = comparer.missing()
    assert missing is not None
    assert (missing.seq, missing.actual) == (3, None)
    assert missing.recorded == events[2]


def test_a_bound_ends_the_comparison_there() -> None:
    events = [started(), *map(plain_event, range(2, 8))]
    comparer = Comparer(stored(*events), last_seq=4)
    assert check(comparer, events[:4], [3]) is None
    assert comparer.missing() is None
    assert comparer.digest() == stored(*events[:4]).digest()
    found = check(comparer, events[4:5], [3])
    assert found is not None and found.recorded is None


def test_where_it_was_run_is_no_difference_and_its_seed_is() -> None:
    assert difference_of([started()], [started(id="x", versions={"python": "3.13"}, hash_seed="0", code="c")]) is None
    found = difference_of([started()], [started(seed=8)])
    assert found is not None and found.seq == 1


def test_agents_that_differing_events_name_come_with_their_ids() -> None:
    people = [
        plain_event(2 + n, kind="agent.started", agent=n + 1, to=(), data={"id": name})
        for n, name in enumerate(["ann", "bob"])
    ]
    recorded = plain_event(4, agent=1, to=(2,))
    found = difference_of([started(), *people, recorded], [started(), *people, dataclasses.replace(recorded, agent=2)])
    assert found is not None
    assert dict(found.agents) == {1: "ann", 2: "bob"}
    newcomer = plain_event(4, kind="agent.started", agent=3, to=(), data={"id": "eve"})
    found = difference_of([started(), *people, recorded], [started(), *people, newcomer])
    assert found is not None
    assert dict(found.agents) == {1: "ann", 2: "bob", 3: "eve"}


def test_more_fields_than_have_columns_are_compared_too() -> None:
    many = {f"f{n}": n for n in range(FIELDS_PER_KIND_MAX + 5)}
    last = f"f{FIELDS_PER_KIND_MAX + 4}"
    recorded = [started(), plain_event(2, kind="note", data=many), plain_event(3, kind="note", data={"f0": 0})]
    assert difference_of(recorded, recorded) is None
    for changed in ({**many, last: 0.5}, {**many, "f0": 0.5}, {**many, "new": 1}, _without(recorded[1], last)):
        found = difference_of(recorded, [recorded[0], dataclasses.replace(recorded[1], data=changed), recorded[2]])
        assert found is not None and found.seq == 2


def test_columns_and_runs_as_a_recorder_makes_them_are_the_same_events() -> None:
    count = 20_000  # more than a block
    runs = Runs(np.arange(0, count, 4), np.arange(count // 4))
    rows = Rows(
        count, 9, np.arange(2, count + 2), 0, 0, runs, 1, 0, 0, 1, ["offer"], 0,
        data={0: KindRows(np.arange(count), columns={"price": np.arange(count) / 2})},
    )  # fmt: skip
    events = [
        plain_event(n + 2, time=0, agent=n // 4, turn=1, cause=1, kind="offer", data={"price": n / 2})
        for n in range(count)
    ]
    history = stored(started(), *events)
    comparer = Comparer(history)
    assert comparer.check(rows_from_events([started()])) is None
    assert comparer.check(rows) is None
    assert comparer.digest() == history.digest()
    events[15_000] = dataclasses.replace(events[15_000], data={"price": 0.0})
    comparer = Comparer(stored(started(), *events))
    assert comparer.check(rows_from_events([started()])) is None
    found = comparer.check(rows)
    assert found is not None and found.actual is not None
    assert (found.seq, found.actual.data) == (15_002, {"price": 7_500.0})


def test_kinds_that_only_other_rows_of_a_block_have_do_not_matter() -> None:
    events = [plain_event(n, kind="offer" if n % 2 else "reject", data={"price": n} if n % 2 else {}) for n in range(9)]
    (mixed,), (alone,) = stored(*events[1:]).pieces(), stored(*events[2::2]).pieces()
    picked = Selected(mixed.block, np.arange(1, 8, 2)), Selected(alone.block, np.arange(4))
    assert same_rows(*picked)
    assert same_rows(*reversed(picked))
