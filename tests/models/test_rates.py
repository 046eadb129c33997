"""Rates: requests and tokens per minute, guessed before and corrected after."""

from __future__ import annotations

from typing import Any

import trio
from trio.testing import MockClock

from matrix.endpoint.rates import Rates
from tests.models.service import Service
from tests.models.talk import endpoint, talk


async def begun(rates: Rates, guesses: list[int]) -> list[float]:
    """When requests with these guesses begin that come all at once, in seconds from now."""
    start, found = trio.current_time(), []
    for guess in guesses:
        await rates.admit(guess)
        found.append(trio.current_time() - start)
    return found


async def test_no_minute_has_more_requests_than_allowed(autojump_clock: MockClock) -> None:
    assert await begun(Rates(requests_per_minute=2), [1] * 5) == [0, 0, 60, 60, 120]


async def test_no_minute_has_more_tokens_than_allowed(autojump_clock: MockClock) -> None:
    assert await begun(Rates(tokens_per_minute=100), [60, 30, 20, 80, 10]) == [0, 0, 60, 60, 120]


async def test_a_request_above_the_whole_limit_goes_alone(autojump_clock: MockClock) -> None:
    assert await begun(Rates(tokens_per_minute=100), [10, 500, 10]) == [0, 60, 120]


async def test_a_corrected_guess_lets_the_next_one_go_at_once_or_later(autojump_clock: MockClock) -> None:
    rates = Rates(tokens_per_minute=100)
    charge, waited = await rates.admit(90), []

    async def wait(tokens: int) -> None:
        await rates.admit(tokens)
        waited.append((tokens, trio.current_time()))

    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 50)
        await trio.sleep(5)
        charge.correct(40)  # it took less
        await trio.sleep(5)
        charge.correct(99)  # or more
        nursery.start_soon(wait, 20)
    assert [(tokens, at - start) for tokens, at in waited] == [(50, 5), (20, 60)]


async def test_who_came_first_goes_first_even_if_less_would_fit(autojump_clock: MockClock) -> None:
    rates, order = Rates(tokens_per_minute=100), []
    await rates.admit(90)

    async def wait(tokens: int) -> None:
        await rates.admit(tokens)
        order.append(tokens)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 50)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(wait, 5)
    assert order == [50, 5]


async def test_one_that_is_given_up_while_it_waits_takes_nothing(autojump_clock: MockClock) -> None:
    rates, start = Rates(requests_per_minute=1), trio.current_time()
    await rates.admit(1)
    with trio.move_on_after(10):
        await rates.admit(1)
    await rates.admit(1)
    assert trio.current_time() - start == 60


async def test_answers_are_guessed_from_those_before() -> None:
    rates = Rates(tokens_per_minute=100)
    assert rates.estimate(400, None) == 600
    assert rates.estimate(400, 7, n=2) == 114
    rates.learn(10)
    rates.learn(30)
    assert rates.estimate(400, None) == 120


def test_limits_hold_for_all_agents_of_a_runtime_and_waiting_is_no_part_of_an_attempt(
    service: Service, monkeypatch: Any
) -> None:
    monkeypatch.setattr("matrix.endpoint.rates.ENDPOINT_WINDOW_S", 0.3)

    async def body(agent: Any) -> None:
        await agent.model("hello", model="small", max_tokens=5)

    models = endpoint(service, requests_per_minute=2, timeout=0.25)
    told = [event.data for event in talk(service, body, agents=5, models=models).of("model.completed")]
    waits = sorted(data.get("waited_ms", 0) for data in told)
    assert all(data["attempts"] == 1 for data in told)
    assert waits[1] < 290
    assert waits[2] >= 290
    assert waits[4] >= 590


def test_tokens_are_corrected_by_the_usage_that_the_server_tells(service: Service, monkeypatch: Any) -> None:
    monkeypatch.setattr("matrix.endpoint.rates.ENDPOINT_WINDOW_S", 30)

    async def body(agent: Any) -> None:
        for _ in range(4):  # each is guessed to take nearly all, and takes 20
            await agent.model("hello", model="small", max_tokens=900)

    played = talk(service, body, models=endpoint(service, tokens_per_minute=1_000))
    assert all(event.data.get("waited_ms", 0) < 10_000 for event in played.of("model.completed"))
