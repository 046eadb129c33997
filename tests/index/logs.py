"""Real stores for the tests: a log written by the real writer, followed by the real index."""

from __future__ import annotations

from pathlib import Path

from matrix.event import Event
from matrix.index.index import Followed, Index
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer


def trade(simulation: int, agents: int = 6, *, wall: int = 1_000, is_over: bool = True) -> list[Event]:
    """A simulation in which every agent takes up a goal, offers, and every second one succeeds."""
    events: list[Event] = []

    def tell(kind: str, agent: int = 0, turn: int = 0, goal: int = 0, **data: object) -> int:
        seq = len(events) + 1
        goal = seq if kind == "goal.started" else goal
        events.append(Event(simulation, seq, seq * 10, wall + seq, agent, turn, goal, 0, 0, kind, data=data))
        return seq

    tell("simulation.started", id=f"trade {simulation}", name="trade", seed=simulation, parameters={"agents": agents})
    for agent in range(1, agents + 1):
        tell("agent.started", agent, id=f"buyer-{agent}", role="buyer" if agent % 2 else "seller")
    goals = {agent: tell("goal.started", agent, 1, name="close_deal", limit=agent) for agent in range(1, agents + 1)}
    for agent, goal in goals.items():
        tell("offer", agent, 2, goal, price=40 + agent, items=[{"sku": "lamp", "price": agent / 2}])
        tell("state.changed", agent, 2, goal, budget=100 - agent)
    for agent, goal in goals.items():
        tell("goal.succeeded" if agent % 2 else "goal.failed", agent, 3, goal, reason="" if agent % 2 else "too dear")
    if is_over:
        tell("simulation.finished", reason="quiescent")
    return events


def write_log(store: Path, *told: list[Event], segment_bytes_max: int = 1 << 20) -> None:
    """Append simulations, one block each."""
    with Writer.open(store / "log", segment_bytes_max=segment_bytes_max) as writer:
        for events in told:
            writer.append(rows_from_events(events))


def follow(store: Path) -> Followed:
    """Open the store's index, follow, close."""
    with Index.open(store) as index:
        return index.follow(LogReader(store / "log"))


def digest(store: Path) -> str:
    """The digest of the index as it is, followed."""
    with Index.open(store) as index:
        index.follow(LogReader(store / "log"))
        return index.dump_digest()
