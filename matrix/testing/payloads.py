"""Payloads of made-up histories: mostly tidy, sometimes hostile.

Every field has a pool of values, so that equal values meet often.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matrix.testing.choices import Choices

ROLES = ("buyer", "seller", "auditor", None)
AGENTS = ("alice", "bob", "carol", "dave", "ünï", "buyer-0")
GOALS = ("close_deal", "negotiate", "find it", "win")
KINDS = ("offer", "counter", "accept", "reject", "market.tick")
TOOLS = ("search", "buy", "Search", "")
MODELS = ("small", "large")
TEXTS = ("deal", "a refund please", "", "Deal", "3", "日本", "é😀", 'quo"te', "money back\n", "x")
REASONS = ("too expensive", "timeout", "", "quiescent")

ABSENT = object()  # in a pool: the field is not there at all
NAN, INFINITY = float("nan"), float("inf")

NUMBERS = (3, 0, 1, 2, 5, 10, -1, 0.5, 3.0, 2.5)
HUGE = (1e300, INFINITY, -INFINITY, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**70))
ODD = (None, ABSENT, ABSENT, "3", "deal", True, False, NAN, -0.0, b"x", [1], {"price": 3})
PRICES = (*NUMBERS, *NUMBERS, *NUMBERS, *ODD, *HUGE)
ITEMS: tuple[Any, ...] = (
    [{"price": 1, "sku": "a"}, {"price": 9, "sku": "b"}],
    [{"price": 3}],
    [],
    [{"sku": "a"}, {"price": "3"}, {"price": None}, 7],
    [[{"price": 3}]],
    {"price": 3},
    None,
    ABSENT,
)
TAGS: tuple[Any, ...] = (["x"], ["x", "y"], ["y", "z", None], [], [1, 3.0, True], "x", None, ABSENT)
ARGUMENTS: tuple[Any, ...] = (
    {"query": "deal"},
    {"query": None, "odd key": [{"price": 3}, {"price": 0.5}]},
    {"odd key": []},
    {},
    ABSENT,
)
RESULTS = (3, "deal", ["x", {"price": 3.0}], {"price": 3, "sku": None}, None, True, NAN, ABSENT)


#: The fields of a payload, each with its pool.
Pools = dict[str, Sequence[Any]]

TIDY: Pools = {"price": NUMBERS[:7], "amount": NUMBERS, "item": TEXTS}
WILD: Pools = {
    "price": PRICES,
    "amount": (*NUMBERS, ABSENT),
    "item": (*TEXTS, None, ABSENT, 3),
    "tags": TAGS,
    "items": ITEMS,
    "args": ARGUMENTS,
    "ok": (True, False, None, ABSENT, 1),
}
DEAL: Pools = {"price": (3, 5, 2, 10, 3.0)}
SPOKEN: Pools = {"text": (*TEXTS, *TEXTS, None, ABSENT, 3, ["deal"]), "price": PRICES}
TOOL_ANSWER: Pools = {
    "tool": TOOLS,
    "ms": PRICES,
    "result": RESULTS,
    "error": (*TEXTS, ABSENT),
    "call_id": ("c1", "c2", ABSENT),
}
MODEL_ANSWER: Pools = {"model": MODELS, "tokens": PRICES, "ms": NUMBERS}
AGENT_STATE: Pools = {
    "budget": PRICES,
    "mood": ("angry", "calm", ABSENT),
    "inventory": ({"apples": 3}, {"apples": 0.5}, {}, "none", ABSENT),
}
PHASE: Pools = {"phase": ("opening", "bargaining", None)}
PARAMETERS: Pools = {"buyers": (*NUMBERS, ABSENT), "mode": (*TEXTS, ABSENT), "price": PRICES}
GOAL_END: Pools = {
    "reason": (*REASONS, ABSENT),
    "steps": (ABSENT, ABSENT, 0, 3),
    "turns": (ABSENT, ABSENT, 1, 7),
    "points": (ABSENT, *PRICES),
}
SIMULATION_END: Pools = {"reason": (*REASONS, ABSENT)}


def payload(c: Choices, pools: Pools) -> dict[str, Any]:
    """A map with each field chosen from its pool."""
    chosen = {name: c.pick(pool) for name, pool in pools.items()}
    return {name: value for name, value in chosen.items() if value is not ABSENT}


def own_payload(c: Choices) -> dict[str, Any]:
    """The payload of one of the program's own kinds: tidy or wild."""
    return payload(c, c.pick((TIDY, WILD, WILD)))
