"""Tools in use: what is recorded, what the agent gets, and what a replay, a fork and a resume make of it."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.endpoint.reply import ToolCall
from matrix.errors import ProgramError
from matrix.event import Event
from matrix.testing.played import Played, play

Body = Callable[[Any], Any]


class Shop:
    """A world of the simulation's own."""

    def __init__(self) -> None:
        self.stock = {"lamp": 2}

    @matrix.tool(inside=True)
    def buy(self, item: str, count: int = 1) -> dict[str, int]:
        if self.stock.get(item, 0) < count:
            raise ValueError(f"only {self.stock.get(item, 0)} of {item}")
        self.stock[item] -= count
        return dict(self.stock)

    @matrix.tool(inside=True)
    async def wait_for(self, who: matrix.Agent, seconds: int) -> float:
        who.emit("waits", seconds=seconds)
        await who.sleep(seconds)
        return who.now


RAN: list[Any] = []


@matrix.tool
def weather(city: str, timeout: int = 0) -> str:
    RAN.append(threading.current_thread() is threading.main_thread())
    if city == "Atlantis":
        raise LookupError("no such city")
    return f"rain in {city}"


@matrix.tool(name="slow-weather")
async def slow_weather(city: str) -> dict[str, str]:
    RAN.append(city)
    return {"city": city}


class Clerk(matrix.Agent):
    body: Body

    async def run(self) -> None:
        self.shop = Shop()
        self.tools = [self.shop, weather]
        await type(self).body(self)


def program_of(body: Body) -> Callable[..., Any]:
    kind = type("Clerk", (Clerk,), {"body": staticmethod(body)})

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(kind, "clerk")

    return program


def using(body: Body, **options: Any) -> Played:
    RAN.clear()
    played = play(program_of(body), **options)
    assert played.outcome.reason == "completed"
    return played


def essence(events: list[Event]) -> list[tuple[str, dict[str, Any]]]:
    """What was recorded of tools, less measurements of time."""
    measured = ("ms", "step", "arrival", "waited_ms")
    return [
        (e.kind.partition(".")[2], {k: v for k, v in e.data.items() if k not in measured})
        for e in events
        if e.kind.startswith("tool.")
    ]


def test_a_tool_outside_is_a_recorded_call_in_a_thread_or_a_task() -> None:
    async def body(self: Any) -> None:
        assert await self.use(weather, city="Bern", timeout=3) == "rain in Bern"
        assert await self.use(slow_weather, city="Rome") == {"city": "Rome"}

    played = using(body)
    assert RAN == [False, "Rome"]
    assert essence(played.events) == [
        ("called", {"tool": "weather", "call_id": "clerk#1", "arguments": {"city": "Bern", "timeout": 3}}),
        ("completed", {"tool": "weather", "call_id": "clerk#1", "attempts": 1, "result": "rain in Bern"}),
        ("called", {"tool": "slow-weather", "call_id": "clerk#2", "arguments": {"city": "Rome"}}),
        ("completed", {"tool": "slow-weather", "call_id": "clerk#2", "attempts": 1, "result": {"city": "Rome"}}),
    ]


def test_a_tool_inside_runs_within_the_turn_and_is_recorded_alike() -> None:
    async def body(self: Any) -> None:
        before = self._turns
        assert await self.use(self.shop.buy, item="lamp") == {"lamp": 1}
        assert await self.use("buy", item="lamp") == {"lamp": 0}
        assert self._turns == before

    played = using(body)
    assert essence(played.events)[2:] == [
        ("called", {"tool": "buy", "call_id": "clerk#2", "arguments": {"item": "lamp"}, "inside": True}),
        ("completed", {"tool": "buy", "call_id": "clerk#2", "result": {"lamp": 0}}),
    ]
    assert [event.data["ms"] for event in played.of("tool.completed")] == [0.0, 0.0]


def test_what_a_tool_gives_is_the_cause_of_what_follows() -> None:
    async def body(self: Any) -> None:
        await self.use(self.shop.wait_for, seconds=5)
        self.emit("done")

    played = using(body)
    called, completed = played.one("tool.called"), played.one("tool.completed")
    assert "who" not in called.data["arguments"]
    assert (completed.data["result"], completed.data["ms"]) == (5.0, 5_000.0)
    assert played.one("waits").cause == called.seq
    assert completed.cause == called.seq
    assert played.one("done").cause == completed.seq


def test_exceptions_and_wrong_arguments_are_recorded_and_raised_with_a_text_for_the_model() -> None:
    async def body(self: Any) -> None:
        with pytest.raises(matrix.ToolFailed) as wrong:
            await self.use(weather, town="Bern")
        assert wrong.value.text == (
            "the arguments of weather are wrong:\n- city: is missing\n"
            "- town: there is no such argument; there are: city, timeout"
        )
        with pytest.raises(matrix.ToolFailed) as outside:
            await self.use(weather, city="Atlantis")
        assert isinstance(outside.value.__cause__, LookupError)
        with pytest.raises(matrix.CallFailed) as inside:  # it is one, as others are
            await self.use("buy", item="lamp", count=3)
        assert isinstance(inside.value.__cause__, ValueError)
        assert (inside.value.error_type, inside.value.error) == ("ValueError", "ValueError: only 2 of lamp")

    played = using(body)
    assert RAN == [False]  # only the second one got so far
    assert [data["error"] for data in played.data("tool.failed")] == [
        "the arguments of weather are wrong:\n- city: is missing\n"
        "- town: there is no such argument; there are: city, timeout",
        "LookupError: no such city",
        "ValueError: only 2 of lamp",
    ]
    assert all("result" not in data for data in played.data("tool.failed"))


def test_a_models_call_brings_its_id_and_whatever_is_wrong_with_it_is_recorded() -> None:
    def call(id: str, name: str, text: str) -> ToolCall:
        return ToolCall.of({"id": id, "function": {"name": name, "arguments": text}})

    async def body(self: Any) -> None:
        assert await self.use(call("c1", "buy", '{"item": "lamp"}')) == {"lamp": 1}
        openai = {"id": "c2", "type": "function", "function": {"name": "buy", "arguments": '{"item": "lamp"}'}}
        assert await self.use(openai) == {"lamp": 0}
        for id, name, text in (
            ("c3", "by", "{}"),
            ("c4", "buy", '{"item": '),
            ("c5", "buy", "[1]"),
            ("c6", "buy", '{"item": "\\ud800"}'),
            ("c7", "buy", ""),
            ("c8", "buy", '{"\\ud800": 1}'),
        ):
            with pytest.raises(matrix.ToolFailed):
                await self.use(call(id, name, text))

    played = using(body)
    assert [data["tool_call_id"] for data in played.data("tool.called")] == [f"c{n}" for n in range(1, 9)]
    assert [data.get("arguments_text") for data in played.data("tool.called")[2:]] == [
        None,
        '{"item": ',
        "[1]",
        '{"item": "\\ud800"}',
        None,
        '{"\\ud800": 1}',
    ]
    errors = [(data["tool_call_id"], data["error"].partition(":")[0]) for data in played.data("tool.failed")]
    assert errors == [
        ("c3", "there is no tool 'by'; did you mean buy?"),
        ("c4", "the arguments of buy cannot be read"),
        ("c5", "the arguments of buy cannot be read"),
        ("c6", "the arguments of buy cannot be read"),
        ("c7", "the arguments of buy are wrong"),
        ("c8", "the arguments of buy cannot be read"),
    ]


def test_what_a_tool_does_to_its_arguments_and_an_agent_to_a_result_changes_no_history() -> None:
    @matrix.tool(inside=True)
    def take(items: Any) -> Any:
        items.append("more")
        return items

    async def body(self: Any) -> None:
        self.tools = [take]
        for call in (
            ToolCall.of({"id": "c1", "function": {"name": "take", "arguments": '{"items": ["lamp"]}'}}),
            ToolCall("c2", "take", {"items": ["lamp"]}, ""),
        ):
            (await self.use(call)).append("still more")
        (await self.use(take, items=["lamp"])).append("still more")

    played = using(body)
    assert [data["arguments"] for data in played.data("tool.called")] == [{"items": ["lamp"]}] * 3
    assert [data["result"] for data in played.data("tool.completed")] == [["lamp", "more"]] * 3


def test_a_programs_own_mistakes_with_tools_are_errors_of_the_program() -> None:
    async def body(self: Any) -> None:
        with pytest.raises(ProgramError, match="has no tool 'by'; did you mean buy"):
            await self.use("by")
        with pytest.raises(ProgramError, match="use takes a tool, the name of one, or a model's call of one, not 3"):
            await self.use(3)

        @matrix.tool
        def outside(who: matrix.Agent) -> None: ...

        with pytest.raises(ProgramError, match="make it one with inside=True"):
            await self.use(outside)

    assert using(body).of("tool.called") == []


def test_a_tool_says_itself_what_the_model_is_told_of_its_errors() -> None:
    def told(error: Exception) -> str:
        return f"Error: {error}"

    @matrix.tool(error_text=told)
    def outside() -> None:
        raise ValueError("sold out")

    @matrix.tool(inside=True, error_text=told)
    def inside() -> Any:
        return {1, 2}

    async def body(self: Any) -> None:
        for each in (outside, inside):
            with pytest.raises(matrix.ToolFailed):
                await self.use(each)

    texts = [data["error"] for data in using(body).data("tool.failed")]
    assert texts[0] == "Error: sold out"
    assert texts[1].startswith("Error: the result of inside is a set, whose order differs between processes")


def test_policies_apply_by_the_tools_name_and_travel_with_its_function() -> None:
    failures: list[str] = []

    @matrix.tool
    @matrix.call_policy(attempts=2, backoff=0)
    def flaky(name: str) -> str:
        failures.append(name)
        if len(failures) % 2:
            raise ConnectionError("reset")
        return name

    @matrix.tool(name="stubborn")
    def never() -> None:
        failures.append("never")
        raise ConnectionError("reset")

    async def body(self: Any) -> None:
        assert await self.use(flaky, name="a") == "a"
        with pytest.raises(matrix.ToolFailed) as failed:
            await self.use(never)
        assert failed.value.attempts == 3
        with pytest.raises(matrix.ToolFailed):
            await self.use(never, matrix.CallPolicy(attempts=1))

    played = using(body, calls={"stubborn": matrix.CallPolicy(attempts=3, backoff=0)})
    assert failures == ["a", "a", "never", "never", "never", "never"]
    assert [data["attempts"] for data in played.data("tool.failed")] == [3, 1]


def test_an_agents_own_methods_are_its_tools() -> None:
    class Owner(matrix.Agent):
        @matrix.tool(inside=True)
        def greet(self, name: str) -> str:
            self.emit("greeted", name=name)
            return f"{self.id} greets {name}"

        async def run(self) -> None:
            self.note(said=await self.use("greet", name="Ada"))

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Owner, "owner")
        assert await simulation.use(weather, city="Rome") == "rain in Rome"

    played = play(program)
    assert played.one("note").data == {"said": "owner greets Ada"}
    assert played.data("tool.called")[0]["call_id"] in ("owner#1", "program#1")


def test_a_cancelled_tool_inside_is_recorded_as_given_up() -> None:
    async def body(self: Any) -> None:
        with self.move_on_after(1):
            await self.use(self.shop.wait_for, seconds=100)
        self.emit("went on")

    failed = using(body).one("tool.failed")
    assert failed.data["cancelled"] is True
    assert failed.time == 1_000_000


async def shopping(simulation: matrix.Simulation, city: str = "Bern") -> None:
    simulation.spawn(Shopper, "shopper", city=city)


class Shopper(matrix.Agent):
    city: str

    async def run(self) -> None:
        self.shop = Shop()
        self.emit("heard", text=await self.use(weather, city=self.city))
        await self.sleep(1)
        self.emit("left", stock=await self.use(self.shop.buy, item="lamp"))
        await self.sleep(1)
        with contextlib.suppress(matrix.ToolFailed):
            await self.use(self.shop.buy, item="lamp", count=2)
        await self.use(slow_weather, city=self.city)


def test_a_replay_runs_what_is_inside_again_and_takes_the_rest_from_the_log(tmp_path: Path) -> None:
    RAN.clear()
    outcome = matrix.run(shopping, store=tmp_path)
    assert len(RAN) == 2
    with matrix.open(tmp_path) as store:
        assert store.replay(outcome.id).status == "identical"
        assert len(RAN) == 2
        (branch,) = store.fork(outcome.id, at=timedelta(seconds=1.5), seed=2)
        rows = store.query("events tool.completed where simulation = $it | select .tool, .result", it=branch.id).rows()
        assert [row["result"] for row in rows] == ["rain in Bern", {"lamp": 1}, {"city": "Bern"}]
        assert store.replay(branch.id).status == "identical"
    assert len(RAN) == 3  # the fork went on live: once


def test_a_replay_finds_a_tool_inside_that_gives_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = matrix.run(shopping, store=tmp_path)
    monkeypatch.setattr(Shop, "__init__", lambda self: setattr(self, "stock", {"lamp": 3}))
    with matrix.open(tmp_path) as store:
        replay = store.replay(outcome.id)
    assert replay.status == "diverged"
    assert "tool.completed" in str(replay)


class Regular(matrix.Agent):
    async def run(self) -> None:
        self.shop = Shop()
        self.shop.stock = {"lamp": 30}
        for _ in range(30):
            left = await self.use(self.shop.buy, item="lamp")
            self.note(text="x" * 200, left=left)
            await self.sleep(1)
            await self.call(len, "abc", repeatable=True)


async def buying(simulation: matrix.Simulation) -> None:
    simulation.spawn(Regular, "regular")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_simulation_that_was_cut_off_goes_on_with_the_world_of_its_tools(tmp_path: Path, share: float) -> None:
    matrix.run(buying, store=tmp_path / "whole", index=False)
    shutil.copytree(tmp_path / "whole" / "log", tmp_path / "cut" / "log")
    segment = next((tmp_path / "cut" / "log").rglob("*.seg"))
    with segment.open("r+b") as file:
        file.truncate(int(segment.stat().st_size * share))
    with matrix.open(tmp_path / "cut") as store:
        assert len(store.resume()) == 1
        (it,) = store.query("simulations | select id, status").rows()
        assert it["status"] == "finished"
        rows = store.query("events tool.completed | select .result.lamp as lamp").rows()
        assert [row["lamp"] for row in rows] == list(range(29, -1, -1))
        assert store.replay(it["id"]).status == "identical"
