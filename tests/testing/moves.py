"""One small simulation written move by move: three agents, and then what they do, from seq 5 on."""

from __future__ import annotations

from typing import Any, NamedTuple

from matrix.event import Event
from matrix.query.check import check
from matrix.testing.naive import evaluate

SECOND = 1_000_000
AGENTS = {"ann": 1, "bob": 2, "cat": 3}


class Move(NamedTuple):
    """What one agent does; "" is the simulation itself."""

    agent: str
    kind: str
    to: tuple[str, ...]
    at: int
    turn: int | None
    cause: int
    goal: int
    data: dict[str, Any]


def do(
    agent: str, kind: str, *to: str, at: int = 0, turn: int | None = None, cause: int = 0, goal: int = 0, **data: Any
) -> Move:
    """A move, at so many seconds; the turn is the one before unless said."""
    return Move(agent, kind, to, at, turn, cause, goal, data)


def run(*moves: Move, is_running: bool = False, id: str = "r1", number: int = 1) -> list[Event]:
    """The simulation: started, ann, bob and cat (seq 2 to 4), the moves, and its end."""
    found: list[Event] = []
    turns = dict.fromkeys((*AGENTS, ""), 0)

    def tell(move: Move) -> None:
        turns[move.agent] = turns[move.agent] if move.turn is None else move.turn
        event = Event(
            simulation=number,
            seq=len(found) + 1,
            time=move.at * SECOND,
            wall=move.at * SECOND,
            agent=AGENTS.get(move.agent, 0),
            turn=turns[move.agent],
            goal=move.goal,
            state=0,
            cause=move.cause,
            kind=move.kind,
            to=tuple(AGENTS[name] for name in move.to),
            data=move.data,
        )
        found.append(event)

    tell(do("", "simulation.started", id=id, name="market"))
    for name, role in (("ann", "buyer"), ("bob", "seller"), ("cat", "seller")):
        tell(do(name, "agent.started", id=name, role=role))
    for move in moves:
        tell(move)
    if not is_running:
        tell(do("", "simulation.finished", at=max([0, *(move.at for move in moves)])))
    return found


def ids(query: str, *runs: list[Event]) -> list[str]:
    """The ids of the rows that a query has."""
    return [row["id"] for row in rows(query, *runs)]


def rows(query: str, *runs: list[Event]) -> list[dict[str, Any]]:
    """The rows that a query has over these simulations."""
    return evaluate(check(query), {1: [event for events in runs for event in events]})
