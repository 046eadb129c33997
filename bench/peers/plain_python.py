"""Plain Python: objects and a deque, the floor under everything that follows a queue. No log, no checks, no waits."""

from __future__ import annotations

from collections import deque
from typing import Any

from measure import Found, Memory, Meter, answer, peak


class Player:
    """An object with a neighbour."""

    __slots__ = ("name", "received", "to")

    def __init__(self, name: str) -> None:
        self.name, self.received = name, 0
        self.to: Player = self

    def on_message(self, queue: deque[Any], message: dict[str, Any]) -> None:
        self.received += 1
        if message["left"]:
            queue.append((self.to, {"left": message["left"] - 1}))


def messages(count: int) -> Found:
    """Ten pairs that throw a ball to and fro."""
    queue: deque[Any] = deque()
    for n in range(10):
        one, two = Player(f"a{n}"), Player(f"b{n}")
        one.to, two.to = two, one
        queue.append((one, {"left": count // 10}))
    with Meter() as meter:
        while queue:
            player, message = queue.popleft()
            player.on_message(queue, message)
    return meter.found(count)


def idle(count: int, *, traced: bool = False) -> Found:
    """Objects in a list."""
    with Memory(traced=traced) as memory, Meter() as meter:
        agents = [Player(f"agent-{n}") for n in range(count)]
    return meter.found(len(agents), **memory.look(count))


def million(count: int) -> Found:
    """Each object sends one message to another."""
    with Meter() as meter:
        agents = [Player(f"agent-{n}") for n in range(count)]
        queue: deque[Any] = deque()
        for n, agent in enumerate(agents):
            agent.to = agents[(n * 7919 + 1) % count]
            queue.append((agent.to, {"left": 0}))
        while queue:
            agent, message = queue.popleft()
            agent.on_message(queue, message)
    return meter.found(count, peak=peak())


if __name__ == "__main__":
    answer(
        {
            "messages": messages,
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "million": million,
        }
    )
