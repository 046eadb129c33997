"""Which rows are reached from which: the table of the query language's section 5, row by row.

Used by quantifiers, by counting inside conditions and by following relations. Nothing crosses
from one simulation into another.
"""

from __future__ import annotations

from matrix.event import Event
from matrix.testing.world import Run, Thing, World, participants, things_of


def reached(world: World, thing: Thing, relation: str) -> list[Thing]:
    """The rows of a relation reached from a thing, in that relation's order (the table of section 5)."""
    if (thing, relation) not in world.reached:
        run = world.run_of(thing)
        found = [other for other in things_of(run, relation) if leads_to(run, thing, other)]
        world.reached[thing, relation] = sorted(found, key=lambda other: other.order)
    return world.reached[thing, relation]


def leads_to(run: Run, thing: Thing, other: Thing) -> bool:
    """Whether ``other``, of the same simulation, is one of the rows reached from ``thing``."""
    if thing.relation == "simulations" or other.relation == "simulations":
        return True
    if thing.relation == "agents":
        return _belongs_to_agent(other, thing.number)
    if thing.relation == "goals":
        return _belongs_to_goal(run, thing, other)
    if thing.relation == "conversations":
        return _belongs_to_conversation(run, thing, other)
    return _belongs_to_event(thing, other)


def _belongs_to_agent(other: Thing, number: int) -> bool:
    """Its goals, the events it did, the messages it sent or received, its conversations."""
    if other.relation == "agents":
        return other.number == number
    event = event_of(other)
    if other.relation == "messages":
        return event.agent == number or number in event.to
    if other.relation == "conversations":
        return number in participants(event)
    return event.agent == number


def _belongs_to_goal(run: Run, goal: Thing, other: Thing) -> bool:
    """The events (and so the messages) under it, and its agent."""
    seq = event_of(goal).seq
    if other.relation == "agents":
        return other.number == event_of(goal).agent
    if other.relation == "goals":
        return event_of(other).seq == seq
    if other.relation == "conversations":
        members = participants(event_of(other))
        return any(e.to and e.goal == seq and participants(e) == members for e in run.events)
    return event_of(other).goal == seq


def _belongs_to_event(thing: Thing, other: Thing) -> bool:
    """The agent of an event or message, its goal, its conversation, and itself."""
    event = event_of(thing)
    if other.relation == "agents":
        return other.number == event.agent
    if other.relation == "goals":
        return event_of(other).seq == event.goal
    if other.relation == "conversations":
        return bool(event.to) and participants(event) == participants(event_of(other))
    return event_of(other).seq == event.seq


def _belongs_to_conversation(run: Run, thread: Thing, other: Thing) -> bool:
    """Its agents, its messages (and so those events), and the goals of its agents."""
    members = participants(event_of(thread))
    if other.relation == "agents":
        return other.number in members
    if other.relation == "goals":
        return event_of(other).agent in members
    event = event_of(other)
    return bool(event.to) and participants(event) == members


def event_of(thing: Thing) -> Event:
    """The event a row is made of: a goal of its start, a conversation of its first message."""
    assert thing.event is not None, "goals, events, messages and conversations are made of an event"
    return thing.event
