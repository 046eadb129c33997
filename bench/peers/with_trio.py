"""Plain Trio: a task an agent, memory channels between them. No log; its order of tasks is random on purpose."""

from __future__ import annotations

import math

import trio
from measure import Found, Memory, Meter, answer, peak


async def play(own: trio.MemoryReceiveChannel[int], other: trio.MemorySendChannel[int]) -> None:
    """Throw back what comes, until there is nothing left."""
    async for left in own:
        await other.send(max(0, left - 1))
        if left <= 1:
            return


def turns(count: int) -> Found:
    """Ten pairs of tasks that throw a ball to and fro through channels."""

    async def main() -> Found:
        with Meter() as meter:
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    to_a, a = trio.open_memory_channel[int](math.inf)
                    to_b, b = trio.open_memory_channel[int](math.inf)
                    nursery.start_soon(play, a, to_b)
                    nursery.start_soon(play, b, to_a)
                    await to_a.send(count // 10)
        return meter.found(count)

    return trio.run(main)


def idle(count: int, *, traced: bool = False) -> Found:
    """Tasks that each wait for a message on a channel of their own."""

    async def wait(channel: trio.MemoryReceiveChannel[int]) -> None:
        await channel.receive()

    async def main() -> Found:
        with Memory(traced=traced) as memory:
            async with trio.open_nursery() as nursery:
                with Meter() as meter:
                    channels = [trio.open_memory_channel[int](math.inf) for _ in range(count)]
                    for _, receive in channels:
                        nursery.start_soon(wait, receive)
                    await trio.testing.wait_all_tasks_blocked()
                found = meter.found(count, **memory.look(count))
                nursery.cancel_scope.cancel()
        return found

    return trio.run(main)


def million(count: int) -> Found:
    """Tasks that each send one message to another and receive one."""

    async def one(own: trio.MemoryReceiveChannel[int], other: trio.MemorySendChannel[int]) -> None:
        await other.send(1)
        await own.receive()

    async def main() -> None:
        channels = [trio.open_memory_channel[int](math.inf) for _ in range(count)]
        async with trio.open_nursery() as nursery:
            for n in range(count):
                nursery.start_soon(one, channels[n][1], channels[(n * 7919 + 1) % count][0])

    with Meter() as meter:
        trio.run(main)
    return meter.found(count, peak=peak())


def simulations(count: int) -> Found:
    """Tasks that each wait 20 ms twenty times."""

    async def one() -> None:
        for _ in range(20):
            await trio.sleep(0.02)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)

    with Meter() as meter:
        trio.run(main)
    return meter.found(count)


if __name__ == "__main__":
    import trio.testing

    answer(
        {
            "turns": turns,
            "idle_async": idle,
            "idle_async_traced": lambda count: idle(count, traced=True),
            "million": million,
            "simulations": simulations,
        },
        "trio",
    )
