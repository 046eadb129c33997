"""A made-up society, as large as asked for, in columns: the data of benches and of large tests.

Buyers, sellers and auditors trade, talk, use tools and models, and each pursues one goal that most of
them end. Offers are answered, tools that were called answer or fail, and a failure may be why a goal fails: half
of what happens has a cause, and causes form chains. The same arguments give the same events on every
machine; nothing but numpy decides, chunk by chunk, so twenty million events take seconds and little
memory. Each simulation lasts ten virtual minutes.

    simulation.started, one agent.started each, one goal.started each, then the body, simulation.finished
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from matrix.errors import UsageError
from matrix.event import Event, is_action
from matrix.log.rows import KindRows, Rows

Array = np.ndarray[Any, Any]

WALL_US = 1_769_860_800_000_000  # 2026-01-31T12:00:00Z
LASTS_US = 600_000_000
CHUNK_EVENTS = 262_144
ROLES = ("buyer", "seller", "auditor")
GOALS = ("close_deal", "negotiate_price", "audit")
TOOLS = ("search", "calculator", "inventory", "mail")
MODELS = ("small", "large")
TEXTS = ("is that your best price?", "we have a deal", "no refund", "let me think about it", "money back please")
REASONS = ("too expensive", "timeout", "no counterpart")

#: What happens in the body of a simulation, and how often.
BODY = {
    "offer": 0.16,
    "counter": 0.10,
    "accept": 0.06,
    "reject": 0.04,
    "message.sent": 0.20,
    "tool.called": 0.12,
    "tool.completed": 0.09,
    "tool.failed": 0.03,
    "model.completed": 0.15,
    "note": 0.05,
}
#: An agent says anew what it has left, beside the shares of the body.
STATE_SHARE = 0.01
ANSWERED_SHARE, HANDLED_SHARE = 0.7, 0.5  # of the answers that answer something, of other events that have a cause
ENDS = ("goal.succeeded", "goal.failed", "goal.cancelled")
KINDS = ["simulation.started", "agent.started", "goal.started", *BODY, "state.changed", *ENDS, "simulation.finished"]
CODE = {kind: code for code, kind in enumerate(KINDS)}
SENT = np.array([CODE[kind] for kind in ("offer", "counter", "accept", "reject", "message.sent")])
HANDLED = np.array([CODE[kind] for kind in ("offer", "message.sent", "tool.called", "model.completed", "note")])
SHARES = [*(share * (1 - STATE_SHARE) for share in BODY.values()), STATE_SHARE]
IS_ACTION = np.array([is_action(kind) for kind in KINDS])


def society(agents: int, events: int, seed: int = 0, *, simulations: int = 1, first: int = 1) -> Iterator[Rows]:
    """Rows of ``simulations`` runs with ``agents`` and about ``events`` events in all, ready for a writer.

    ``first`` is the number of the first simulation, as the writer of a shard gives it.

    >>> sum(rows.count for rows in society(agents=10, events=500, seed=1))
    500
    """
    per_run = (agents // simulations, events // simulations)
    if per_run[0] < 2 or per_run[1] < 4 * per_run[0] + 2:
        raise UsageError(
            f"{agents} agents and {events} events do not fill {simulations} simulations: 4 events an agent"
        )
    for number in range(first, first + simulations):
        yield from _Run(number, per_run[0], per_run[1], np.random.default_rng([seed, number])).rows()


def events_of(rows: Rows) -> Iterator[Event]:
    """Rows as events, one by one."""
    fixed = {
        name: np.broadcast_to(getattr(rows, name), rows.count).tolist()
        for name in ("simulation", "seq", "time", "wall", "agent", "turn", "goal", "state", "cause", "kind", "to")
    }
    payloads: dict[int, dict[str, Any]] = {}
    for of_kind in rows.data.values():
        columns = {
            name: values.to_pylist() if isinstance(values, pa.Array) else list(values)
            for name, values in (of_kind.columns or {}).items()
        }
        for place, row in enumerate(of_kind.rows):
            payloads[int(row)] = {name: _plain(values[place]) for name, values in columns.items()}
    for row in range(rows.count):
        values = {name: column[row] for name, column in fixed.items()}
        values["kind"] = rows.kinds[values["kind"]]
        values["to"] = (values["to"],) if values["to"] else ()
        yield Event(**values, data=payloads.get(row, {}))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


class Reasons:
    """Why the events of a chunk happen, all of it by what is in the chunk: answers go back to whom they answer.

    ``cause`` is the row that led to each row, -1 for none; ``receiver`` the agent it goes to, if it is sent.
    """

    def __init__(self, kind: Array, who: Array, receiver: Array, random: np.random.Generator) -> None:
        self.kind, self.who, self.receiver = kind, who, receiver.copy()
        self.cause = np.full(len(kind), -1)
        is_answer = random.random(len(kind)) < ANSWERED_SHARE
        self._answer(is_answer, ("counter",), ("offer",))
        self._answer(is_answer, ("accept", "reject"), ("offer", "counter"))
        for results, reason in ((("tool.completed", "tool.failed"), "tool.called"), (("goal.failed",), "tool.failed")):
            rows, reasons = self._rows(results), self._rows((reason,))
            self.cause[rows] = latest(who[reasons], reasons, who[rows], rows)
        handled = np.flatnonzero(np.isin(kind, HANDLED) & (random.random(len(kind)) < HANDLED_SHARE))
        sent = np.flatnonzero(np.isin(kind, SENT))
        self.cause[handled] = latest(self.receiver[sent], sent, who[handled], handled)

    def _rows(self, kinds: tuple[str, ...]) -> Array:
        return np.flatnonzero(np.isin(self.kind, [CODE[kind] for kind in kinds]))

    def _answer(self, is_answer: Array, kinds: tuple[str, ...], answered: tuple[str, ...]) -> None:
        """Events of these kinds answer the newest of those that their agent got."""
        rows, asked = self._rows(kinds), self._rows(answered)
        rows = rows[is_answer[rows]]
        reason = latest(self.receiver[asked], asked, self.who[rows], rows)
        self.cause[rows] = reason
        rows, reason = rows[reason >= 0], reason[reason >= 0]
        self.receiver[rows] = self.who[reason]


def latest(agents: Array, rows: Array, of: Array, before: Array) -> Array:
    """For each agent of ``of`` the last of its rows before a row, -1 when it has none; ``agents`` say whose rows are.

    >>> latest(np.array([1, 2, 1]), np.array([0, 3, 5]), np.array([1, 1, 2]), np.array([5, 9, 2])).tolist()
    [0, 5, -1]
    """
    bits = CHUNK_EVENTS.bit_length()
    known = np.sort((agents.astype(np.int64) << bits) | rows)
    found = np.searchsorted(known, (of.astype(np.int64) << bits) | before) - 1
    chosen = known[np.maximum(found, 0)] if len(known) else np.zeros(len(of), np.int64)
    is_own = (found >= 0) & ((chosen >> bits) == of)
    return np.where(is_own, chosen & ((1 << bits) - 1), -1)


@dataclass
class _Run:
    """One simulation being made: ``body`` events between the beginning and the last event."""

    number: int
    agents: int
    events: int
    random: np.random.Generator

    def __post_init__(self) -> None:
        self.opening = 1 + 2 * self.agents
        # The goals of four agents in five end in the body, each in a slot of its own; the rest is cancelled at the end.
        is_ending = self.random.random(self.agents) < 0.8
        ending, self.open = np.flatnonzero(is_ending), np.flatnonzero(~is_ending)
        self.body = self.events - self.opening - len(self.open) - 1
        self.end_slot = np.full(self.agents, np.iinfo(np.int64).max)
        self.end_slot[ending] = self.random.choice(self.body, size=len(ending), replace=False)
        self.end_kind = self.random.choice([CODE[kind] for kind in ENDS], size=self.agents, p=(0.6, 0.3, 0.1))
        self.turns = np.zeros(self.agents, np.int64)  # begun so far
        self.steps = np.zeros(self.agents, np.int64)  # under the goal so far

    def rows(self) -> Iterator[Rows]:
        """The whole simulation, in chunks."""
        yield self.beginning()
        for start in range(0, self.body, CHUNK_EVENTS):
            yield self.chunk(start, min(start + CHUNK_EVENTS, self.body))
        yield self.end()

    def beginning(self) -> Rows:
        """The simulation, its agents and their goals start, all at time 0."""
        numbers = np.arange(1, self.agents + 1)
        zero = np.zeros(1, np.int64)
        kinds = np.repeat([CODE[k] for k in KINDS[:3]], [1, self.agents, self.agents])
        seq = np.arange(1, self.opening + 1)
        words = [n % len(ROLES) for n in range(self.agents)]
        started = {"name": ["market"], "seed": [self.number], "program": ["society"]}
        ids = {"id": [f"agent-{n}" for n in range(1, self.agents + 1)], "role": [ROLES[w] for w in words]}
        goals = {"name": [GOALS[w] for w in words], "limit": 40 + numbers % 50}
        return Rows(
            count=self.opening,
            simulation=self.number,
            seq=seq,
            time=0,
            wall=self.wall(0),
            agent=np.concatenate([zero, numbers, numbers]),
            turn=np.repeat([0, 1], [1 + self.agents, self.agents]),
            goal=np.where(kinds == CODE["goal.started"], seq, 0),
            state=0,
            cause=np.where(kinds == CODE["agent.started"], 1, 0),
            kinds=KINDS,
            kind=kinds,
            data={
                0: KindRows(range(1), columns=started),
                1: KindRows(range(1, 1 + self.agents), columns=ids),
                2: KindRows(range(1 + self.agents, self.opening), columns=goals),
            },
        )

    def wall(self, time: Any) -> Any:
        """When it happened on the clock: simulations begin an hour apart."""
        return WALL_US + self.number * 3_600_000_000 + time

    def chunk(self, start: int, stop: int) -> Rows:
        """Body events ``start`` to ``stop``."""
        slots = np.arange(start, stop)
        who = self.random.integers(0, self.agents, stop - start)
        kind = self.random.choice([CODE[k] for k in (*BODY, "state.changed")], size=stop - start, p=SHARES)
        ending = np.flatnonzero((self.end_slot >= start) & (self.end_slot < stop))
        places = self.end_slot[ending] - start
        who[places], kind[places] = ending, self.end_kind[ending]
        turn = self._turns(who)
        is_under = slots <= self.end_slot[who]
        self.steps += np.bincount(who[is_under & IS_ACTION[kind]], minlength=self.agents)
        seq = self.opening + 1 + slots
        time = (slots + 1) * LASTS_US // (self.body + 1)
        receiver = (who + self.random.integers(1, self.agents, stop - start)) % self.agents
        reasons = Reasons(kind, who, receiver, self.random)
        return Rows(
            count=stop - start,
            simulation=self.number,
            seq=seq,
            time=time,
            wall=self.wall(time),
            agent=who + 1,
            turn=turn,
            goal=np.where(is_under, 1 + self.agents + who + 1, 0),
            state=0,
            cause=np.where(reasons.cause >= 0, seq[0] + reasons.cause, 0),
            kinds=KINDS,
            kind=kind,
            to=np.where(np.isin(kind, SENT), reasons.receiver + 1, 0),
            data=self._payloads(kind, who, turn, self._tools(kind, reasons)),
        )

    def _turns(self, who: Array) -> Array:
        """The turn of each event: every event of the body is a turn of its own."""
        order = np.argsort(who, kind="stable")
        grouped = who[order]
        starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
        before = np.arange(len(who)) - np.repeat(starts, np.diff(np.r_[starts, len(who)]))
        turn = np.empty(len(who), np.int64)
        turn[order] = self.turns[grouped] + before + 1
        self.turns += np.bincount(who, minlength=self.agents)
        return turn

    def _tools(self, kind: Array, reasons: Reasons) -> Array:
        """Which tool each event is about: of an answer the one that was called."""
        tools = self.random.integers(0, len(TOOLS), len(kind))
        is_answer = (kind == CODE["tool.completed"]) | (kind == CODE["tool.failed"])
        answers = np.flatnonzero(is_answer & (reasons.cause >= 0))
        tools[answers] = tools[reasons.cause[answers]]
        return tools

    def _payloads(self, kind: Array, who: Array, turn: Array, tools: Array) -> dict[int, KindRows]:
        """The payload columns of a chunk, by kind."""
        data: dict[int, KindRows] = {}
        for name in (*BODY, "state.changed", *ENDS):
            rows = np.flatnonzero(kind == CODE[name])
            if len(rows):
                data[CODE[name]] = KindRows(rows, columns=self._columns(name, rows, who, turn, tools))
        return data

    def _columns(self, name: str, rows: Array, who: Array, turn: Array, tools: Array) -> dict[str, Any]:
        """The payload of the events of one kind."""
        count = len(rows)
        if name in ENDS:
            columns: dict[str, Any] = {"steps": self.steps[who[rows]], "turns": turn[rows]}
            return columns if name == "goal.succeeded" else {"reason": self._words(REASONS, count), **columns}
        if name in ("offer", "counter"):
            return {"price": self.random.integers(10, 100, count), "item": self._words(("lamp", "chair"), count)}
        if name in ("accept", "reject"):
            return {"price": self.random.integers(20, 200, count) / 2}
        if name == "model.completed":
            tokens = self.random.integers(20, 2_000, count)
            return {"model": self._words(MODELS, count), "tokens": tokens, "ms": tokens * 0.75 + 40}
        if name == "tool.called":
            return {"tool": pa.array(TOOLS).take(pa.array(tools[rows]))}
        if name in ("tool.completed", "tool.failed"):
            tool = pa.array(TOOLS).take(pa.array(tools[rows]))
            return {"tool": tool, "ms": self.random.integers(1, 900, count)}
        if name == "state.changed":
            return {"budget": self.random.integers(0, 40, count)}
        return {"text": self._words(TEXTS, count)}

    def _words(self, words: tuple[str, ...], count: int) -> pa.Array:
        return pa.array(words).take(pa.array(self.random.integers(0, len(words), count)))

    def end(self) -> Rows:
        """The simulation finishes, and the goals still open are cancelled with it."""
        count = len(self.open) + 1
        turn = np.maximum(self.turns[self.open], 1)
        cancelled: dict[str, Any] = {"reason": ["simulation ended"] * (count - 1), "steps": self.steps[self.open]}
        data = {CODE["simulation.finished"]: KindRows(range(count - 1, count), columns={"reason": ["quiescent"]})}
        if count > 1:
            data[CODE["goal.cancelled"]] = KindRows(range(count - 1), columns={**cancelled, "turns": turn})
        return Rows(
            count=count,
            simulation=self.number,
            seq=np.arange(self.events - count + 1, self.events + 1),
            time=LASTS_US,
            wall=self.wall(LASTS_US),
            agent=np.r_[self.open + 1, 0],
            turn=np.r_[turn, 0],
            goal=np.r_[1 + self.agents + self.open + 1, 0],
            state=0,
            cause=0,
            kinds=KINDS,
            kind=np.repeat([CODE["goal.cancelled"], CODE["simulation.finished"]], [count - 1, 1]),
            data=data,
        )
