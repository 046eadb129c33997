"""Events: one row for each event of what was chosen, with all its fields, and its data as JSON text.

    {"store": "runs", "simulation": "1-7", "seq": 12, "id": "1-7:12", "time": 1500000, "wall": 1764…, "turn": 3,
     "agent": "ann", "role": "buyer", "goal": 6, "state": null, "cause": 9, "kind": "offer", "to": ["sam"],
     "data": "{\\"price\\": 40}", "family": "1-7"}

Times are microseconds: ``time`` since the simulation began, ``wall`` since 1970. References are the ``seq`` of other
events of the same simulation. A query of events gives those events, one of agents what they did and what was sent to
them, one of goals what was done under them, one of conversations their messages, one of simulations everything.

What always holds: rows stream, so memory is that of a few blocks of the log, however long a simulation is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from matrix.event import AGENT_STARTED, GOAL_STARTED, Event
from matrix.export.contract import Row
from matrix.export.conversation import members_of
from matrix.export.message import json_text
from matrix.export.simulation import LOST, history_of, is_left, note_digest
from matrix.log.history import Histories

if TYPE_CHECKING:
    from matrix.export.contract import Options, Reading
    from matrix.export.selection import Selected, Selection
    from matrix.log.history import History


def rows(store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
    """A row for each event that a selection means, in order of (simulation, seq)."""
    histories = Histories(store.reader)
    for one in selection:
        history = history_of(store, histories, one)
        if history is None:
            options.counts.left_out[LOST] += 1
            continue
        for event, who in _meant(history, one):
            options.counts.taken["events"] += 1
            data = who.data(event, one, options.store)
            yield Row(data, one.family, f"{event.kind} {data['data']}")
        note_digest(history, one, options.counts)


class _Agents:
    """The ids and roles of a simulation's agents, as far as its events have told them."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}
        self.roles: dict[int, str | None] = {}

    def note(self, event: Event) -> None:
        if event.kind == AGENT_STARTED:
            self.ids[event.agent] = str(event.data.get("id", event.agent))
            role = event.data.get("role")
            self.roles[event.agent] = None if role is None else str(role)

    def data(self, event: Event, one: Selected, store: str) -> dict[str, Any]:
        """The row as it is written."""
        return {
            "store": store,
            "simulation": one.id,
            "seq": event.seq,
            "id": f"{one.id}:{event.seq}",
            "time": event.time,
            "wall": event.wall,
            "turn": event.turn,
            "agent": self.ids.get(event.agent, str(event.agent)) if event.agent else None,
            "role": self.roles.get(event.agent),
            "goal": event.goal or None,
            "state": event.state or None,
            "cause": event.cause or None,
            "kind": event.kind,
            "to": [self.ids.get(number, str(number)) for number in event.to],
            "data": json_text(event.data),
            "family": one.family,
        }


def _meant(history: History, one: Selected) -> Iterator[tuple[Event, _Agents]]:
    agents, is_meant = _Agents(), _test(one)
    for event in history.events():
        agents.note(event)
        if is_left(event, one) and is_meant(event):
            yield event, agents


def _test(one: Selected) -> Callable[[Event], bool]:
    """Whether the selection means an event."""
    if one.events is not None:
        seqs = one.events
        return lambda event: bool(_has(seqs, event.seq))
    if one.goals is not None:
        return _under(set(one.goals))
    if one.conversations is not None:
        meant = {members for some in one.conversations.values() for members in some}
        return lambda event: bool(event.to) and members_of(event) in meant
    return lambda event: one.has_agent(event.agent) or any(one.has_agent(number) for number in event.to)


def _has(seqs: np.ndarray, seq: int) -> bool:
    place = int(np.searchsorted(seqs, seq))
    return place < len(seqs) and int(seqs[place]) == seq


def _under(goals: set[int]) -> Callable[[Event], bool]:
    """Events under goals, or under goals inside them; the start and the end of each, too."""

    def test(event: Event) -> bool:
        if event.kind == GOAL_STARTED:
            if event.data.get("parent") in goals:
                goals.add(event.seq)
            return event.seq in goals
        return event.goal in goals

    return test
