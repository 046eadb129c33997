"""The tasks in which calls are made: who shares them, what they keep apart, and what ends them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextvars import ContextVar
from pathlib import Path

import pytest
import trio
import trio.testing

import matrix
from matrix.log.writer import Writer
from matrix.testing.played import history, play
from tests.runtime.test_call_policies import calling, program_of

who: ContextVar[str] = ContextVar("who", default="nobody")


def test_one_task_serves_many_calls_one_after_the_other() -> None:
    tasks = set()

    async def ask() -> None:
        tasks.add(trio.lowlevel.current_task())
        await trio.sleep(0)

    async def body(agent: matrix.Agent) -> None:
        for _ in range(20):
            await agent.call(ask)

    assert calling(body).outcome.status == "finished"
    assert len(tasks) == 1


def test_calls_at_once_have_tasks_of_their_own() -> None:
    tasks = set()

    async def ask() -> None:
        tasks.add(trio.lowlevel.current_task())
        await trio.sleep(0.05)

    async def body(agent: matrix.Agent) -> None:
        await agent.call(ask)

    assert calling(body, agents=10).outcome.status == "finished"
    assert len(tasks) == 10


@pytest.mark.parametrize("blocking", [True, False])
def test_a_call_has_the_context_variables_of_who_made_it_and_leaves_none_behind(blocking: bool) -> None:
    async def look() -> str:
        await trio.sleep(0)
        found = who.get()
        who.set("spoiled")
        return found

    def look_in_a_thread() -> str:
        found = who.get()
        who.set("spoiled")
        return found

    async def body(agent: matrix.Agent) -> None:
        for n in range(3):
            who.set(f"{agent.id} {n}")
            agent.emit("saw", who=await agent.call(look_in_a_thread if blocking else look))
            assert who.get() == f"{agent.id} {n}"

    said = [data["who"] for data in calling(body, agents=2).data("saw")]
    assert sorted(said) == [f"caller-{a} {n}" for a in range(2) for n in range(3)]


def test_a_call_that_was_given_up_spoils_no_other() -> None:
    async def hang() -> None:
        await trio.sleep_forever()

    async def body(agent: matrix.Agent) -> None:
        for n in range(5):
            with agent.move_on_after(0.002):
                await agent.call(hang)
            agent.emit("got", n=await agent.call(trio.lowlevel.checkpoint), number=n)

    played = calling(body)
    assert played.outcome.status == "finished"
    assert [data["number"] for data in played.data("got")] == [0, 1, 2, 3, 4]


def test_a_call_that_shields_itself_may_end_what_it_began() -> None:
    ended = []

    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(0.05)
            ended.append(True)

    async def body(agent: matrix.Agent) -> None:
        with agent.move_on_after(0.001):
            await agent.call(stubborn)
        await agent.call(trio.sleep, 0.1)

    assert calling(body).outcome.status == "finished"
    assert ended == [True]


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_function_that_leaves_a_cancel_scope_open_fails_and_spoils_no_other() -> None:
    left: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        with trio.CancelScope():
            yield 1
            yield 2

    async def careless() -> int:
        generator = numbers()
        left.append(generator)  # nobody closes it
        return await anext(generator)

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="left a cancel scope open"):
            await agent.call(careless)
        agent.emit("got", value=await agent.call(trio.sleep, 0.001))

    played = calling(body)
    assert played.outcome.status == "finished"
    assert len(played.of("got")) == 1


def test_an_exception_group_of_a_call_is_its_failure() -> None:
    async def ask() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ValueError("bad")

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed) as caught:
            await agent.call(ask)
        assert caught.value.error_type == "ExceptionGroup"

    assert calling(body).outcome.status == "finished"


async def test_the_request_is_committed_before_the_outside_is_touched(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    async def body(agent: matrix.Agent) -> None:
        runtime = agent.simulation.runtime
        request = runtime.recorder.next_seq()
        await agent.call(lambda: seen.append((request, runtime.recorder.position)))

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        await runtime.run(program_of(body))
    ((request, position),) = seen
    assert position >= request


async def test_at_level_sync_it_is_durable_before_the_outside_is_touched_one_sync_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs, seen = [], []
    sync = Writer.sync
    monkeypatch.setattr(Writer, "sync", lambda self: (syncs.append(1), sync(self))[1])

    async def body(agent: matrix.Agent) -> None:
        runtime = agent.simulation.runtime
        request = runtime.recorder.next_seq()
        await agent.call(lambda: seen.append((request, runtime.writer.durable_position, len(syncs))))

    async with matrix.open_runtime(tmp_path, index=False, durability="sync") as runtime:
        outcome = await runtime.run(program_of(body, agents=40))
    assert outcome.status == "finished"
    assert len(seen) == 40
    assert all(durable >= request for request, durable, _ in seen)
    assert min(count for *_, count in seen) >= 1
    assert max(count for *_, count in seen) < 40


def test_one_straggler_delays_nobody() -> None:
    class Caller(matrix.Agent):
        seconds: float

        async def run(self) -> None:
            await self.call(trio.sleep, self.seconds)
            self.emit("back", seconds=self.seconds)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Caller, "straggler", seconds=0.5)
        for n in range(50):
            simulation.spawn(Caller, f"c{n}", seconds=0.01)

    with_all = play(program)
    names = with_all.names()
    back = [names[event.agent] for event in with_all.of("back")]
    assert back[-1] == "straggler"
    began = with_all.of("call.called")[0].wall
    assert max(event.wall - began for event in with_all.of("back")[:-1]) < 450_000


async def test_requests_that_wait_for_a_place_have_no_task(tmp_path: Path) -> None:
    done: list[int] = []

    @matrix.call_policy(in_flight=2)
    async def ask() -> None:
        done.append(len(trio.lowlevel.current_task().parent_nursery.child_tasks))  # type: ignore[union-attr]  # it has one

    async def body(agent: matrix.Agent) -> None:
        await agent.call(ask)

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        outcome = await runtime.run(program_of(body, agents=500))
    assert outcome.status == "finished"
    assert len(history(outcome)) == outcome.events
    assert len(done) == 500
    assert max(done) < 30
