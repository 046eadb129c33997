"""Hypothesis strategies for histories: whole stores as plain events, valid by the log's conventions.

A history is drawn as a list of small moves (spawn, begin a goal, send, call a tool, ...) that a
``Telling`` turns into events, so that any drawn list is a valid history and shrinks to a short one.
Payloads are mostly tidy and sometimes hostile: mixed types, nulls, nesting, NaN, integers beyond 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from matrix.event import Event
from matrix.testing.telling import Telling

Shards = dict[int, list[Event]]

ROLES = ("buyer", "seller", "auditor", None)
AGENTS = ("alice", "bob", "carol", "dave", "ünï", "buyer-0")
GOALS = ("close_deal", "negotiate", "find it", "win")
KINDS = ("offer", "counter", "accept", "reject", "market.tick")
TOOLS = ("search", "buy", "Search", "")
MODELS = ("small", "large")
TEXTS = ("deal", "a refund please", "", "Deal", "3", "日本", "é😀", 'quo"te', "money back\n", "x")
REASONS = ("too expensive", "timeout", "", "quiescent")
TICKS = (0, 0, 1, 500_000, 1_000_000, 1_500_000, 61_000_000)
WALL = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z, in the middle of the times that queries name

small_numbers = st.integers(min_value=-3, max_value=12)
floats = st.sampled_from((0.5, 2.0, 3.0, -2.5, -0.0, 1e300, float("inf"), float("-inf"), float("nan")))
big_integers = st.sampled_from((2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**70)))
texts = st.sampled_from(TEXTS)
scalars = st.one_of(st.none(), st.booleans(), texts, small_numbers, floats, big_integers, st.binary(max_size=2))
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(("price", "sku", "odd key")), inner, max_size=2)
    ),
    max_leaves=4,
)
prices = st.one_of(small_numbers, small_numbers, small_numbers, floats, anything)
items = st.lists(
    st.fixed_dictionaries({}, optional={"price": prices, "sku": st.sampled_from(("a", "b"))}),
    max_size=3,
)
own_payloads = st.fixed_dictionaries(
    {},
    optional={
        "price": prices,
        "amount": st.one_of(small_numbers, floats),
        "item": texts,
        "tags": st.one_of(st.lists(st.sampled_from(("x", "y", "z")), max_size=3), anything),
        "items": st.one_of(items, anything),
        "args": st.fixed_dictionaries({}, optional={"query": texts, "odd key": items}),
        "ok": st.one_of(st.booleans(), st.none()),
    },
)
call_answers = st.fixed_dictionaries(
    {"tool": st.sampled_from(TOOLS)},
    optional={"ms": st.one_of(small_numbers, prices), "result": anything, "error": texts, "call_id": texts},
)
model_answers = st.fixed_dictionaries(
    {"model": st.sampled_from(MODELS)}, optional={"tokens": prices, "ms": st.one_of(small_numbers, floats)}
)
agent_states = st.fixed_dictionaries(
    {},
    optional={
        "budget": prices,
        "mood": st.sampled_from(("angry", "calm")),
        "inventory": st.fixed_dictionaries({"apples": prices}),
    },
)
simulation_states = st.fixed_dictionaries({"phase": st.sampled_from(("opening", "bargaining"))})
parameters = st.fixed_dictionaries({}, optional={"buyers": small_numbers, "mode": texts, "price": prices})

index = st.integers(min_value=0, max_value=5)
ticks = st.sampled_from(TICKS)
maybe = st.booleans()


@dataclass(frozen=True)
class Move:
    """One move: what to do with a telling, when told by which agent after which wait."""

    actor: int
    tick: int
    new_turn: bool
    act: Callable[[Telling, int], None] = field(repr=False)
    words: str

    def __repr__(self) -> str:
        return f"{self.words} by {self.actor} after {self.tick}"


@st.composite
def moves(draw: st.DrawFn) -> Move:
    """One drawn move; which agent does it is taken modulo the agents there are."""
    act, words = draw(st.one_of(_sends, _sends, _replies, _emits, _calls, _goal_begins, _goal_ends, _others))
    return Move(actor=draw(index), tick=draw(ticks), new_turn=draw(maybe), act=act, words=words)


def _move(function: Callable[..., None], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A strategy for (act, words): the function of a Telling with its drawn arguments."""
    name = function.__name__

    def bind(values: tuple[Any, ...]) -> tuple[Callable[[Telling, int], None], str]:
        return (lambda telling, actor: function(telling, actor, *values)), f"{name}{values!r}"

    return st.tuples(*parts).map(bind)


_kinds = st.sampled_from(KINDS)
_message_data = st.fixed_dictionaries({}, optional={"text": st.one_of(texts, texts, anything), "price": prices})
_sends = st.one_of(
    _move(Telling.send, _kinds, st.lists(index, min_size=1, max_size=3), own_payloads),
    _move(Telling.send, st.just("message.sent"), st.lists(index, min_size=1, max_size=2), _message_data),
)
_replies = _move(Telling.reply, index, st.sampled_from(("message.sent", "accept", "counter")), own_payloads)
_emits = st.one_of(_move(Telling.emit, st.one_of(_kinds, st.just("note")), own_payloads))
_calls = st.one_of(
    _move(Telling.call, st.just("tool"), maybe, call_answers),
    _move(Telling.call, st.just("model"), st.just(True), model_answers),
)
_goal_begins = _move(Telling.begin_goal, st.sampled_from(GOALS), own_payloads)
_goal_ends = _move(
    Telling.end_goal,
    st.sampled_from(("succeeded", "succeeded", "failed", "cancelled")),
    st.fixed_dictionaries(
        {}, optional={"reason": st.sampled_from(REASONS), "steps": index, "turns": index, "points": prices}
    ),
)
_others = st.one_of(
    _move(Telling.change_state, agent_states),
    _move(Telling.change_phase, simulation_states),
    _move(Telling.spawn, st.sampled_from(ROLES), st.sampled_from(AGENTS)),
    _move(Telling.end_agent, st.sampled_from(("finished", "failed", "cancelled"))),
)


@st.composite
def simulations(draw: st.DrawFn, shard: int, ordinal: int, *, moves_max: int = 24) -> list[Event]:
    """One simulation: empty, running, finished, failed or stopped."""
    telling = Telling(simulation=ordinal, wall=WALL + draw(st.sampled_from((0, 1, 3_600_000_000, 86_400_000_000))))
    configuration = {
        "id": draw(st.sampled_from((None, f"run {shard}/{ordinal}"))),
        "name": draw(st.sampled_from(("market", "negotiation"))),
        "seed": draw(st.one_of(st.none(), index)),
        "program": "market.py",
        "parameters": draw(parameters),
        "parent": draw(st.sampled_from((None, "1-1"))),
    }
    telling.start({key: value for key, value in configuration.items() if value is not None})
    for role, name in draw(st.lists(st.tuples(st.sampled_from(ROLES), st.sampled_from(AGENTS)), max_size=4)):
        telling.spawn(0, role, name)
    for move in draw(st.lists(moves(), max_size=moves_max)):
        telling.play(move.actor, move.tick, move.new_turn, move.act)
    status = draw(st.sampled_from(("running", "finished", "finished", "failed", "stopped")))
    if status != "running":
        telling.finish(status, draw(st.fixed_dictionaries({}, optional={"reason": st.sampled_from(REASONS)})))
    return telling.events


@st.composite
def histories(draw: st.DrawFn, *, moves_max: int = 24) -> Shards:
    """A store: one or two shards of up to three simulations, interleaved as a writer would."""
    shards: Shards = {}
    for shard in range(1, draw(st.sampled_from((1, 1, 1, 2))) + 1):
        count = draw(st.sampled_from((1, 1, 2, 3)))
        told = [draw(simulations(shard, n + 1, moves_max=moves_max)) for n in range(count)]
        shards[shard] = list(_interleave(told, chunk=draw(st.sampled_from((1_000, 5)))))
    return shards


def _interleave(told: list[list[Event]], chunk: int) -> Iterator[Event]:
    """Take ``chunk`` events of each simulation in turn; they start in order of their numbers."""
    at = 0
    while any(at < len(events) for events in told):
        for events in told:
            yield from events[at : at + chunk]
        at += chunk
