"""Divergences: the right class, the innermost difference, and the cause that a person would look for first."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matrix.event import Event
from matrix.log.alike import same_event, same_value
from matrix.log.columns import MISSING
from matrix.log.compare import Difference
from matrix.runtime.again.changes import changes, shown, value_changes
from matrix.runtime.again.divergence import LINES_SHOWN, Divergence, explain

NAMES = {1: "seller-1", 2: "buyer-1", 3: "buyer-2"}
THEN = {
    "id": "1-3",
    "program": "negotiation:negotiation",
    "parameters": {"buyers": 2},
    "versions": {"python": "3.11.7", "trio": "0.30.0"},
    "hash_seed": "0",
    "code": "5f2a1c3b9d",
    "file": "/home/ann/negotiation.py",
}


def event(kind: str = "offer", agent: int = 1, **fields: Any) -> Event:
    told = {"simulation": 1, "seq": 9, "time": 2_500_000, "wall": 1, "turn": 17, "goal": 0, "state": 0, "cause": 8}
    return Event(**{**told, "kind": kind, "agent": agent, **fields})


def told(recorded: Event | None, actual: Event | None, *, now: dict[str, Any] | None = None, **more: Any) -> Divergence:
    difference = Difference(9, recorded, actual, **more)
    return explain(
        difference,
        place="negotiation.py:31 in run",
        environment_then=THEN,
        environment_now=THEN | (now or {}),
        agents=lambda number: NAMES.get(number, ""),
    )


def of_data(recorded: Any, actual: Any, *, name: str = "x", now: dict[str, Any] | None = None) -> Divergence:
    return told(event(data={name: recorded}), event(data={name: actual}), now=now)


# -- what a person reads ----------------------------------------------------------------------


PROMPT = "You sell a lamp. Be polite, and never go below 30. The buyer says: 'Will you take {} for it?' Answer briefly."


def test_a_changed_prompt_is_told_in_full() -> None:
    def asked(price: int) -> Event:
        messages = [{"role": "system", "text": "hello"}, {"role": "user", "text": PROMPT.format(price)}]
        return event("model.called", data={"model": "quote", "call_id": "seller-1#3", "arguments": [messages]})

    found = told(asked(40), asked(41), now={"code": "9c1b22aa00", "versions": {"python": "3.12.1", "trio": "0.30.0"}})
    assert str(found) == (
        "1-3 diverges at event 9: a call is not the one that was recorded\n"
        "  agent seller-1, turn 17, negotiation.py:31 in run\n"
        "    model.called\n"
        "    data.arguments[0][1].text\n"
        "      - …\"olite, and never go below 30. The buyer says: 'Will you take 40 for it?' Answer briefly.\"\n"
        "      + …\"olite, and never go below 30. The buyer says: 'Will you take 41 for it?' Answer briefly.\"\n"
        "  likely because\n"
        "  - the code has changed since the run: /home/ann/negotiation.py had the hash 5f2a1c3b, has 9c1b22aa\n"
        '  - the prompt or arguments of "quote" are put together differently than in the run\n'
        "  - versions differ: python 3.11.7 → 3.12.1"
    )


def test_an_unrecorded_clock_is_told_in_full() -> None:
    found = told(
        event("note", data={"text": "seen", "at": 1_764_000_000.123456}),
        event("note", data={"text": "seen", "at": 1_764_000_321.654321}),
    )
    assert str(found) == (
        "1-3 diverges at event 9: an event differs from the recorded one\n"
        "  agent seller-1, turn 17, negotiation.py:31 in run\n"
        "    note\n"
        "    data.at\n"
        "      - 1764000000.123456\n"
        "      + 1764000321.654321\n"
        "  likely because\n"
        "  - data.at looks like a wall clock instant; self.now is virtual and replays"
    )


def test_another_order_is_told_in_full() -> None:
    one, other = event(agent=2, data={"price": 40}, to=(1,)), event(agent=3, data={"price": 41}, to=(1,))
    found = told(one, other, recorded_next=(other,), actual_next=(one,), now={"hash_seed": "random"})
    assert str(found) == (
        "1-3 diverges at event 9: the events come in another order\n"
        "  agent buyer-2, turn 17, negotiation.py:31 in run\n"
        "    - offer by buyer-1 to seller-1 at 2.5s {'price': 40}\n"
        "    + offer by buyer-2 to seller-1 at 2.5s {'price': 41}\n"
        "  likely because\n"
        "  - agents or messages taken from a set, whose order is not the program's own; sort them"
        " (PYTHONHASHSEED was 0, is random; try PYTHONHASHSEED=0)"
    )


def test_nothing_known_says_what_to_look_for() -> None:
    lines = str(of_data(1, 2)).splitlines()
    assert lines[-1].startswith("  nothing tells why: does the program read a file, its environment")


def test_much_that_differs_is_cut_to_what_fits_a_screen() -> None:
    found = of_data(list(range(200)), list(range(200, 400)), now={"code": "0"})
    assert len(found.diff) > 400
    lines = str(found).splitlines()
    assert len(lines) <= 25
    assert f"    … and {len(found.diff) - LINES_SHOWN} lines more" in lines


# -- which kind it is -------------------------------------------------------------------------


def called(agent: int = 1, name: str = "quote", number: int = 1, argument: Any = "lamp") -> Event:
    data = {"name": name, "call_id": f"{NAMES[agent]}#{number}", "arguments": [argument]}
    return event("call.called", agent, data=data)


def test_a_call_with_another_name_or_other_arguments_is_another_request() -> None:
    assert told(called(), called(name="ask")).kind == "request"
    assert told(called(), called(argument="chair")).kind == "request"
    assert told(called(), dataclasses.replace(called(), kind="model.called")).kind == "request"


def test_an_agents_call_in_anothers_place_is_another_order() -> None:
    one, other = called(1), called(2)
    assert told(one, other).kind == "order"  # the same request, by another
    one, other = called(1, argument="a"), called(2, argument="b")
    assert told(one, other, recorded_next=(other,), actual_next=(one,)).kind == "order"


def test_a_call_that_was_not_recorded_is_extra_though_it_shifts_the_numbers_of_those_behind() -> None:
    new, old = called(argument="new"), called(argument="old")
    assert told(old, new, actual_next=(called(argument="old", number=2),)).kind == "extra"


def test_an_event_that_comes_no_more_is_missing() -> None:
    gone, next_one = event("offer"), event("accept")
    assert told(gone, next_one, recorded_next=(next_one,), actual_next=(event("note"),)).kind == "missing"
    assert told(gone, None).kind == "missing"
    assert told(None, gone).kind == "extra"


def test_another_value_or_kind_of_one_agent_is_an_event_that_differs() -> None:
    assert of_data(1, 2).kind == "event"
    assert told(event("offer"), event("accept")).kind == "event"


def test_an_event_in_the_name_of_another_agent_is_another_order() -> None:
    assert told(event(agent=1), event(agent=2)).kind == "order"


FIRST, SECOND = 0.953670592441913, 0.9008858168917258


def drew(value: float) -> Event:
    return event("drew", data={"x": value})


def test_a_stream_that_is_drawn_from_more_or_less_often_is_told_as_that() -> None:
    found = told(drew(FIRST), drew(SECOND), recorded_next=(drew(SECOND),), actual_next=(event("note"),))
    assert found.kind == "event"
    assert found.causes[0] == "data.x is what was drawn later in the run: self.random is asked more often before this"
    found = told(drew(SECOND), drew(FIRST), actual_next=(drew(SECOND),))
    assert found.kind == "event"
    assert found.causes[0] == "data.x comes later than in the run: self.random is asked less often before this"


def test_an_end_that_comes_early_or_late_says_so() -> None:
    assert told(None, event()).diff == (
        "- (the recorded history ends here)",
        "+ offer by seller-1 at 2.5s",
    )
    assert told(event(agent=0), None).diff == ("- offer by the program at 2.5s", "+ (the replay ends here)")
    assert told(event(agent=0), None).agent == ""


def test_ids_come_from_the_difference_first_and_unknown_agents_go_by_number() -> None:
    assert told(event(agent=1), None, agents={1: "ann"}).agent == "ann"
    assert told(event(agent=9), None).agent == "agent 9"


# -- causes -----------------------------------------------------------------------------------


def cause(recorded: Any, actual: Any, *, name: str = "x", now: dict[str, Any] | None = None) -> str:
    return next(iter(of_data(recorded, actual, name=name, now=now).causes), "")


RANDOM = {"hash_seed": "random"}


@pytest.mark.parametrize(
    ("recorded", "actual", "wanted"),
    [
        (1_764_000_000, 1_764_000_009, "wall clock instant"),
        (1_764_000_000_123, 1_764_000_009_456, "wall clock instant"),
        ("seen 2026-11-22T20:49:14.5Z", "seen 2026-11-23 08:00", "wall clock instant"),
        ("it is 20:49:14", "it is 20:50:00", "wall clock instant"),
        ("t=1764000000.5", "t=1764000009.7", "wall clock instant"),
        ("<Cart object at 0x7f3a12345678>", "<Cart object at 0x7f99abcdef01>", "memory address"),
        ("id 6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "id 550e8400-e29b-41d4-a716-446655440000", "UUID"),
        ("6f9619ff8b864d01b42d00cf4fc964ff", "550e8400e29b41d4a716446655440000", "UUID"),
        ("key 9b1c5d7e3f2a4c6d8e", "key 1a2b3c4d5e6f7a8b9c", "hexadecimal"),
        (0.8444218515250481, 0.7579544029403025, "random"),
        (["b", "a", "c"], ["a", "b", "c"], "another order: a set?"),
        ("ann, bob, cy", "cy, ann, bob", "another order: a set?"),
        (40, 41, ""),
        (0.5, 0.25, ""),
        (True, False, ""),
        ("take 40", "take 41", ""),
        ("yes", "no", ""),
    ],
)
def test_a_value_that_changes_from_run_to_run_is_recognised(recorded: Any, actual: Any, wanted: str) -> None:
    found = cause(recorded, actual)
    assert wanted in found and bool(found) == bool(wanted)


def test_what_is_named_like_a_time_and_looks_measured_is_a_duration() -> None:
    assert "duration" in cause(0.8444218515250481, 0.7579544029403025, name="took")
    assert "duration" in cause(812, 797, name="elapsed_ms")
    assert "measured time" in cause("that took 812 ms", "that took 797 ms")


def test_the_order_of_a_set_names_the_hash_seeds() -> None:
    both = [["a", "b"], ["b", "a"]]
    assert "PYTHONHASHSEED was 0, is random" in cause(*both, now=RANDOM)
    assert "PYTHONHASHSEED was 0, is 5" in cause(*both, now={"hash_seed": "5"})
    assert "addresses" in cause(*both)


def test_receivers_in_another_order_come_from_a_set() -> None:
    found = told(event(to=(1, 2, 3)), event(to=(3, 1, 2)), now=RANDOM)
    assert found.diff[1:] == ("to", "  - ['seller-1', 'buyer-1', 'buyer-2']", "  + ['buyer-2', 'seller-1', 'buyer-1']")
    assert found.causes[0].startswith("agents or messages taken from a set")


def test_another_program_and_other_parameters_come_first() -> None:
    found = of_data(
        0.8444218515250481, 0.7579544029403025, now={"program": "b:b", "parameters": {"buyers": 3}, "code": "0"}
    )
    first, second, third, fourth = found.causes
    assert first == "another program is replayed: negotiation:negotiation was recorded, this is b:b"
    assert second == "parameters differ: {'buyers': 2} then, {'buyers': 3} now"
    assert "looks random" in third
    assert fourth.startswith("the code has changed since the run")


def test_a_guard_that_was_off_is_named() -> None:
    assert "the guard is off now" in cause(1, 2, now={"options": {"guard": "off"}})
    assert cause(1, 2, now={"options": {"guard": "warn"}}) == ""


# -- changes ----------------------------------------------------------------------------------

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([0.5, 1.0, float("nan")])
    | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(values, values)
@example([1, 2, 3], [0, 1, 2, 3])
@example({"a": [1]}, {"a": [1.0]})
def test_there_are_changes_exactly_where_values_differ(one: Any, other: Any) -> None:
    found = list(value_changes("x", one, other))
    assert bool(found) != same_value(one, other)
    for change in found:
        assert change.recorded is MISSING or change.actual is MISSING or not same_value(change.recorded, change.actual)
        assert all("\n" not in line for line in change.lines())


@given(values, values)
def test_events_have_changes_exactly_where_comparing_finds_any(one: Any, other: Any) -> None:
    before, after = event(data={"x": one}), event(data={"x": other})
    assert bool(changes(before, after, str)) != same_event(before, after)


def test_only_what_was_put_in_or_taken_out_of_a_list_is_a_change() -> None:
    def lines(one: list[Any], other: list[Any]) -> list[str]:
        return [line for change in value_changes("x", one, other) for line in change.lines()]

    assert lines([1, 2, 3], [1, 9, 2, 3]) == ["x[1]", "  + 9"]
    assert lines([1, 2, 3], [1]) == ["x[1:3]", "  - [2, 3]"]
    assert lines([{"a": 1, "b": 2}], [{"a": 1, "b": 3}]) == ["x[0].b", "  - 2", "  + 3"]
    assert lines([1, [2]], [1, None]) == ["x[1]", "  - [2]", "  + None"]


def test_where_an_event_was_recorded_is_no_change_of_it() -> None:
    before = event("simulation.started", 0, data={"id": "a", "seed": 7, "file": "x.py"})
    after = event("simulation.started", 0, data={"id": "b", "seed": 8, "file": "y.py"})
    assert [change.path for change in changes(before, after, str)] == ["data.seed"]


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_value_shown_is_one_short_line(one: str, other: str) -> None:
    for value, beside in (
        (one, other),
        ([one, 1], [other]),
        ({"k": one}, MISSING),
        (one.encode(errors="replace"), b""),
    ):
        text = shown(value, beside)
        assert "\n" not in text and len(text) <= 12 * 88
