"""Small histories for the tests of exports, and the stores that hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matrix
from matrix.export import chat, episodes, events
from matrix.export.contract import Counts, Form, Options
from matrix.export.selection import Selection
from matrix.importers.history import History, rows_of
from matrix.testing.stores import write_rows

FORMS: dict[str, Form] = {"chat": chat.rows, "episodes": episodes.rows, "events": events.rows}
RUN: dict[str, Any] = {"program": "shop:shop", "code": "c0de"}  # what a simulation has that a program made


class Talk:
    """A history in the making: who says what to whom, one turn each."""

    def __init__(self, id: str = "t1", *, seed: int | None = None, **data: Any) -> None:
        self.history = History(id, name="shop", seed=seed, data=data)
        self.time = 0
        self.numbers: dict[str, int] = {}

    def agent(self, id: str, role: str = "person", **parameters: Any) -> Talk:
        self.numbers[id] = self.history.agent(id, role=role, parameters=parameters)
        return self

    def turn(self, who: str) -> int:
        self.time += 1_000_000
        self.history.begin_turn(self.numbers[who], time=self.time)
        return self.numbers[who]

    def says(self, who: str, text: str, to: str = "", /, *, kind: str = "message.sent", **data: Any) -> int:
        """A message in a turn of its own; ``to`` is one id, or several with blanks between."""
        said = data if kind != "message.sent" else {"text": text, **data}
        return self.emits(who, kind, to, **said)

    def emits(self, who: str, kind: str, to: str = "", *, same_turn: bool = False, **data: Any) -> int:
        number = self.numbers[who] if same_turn else self.turn(who)
        receivers = tuple(self.numbers[id] for id in to.split())
        return self.history.emit(number, kind, data, to=receivers or 0)

    def calls(self, who: str, tool: str, call_id: str, *, same_turn: bool = False, **arguments: Any) -> int:
        return self.emits(who, "tool.called", same_turn=same_turn, tool=tool, call_id=call_id, arguments=arguments)

    def answers(self, who: str, tool: str, call_id: str, result: Any, kind: str = "tool.completed") -> int:
        return self.emits(who, kind, tool=tool, call_id=call_id, result=result)

    def goal(self, who: str, name: str, **data: Any) -> int:
        return self.history.start_goal(self.numbers[who], name, data)

    def ends(self, goal: int, status: str = "succeeded", *, reason: str | None = None, **data: Any) -> int:
        return self.history.end_goal(goal, status, reason=reason, data=data)

    def over(self) -> History:
        self.history.finish(time=self.time)
        return self.history


def stored(folder: Path, *talks: Talk) -> Path:
    """A store with these simulations, one after the other."""
    store = folder / "store"
    write_rows(store, [rows_of([talk.over() for talk in talks], first_simulation=1)])
    return store


def exported(
    store: Path, query: str = "agents", form: str = "chat", *, counts: Counts | None = None, **options: Any
) -> list[dict[str, Any]]:
    """The rows of an export, as they are written."""
    return list(told(store, query, form, counts=counts, **options))


def told(
    store: Path, query: str, form: str, *, counts: Counts | None = None, parameters: Any = None, **options: Any
) -> Iterator[dict[str, Any]]:
    with matrix.open(store) as opened:
        selection = Selection(opened, query, parameters)
        for row in FORMS[form](opened, selection, Options("runs", counts=counts or Counts(), **options)):
            yield row.data
