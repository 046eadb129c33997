"""AutoGen core: agents with message handlers in its single-threaded runtime; messages are published to topics.

It tells its own logger of each message, which may write to a file. The order is asyncio's; there is no replay.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autogen_core import (
    EVENT_LOGGER_NAME,
    AgentId,
    MessageContext,
    RoutedAgent,
    SingleThreadedAgentRuntime,
    TopicId,
    TypeSubscription,
    message_handler,
)
from measure import Found, Memory, Meter, answer, peak


@dataclass
class Ball:
    """What is thrown."""

    left: int


class Player(RoutedAgent):
    """Throws back what comes, to the topic of the other."""

    def __init__(self, to: str) -> None:
        super().__init__("a player")
        self._to = to

    @message_handler
    async def on_ball(self, message: Ball, ctx: MessageContext) -> None:
        if message.left:
            await self.publish_message(Ball(message.left - 1), TopicId(self._to, "default"))


class Neighbour(RoutedAgent):
    """Sends to the next agent of its type, once."""

    @message_handler
    async def on_ball(self, message: Ball, ctx: MessageContext) -> None:
        if message.left:
            await self.send_message(Ball(0), AgentId("neighbour", str(message.left - 1)))


async def play(count: int) -> Found:
    """Ten pairs of agents that throw a ball to and fro."""
    runtime = SingleThreadedAgentRuntime()
    for n in range(10):
        for own, other in ((f"a{n}", f"b{n}"), (f"b{n}", f"a{n}")):
            await Player.register(runtime, own, lambda other=other: Player(other))
            await runtime.add_subscription(TypeSubscription(own, own))
    with Meter() as meter:
        runtime.start()
        for n in range(10):
            await runtime.publish_message(Ball(count // 10), TopicId(f"a{n}", "default"))
        await runtime.stop_when_idle()
    return meter.found(count)


def messages(count: int) -> Found:
    return asyncio.run(play(count))


def messages_logged(count: int) -> Found:
    """The same, with its event log in a file."""
    logger = logging.getLogger(EVENT_LOGGER_NAME)
    logger.setLevel(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.log"
        handler = logging.FileHandler(path)
        logger.addHandler(handler)
        found = asyncio.run(play(count))
        handler.close()
        found["log_bytes"] = path.stat().st_size
    return found


def idle(count: int, *, traced: bool = False) -> Found:
    """Agents that exist because somebody asked for them by name."""

    async def main() -> Found:
        runtime = SingleThreadedAgentRuntime()
        with Memory(traced=traced) as memory:
            with Meter() as meter:
                await Neighbour.register(runtime, "neighbour", lambda: Neighbour("one of many"))
                for n in range(count):
                    await runtime.get(AgentId("neighbour", str(n)), lazy=False)
            return meter.found(count, **memory.look(count))

    return asyncio.run(main())


def million(count: int) -> Found:
    """Agents that are told to send one message to another."""

    async def main() -> None:
        runtime = SingleThreadedAgentRuntime()
        await Neighbour.register(runtime, "neighbour", lambda: Neighbour("one of many"))
        runtime.start()
        for n in range(count):
            await runtime.send_message(Ball((n * 7919 + 1) % count + 1), AgentId("neighbour", str(n)))
        await runtime.stop_when_idle()

    with Meter() as meter:
        asyncio.run(main())
    return meter.found(count, peak=peak())


if __name__ == "__main__":
    answer(
        {
            "messages": messages,
            "messages_logged": messages_logged,
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "million": million,
        },
        "autogen-core",
    )
