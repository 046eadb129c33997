"""The shapes of a result: chats, trees and timelines, row by row.

Of a timeline the drawn column (``bar``) is left out: it is for eyes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matrix.event import Event
from matrix.testing.naive_causes import ancestors
from matrix.testing.naive_rows import Row
from matrix.testing.plain_values import json_value
from matrix.testing.reach import event_of
from matrix.testing.world import Run, Thing, World, participants

COLUMNS = {
    "chat": ["simulation", "conversation", "agent", "messages"],
    "tree": ["tree", "id", "parent", "level", "agent", "time", "data"],
    "timeline": ["simulation", "lane", "what", "start", "end", "status"],
}


def shaped(world: World, name: str, rows: Sequence[Row], agents: Sequence[Row] | None) -> list[dict[str, Any]]:
    """The rows of a shape; ``agents`` are those that the pipeline was last at, None when it never was at any."""
    things = [row.thing for row in rows if row.thing is not None]
    if name == "chat":
        left = None if agents is None else {row.thing for row in agents}
        return chats(world, things, left)
    return trees(world, things) if name == "tree" else timeline(things)


# -- chat ------------------------------------------------------------------------------------------------


def chats(world: World, threads: Sequence[Thing], left: set[Thing | None] | None) -> list[dict[str, Any]]:
    """A row for each conversation and each agent on the left that takes part in it."""
    found = []
    for thread in dict.fromkeys(threads):
        run = world.run_of(thread)
        members = participants(event_of(thread))
        for number in sorted(members & run.agents.keys()):
            if left is None or run.agents[number] in left:
                found.append(chat(run, thread, number))
    return found


def chat(run: Run, thread: Thing, number: int) -> dict[str, Any]:
    """A conversation as one of its agents has it."""
    said = run.threads[participants(event_of(thread))]
    return {
        "simulation": run.simulation.id,
        "conversation": thread.id,
        "agent": run.agents[number].id,
        "messages": [message(run, event, number) for event in said],
    }


def message(run: Run, event: Event, number: int) -> dict[str, Any]:
    """A message as training examples have it."""
    sender = run.agents.get(event.agent)
    role = "system" if sender is None else "assistant" if event.agent == number else "user"
    return {"role": role, "name": sender.id if sender else None, "content": content(event)}


def content(event: Event) -> str:
    """The text of a message; of one without, its kind and its data."""
    text = event.data.get("text")
    if isinstance(text, str):
        return text
    if not event.data:
        return event.kind
    return f"{event.kind} {json.dumps(json_value(event.data), ensure_ascii=False, separators=(',', ':'))}"


# -- tree ------------------------------------------------------------------------------------------------


def trees(world: World, things: Sequence[Thing]) -> list[dict[str, Any]]:
    """The events under their nearest ancestors among them, each once."""
    events = sorted(set(things), key=lambda thing: thing.order)
    parents = {thing: parent_of(world, thing, events) for thing in events}
    found: list[dict[str, Any]] = []
    for root in (thing for thing in events if parents[thing] is None):
        found += branch(parents, root, "", "", 0)
    return found


def parent_of(world: World, thing: Thing, events: Sequence[Thing]) -> Thing | None:
    """The nearest ancestor of an event that is among these."""
    run = world.run_of(thing)
    above = [run.event_things[event.seq] for event, _ in ancestors(run, event_of(thing))]
    return next((other for other in above if other in events), None)


def branch(
    parents: dict[Thing, Thing | None], thing: Thing, drawn: str, below: str, level: int
) -> list[dict[str, Any]]:
    """An event and all below it: ``drawn`` before its kind, ``below`` before what is drawn for those under it."""
    agent, parent = thing.fields["agent"], parents[thing]
    row = {
        "tree": drawn + event_of(thing).kind,
        "id": thing.id,
        "parent": parent.id if parent else None,
        "level": level,
        "agent": agent.id if agent else None,
        "time": thing.fields["time"],
        "data": thing.fields["data"],
    }
    found = [row]
    under = [other for other in parents if parents[other] is thing]
    for place, other in enumerate(under):
        is_last = place == len(under) - 1
        found += branch(
            parents, other, below + ("└─ " if is_last else "├─ "), below + ("   " if is_last else "│  "), level + 1
        )
    return found


# -- timeline --------------------------------------------------------------------------------------------


def timeline(things: Sequence[Thing]) -> list[dict[str, Any]]:
    """Every row with its lane, the lanes of a simulation in the order in which they start."""
    lanes: dict[tuple[int, str | None], list[int]] = {}
    for place, thing in enumerate(things):
        lanes.setdefault((thing.order[0], lane_of(thing)), []).append(place)

    def rank(place: int) -> tuple[int, int, int, int, int]:
        thing = things[place]
        simulation = thing.order[0]
        lane = lanes[simulation, lane_of(thing)]
        return simulation, min(start_of(things[other]) for other in lane), lane[0], start_of(thing), place

    return [lane_row(things[place]) for place in sorted(range(len(things)), key=rank)]


def lane_row(thing: Thing) -> dict[str, Any]:
    """One row of a timeline."""
    fields = thing.fields
    is_event = thing.relation in ("events", "messages")
    what = {"agents": "role", "goals": "name", "simulations": "name", "events": "kind", "messages": "kind"}
    return {
        "simulation": thing.id if thing.relation == "simulations" else fields["simulation"].id,
        "lane": lane_of(thing),
        "what": fields[what[thing.relation]] if thing.relation in what else "conversation",
        "start": fields["time" if is_event else "start"],
        "end": fields["time" if is_event else "end"],
        "status": fields.get("status"),
    }


def start_of(thing: Thing) -> int:
    """When a thing began, in microseconds."""
    start = thing.fields["time" if thing.relation in ("events", "messages") else "start"]
    return int(start.us)


def lane_of(thing: Thing) -> str | None:
    """In whose lane a row is drawn; missing for an event of the simulation itself."""
    if thing.relation in ("agents", "simulations"):
        return thing.id
    if thing.relation == "conversations":
        return str(thing.fields["agents"])
    agent = thing.fields["agent"]
    return agent.id if agent else None
