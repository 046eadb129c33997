"""Small hand-made histories that several tests ask about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from matrix.event import Event
from matrix.testing.telling import Telling

SECOND = 1_000_000


def deal() -> list[Event]:
    """Alice offers a lamp to Bob, Bob counters, Alice answers; Carol is told; nothing has ended."""
    telling = Telling(simulation=1, wall=1_000)
    telling.start({"id": "r1", "name": "market", "seed": 7, "parameters": {"buyers": 2}})
    for role, name in (("buyer", "alice"), ("seller", "bob"), (None, "carol")):
        telling.spawn(0, role, name)
    alice, bob = telling.agents[1], telling.agents[2]
    telling.time, alice.turn = SECOND, 1
    telling.begin_goal(1, "close_deal", {"item": "lamp"})  # seq 5
    telling.begin_goal(1, "ask", {})  # seq 6
    telling.send(1, "offer", [1], {"price": 40})  # seq 7, to bob (number 2)
    telling.end_goal(1, "succeeded", {"reason": "asked", "points": 3})  # seq 8
    telling.time, bob.turn = 2 * SECOND, 1
    telling.change_phase(2, {"phase": "bargaining"})  # seq 9
    telling.reply(2, 0, "counter", {"price": 50})  # seq 10
    telling.time, alice.turn = 3 * SECOND, 2
    telling.reply(1, 0, "message.sent", {"text": "fine"})  # seq 11
    telling.change_state(1, {"budget": 9})  # seq 12
    telling.send(2, "note.all", [0, 2], {})  # seq 13, to alice and carol
    return telling.events


def offers(payloads: Iterable[Mapping[str, Any]]) -> list[Event]:
    """One agent that offers once a second, each offer numbered ``.n`` from 0."""
    telling = Telling(simulation=1, wall=0)
    telling.start({"id": "r2", "name": "offers"})
    telling.spawn(0, "buyer", "alice")
    for n, payload in enumerate(payloads):
        telling.time, telling.agents[1].turn = n * SECOND, n + 1
        telling.emit(1, "offer", {"n": n, **payload})
    return telling.events


def lamps() -> list[Event]:
    """Sam sells one lamp. Ann haggles and gets it; Ben offers too little and gives up. The reference asks about it."""
    telling = Telling(simulation=1, wall=1_767_225_600_000_000)
    telling.start({"id": "r7", "name": "lamps", "seed": 7})
    for role, name in (("buyer", "ann"), ("buyer", "ben"), ("seller", "sam")):
        telling.spawn(0, role, name)
    ann, ben, sam = (telling.agents[number] for number in (1, 2, 3))
    telling.change_state(3, {"stock": 1})  # seq 5
    ann.turn = ben.turn = sam.turn = 1
    telling.begin_goal(1, "buy_lamp", {"limit": 60})  # seq 6
    telling.send(1, "offer", [2], {"price": 30})  # seq 7, to sam
    telling.begin_goal(2, "buy_lamp", {"limit": 35})  # seq 8
    telling.send(2, "offer", [2], {"price": 35})  # seq 9
    _at(telling, 1, sam)
    telling.reply(3, 0, "counter", {"price": 60})  # seq 10, to ann
    _at(telling, 2, sam)
    telling.reply(3, 1, "counter", {"price": 55})  # seq 11, to ben
    _at(telling, 3, ann)
    telling.reply(1, 0, "offer", {"price": 50})  # seq 12
    _at(telling, 4, ben)
    telling.reply(2, 0, "reject", {"text": "too dear"})  # seq 13
    telling.record(2, "goal.failed", {"reason": "too dear"}, cause=11)  # seq 14
    ben.goals.clear()
    _at(telling, 6, sam)
    telling.reply(3, 2, "accept", {"text": "it is yours"})  # seq 15, to ann
    telling.change_state(3, {"stock": 0})  # seq 16
    _at(telling, 7, ann)
    telling.record(1, "goal.succeeded", {"reason": "bought"}, cause=15)  # seq 17
    ann.goals.clear()
    telling.finish("finished", {})
    return telling.events


def _at(telling: Telling, seconds: int, agent: Any) -> None:
    """A turn of this agent at a time."""
    telling.time = seconds * SECOND
    agent.turn += 1
