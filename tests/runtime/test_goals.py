"""Goals and state: what is recorded, and under which goal and state each event stands."""

from __future__ import annotations

from typing import Any

import pytest

import matrix
from matrix.errors import ProgramError
from matrix.testing.played import Played, play


def acting(body: Any, **options: Any) -> Played:
    """A simulation of one agent whose ``run`` is ``body``."""

    class Actor(matrix.Agent):
        async def run(self) -> None:
            await body(self)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Actor, "a")

    return play(program, **options)


def test_leaving_normally_succeeds_with_steps_and_turns_counted() -> None:
    async def body(agent: matrix.Agent) -> None:
        agent.emit("before")
        async with agent.goal("deal", limit=60):
            agent.emit("offer", price=1)
            agent.note("hm")
            await agent.sleep(1)
            agent.emit("offer", price=2)
        agent.emit("after")

    played = acting(body)
    started, ended = played.one("goal.started"), played.one("goal.succeeded")
    assert dict(started.data) == {"name": "deal", "limit": 60}
    assert dict(ended.data) == {"steps": 2, "turns": 2}  # a note is not an action
    assert (started.goal, ended.goal) == (started.seq, started.seq)
    assert [event.goal for event in played.of("offer")] == [started.seq, started.seq]
    assert (played.one("before").goal, played.one("after").goal) == (0, 0)
    assert played.outcome.goals == {"succeeded": 1}


def test_a_goal_that_failed_was_failed_and_the_block_goes_on_without_it() -> None:
    async def body(agent: matrix.Agent) -> None:
        with agent.goal("deal") as goal:
            goal.fail("too expensive", price=90)
            agent.emit("after")

    played = acting(body)
    assert played.data("goal.failed") == [{"reason": "too expensive", "steps": 0, "turns": 1, "price": 90}]
    assert played.one("after").goal == 0


def test_goal_failed_is_absorbed_and_other_exceptions_go_on() -> None:
    async def body(agent: matrix.Agent) -> None:
        async with agent.goal("first"):
            raise matrix.GoalFailed("no way", tries=3)
        try:
            with agent.goal("second"):
                raise ValueError("broken")
        except ValueError:
            agent.emit("caught")

    played = acting(body)
    assert played.data("goal.failed") == [
        {"reason": "no way", "steps": 0, "turns": 1, "tries": 3},
        {"reason": "broken", "steps": 0, "turns": 1},
    ]
    assert played.one("caught")


def test_goals_nest_and_hand_their_steps_on() -> None:
    async def body(agent: matrix.Agent) -> None:
        with agent.goal("outer"):
            agent.emit("x")
            with agent.goal("inner"):
                agent.emit("x")
                agent.emit("x")
            agent.emit("x")

    played = acting(body)
    outer, inner = played.of("goal.started")
    assert inner.data["parent"] == outer.seq
    assert [event.goal for event in played.of("x")] == [outer.seq, inner.seq, inner.seq, outer.seq]
    assert [data["steps"] for data in played.data("goal.succeeded")] == [2, 4]


def test_begun_goals_end_in_any_order() -> None:
    async def body(agent: matrix.Agent) -> None:
        outer = agent.begin_goal("outer")
        inner = agent.begin_goal("inner")
        outer.succeed()
        agent.emit("between")
        inner.cancel("enough")
        agent.emit("after")
        with pytest.raises(ProgramError, match="it is cancelled"):
            inner.succeed()

    played = acting(body)
    outer_start, inner_start = played.of("goal.started")
    assert played.one("goal.succeeded").goal == outer_start.seq
    assert played.one("between").goal == inner_start.seq
    assert played.one("after").goal == 0


def test_goals_still_open_are_cancelled_at_the_end() -> None:
    class Waiter(matrix.Agent):
        async def run(self) -> None:
            async with self.goal("wait for ever"):
                await self.receive()

    class Called(matrix.Agent):
        def on_start(self) -> None:
            self.begin_goal("never ended")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waiter, "w")
        simulation.spawn(Called, "c")

    played = play(program)
    assert [event.agent for event in played.of("goal.cancelled")] == [1, 2]
    assert played.outcome.goals == {"cancelled": 2}
    assert played.outcome.status == "finished"


def test_fields_that_the_runtime_records_itself_are_refused() -> None:
    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(ProgramError, match="may not have a field 'parent'"):
            agent.goal("deal", parent=3)
        with agent.goal("deal") as goal, pytest.raises(ProgramError, match="'steps'"):
            goal.succeed(steps=9)

    assert acting(body).outcome.status == "finished"


def test_each_task_of_an_agent_has_its_own_current_goal() -> None:
    async def body(agent: matrix.Agent) -> None:
        async def child() -> None:
            with agent.goal("child's"):
                agent.emit("c")
                await agent.sleep(1)
                agent.emit("c")

        with agent.goal("main's"):
            task = agent.start(child)
            await agent.sleep(0.5)
            agent.emit("m")
            await agent.join(task)
            agent.emit("m")

    played = acting(body)
    main, child = played.of("goal.started")
    assert child.data["parent"] == main.seq
    assert {event.goal for event in played.of("c")} == {child.seq}
    assert {event.goal for event in played.of("m")} == {main.seq}
    assert [data["steps"] for data in played.data("goal.succeeded")] == [2, 4]


# -- state -------------------------------------------------------------------------------------


def test_every_event_points_to_the_newest_state_of_the_simulation() -> None:
    class Actor(matrix.Agent):
        async def run(self) -> None:
            self.emit("first")
            self.simulation.state["phase"] = "bargaining"
            self.emit("second")
            self.state["mood"] = "calm"
            self.emit("third")

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Actor, "a")

    played = play(program)
    of_all, of_one = played.of("state.changed")
    assert (of_all.agent, dict(of_all.data)) == (0, {"phase": "bargaining"})
    assert (of_one.agent, dict(of_one.data)) == (1, {"mood": "calm"})
    states = [played.one(kind).state for kind in ("first", "second", "third")]
    assert states == [0, of_all.seq, of_all.seq]


def test_a_state_map_cannot_change_behind_the_logs_back() -> None:
    async def program(simulation: matrix.Simulation) -> None:
        items = ["lamp"]
        simulation.state["items"] = items
        items.append("rug")
        simulation.state["items"].append("vase")
        simulation.state.update(round=1, phase="late")
        del simulation.state["round"]
        simulation.emit("now", state=dict(simulation.state))
        with pytest.raises(ProgramError, match="order differs"):
            simulation.state["bad"] = {1, 2}

    played = play(program)
    assert played.data("state.changed") == [
        {"items": ["lamp"]},
        {"items": ["lamp"], "round": 1, "phase": "late"},
        {"items": ["lamp"], "phase": "late"},
    ]
    assert played.data("now") == [{"state": {"items": ["lamp"], "phase": "late"}}]
