"""Limits of calls: so many at once, so many in any one second, first come, first served."""

from __future__ import annotations

import math
import random
from bisect import bisect_right

import pytest
import trio
import trio.testing

from matrix.runtime.calls.limiter import Limiter, Limiters, Place
from matrix.runtime.calls.policy import DEFAULTS, CallPolicy


class Bench:
    """Requests that take their time under one policy, on a clock that jumps."""

    def __init__(self, nursery: trio.Nursery, **limits: float) -> None:
        self.nursery = nursery
        self.limiter = Limiter(CallPolicy(**limits).over(DEFAULTS), nursery.start_soon)  # type: ignore[arg-type]  # names
        self.begun: list[tuple[float, int]] = []
        self.most = 0

    def ask(self, number: int, seconds: float = 0.0, late: float = 0.0) -> Place:
        """Request ``number`` joins the queue; its function begins ``late`` and takes ``seconds``."""
        place: Place

        async def work() -> None:
            if late:
                await trio.sleep(late)
            place.began_at = trio.current_time()
            self.begun.append((place.began_at, number))
            self.most = max(self.most, self.limiter.under_way)
            await trio.sleep(seconds)
            place.leave()

        place = self.limiter.join(lambda: self.nursery.start_soon(work))
        return place


def most_in_a_window(instants: list[float], seconds: float) -> int:
    """The largest number of instants in any window of that length, both ends included."""
    instants = sorted(instants)
    return max(bisect_right(instants, instant + seconds) - i for i, instant in enumerate(instants))


async def test_as_many_as_allowed_are_under_way_and_the_others_come_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, in_flight=3)
        for n in range(20):
            bench.ask(n, seconds=1)
    assert bench.most == 3
    rounds = [sorted(n for at, n in bench.begun if at == when) for when in sorted({at for at, _ in bench.begun})]
    assert rounds == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11], [12, 13, 14], [15, 16, 17], [18, 19]]


@pytest.mark.parametrize("seed", range(20))
async def test_no_second_holds_more_beginnings_than_the_rate(autojump_clock: trio.testing.MockClock, seed: int) -> None:
    chance = random.Random(seed)
    rate = chance.randint(1, 12)
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, per_second=rate, in_flight=chance.choice([2, 5, math.inf]))
        for n in range(80):
            bench.ask(n, seconds=chance.random(), late=chance.choice([0, 0, 0.2 * chance.random()]))
            await trio.sleep(chance.choice([0, 0, 0.3 * chance.random()]))
    instants = [at for at, _ in bench.begun]
    assert len(instants) == 80
    assert most_in_a_window(instants, 1.0) <= rate, f"seed {seed}"


async def test_a_full_rate_is_used_in_full(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, per_second=5)
        for n in range(21):
            bench.ask(n)
    assert sorted(n for _, n in bench.begun[:5]) == [0, 1, 2, 3, 4]
    assert trio.current_time() - bench.begun[0][0] == pytest.approx(4.0, abs=1e-3)


async def test_a_rate_below_one_is_one_request_in_so_many_seconds(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, per_second=0.2)
        for n in range(4):
            bench.ask(n)
    assert [round(at - began, 3) for at, _ in bench.begun] == [0.0, 5.0, 10.0, 15.0]


async def test_a_token_bucket_would_let_too_many_through(autojump_clock: trio.testing.MockClock) -> None:
    """The test above has teeth: a bucket that fills up at the rate lets twice as many into one second."""
    tokens, filled_at, instants = 5.0, trio.current_time() - 10, []
    for _ in range(30):
        tokens = min(5.0, tokens + (trio.current_time() - filled_at) * 5)
        filled_at = trio.current_time()
        if tokens < 1:
            await trio.sleep((1 - tokens) / 5)
            tokens, filled_at = 1.0, trio.current_time()
        tokens -= 1
        instants.append(trio.current_time())
    assert most_in_a_window(instants, 1.0) > 5


async def test_who_gives_up_while_waiting_delays_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, in_flight=1)
        bench.ask(0, seconds=1)
        waiting = bench.ask(1, seconds=100)
        bench.ask(2, seconds=1)
        await trio.sleep(0.5)
        waiting.leave()
    assert [n for _, n in bench.begun] == [0, 2]
    assert bench.limiter.under_way == 0


async def test_a_place_given_up_before_it_began_does_not_count_for_the_rate(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, per_second=1)
        granted: list[bool] = []
        place = bench.limiter.join(lambda: granted.append(True))
        assert granted == [True]
        place.leave()
        bench.ask(1)
    assert [(round(at - began, 3), n) for at, n in bench.begun] == [(0.0, 1)]


async def test_leaving_twice_counts_once(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        bench = Bench(nursery, in_flight=2)
        place = bench.ask(0, seconds=1)
        await trio.sleep(0.1)
        place.leave()
        place.leave()
        assert bench.limiter.under_way == 0


async def test_limiters_of_names_that_are_made_up_are_forgotten_when_idle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    policy = CallPolicy(in_flight=1).over(DEFAULTS)
    async with trio.open_nursery() as nursery:
        limiters = Limiters(nursery.start_soon)
        kept = limiters.join("kept", policy, lambda: None)
        for n in range(2_500):
            limiters.join(f"ask-{n}", policy, lambda: None).leave()
        assert len(limiters._of) < 1_500
        waits = limiters.join("kept", policy, lambda: None)
        assert kept.is_granted
        assert not waits.is_granted
