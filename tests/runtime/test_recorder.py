"""What is recorded: payloads as they were, kinds that may be, batches, and columns that say it briefly."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import matrix
from matrix.errors import ProgramError
from matrix.log.rows import Rows, Runs
from matrix.runtime.recorder import Recorder
from matrix.testing.played import Played, play


def emitting(body: Any, **options: Any) -> Played:
    async def program(simulation: matrix.Simulation) -> None:
        body(simulation)

    return play(program, **options)


def test_payloads_are_copied_when_they_are_emitted() -> None:
    def body(simulation: matrix.Simulation) -> None:
        items = [{"name": "lamp"}]
        simulation.emit("bag", items=items)
        items[0]["name"] = "rug"
        items.append({"name": "vase"})

    assert emitting(body).data("bag") == [{"items": [{"name": "lamp"}]}]


def test_a_receiver_that_changes_what_it_got_does_not_change_history() -> None:
    class Greedy(matrix.Agent):
        def on_message(self, message: matrix.Message) -> None:
            message["items"].append("mine")
            with pytest.raises(TypeError):
                message.data["items"] = []  # type: ignore[index]  # a read-only map
            self.emit("seen", items=message["items"])

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Greedy, "g")
        simulation.send("g", "offer", items=["lamp"])

    played = play(program)
    assert played.data("offer") == [{"items": ["lamp"]}]
    assert played.data("seen") == [{"items": ["lamp", "mine"]}]


def test_kin_of_plain_values_become_plain() -> None:
    class Colour(enum.Enum):
        RED = 1

    class Level(enum.IntEnum):
        HIGH = 3

    def body(simulation: matrix.Simulation) -> None:
        simulation.emit("x", i=np.int32(4), f=np.float64(0.5), b=np.bool_(True), a=np.arange(3), e=Level.HIGH, t=(1, 2))

    assert emitting(body).data("x") == [{"i": 4, "f": 0.5, "b": True, "a": [0, 1, 2], "e": 3, "t": [1, 2]}]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "x.v is a set, whose order differs"),
        (object(), "x.v is a object; the log holds"),
        ({"deep": [1, {"er": 1j}]}, "x.v.deep[1].er is a complex"),
        ({3: "x"}, "x.v has the key 3; the keys of a map in the log are text"),
    ],
)
def test_what_the_log_cannot_hold_is_refused_at_the_emit_by_name(value: Any, said: str) -> None:
    played = emitting(lambda simulation: simulation.emit("x", v=value))
    assert isinstance(played.outcome.error, ProgramError)
    assert said in str(played.outcome.error)
    assert played.outcome.reason.startswith("the program: ProgramError")


@pytest.mark.parametrize("kind", ["goal.started", "message.sent", "simulation.x", "call.called", "", 7, "x" * 300])
def test_kinds_of_the_runtime_and_no_kinds_at_all_cannot_be_emitted(kind: Any) -> None:
    played = emitting(lambda simulation: simulation.emit(kind))
    assert isinstance(played.outcome.error, ProgramError)


def test_a_batch_of_columns_is_as_many_events_of_the_turn() -> None:
    def body(simulation: matrix.Simulation) -> None:
        simulation.emit("before")
        count = simulation.emit_batch("moved", {"x": np.arange(20_000), "who": pa.array(["a", None] * 10_000)})
        simulation.emit("after", count=count)
        simulation.emit_batch("few", {"x": np.arange(3), "y": [0.5, None, 1.5]})

    played = emitting(body)
    moved = played.of("moved")
    assert [event.seq for event in played.events] == list(range(1, len(played.events) + 1))
    assert moved[0].seq == played.one("before").seq + 1
    assert [event.data["x"] for event in moved] == list(range(20_000))
    assert [event.data.get("who") for event in moved[:3]] == ["a", None, "a"]
    assert {(event.agent, event.turn, event.cause) for event in moved} == {(0, 1, 1)}
    assert played.data("after") == [{"count": 20_000}]
    assert [dict(event.data) for event in played.of("few")] == [{"x": 0, "y": 0.5}, {"x": 1}, {"x": 2, "y": 1.5}]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "at least one column"),
        ({"x": [1], "y": [1, 2]}, "x has 1, y has 2"),
        ({1: [1]}, "names of fields are text"),
    ],
)
def test_a_batch_that_cannot_be_is_refused(columns: Any, said: str) -> None:
    assert said in str(emitting(lambda simulation: simulation.emit_batch("moved", columns)).outcome.error)


def test_notes_carry_text_and_anything() -> None:
    played = emitting(lambda simulation: simulation.note("remember", price=3))
    assert played.data("note") == [{"text": "remember", "price": 3}]


def test_more_events_than_a_block_holds_keep_their_order_and_turn() -> None:
    def body(simulation: matrix.Simulation) -> None:
        for n in range(20_000):
            simulation.emit("n", n=n)

    played = emitting(body)
    assert [event.data["n"] for event in played.of("n")] == list(range(20_000))
    assert {event.turn for event in played.of("n")} == {1}


def test_what_is_constant_within_turns_is_handed_to_the_writer_as_runs() -> None:
    written: list[Rows] = []

    class Sink:
        def append(self, rows: Rows) -> int:
            written.append(rows)
            return sum(part.count for part in written)

    class Owner:
        names: dict[str, Any] = {}
        now, next_seq, ordinal, state_seq = 5, 11, 3, 0
        goal_counts: dict[str, int] = {}

    recorder = Recorder(Sink())
    recorder.enter(Owner())  # type: ignore[arg-type]  # all that a recorder asks of a simulation
    for agent in (1, 2):
        recorder.runs.extend((len(recorder.codes), agent, 7, 10, 0, 1_000))
        recorder.add("note", {"a": agent})
        recorder.add("note", {"a": agent})
    recorder.commit()
    (rows,) = written
    assert (rows.count, rows.simulation, rows.time, rows.turn, rows.cause, rows.wall) == (4, 3, 5, 7, 10, 1)
    assert isinstance(rows.agent, Runs)
    assert (list(rows.agent.starts), list(rows.agent.values)) == ([0, 2], [1, 2])
    assert list(rows.seq) == [11, 12, 13, 14]
    assert rows.kinds == ["note"]
    assert rows.data[0].payloads == [{"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}]
