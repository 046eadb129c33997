"""Plans of random programs: which agents there are and what each one does, as plain values (see programs.py).

A plan is made of choices, like histories and queries: a seed gives random ones, hypothesis gives those it
can shrink. Any choices make a valid plan, fewer of them a shorter one. It is data (maps, lists, numbers
and text), so that it can be a parameter of the program, be recorded with it and be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from matrix.testing.choices import Choices

Act = dict[str, Any]
Plan = dict[str, Any]

HEAD_BYTES, CAST_BYTES, ACT_BYTES = 12, 10, 40
CASTS_MAX, ACTS_MAX, DEPTH_MAX = 6, 14, 3
DURATIONS = (0, 1, 0.25, 0.001, 0.5, 2.5, 40)
PATIENCE = (1, 0.5, 3, 0.25, 1, 7, 2, 0.5, 1, 0.25, 3, 2, 0.5, 1, 0.125, 0)  # how long a wait may take; 0: for ever
KINDS = ("message.sent", "offer", "question")
SOURCES = ("random", "stream", "numpy", "uuid")


def plan_of(seed: int) -> Plan:
    """The plan of a seed, the same in every process and version of Python.

    >>> plan_of(7) == plan_of(7), plan_of(7) == plan_of(8)
    (True, False)
    """
    random = Random(seed)

    def below(bound: int) -> int:
        return int(random.random() * bound)  # randrange is not the same in all versions of Python

    def acts(count: int) -> list[Choices]:
        return [choices(ACT_BYTES) for _ in range(count)]

    def choices(count: int) -> Choices:
        return Choices(bytes(below(256) for _ in range(count)))

    casts = [(choices(CAST_BYTES), acts(2 + below(ACTS_MAX - 1))) for _ in range(3 + below(CASTS_MAX - 2))]
    return plan(choices(HEAD_BYTES), casts, acts(below(7)))


def plan(head: Choices, casts: Sequence[tuple[Choices, Sequence[Choices]]], steering: Sequence[Choices]) -> Plan:
    """A plan of some casts (a kind of agent with its script) and of what the program itself does."""
    return {
        "casts": [_cast(own, acts) for own, acts in casts],
        "steering": [_one_of(STEERING, choices, 0) for choices in steering],
        "options": _options(head),
    }


def _cast(c: Choices, acts: Sequence[Choices]) -> Act:
    kind = c.pick(("walker", "clerk", "crowd", "walker"))
    table = {"walker": WALKING, "clerk": HANDLING, "crowd": PLAIN}[kind]
    return {
        "kind": kind,
        "count": 1 + c.below(3),
        "energy": 16 + c.below(48),
        "priority": c.pick((0, 0, 0, -1, 2)),
        "mailbox_max": c.pick((1000, 1000, 4, 2)),
        "policy": c.pick(("propagate", "isolate", "isolate", "restart", "restart within")),
        "answers": not c.chance(4),
        "acts": [_one_of(table, choices, 0) for choices in acts],
    }


def _options(c: Choices) -> Act:
    options = {"until": c.pick((0, 0, 0, 0, 6.5, 30)), "turns_max": c.pick((0, 0, 0, 0, 0, 150)), "events_max": 0}
    if c.chance(16):
        options["events_max"] = 120
    if c.chance(4):
        options["shuffle"] = True
    return {name: value for name, value in options.items() if value}


# -- acts ------------------------------------------------------------------------------------------


def _one_of(table: Sequence[str], c: Choices, depth: int) -> Act:
    name = c.pick(table)
    if depth == DEPTH_MAX and name in _NESTING:
        name = "emit"
    return {"do": name, **_ARGUMENTS.get(name, _nothing)(c, depth)}


def _inner(c: Choices, depth: int, most: int = 3) -> list[Act]:
    return [_one_of(WALKING, c, depth + 1) for _ in range(1 + c.below(most))]


def _nothing(c: Choices, depth: int) -> Act:
    return {}


def _call(c: Choices, depth: int) -> Act:
    return {
        "function": c.pick(("fetch", "look_up", "fetch", "hang")),
        "number": c.below(12),
        "latency": c.pick((0.5, 0, 0.25, 1, 1.75)),
        "kind": c.pick(("call", "tool", "model")),
    }


def _goal(c: Choices, depth: int) -> Act:
    way = c.pick(("leave", "fail", "raise", "error", "cancel"))
    return {"name": c.pick(("sell", "buy", "hide")), "way": way, "acts": _inner(c, depth)}


def _scope(c: Choices, depth: int) -> Act:
    how = c.pick(("move_on", "fail", "cut", "open", "shield"))
    return {"how": how, "within": c.pick(PATIENCE), "acts": _inner(c, depth)}


_ARGUMENTS: dict[str, Callable[[Choices, int], Act]] = {
    "emit": lambda c, depth: {"size": c.below(4)},
    "batch": lambda c, depth: {"rows": c.pick((2, 1, 1, 3, 300))},
    "send": lambda c, depth: {"to": c.below(20), "kind": c.pick(KINDS), "times": c.pick((1, 1, 1, 6))},
    "send_many": lambda c, depth: {"to": c.some(range(20), least=1, most=4), "kind": c.pick(KINDS)},
    "state": lambda c, depth: {"whose": c.pick(("own", "all")), "key": c.pick("xyz")},
    "draw": lambda c, depth: {"from": c.pick(SOURCES)},
    "choose": lambda c, depth: {"from": c.pick(SOURCES), "acts": [_one_of(PLAIN, c, DEPTH_MAX) for _ in range(3)]},
    "cancel": lambda c, depth: {"whom": c.below(20)},
    "cut": lambda c, depth: {"whom": c.below(20)},
    "spawn": lambda c, depth: {"cast": c.below(CASTS_MAX)},
    "timer": lambda c, depth: {"after": c.pick(DURATIONS), "is_cancelled": c.chance(4)},
    "end_goal": lambda c, depth: {"way": c.pick(("succeed", "fail", "cancel"))},
    "fail": lambda c, depth: {"is_serious": c.chance(5)},
    "sleep": lambda c, depth: {"for": c.pick(DURATIONS)},
    "receive": lambda c, depth: {"within": c.pick(PATIENCE), "times": 1 + c.below(3)},
    "ask": lambda c, depth: {"to": c.below(20), "within": c.pick(PATIENCE)},
    "join": lambda c, depth: {"whom": c.below(20), "within": c.pick(PATIENCE)},
    "join_child": lambda c, depth: {"which": c.below(4), "within": c.pick(PATIENCE)},
    "call": _call,
    "goal": _goal,
    "scope": _scope,
    "child": lambda c, depth: {"acts": _inner(c, depth)},
    "choose_wait": lambda c, depth: {"from": c.pick(SOURCES), "acts": _inner(c, depth)},
    "stubborn": lambda c, depth: {"again": c.below(3), "cleanup": c.pick((0, 0.5))},
}
_NESTING = {"goal", "scope", "child", "choose_wait"}

# What each kind of agent may do; the first is the simplest, and what stands there twice comes twice as often.
PLAIN: Sequence[str] = (
    *("emit", "send", "send", "send", "send_many", "reply", "draw", "choose", "choose", "state", "note"),
    *("batch", "cancel", "cut", "spawn", "timer", "timer", "begin_goal", "end_goal", "fail", "finish", "alien"),
)
HANDLING: Sequence[str] = (
    *(*PLAIN, "sleep", "sleep", "ask", "call", "call", "goal"),
    *("scope", "choose_wait", "stubborn", "yield", "join"),
)
WALKING: Sequence[str] = (
    *("emit", "sleep", "send", "receive", "ask", "call", "goal", "scope", "child", "choose_wait", "state", "draw"),
    *("sleep", "send", "receive", "ask", "call", "goal", "scope", "child", "choose", "reply", "send_many", "note"),
    *("sleep", "receive", "call", "scope", "batch", "spawn", "cancel", "cut", "join", "join_child", "stubborn"),
    *("yield", "foreign", "begin_goal", "end_goal", "fail"),
)
STEERING: Sequence[str] = (
    *("sleep", "sleep", "emit", "send", "cancel", "call"),
    *("spawn", "state", "child", "goal", "join", "stop"),
)
