"""Call policies: what they say together, attempts, waits, timeouts, and what the log tells of them."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

import matrix
from matrix.errors import ProgramError
from matrix.runtime.calls.outside import is_async
from matrix.runtime.calls.policy import DEFAULTS, CallPolicy, Policies, call_policy, is_worth_another_try
from matrix.runtime.inputs import stream
from matrix.testing.played import Played, history, play

Body = Callable[[matrix.Agent], Any]


def program_of(body: Body, agents: int = 1) -> Callable[..., Any]:
    class Caller(matrix.Agent):
        async def run(self) -> None:
            await body(self)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(agents):
            simulation.spawn(Caller, f"caller-{n}")

    return program


def calling(body: Body, agents: int = 1, **options: Any) -> Played:
    return play(program_of(body, agents), **options)


async def calling_in_jumping_time(folder: Path, body: Body, *, agents: int = 1, calls: Any = None) -> Played:
    async with matrix.open_runtime(folder, index=False, calls=calls) as runtime:
        outcome = await runtime.run(program_of(body, agents), pace="freeze")
    return Played(outcome, history(outcome))


def failing(*errors: BaseException | None) -> Callable[[], Any]:
    """An async function that raises those errors, call by call, and returns "done" where there is None."""
    left: Iterator[BaseException | None] = iter(errors)

    async def attempt() -> str:
        error = next(left)
        if error is not None:
            raise error
        return "done"

    return attempt


# -- what policies say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"in_flight": 0}, "in_flight is a whole number of at least 1"),
        ({"in_flight": 2.5}, "in_flight is a whole number"),
        ({"in_flight": True}, "in_flight is a whole number"),
        ({"per_second": 0}, "per_second is a whole number"),
        ({"per_second": 2.5}, "per_second is a whole number"),
        ({"per_second": math.nan}, "per_second is a whole number"),
        ({"timeout": 0}, "timeout is a number of seconds above 0"),
        ({"timeout": "30"}, "timeout is a number of seconds above 0"),
        ({"attempts": 0}, "attempts is a whole number from 1 to 100"),
        ({"attempts": math.inf}, "attempts is a whole number from 1 to 100"),
        ({"backoff": -1}, "backoff is a number of seconds 0 or more"),
        ({"backoff_max": math.inf}, "backoff_max is finite"),
        ({"backoff": 5, "backoff_max": 1}, "backoff_max is 1.0 seconds, less than backoff"),
        ({"retry_on": KeyboardInterrupt}, "retry_on is an Exception type"),
        ({"retry_on": (OSError, "ValueError")}, "retry_on is an Exception type"),
        ({"repeatable": 1}, "repeatable is True or False"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_where_it_is_made(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ProgramError, match=said):
        CallPolicy(**given)
    with pytest.raises(ProgramError, match=said):
        call_policy(**given)


def test_calls_of_a_runtime_are_policies_by_name() -> None:
    with pytest.raises(ProgramError, match=r"calls\['ask'\] is a matrix.CallPolicy"):
        Policies({"ask": 3})  # type: ignore[dict-item]  # the mistake under test
    with pytest.raises(ProgramError, match="calls maps names of calls to policies"):
        Policies(10)  # type: ignore[arg-type]  # likewise: a program's own parameter of that name
    with pytest.raises(ProgramError, match="is no name"):
        Policies({"": CallPolicy()})


def test_the_nearer_policy_says_and_what_it_leaves_open_the_next_one_says() -> None:
    @matrix.call_policy(attempts=2, timeout=20, in_flight=2, repeatable=True)
    def ask() -> None: ...

    named = CallPolicy(attempts=3, timeout=30)
    policies = Policies({"ask": named, "*": CallPolicy(attempts=5, timeout=50, in_flight=5, backoff=5)})
    found = policies.of("ask", ask, CallPolicy(attempts=4))
    assert (found.attempts, found.timeout, found.in_flight, found.backoff) == (4, 30, 2, 5)
    assert (found.per_second, found.repeatable) == (math.inf, True)
    assert policies.of("other", len, None).attempts == 5
    assert policies.of("other", ask, None).attempts == 2  # the decorator goes before the rest of the runtime's
    assert Policies().of("other", len, None) is DEFAULTS


def test_one_bound_of_the_backoff_moves_the_other() -> None:
    assert CallPolicy(backoff=100).over(DEFAULTS).backoff_max == 100
    assert CallPolicy(backoff_max=0.1).over(DEFAULTS).backoff == 0.1


def test_the_wait_doubles_up_to_its_bound_and_its_chance_is_seeded() -> None:
    policy = CallPolicy(backoff=1, backoff_max=10, attempts=9).over(DEFAULTS)
    error = OSError()
    waits = [policy.delay(error, n, stream(7, "a#1", f"backoff {n}")) for n in range(1, 9)]
    again = [policy.delay(error, n, stream(7, "a#1", f"backoff {n}")) for n in range(1, 9)]
    other = [policy.delay(error, n, stream(7, "b#1", f"backoff {n}")) for n in range(1, 9)]
    assert waits == again != other
    for wait, bound in zip(waits, (1, 2, 4, 8, 10, 10, 10, 10), strict=True):
        assert bound / 2 <= wait <= bound


@pytest.mark.parametrize(("asked", "waited"), [(3, 3.0), (timedelta(seconds=4), 4.0), (3_600, 10.0), ("soon", 0.0)])
def test_an_exception_may_ask_for_a_longer_wait_within_the_bound(asked: object, waited: float) -> None:
    class Busy(Exception):
        retry_after = asked

    policy = CallPolicy(backoff=0, backoff_max=10).over(DEFAULTS)
    assert policy.delay(Busy(), 1, stream(0, "", "")) == waited


def test_without_retry_on_all_but_programming_errors_are_worth_another_try() -> None:
    for error in (OSError(), trio.TooSlowError(), ValueError(), KeyError("choices"), RuntimeError()):
        assert is_worth_another_try(error)
    for error in (TypeError(), AttributeError(), NameError(), AssertionError(), NotImplementedError(), ProgramError()):
        assert not is_worth_another_try(error)


def test_whether_a_function_is_async_is_seen_through_methods_and_partials() -> None:
    class Client:
        async def ask(self) -> None: ...
        def blocking(self) -> None: ...
        async def __call__(self) -> None: ...

    async def ask(n: int) -> None: ...

    assert all(map(is_async, (trio.sleep, ask, functools.partial(ask, 1), Client().ask, Client())))
    assert not any(map(is_async, (time.sleep, len, Client().blocking, functools.partial(len, "a"), lambda: ask(1))))


# -- attempts --------------------------------------------------------------------------------------


async def test_a_failure_that_is_worth_it_is_tried_again_and_each_attempt_recorded(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    ask = failing(OSError("reset"), trio.TooSlowError("late"), None)

    async def body(agent: matrix.Agent) -> None:
        agent.emit("got", value=await agent.call(ask, name="ask"))

    policy = CallPolicy(attempts=3, backoff=2)
    played = await calling_in_jumping_time(tmp_path, body, calls={"ask": policy})
    completed = played.one("call.completed").data
    assert played.data("got") == [{"value": "done"}]
    assert completed["attempts"] == 3
    assert [one["error"] for one in completed["tries"]] == ["OSError: reset", "TooSlowError: late"]
    assert all(one["ms"] >= 0 for one in completed["tries"])
    assert 3.0 < trio.current_time() < 7.0 + 1  # between half and whole of 2 + 4 seconds, on the clock that jumps


def test_attempts_end_and_the_last_failure_is_the_calls(tmp_path: Path) -> None:
    ask = failing(OSError("one"), OSError("two"), OSError("three"), None)

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed) as caught:
            await agent.call(ask, policy=CallPolicy(attempts=3, backoff=0))
        failed = caught.value
        agent.emit("failed", error=failed.error, error_type=failed.error_type, attempts=failed.attempts)

    played = calling(body)
    assert played.data("failed") == [{"error": "OSError: three", "error_type": "OSError", "attempts": 3}]
    recorded = played.one("call.failed").data
    assert (recorded["attempts"], recorded["error"]) == (3, "OSError: three")
    assert [one["error"] for one in recorded["tries"]] == ["OSError: one", "OSError: two"]


def test_a_single_attempt_has_no_list_of_tries() -> None:
    async def body(agent: matrix.Agent) -> None:
        await agent.call(failing(None))

    completed = calling(body).one("call.completed").data
    assert completed["attempts"] == 1
    assert "tries" not in completed
    assert "waited_ms" not in completed


@pytest.mark.parametrize(
    ("retry_on", "error", "attempts"),
    [
        (None, TypeError("a mistake"), 1),
        (None, OSError("trouble"), 2),
        (ValueError, OSError("other"), 1),
        ((ValueError, OSError), OSError("named"), 2),
        (lambda error: "again" in str(error), ValueError("again"), 2),
        (lambda error: "again" in str(error), ValueError("never"), 1),
    ],
)
def test_only_what_retry_on_names_is_tried_again(retry_on: Any, error: Exception, attempts: int) -> None:
    async def body(agent: matrix.Agent) -> None:
        try:
            await agent.call(failing(error, None), policy=CallPolicy(attempts=2, backoff=0, retry_on=retry_on))
        except matrix.CallFailed as failed:
            agent.emit("failed", attempts=failed.attempts)

    played = calling(body)
    told = played.of("call.completed") or played.of("call.failed")
    assert [event.data["attempts"] for event in told] == [attempts]
    assert (told[0].kind == "call.completed") == (attempts == 2)


def test_a_retry_on_that_fails_itself_is_what_the_agent_hears_of() -> None:
    def wrong(error: Exception) -> bool:
        raise KeyError("status")

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="KeyError: 'status'"):
            await agent.call(failing(OSError(), None), policy=CallPolicy(attempts=2, backoff=0, retry_on=wrong))

    assert calling(body).outcome.status == "finished"


def test_a_result_that_the_log_cannot_hold_is_not_asked_for_again() -> None:
    asked = []

    async def ask() -> object:
        asked.append(1)
        return {"found": object()}

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="the result of ask"):
            await agent.call(ask, policy=CallPolicy(attempts=5, backoff=0))

    assert calling(body).outcome.status == "finished"
    assert asked == [1]


async def test_the_timeout_is_for_each_attempt(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    slow = iter((100.0, 100.0, 3.0))

    @matrix.call_policy(timeout=timedelta(seconds=10), attempts=3, backoff=0)
    async def ask() -> str:
        await trio.sleep(next(slow))
        return "done"

    async def body(agent: matrix.Agent) -> None:
        await agent.call(ask)

    began = trio.current_time()
    played = await calling_in_jumping_time(tmp_path, body)
    completed = played.one("call.completed").data
    assert [one["error"].split(":")[0] for one in completed["tries"]] == ["TooSlowError", "TooSlowError"]
    assert trio.current_time() - began == pytest.approx(23, abs=0.5)


async def test_the_timeout_given_with_the_call_goes_before_the_policys(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="TooSlowError"):
            await agent.call(trio.sleep, 50, timeout=5)
        await agent.call(trio.sleep, 50)

    played = await calling_in_jumping_time(tmp_path, body, calls={"*": CallPolicy(timeout=100)})
    assert played.outcome.status == "finished"


def test_a_plain_function_is_tried_again_too_and_its_coroutine_is_awaited() -> None:
    left = [OSError("once")]

    def plain() -> str:
        if left:
            raise left.pop()
        return "plain"

    async def double(n: int) -> int:
        return 2 * n

    async def body(agent: matrix.Agent) -> None:
        agent.emit("got", value=await agent.call(plain, policy=CallPolicy(attempts=2, backoff=0)))
        agent.emit("got", value=await agent.call(lambda: double(21)))

    assert calling(body).data("got") == [{"value": "plain"}, {"value": 42}]


def test_waiting_for_a_thread_is_not_part_of_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.runtime.calls.outside.THREADS_MAX", 1)

    async def body(agent: matrix.Agent) -> None:
        await agent.call(time.sleep, 0.05, timeout=5)

    played = calling(body, agents=3)
    waited = sorted(event.data.get("waited_ms", 0.0) for event in played.of("call.completed"))
    assert waited[2] >= 80
    assert all(event.data["ms"] < 5_000 for event in played.of("call.completed"))


def test_an_exception_that_cannot_even_say_what_it_is_brings_nothing_down() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise KeyError("text")

        @property
        def retry_after(self) -> float:
            raise ValueError("not known")

    async def body(agent: matrix.Agent) -> None:
        with pytest.raises(matrix.CallFailed, match="Odd: its text raises KeyError"):
            await agent.call(failing(Odd(), Odd()), policy=CallPolicy(attempts=2, backoff=0))

    assert calling(body).outcome.status == "finished"


# -- limits in a runtime ---------------------------------------------------------------------------


class Crowd:
    """A function that notes how many of it run at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.order: list[int] = []
        self.begun: list[float] = []

    async def ask(self, n: int) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        self.order.append(n)
        self.begun.append(trio.current_time())
        await trio.sleep(1)
        self.now -= 1
        return n


async def test_in_flight_is_a_limit_of_the_whole_runtime_over_its_simulations(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd()

    async def body(agent: matrix.Agent) -> None:
        await agent.call(crowd.ask, 0)

    async with matrix.open_runtime(tmp_path, index=False, calls={"ask": CallPolicy(in_flight=3)}) as runtime:
        program = program_of(body, agents=4)
        outcomes = [o async for o in runtime.run_many(program, seeds=range(5), at_once=5, pace="freeze")]
    assert {outcome.status for outcome in outcomes} == {"finished"}
    assert crowd.most == 3
    assert len(crowd.order) == 20
    waited = [e.data.get("waited_ms") for o in outcomes for e in history(o) if e.kind == "call.completed"]
    assert len([one for one in waited if one is not None]) >= 17  # all but those that found a place free


async def test_without_the_limit_all_are_in_flight_at_once(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd()

    async def body(agent: matrix.Agent) -> None:
        await agent.call(crowd.ask, 0)

    await calling_in_jumping_time(tmp_path, body, agents=20)
    assert crowd.most == 20


async def test_requests_that_wait_go_first_come_first_served(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd()
    limited = matrix.call_policy(in_flight=1)(functools.partial(crowd.ask))

    async def body(agent: matrix.Agent) -> None:
        await agent.call(limited, int(agent.id.removeprefix("caller-")))

    played = await calling_in_jumping_time(tmp_path, body, agents=8)
    called = [played.names()[event.agent] for event in played.of("call.called")]
    assert crowd.order == list(range(8))
    assert called == [f"caller-{n}" for n in range(8)]  # all were recorded before the first one waited


@pytest.mark.parametrize("rate", [1, 7, 50])
async def test_the_rate_of_a_name_holds_over_attempts_and_simulations(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, rate: int
) -> None:
    begun: list[float] = []

    @matrix.call_policy(per_second=rate, attempts=2, backoff=0)
    async def ask(fails: bool) -> None:
        begun.append(trio.current_time())
        if fails and len(begun) % 3 == 0:
            raise OSError("try again")

    async def body(agent: matrix.Agent) -> None:
        for _ in range(3):
            try:
                await agent.call(ask, True)
            except matrix.CallFailed:
                agent.note("twice")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        program = program_of(body, agents=3)
        async for _ in runtime.run_many(program, seeds=range(3), at_once=3, pace="freeze"):
            pass
    assert len(begun) >= 27
    for i in range(len(begun) - rate):
        assert begun[i + rate] - begun[i] > 1.0


def test_threads_begin_within_the_rate_as_the_thread_sees_it() -> None:
    begun: list[float] = []
    lock = threading.Lock()

    @matrix.call_policy(per_second=20)
    def ask() -> None:
        with lock:
            begun.append(time.perf_counter())

    async def body(agent: matrix.Agent) -> None:
        await agent.call(ask)

    assert calling(body, agents=45).outcome.status == "finished"
    begun.sort()
    for i in range(len(begun) - 20):
        assert begun[i + 20] - begun[i] > 1.0


async def test_a_waiting_call_that_is_cancelled_gives_its_place_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    crowd = Crowd()

    @matrix.call_policy(in_flight=1)
    async def ask(n: int) -> int:
        return await crowd.ask(n)

    class Caller(matrix.Agent):
        number: int

        async def run(self) -> None:
            await self.call(ask, self.number)
            self.emit("answered")

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(4):
            simulation.spawn(Caller, f"caller-{n}", number=n)
        await simulation.call(trio.sleep, 0.5)
        simulation.cancel("caller-1")
        simulation.cancel("caller-2")

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        outcome = await runtime.run(program)
    played = Played(outcome, history(outcome))
    assert crowd.order == [0, 3]
    assert [played.names()[e.agent] for e in played.of("answered")] == ["caller-0", "caller-3"]
    assert [e.data["error"] for e in played.of("call.failed")] == ["Cancelled", "Cancelled"]
    assert crowd.now == 0


async def test_a_call_that_is_cancelled_between_attempts_gives_its_place_back(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    asked: list[int] = []

    @matrix.call_policy(in_flight=1, attempts=5, backoff=10)
    async def ask(n: int) -> None:
        asked.append(n)
        if n == 0:
            raise OSError("again")

    class Caller(matrix.Agent):
        number: int

        async def run(self) -> None:
            await self.call(ask, self.number)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Caller, "fails", number=0)
        await simulation.call(trio.sleep, 1)
        simulation.cancel("fails")
        simulation.spawn(Caller, "waits", number=1)

    async with matrix.open_runtime(tmp_path, index=False) as runtime:
        outcome = await runtime.run(program)
    assert outcome.status == "finished"
    assert asked == [0, 1]


# -- repeatable ------------------------------------------------------------------------------------


def test_repeatable_is_recorded_with_the_request_whoever_says_so() -> None:
    @matrix.call_policy(repeatable=True)
    async def decorated() -> None: ...

    async def plain() -> None: ...

    async def body(agent: matrix.Agent) -> None:
        await agent.call(plain)
        await agent.call(plain, repeatable=True)
        await agent.call(plain, policy=CallPolicy(repeatable=True))
        await agent.call(decorated)
        await agent.call(decorated, repeatable=False)
        await agent.call(plain, name="named")

    played = calling(body, calls={"named": CallPolicy(repeatable=True)})
    assert [data.get("repeatable") for data in played.data("call.called")] == [None, True, True, True, None, True]
    assert played.one("simulation.started").data["options"] == {"repeatable": {"named": True}}


def test_a_history_says_what_was_repeatable_then() -> None:
    policies = Policies({"a": CallPolicy(repeatable=True, attempts=3), "b": CallPolicy(repeatable=False)})
    assert policies.with_repeatable({"a": True, "b": False}) is policies
    then = policies.with_repeatable({"*": True, "c": False})
    assert then.of("a", len, None).repeatable is True  # what the rest of the runtime said then
    assert then.of("a", len, None).attempts == 3
    assert then.of("c", len, None).repeatable is False
    assert then.repeatable == {"*": True, "c": False}


def test_what_is_no_policy_is_refused_at_the_call() -> None:
    async def body(agent: matrix.Agent) -> None:
        await agent.call(len, "x", policy={"attempts": 3})  # type: ignore[arg-type]  # the mistake under test

    assert "policy is a matrix.CallPolicy" in calling(body).outcome.reason
