"""Thespian, its system base within one process: actors are called for each message. No log of messages, no replay."""

from __future__ import annotations

from typing import Any

from measure import Found, Memory, Meter, answer, peak
from thespian.actors import Actor, ActorExitRequest, ActorSystem


class Player(Actor):
    """Throws back what comes."""

    to: Any = None

    def receiveMessage(self, message: Any, sender: Any) -> None:  # Thespian's name
        if isinstance(message, int):
            if message:
                self.send(self.to, message - 1)
        elif not isinstance(message, ActorExitRequest):
            self.to = message[0]


def messages(count: int) -> Found:
    """Ten pairs of actors that throw a ball to and fro."""
    system = ActorSystem("simpleSystemBase")
    actors = [system.createActor(Player) for _ in range(20)]
    for n in range(0, 20, 2):
        system.tell(actors[n], (actors[n + 1],))
        system.tell(actors[n + 1], (actors[n],))
    with Meter() as meter:
        for n in range(0, 20, 2):
            system.tell(actors[n], count // 10)
    system.shutdown()
    return meter.found(count)


def idle(count: int, *, traced: bool = False) -> Found:
    """Actors that wait."""
    system = ActorSystem("simpleSystemBase")
    with Memory(traced=traced) as memory:
        with Meter() as meter:
            actors = [system.createActor(Player) for _ in range(count)]
        return meter.found(len(actors), **memory.look(count))


def million(count: int) -> Found:
    """Actors that each send one message to another."""
    system = ActorSystem("simpleSystemBase")
    with Meter() as meter:
        actors = [system.createActor(Player) for _ in range(count)]
        for n, actor in enumerate(actors):
            system.tell(actor, (actors[(n * 7919 + 1) % count],))
        for actor in actors:
            system.tell(actor, 1)
    return meter.found(count, peak=peak())


if __name__ == "__main__":
    answer(
        {
            "messages": messages,
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "million": million,
        },
        "thespian",
    )
