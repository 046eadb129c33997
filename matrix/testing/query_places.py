"""Where a made-up condition stands, and how forms are filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from matrix.testing.choices import Choices


@dataclass(frozen=True)
class Place:
    """Where a condition stands: the rows it is about, how deep, and whether an agent looks.

    ``steps`` are the steps of sequences that have a name here; ``is_step`` says that the row is an event of one.
    """

    relation: str
    depth: int = 2
    seen_by_agent: bool = False
    outer: tuple[tuple[str, str], ...] = ()  # aliases in sight and their relations
    steps: tuple[str, ...] = ()
    is_step: bool = False

    def inside(self, relation: str) -> Place:
        """The place within the parentheses of a quantifier."""
        seen = self.relation == "agents" and relation == "messages"
        return Place(relation, self.depth - 1, seen, self.outer, self.steps)

    def deeper(self) -> Place:
        """The same rows, one level further down."""
        return replace(self, depth=self.depth - 1)

    def within_step(self, names: tuple[str, ...]) -> Place:
        """The place within the parentheses of a step, where these steps have names."""
        return Place("events", self.depth - 1, False, self.outer, (*self.steps, *names), is_step=True)

    def within_cause(self) -> Place:
        """The place within the parentheses of a cause."""
        return Place("events", self.depth - 1, False, self.outer, self.steps)


#: What makes a whole condition at a place.
Conditions: TypeAlias = Callable[[Choices, Place], str]


def filled(form: str, **parts: Callable[[], str]) -> str:
    """A form with those parts that it names, made only if it does."""
    return form.format(**{name: make() for name, make in parts.items() if "{" + name + "}" in form})
