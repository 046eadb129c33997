"""One simulation as the forms read it: its facts, its agents with what each did and got, and its goals.

What always holds: everything here is told by the events alone, a fork's with its parent's before, up to where the
selection bounds them; only one simulation is in memory at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from matrix.event import (
    AGENT_ENDS,
    AGENT_STARTED,
    GOAL_ENDS,
    GOAL_STARTED,
    MESSAGE_SENT,
    MODEL_CALLED,
    MODEL_COMPLETED,
    MODEL_FAILED,
    NOTE,
    RESERVED_PREFIXES,
    SIMULATION_FORKED,
    SIMULATION_STARTED,
    Event,
)
from matrix.export.goals import Goal
from matrix.export.message import has_reached
from matrix.log.history import Histories, History

if TYPE_CHECKING:
    from matrix.export.contract import Counts, Reading
    from matrix.export.selection import Selected

_ASKED: Final = frozenset({MODEL_CALLED, MODEL_COMPLETED, MODEL_FAILED})
LOST: Final = "simulations whose parent's events are lost"


@dataclass(slots=True)
class Actor:
    """An agent, and what it said and did (``event.agent`` is its number) and what was sent to it, in order.

    ``heard`` are the messages (``seq``) that came into its mailbox, ``newest`` is the newest of them that is known to
    have led to something it did, and ``taken`` has by turn which one that was by then. ``answers`` are those that came
    of its own messages (``sent``), with the first turn in which it did something because of them, 0 for none.
    """

    number: int
    id: str
    role: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    status: str = "running"
    events: list[Event] = field(default_factory=list)
    briefings: list[Event] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    heard: set[int] = field(default_factory=set)
    sent: set[int] = field(default_factory=set)
    answers: dict[int, int] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    newest: int = 0

    def briefing(self, before: int) -> Mapping[str, Any]:
        """What it was told before this event (``seq``): the newest such briefing, else its first, else nothing."""
        earlier = [event for event in self.briefings if event.seq < before]
        found = earlier[-1:] or self.briefings[:1]
        return found[0].data if found else {}

    def deeds(self) -> Iterator[Event]:
        """What it did without words: events of its own kinds that it sent to nobody, such as votes and orders."""
        for event in self.events:
            is_own = event.agent == self.number and event.kind != NOTE and not event.kind.startswith(RESERVED_PREFIXES)
            if is_own and not event.to:
                yield event


@dataclass(slots=True)
class Simulation:
    """One simulation, read.

    ``about`` are the facts of its start, those of a fork over its parent's; ``asked`` are all calls of models and how
    they ended, whoever made them: one may go on from another's.
    """

    selected: Selected
    about: dict[str, Any] = field(default_factory=dict)
    actors: dict[int, Actor] = field(default_factory=dict)
    asked: list[Event] = field(default_factory=list)
    last_seq: int = 0

    @property
    def id(self) -> str:
        """Its id."""
        return self.selected.id

    @property
    def is_imported(self) -> bool:
        """Whether it was recorded elsewhere: no program of ours made it."""
        return "program" not in self.about

    @property
    def program(self) -> str | None:
        """The program that made it, as ``module:function``; None for one that was imported."""
        return str(self.about["program"]) if "program" in self.about else None

    def chosen(self) -> Iterator[Actor]:
        """The agents that the selection means, in their order."""
        for number in sorted(self.actors):
            if self.selected.has_agent(number):
                yield self.actors[number]

    def id_of(self, agent: int) -> str:
        """An agent's id; the simulation's own for number 0."""
        actor = self.actors.get(agent)
        return self.selected.id if actor is None else actor.id


def simulations(store: Reading, selection: Iterable[Selected], counts: Counts) -> Iterator[Simulation]:
    """Each simulation of a selection, read."""
    histories = Histories(store.reader)
    for one in selection:
        history = history_of(store, histories, one)
        if history is None:
            counts.left_out[LOST] += 1
        else:
            yield _read(history, one)
            note_digest(history, one, counts)


def history_of(store: Reading, histories: Histories, one: Selected) -> History | None:
    """The events of a simulation as far as they are meant; None for a fork whose parent's events are not there."""
    lost = store.connection.execute("SELECT 1 FROM forks WHERE gid = ? AND source IS NULL", (one.gid,)).fetchone()
    if lost is not None:
        return None
    last_seq = one.last_seq if one.turn is None else None
    return histories.history(one.gid >> 32, one.gid & 0xFFFF_FFFF, last_seq=last_seq)


def note_digest(history: History, one: Selected, counts: Counts) -> None:
    """Keep a simulation's digest while its blocks are at hand; not where only turns say what of it was read."""
    if counts.digests is not None and one.turn is None:
        counts.digests[one.gid] = history.digest()


def is_left(event: Event, one: Selected) -> bool:
    """Whether an event is left at the moment that the selection looks at; only turns are not told by the history."""
    if one.turn is None:
        return True
    if event.agent:
        return event.turn <= one.turn
    return one.last_seq is None or event.seq <= one.last_seq


def _read(history: History, one: Selected) -> Simulation:
    simulation = Simulation(one, last_seq=history.last_seq)
    goals: dict[int, Goal] = {}
    for event in history.events():
        if not is_left(event, one):
            continue
        if event.kind in (SIMULATION_STARTED, SIMULATION_FORKED):
            simulation.about |= event.data
        if event.kind in _ASKED:
            simulation.asked.append(event)
        if event.agent:
            actor = _actor(simulation, event.agent)
            if (event.to or _is_told(event.kind)) and one.has_agent(event.agent):
                actor.events.append(event)
            _note(actor, event, goals)
            _note_cause(actor, event)
        for number in event.to:
            if number != event.agent and one.has_agent(number):
                actor = _actor(simulation, number)
                if simulation.is_imported or has_reached(event, number, actor.id):
                    actor.events.append(event)
                    if event.cause in actor.sent:
                        actor.answers[event.seq] = 0
                    else:
                        actor.heard.add(event.seq)
    if not simulation.is_imported:
        for actor in simulation.actors.values():
            actor.events = _as_taken(actor)
    return simulation


def _note_cause(actor: Actor, event: Event) -> None:
    """Which message led to what an agent did, and so was taken by then."""
    if event.to:
        actor.sent.add(event.seq)
    if event.cause in actor.heard:
        actor.newest = max(actor.newest, event.cause)
    elif actor.answers.get(event.cause) == 0:
        actor.answers[event.cause] = event.turn
    actor.taken[event.turn] = actor.newest


def _as_taken(actor: Actor) -> list[Event]:
    """What an agent did and got, each message where it took it: what waits in its mailbox it does not know.

    A turn takes one message at most, and what is done in it has that message, or one that is answered, as its cause.
    So a turn knows the messages up to the newest cause so far; answers, for which an agent may wait beside its mailbox,
    it knows one by one. What nothing ever came of stays where it was sent.
    """
    found: list[Event] = []
    waiting: deque[Event] = deque()
    answers: list[Event] = []
    turn = -1
    for event in actor.events:
        if event.agent != actor.number:
            (answers if event.seq in actor.answers else waiting).append(event)
            continue
        if event.turn != turn:
            turn = event.turn
            known = [answer for answer in answers if actor.answers[answer.seq] <= turn]
            answers = [answer for answer in answers if actor.answers[answer.seq] > turn]
            while waiting and (waiting[0].seq <= actor.taken[turn] or waiting[0].seq > actor.newest):
                known.append(waiting.popleft())
            found += sorted(known, key=lambda message: message.seq)
        found.append(event)
    return [*found, *sorted([*answers, *waiting], key=lambda message: message.seq)]


@lru_cache(maxsize=1_024)
def _is_told(kind: str) -> bool:
    """Whether an event of this kind, sent to nobody, is something that an agent said or did: nothing else is kept."""
    return kind in (MESSAGE_SENT, NOTE) or kind.startswith("tool.") or not kind.startswith(RESERVED_PREFIXES)


def _actor(simulation: Simulation, number: int) -> Actor:
    found = simulation.actors.get(number)
    if found is None:
        found = simulation.actors[number] = Actor(number, str(number))
    return found


def _note(actor: Actor, event: Event, goals: dict[int, Goal]) -> None:
    """What an event says of its agent as a whole."""
    data = event.data
    if event.kind == AGENT_STARTED:
        actor.id = str(data.get("id", actor.id))
        actor.role = None if data.get("role") is None else str(data["role"])
        actor.parameters = data.get("parameters") or {}
    elif event.kind in AGENT_ENDS:
        actor.status = AGENT_ENDS[event.kind]
    elif event.kind == NOTE and data.get("subject") == "briefing":
        actor.briefings.append(event)
    elif event.kind == GOAL_STARTED:
        goal = goals[event.seq] = Goal.started(event)
        actor.goals.append(goal)
    elif event.kind in GOAL_ENDS and event.goal in goals:
        goals[event.goal].end(event)
