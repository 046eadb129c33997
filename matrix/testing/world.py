"""What a log says about simulations, agents, goals and conversations, derived the slow and plain way.

A ``World`` is read off plain lists of events by the conventions every log keeps, without an index,
a block or a column. It is the ground on which the naive evaluator (``naive.py``) stands, so it
shares no code with the index or the query room: two independent readings of one convention.

A ``Thing`` is one row of one relation. Its fields are plain values, or for a link the thing it leads
to; ``to`` and ``peer`` hold a tuple of things, for there may be several receivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from matrix.event import (
    AGENT_ENDS,
    AGENT_RESTARTED,
    AGENT_STARTED,
    GOAL_ENDS,
    GOAL_STARTED,
    SIMULATION_ENDS,
    SIMULATION_FORKED,
    SIMULATION_STARTED,
    STATE_CHANGED,
    Event,
    is_action,
)
from matrix.query.syntax import AsOf
from matrix.testing.cut import cut
from matrix.testing.forks import whole

NOT_DATA = ("id", "name", "seed", "parent", "parent_shard", "parent_ordinal")
RELATIONS = ("simulations", "agents", "goals", "events", "messages", "conversations")


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time in microseconds; never equal to a plain number."""

    us: int | float


@dataclass(frozen=True, slots=True)
class Time:
    """An instant of the clock in microseconds since 1970; never equal to a plain number."""

    us: int | float


@dataclass(eq=False, slots=True)
class Thing:
    """One row of one relation: ``order`` places it among its siblings."""

    relation: str
    order: tuple[int, ...]
    fields: dict[str, Any] = field(default_factory=dict)
    number: int = 0  # of an agent
    event: Event | None = None  # of an event or a message

    @property
    def id(self) -> str:
        """The text that names this row in its relation."""
        return str(self.fields["id"])


@dataclass(eq=False, slots=True)
class Run:
    """One simulation with everything in it, by number and by seq."""

    simulation: Thing
    events: list[Event]
    agents: dict[int, Thing] = field(default_factory=dict)
    goals: dict[int, Thing] = field(default_factory=dict)
    event_things: dict[int, Thing] = field(default_factory=dict)
    message_things: dict[int, Thing] = field(default_factory=dict)
    conversations: dict[frozenset[int], Thing] = field(default_factory=dict)
    own: dict[int, list[Event]] = field(default_factory=dict)  # what each agent did
    seen: dict[int, list[Event]] = field(default_factory=dict)  # what each agent did or got
    threads: dict[frozenset[int], list[Event]] = field(default_factory=dict)  # messages by who takes part


class World:
    """All rows of all relations of a store, in their defined order.

    >>> World({1: []}).rows("agents")
    []
    """

    def __init__(self, shards: Mapping[int, Iterable[Event]]) -> None:
        runs: list[Run] = []
        told = whole(shards)
        for shard in sorted(told):
            by_simulation: dict[int, list[Event]] = {}
            for event in told[shard]:
                by_simulation.setdefault(event.simulation, []).append(event)
            for ordinal in sorted(by_simulation):
                events = sorted(by_simulation[ordinal], key=lambda e: e.seq)
                runs.append(read_run(shard, ordinal, events))
        self._take(runs)

    def _take(self, runs: Sequence[Run]) -> None:
        self.runs = list(runs)
        self._runs = {run.simulation.order[0]: run for run in runs}
        self._rows: dict[str, list[Thing]] = {}
        self.reached: dict[tuple[Thing, str], list[Thing]] = {}  # what was asked of this world before

    def as_of(self, moment: AsOf) -> World:
        """The world as if what is left at a moment were the whole log; simulations with nothing left are not there."""
        found = World({})
        left = [(run.simulation.order[0], cut(run.events, moment, run.simulation.id)) for run in self.runs]
        found._take([read_run(gid >> 32, gid & 0xFFFF_FFFF, events) for gid, events in left if events])
        return found

    def rows(self, relation: str) -> list[Thing]:
        """Every row of a relation, in the order the language defines."""
        if relation not in self._rows:
            found = [thing for run in self.runs for thing in things_of(run, relation)]
            self._rows[relation] = sorted(found, key=lambda thing: thing.order)
        return self._rows[relation]

    def run_of(self, thing: Thing) -> Run:
        """The simulation a thing belongs to."""
        return self._runs[thing.order[0]]


def things_of(run: Run, relation: str) -> list[Thing]:
    """The rows of one relation in one simulation."""
    parts: dict[str, Iterable[Thing]] = {
        "simulations": [run.simulation],
        "agents": run.agents.values(),
        "goals": run.goals.values(),
        "events": run.event_things.values(),
        "messages": run.message_things.values(),
        "conversations": run.conversations.values(),
    }
    return list(parts[relation])


def read_run(shard: int, ordinal: int, events: list[Event]) -> Run:
    """Read one simulation's events, from simple things to those that link to them."""
    gid = (shard << 32) | ordinal
    run = Run(read_simulation(gid, f"{shard}-{ordinal}", events), events)
    sort_events(run)
    for event in events:
        if event.kind == AGENT_STARTED:
            run.agents[event.agent] = read_agent(run, event)
    for event in events:
        if event.kind == GOAL_STARTED:
            run.goals[event.seq] = read_goal(run, event)
    link_goals(run)
    for event in events:
        run.event_things[event.seq] = read_event(run, event, "events")
        if event.to:
            run.message_things[event.seq] = read_event(run, event, "messages")
    for event in events:
        link_event(run, event)
    read_conversations(run)
    return run


def sort_events(run: Run) -> None:
    """Put every event where it will be looked for."""
    for event in run.events:
        run.own.setdefault(event.agent, []).append(event)
        for number in {event.agent, *event.to}:
            run.seen.setdefault(number, []).append(event)
        if event.to:
            run.threads.setdefault(participants(event), []).append(event)


def read_simulation(gid: int, default_id: str, events: list[Event]) -> Thing:
    """The simulation's own row; its data is its configuration and what its end said."""
    started = next((e for e in events if e.kind == SIMULATION_STARTED), events[0])
    ended = next((e for e in events if e.kind in SIMULATION_ENDS), None)
    said = dict(started.data)
    parameters = said.get("parameters")
    data = dict(parameters) if isinstance(parameters, Mapping) else {}
    data.update({key: value for key, value in said.items() if key not in NOT_DATA})
    for forked in (e for e in events if e.kind == SIMULATION_FORKED):
        said = {"name": said.get("name"), "seed": said.get("seed"), **forked.data}
        data.update(forked.data.get("parameters", {}))
        data.update({key: value for key, value in said.items() if key not in NOT_DATA})
    data.update(ended.data if ended else {})
    fields = {
        "id": said.get("id") or default_id,
        "name": said.get("name"),
        "status": SIMULATION_ENDS[ended.kind] if ended else "running",
        "seed": said.get("seed"),
        "start": Time(started.wall),
        "end": Time(ended.wall) if ended else None,
        "duration": Duration(events[-1].time),
        "took": Duration(ended.wall - started.wall) if ended else None,
        "parent": said.get("parent"),
        "data": data,
    }
    return Thing("simulations", (gid,), fields)


def simulation_end(run: Run) -> Event | None:
    """The event that ended the simulation, if it has ended."""
    return next((e for e in run.events if e.kind in SIMULATION_ENDS), None)


def last_time(run: Run) -> int:
    """The virtual time of the simulation's newest event."""
    return run.events[-1].time


def read_agent(run: Run, started: Event) -> Thing:
    """An agent's row; one that still waits when its simulation ends, ends with it."""
    own = run.own[started.agent]
    status, end = "running", None
    for event in own:
        if event.kind in AGENT_ENDS:
            status, end = AGENT_ENDS[event.kind], event.time
        elif event.kind == AGENT_RESTARTED:
            status, end = "running", None
    simulation_ended = simulation_end(run)
    if status == "running" and simulation_ended is not None:
        status = "finished" if SIMULATION_ENDS[simulation_ended.kind] == "finished" else "cancelled"
        end = simulation_ended.time
    states = [e.data for e in own if e.kind == STATE_CHANGED]
    fields = {
        "id": started.data["id"],
        "simulation": run.simulation,
        "role": started.data.get("role"),
        "status": status,
        "goal": None,
        "start": Duration(started.time),
        "end": None if end is None else Duration(end),
        "duration": Duration((last_time(run) if end is None else end) - started.time),
        "turns": max(e.turn for e in own),
        "data": dict(states[-1]) if states else None,
    }
    order = (run.simulation.order[0], started.time, started.agent)
    return Thing("agents", order, fields, number=started.agent)


def read_goal(run: Run, started: Event) -> Thing:
    """A goal's row: recorded steps and turns are believed, others are counted."""
    ended = next((e for e in run.events if e.kind in GOAL_ENDS and e.goal == started.seq), None)
    said = dict(ended.data) if ended else {}
    last_turn = ended.turn if ended else max(e.turn for e in run.own[started.agent])
    data = {key: value for key, value in started.data.items() if key not in ("name", "parent")}
    data.update({key: value for key, value in said.items() if key not in ("reason", "steps", "turns")})
    agent = run.agents.get(started.agent)
    steps, turns = said.get("steps"), said.get("turns")
    fields = {
        "id": f"{run.simulation.id}:{started.seq}",
        "name": started.data.get("name"),
        "simulation": run.simulation,
        "agent": agent,
        "role": agent.fields["role"] if agent else None,
        "status": GOAL_ENDS[ended.kind] if ended else "running",
        "start": Duration(started.time),
        "end": Duration(ended.time) if ended else None,
        "duration": Duration((ended.time if ended else last_time(run)) - started.time),
        "turns": turns if isinstance(turns, int) else last_turn - started.turn + 1,
        "steps": steps if isinstance(steps, int) else count_steps(run, started, ended),
        "reason": said.get("reason"),
        "parent": None,
        "data": data,
    }
    return Thing("goals", (run.simulation.order[0], started.time, started.seq), fields, event=started)


def count_steps(run: Run, started: Event, ended: Event | None) -> int:
    """Actions of the goal's agent under it or under a goal nested in it."""
    parents = {e.seq: e.data.get("parent") for e in run.events if e.kind == GOAL_STARTED}

    def is_under(goal: Any) -> bool:
        while goal:
            if goal == started.seq:
                return True
            goal = parents.get(goal)
        return False

    last = ended.seq if ended else run.events[-1].seq
    return sum(
        1 for e in run.events if e.agent == started.agent and e.seq <= last and is_action(e.kind) and is_under(e.goal)
    )


def link_goals(run: Run) -> None:
    """Goals lead to their parents, agents to the newest goal they took up."""
    for goal in run.goals.values():
        assert goal.event is not None, "a goal is made of its goal.started"
        parent = run.goals.get(goal.event.data.get("parent") or 0)
        goal.fields["parent"] = parent
        owner = run.agents.get(goal.event.agent)
        if owner is not None:
            owner.fields["goal"] = goal


def read_event(run: Run, event: Event, relation: str) -> Thing:
    """An event's row, as an event or as a message; links are made once all rows exist."""
    agent, goal = run.agents.get(event.agent), run.goals.get(event.goal)
    receivers = tuple(run.agents[n] for n in event.to if n in run.agents)
    fields = {
        "id": f"{run.simulation.id}:{event.seq}",
        "simulation": run.simulation,
        "seq": event.seq,
        "time": Duration(event.time),
        "wall": Time(event.wall),
        "agent": agent,
        "role": agent.fields["role"] if agent else None,
        "goal": goal,
        "state": None,
        "kind": event.kind,
        "cause": None,
        "turn": event.turn,
        "to": receivers or None,
        "peer": receivers or None,
        "data": dict(event.data),
    }
    if relation == "messages":
        text = event.data.get("text")
        fields["from"] = fields["agent"]
        fields["text"] = text if isinstance(text, str) else None
    return Thing(relation, (run.simulation.order[0], event.seq), fields, event=event)


def link_event(run: Run, event: Event) -> None:
    """Lead an event to its cause and to the simulation's state in which it happened."""
    things = [run.event_things[event.seq]]
    if event.to:
        things.append(run.message_things[event.seq])
    for thing in things:
        for name, seq in (("state", event.state), ("cause", event.cause)):
            thing.fields[name] = run.event_things.get(seq)
    if event.to:
        run.message_things[event.seq].fields["reply_to"] = reply_to(run, event)


def reply_to(run: Run, event: Event) -> str | None:
    """The id of the message this one answers: its cause, sent to us by whom we now send to."""
    cause = run.message_things.get(event.cause)
    if cause is None or cause.event is None:
        return None
    answers = event.agent in cause.event.to and cause.event.agent in event.to
    return cause.id if answers else None


def participants(event: Event) -> frozenset[int]:
    """Who takes part in a message: its sender and its receivers, never the simulation itself."""
    return frozenset((event.agent, *event.to)) - {0}


def read_conversations(run: Run) -> None:
    """Messages between the same set of agents are one conversation."""
    for members, messages in run.threads.items():
        names = [run.agents[n].id for n in sorted(members & run.agents.keys())]
        fields = {
            "id": f"{run.simulation.id}/{'+'.join(names)}",
            "simulation": run.simulation,
            "agents": ", ".join(names),
            "start": Duration(messages[0].time),
            "end": Duration(messages[-1].time),
            "duration": Duration(messages[-1].time - messages[0].time),
            "turns": 1 + sum(1 for a, b in pairwise(messages) if a.agent != b.agent),
            "messages": len(messages),
        }
        order = (run.simulation.order[0], messages[0].time, messages[0].seq)
        thread = Thing("conversations", order, fields, event=messages[0])
        run.conversations[members] = thread
        for message in messages:
            run.message_things[message.seq].fields["conversation"] = thread
