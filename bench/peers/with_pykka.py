"""Pykka: a thread and a queue an actor. No log; the order is the operating system's; nothing to replay."""

from __future__ import annotations

import threading

import pykka
from measure import Found, Memory, Meter, answer, peak


class Player(pykka.ThreadingActor):
    """Throws back what comes."""

    def __init__(self, done: threading.Semaphore) -> None:
        super().__init__()
        self.done = done
        self.to: pykka.ActorRef[Player]

    def on_receive(self, message: dict[str, object]) -> None:
        to, left = message.get("to"), message.get("left", 0)
        if isinstance(to, pykka.ActorRef):
            self.to = to
        elif left:
            self.to.tell({"left": left - 1})  # type: ignore[operator]
        else:
            self.done.release()


def messages(count: int) -> Found:
    """Ten pairs of actors that throw a ball to and fro."""
    done = threading.Semaphore(0)
    refs = [Player.start(done) for _ in range(20)]
    for n in range(0, 20, 2):
        refs[n].tell({"to": refs[n + 1]})
        refs[n + 1].tell({"to": refs[n]})
    with Meter() as meter:
        for n in range(0, 20, 2):
            refs[n].tell({"left": count // 10})
        for _ in range(10):
            done.acquire()
    pykka.ActorRegistry.stop_all()
    return meter.found(count)


def idle(count: int, *, traced: bool = False) -> Found:
    """Actors that wait: a thread each."""
    done = threading.Semaphore(0)
    with Memory(traced=traced) as memory:
        with Meter() as meter:
            refs = [Player.start(done) for _ in range(count)]
        found = meter.found(len(refs), **memory.look(count))
    pykka.ActorRegistry.stop_all()
    return found


def million(count: int) -> Found:
    """Actors that each send one message to another."""
    done = threading.Semaphore(0)
    with Meter() as meter:
        refs = [Player.start(done) for _ in range(count)]
        for n, ref in enumerate(refs):
            ref.tell({"to": refs[(n * 7919 + 1) % count]})
        for ref in refs:
            ref.tell({"left": 1})
        for _ in refs:
            done.acquire()
    found = meter.found(count, peak=peak())
    pykka.ActorRegistry.stop_all()
    return found


if __name__ == "__main__":
    answer(
        {
            "messages": messages,
            "idle": idle,
            "idle_traced": lambda count: idle(count, traced=True),
            "million": million,
        },
        "pykka",
    )
