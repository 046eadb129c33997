"""Plain asyncio: a task an agent, a queue each. No log, no virtual time; what the outside answers is not recorded."""

from __future__ import annotations

import asyncio

from measure import Found, Memory, Meter, answer, peak


async def play(own: asyncio.Queue[int], other: asyncio.Queue[int]) -> None:
    """Throw back what comes, until there is nothing left."""
    while True:
        left = await own.get()
        await other.put(max(0, left - 1))
        if left <= 1:
            return


def turns(count: int) -> Found:
    """Ten pairs of tasks that throw a ball to and fro through queues."""

    async def main() -> Found:
        with Meter() as meter:
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    a: asyncio.Queue[int] = asyncio.Queue()
                    b: asyncio.Queue[int] = asyncio.Queue()
                    group.create_task(play(a, b))
                    group.create_task(play(b, a))
                    await a.put(count // 10)
        return meter.found(count)

    return asyncio.run(main())


def idle(count: int, *, traced: bool = False) -> Found:
    """Tasks that each wait for a message on a queue of their own."""

    async def main() -> Found:
        with Memory(traced=traced) as memory:
            with Meter() as meter:
                queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(count)]
                tasks = [asyncio.create_task(queue.get()) for queue in queues]
                await asyncio.sleep(0)
            found = meter.found(count, **memory.look(count))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return found

    return asyncio.run(main())


def million(count: int) -> Found:
    """Tasks that each send one message to another and receive one."""

    async def one(own: asyncio.Queue[int], other: asyncio.Queue[int]) -> None:
        await other.put(1)
        await own.get()

    async def main() -> None:
        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(count)]
        async with asyncio.TaskGroup() as group:
            for n in range(count):
                group.create_task(one(queues[n], queues[(n * 7919 + 1) % count]))

    with Meter() as meter:
        asyncio.run(main())
    return meter.found(count, peak=peak())


def simulations(count: int) -> Found:
    """Tasks that each wait 20 ms twenty times."""

    async def one() -> None:
        for _ in range(20):
            await asyncio.sleep(0.02)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(one())

    with Meter() as meter:
        asyncio.run(main())
    return meter.found(count)


if __name__ == "__main__":
    answer(
        {
            "turns": turns,
            "idle_async": idle,
            "idle_async_traced": lambda count: idle(count, traced=True),
            "million": million,
            "simulations": simulations,
        }
    )
