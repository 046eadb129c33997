"""The engine's search for sequences against trying everything, on random streams and random sequences.

``MATRIX_STREAMS`` is the number of streams in all (60,000 for the full setting).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from matrix.event import Event
from matrix.store import Store
from matrix.testing.telling import Telling
from tests.query.asking import store_of
from tests.query.plain_sequences import (
    Asked,
    AskedStep,
    Chosen,
    Entry,
    Limit,
    Meets,
    Run,
    all_matches,
    first_match,
    is_open,
)

STREAMS = int(os.environ.get("MATRIX_STREAMS", "3000"))
RUNS, AGENTS = 6, 3
QUERIES_PER_STORE = 8
STORES = max(1, STREAMS // (RUNS * AGENTS * QUERIES_PER_STORE))
KINDS = ("a", "b", "c")
KEYS = (1, 1.0, 2, True, "1", "x", None, [1], [1.0], {"n": 1}, {"n": 1, "m": None}, float("nan"))
SECOND = 1_000_000


# -- made-up stores ------------------------------------------------------------------------------------


def story(chance: random.Random, number: int) -> list[Event]:
    """A short run of a few agents that mostly do what some sequence could ask for."""
    telling = Telling(simulation=number, wall=0)
    telling.start({"id": f"r{number}", "name": "random"})
    for agent in range(AGENTS):
        telling.spawn(0, "x", f"agent{agent + 1}")
    for _ in range(chance.randint(0, 18)):
        telling.time += chance.choice((0, 0, 1, 1, 2)) * SECOND
        actor = chance.randint(1, AGENTS)
        telling.agents[actor].turn += chance.choice((0, 1, 1, 2))
        data: dict[str, Any] = {"v": chance.randint(0, 2)}
        if chance.random() < 0.8:
            data["k"] = chance.choice(KEYS)
        receivers = chance.sample(range(AGENTS), chance.choice((0, 1, 1, 2, 2, 3)))
        if receivers:
            telling.send(actor, chance.choice(KINDS), receivers, data)
        else:
            telling.emit(actor, chance.choice(KINDS), data)
    if chance.random() < 0.5:
        telling.finish("finished", {})
    return telling.events


def stream_of(events: Sequence[Event], agent: int) -> list[Entry]:
    """What an agent did and got, and how many turns it had begun."""
    entries, turns = [], 0
    for event in events:
        did, got = event.agent == agent, agent in event.to
        turns = event.turn if did else turns
        if did or got:
            entries.append(Entry(event, did, got, turns))
    return entries


def run_of(events: Sequence[Event], entries: Sequence[Entry]) -> Run:
    newest = entries[-1].turns if entries else 0
    return Run(events[-1].kind != "simulation.finished", events[-1].time, newest)


# -- made-up sequences, as text and as what they mean ---------------------------------------------------


class Maker:
    """Writes one random sequence, for streams of agents or of simulations."""

    def __init__(self, chance: random.Random, *, is_of_agents: bool) -> None:
        self.chance, self.is_of_agents = chance, is_of_agents
        self.names: list[str] = []

    def sequence(self) -> tuple[str, Asked]:
        """The text, and its meaning."""
        words, steps = [], []
        for number in range(self.chance.choice((1, 2, 2, 3, 3, 4))):
            text, step = self.step(number)
            words.append(text)
            steps.append(step)
        text, made = " then ".join(words), Asked(tuple(steps))
        within = absent = absent_within = None
        if self.chance.random() < 0.25:
            text_of, absent = self.meets(can_look_back=True, default="saw")
            text += f" then no {text_of}"
            if self.chance.random() < 0.7:
                text_of, absent_within = self.limit()
                text += f" within {text_of}"
        elif self.chance.random() < 0.6:
            text_of, within = self.limit()
            text += f" within {text_of}"
        without = []
        while self.chance.random() < 0.2:
            text_of, meets = self.meets(can_look_back=True, default="saw")
            text += f" without {text_of}"
            without.append(meets)
        text_of, keys = self.keys()
        return text + text_of, Asked(made.steps, within, tuple(without), keys, absent, absent_within)

    def step(self, number: int) -> tuple[str, AskedStep]:
        gap = None
        prefix = ""
        if number and self.chance.random() < 0.35:
            text, gap = self.limit()
            prefix = f"within {text} "
        text, meets = self.meets(can_look_back=True, default="did")
        times = self.chance.choice((1, 1, 1, 1, 1, 2, 3))
        text += {1: "", 2: " 2 times", 3: " at least 3 times"}[times]
        name = f"s{number}" if self.chance.random() < 0.6 else ""
        if name:
            self.names.append(name)
            text += f" as {name}"
        return prefix + text, AskedStep(meets, times, name, gap)

    def limit(self) -> tuple[str, Limit]:
        amount = self.chance.randint(0, 6)
        unit = self.chance.choice(("time", "turns", "events") if self.is_of_agents else ("time", "events"))
        return (
            (f"{amount}s", Limit(amount * SECOND, unit))
            if unit == "time"
            else (f"{amount} {unit}", Limit(amount, unit))
        )

    def meets(self, *, can_look_back: bool, default: str) -> tuple[str, Meets]:
        role = self.chance.choice(("did", "got", "saw", "saw", "")) if self.is_of_agents else ""
        kinds = tuple(self.chance.sample(KINDS, self.chance.choice((0, 1, 1, 1, 2, 2))))
        text, condition = self.condition(can_look_back)
        where = f"({text})" if text else ""
        patterns = [f"{kind}{where}" for kind in kinds or ("event",)]
        written = patterns[0] if len(patterns) == 1 else f"({' or '.join(patterns)})"
        meant = role or (default if self.is_of_agents else "saw")
        return f"{role} {written}".strip(), Meets(meant, kinds, condition)

    def condition(self, can_look_back: bool) -> tuple[str, Callable[[Entry, Chosen], bool]]:
        chance = self.chance
        if can_look_back and self.names and chance.random() < 0.6:
            return look_back(chance, chance.choice(self.names), self.is_of_agents)
        least = chance.randint(0, 3)
        plain: list[tuple[str, Callable[[Entry, Chosen], bool]]] = [
            ("", lambda entry, chosen: True),
            ("", lambda entry, chosen: True),
            (f".v >= {least}", lambda entry, chosen: number(entry, "v") >= least),
        ]
        if self.is_of_agents:
            plain.append((f"turn <= {least}", lambda entry, chosen: entry.turns <= least))
            plain.append(("to.id = 'agent2'", lambda entry, chosen: 2 in entry.event.to))
            plain.append(("peer.id = 'agent1'", lambda entry, chosen: 1 in entry.peers()))
        return chance.choice(plain)

    def keys(self) -> tuple[str, tuple[Callable[[Entry], list[Any]], ...]]:
        ways: list[tuple[str, tuple[Callable[[Entry], list[Any]], ...]]] = [
            (".k", (key_of_data,)),
            ("kind", (lambda entry: [entry.event.kind],)),
            ("to", (lambda entry: list(entry.event.to),)),
            (
                "(agent, .v)",
                (lambda entry: [entry.event.agent][: entry.event.agent > 0], lambda e: present([e.value("v")])),
            ),
        ]
        if self.is_of_agents:
            ways.append(("peer", (lambda entry: [peer for peer in entry.peers() if peer],)))
            ways.append(("turn", (lambda entry: [entry.turns],)))
        if self.chance.random() < 0.5:
            return "", ()
        text, keys = self.chance.choice(ways)
        return f" with same {text}", keys


def number(entry: Entry, name: str) -> int:
    value = entry.value(name)
    return -1 if value is None else value


def present(values: list[Any]) -> list[Any]:
    return [value for value in values if value is not None]


def key_of_data(entry: Entry) -> list[Any]:
    """``.k`` as something that equals its like only: numbers by value, no boolean a number, no NaN."""
    value = entry.value("k")
    if value is None or value != value:
        return []
    if isinstance(value, dict):
        return [("map", frozenset((k, v) for k, v in value.items() if v is not None))]
    if isinstance(value, list):
        return [("list", tuple(value))]
    return [("flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number", value)]


def look_back(chance: random.Random, name: str, is_of_agents: bool) -> tuple[str, Callable[[Entry, Chosen], bool]]:
    """A condition on an event and an earlier step."""
    ways: list[tuple[str, Callable[[Entry, Chosen], bool]]] = [
        (
            f".v < {name}.data.v",
            lambda e, c: None not in (e.value("v"), c[name].value("v")) and e.value("v") < c[name].value("v"),
        ),
        (f".v = {name}.data.v", lambda e, c: e.value("v") == c[name].value("v")),
        (f"{name}.data.v = .v", lambda e, c: e.value("v") == c[name].value("v")),
        (f".v != {name}.data.v", lambda e, c: e.value("v") != c[name].value("v")),
        (f".k = {name}.data.k", lambda e, c: equal_keys(e, c[name])),
        (
            f"agent = {name}.to",
            lambda e, c: bool(
                set(or_missing([e.event.agent] if e.event.agent else [])) & set(or_missing(c[name].event.to))
            ),
        ),
        (
            f"to.id = {name}.to.id and .v >= 1",
            lambda e, c: number(e, "v") >= 1 and bool(set(or_missing(e.event.to)) & set(or_missing(c[name].event.to))),
        ),
        (f"time - {name}.time >= 2s", lambda e, c: e.event.time - c[name].event.time >= 2 * SECOND),
    ]
    if is_of_agents:
        ways.append((f"turn = {name}.turn", lambda e, c: e.turns == c[name].turns))
        ways.append(
            (
                f"peer = {name}.peer",
                lambda e, c: bool(
                    set(or_missing(p for p in e.peers() if p)) & set(or_missing(p for p in c[name].peers() if p))
                ),
            )
        )
    return chance.choice(ways)


def or_missing(agents: Any) -> list[int]:
    """The agents, or nobody: missing equals missing."""
    return list(agents) or [0]


def equal_keys(a: Entry, b: Entry) -> bool:
    if a.value("k") is None or b.value("k") is None:
        return a.value("k") is None and b.value("k") is None
    return bool(key_of_data(a)) and key_of_data(a) == key_of_data(b)


# -- the comparison ------------------------------------------------------------------------------------


def told(match: Any, events: Sequence[Event], names: Sequence[str], run: str) -> dict[str, Any]:
    first, last = match.events[0].event, match.events[-1].event
    named = {name: f"{run}:{match.named[name].event.seq}" for name in names}
    return {"start": first.time, "end": last.time, "duration": last.time - first.time, **named}


def compare(store: Store, stories: Sequence[list[Event]], text: str, asked: Asked, *, is_of_agents: bool) -> None:
    """All that a query can say of a sequence."""
    relation = "agents" if is_of_agents else "simulations"
    streams = [
        (events, stream_of(events, agent) if is_of_agents else [Entry(e, True, True, 0) for e in events])
        for events in stories
        for agent in range(1, AGENTS + 1 if is_of_agents else 2)
    ]
    runs = [run_of(events, entries) for events, entries in streams]
    found = [all_matches(asked, entries, run) for (_, entries), run in zip(streams, runs, strict=True)]
    counts = store.query(f"{relation} | select count({first_word(text)}) as n, ({first_word(text)}) as holds")
    assert [row["n"] for row in counts.rows()] == [len(matches) for matches in found]
    assert [row["holds"] for row in counts.rows()] == [bool(matches) for matches in found]
    has_open = any(is_open(asked, entries, run) for (_, entries), run in zip(streams, runs, strict=True))
    assert any("open match" in notice for notice in counts.notices) == has_open
    names = [step.name for step in asked.steps if step.name]
    shown = ", ".join(["start", "end", "duration", *(f"{name}.id as {name}" for name in names)])
    rows = store.query(f"{relation} | match {text} | select {shown}").rows()
    wanted = [
        told(match, events, names, f"r{events[0].simulation}")
        for (events, _), matches in zip(streams, found, strict=True)
        for match in matches
    ]
    assert rows == wanted
    compare_funnel(
        store, [(entries, run) for (_, entries), run in zip(streams, runs, strict=True)], text, asked, relation
    )


def compare_funnel(
    store: Store, streams: Sequence[tuple[list[Entry], Run]], text: str, asked: Asked, relation: str
) -> None:
    rows = store.query(f"{relation} | funnel {text}").rows()
    assert [row["step"] for row in rows] == list(range(1, len(asked.steps) + 1))
    for row in rows:
        if uses_later_names(asked, row["step"]):
            return
        firsts = [first_match(asked.up_to(row["step"]), entries, run) for entries, run in streams]
        took = sorted(f.events[-1].event.time - f.events[0].event.time for f in firsts if f)
        assert row["reached"] == len(took)
        assert row["median_time"] == (median(took) if took else None)
        assert row["share"] == (len(took) / rows[0]["reached"] if rows[0]["reached"] else None)


def uses_later_names(asked: Asked, step: int) -> bool:
    """Whether a ``without`` may name a step behind this one (it does not apply then: told by hand elsewhere)."""
    return step < len(asked.steps) and bool(asked.without) and any(s.name for s in asked.steps[step:])


def median(ordered: list[int]) -> int:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else round((ordered[half - 1] + ordered[half]) / 2)


def first_word(text: str) -> str:
    """The sequence as a condition, which begins with a word that says so."""
    return text if text.split()[0] in ("did", "got", "saw") else f"did {text}"


@pytest.mark.parametrize("seed", range(STORES))
def test_a_search_finds_what_trying_everything_finds(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    stories = [story(chance, number) for number in range(1, RUNS + 1)]
    store = store_of(
        tmp_path, [event for events in stories for event in events], block_events=chance.choice((7, 1_000))
    )
    for _ in range(QUERIES_PER_STORE):
        is_of_agents = chance.random() < 0.8
        text, asked = Maker(chance, is_of_agents=is_of_agents).sequence()
        try:
            compare(store, stories, text, asked, is_of_agents=is_of_agents)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {'agents' if is_of_agents else 'simulations'} where {text}") from error
