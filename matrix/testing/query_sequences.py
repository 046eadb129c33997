"""Draw sequences and causes of made-up queries, as text.

The kinds and conditions drawn most often are those that histories are full of, so that a sequence holds
for some rows and not for others.
"""

from __future__ import annotations

from matrix.testing import query_words as words
from matrix.testing.choices import Choices
from matrix.testing.query_places import Conditions, Place, filled

#: The relations whose rows have a stream, and whose rows have causes.
STREAMED = ("agents", "simulations", "goals", "conversations")
CAUSED = ("events", "messages", "goals")

ROLES = ("did ", "got ", "saw ", "did ", "got ")
SPANS = ("1s", "500ms", "0s", "2s", "1m", "1m1s", "1h30m")
COUNTS = ("1", "2", "3", "5", "0", "10")


def distance(c: Choices, relation: str) -> str:
    """A limit in time, events or, for agents, turns."""
    unit = c.pick(("time", "events", "turns"))
    if unit == "time" or (unit == "turns" and relation != "agents"):
        return c.pick(SPANS)
    return f"{c.pick(COUNTS)} {c.pick((unit, unit, unit[:-1]))}"


def event_kind(c: Choices, seen: str) -> str:
    """A kind that is often there; where only messages are seen, one that is sent."""
    if c.chance(8):
        return c.pick(words.EVENT_KINDS)
    return c.pick(words.SENT_KINDS if seen in ("got ", "conversations") else words.FREQUENT_KINDS)


def step_condition(c: Choices, place: Place, inner: Conditions) -> str:
    """A condition on an event of a sequence, perhaps with earlier steps in it."""
    if place.steps and c.chance(2):
        return filled(c.pick(words.STEP_REFERENCES), n=lambda: c.pick(place.steps))
    if place.depth > 0 and c.chance(4):
        nested = c.chance(3)
        agent = Place("agents", 0, outer=place.outer, steps=place.steps)
        return f"any agent ({sequence(c, agent, inner)})" if nested else inner(c, place)
    if place.outer and c.chance(4):
        alias, relation = c.pick(place.outer)
        return f"role {c.pick(('=', '!='))} {alias}.role" if relation == "agents" else f"id != {alias}.id"
    return c.pick(words.STEP_CONDITIONS)


def pattern(c: Choices, place: Place, seen: str, inner: Conditions) -> str:
    """A kind with or without a condition, any event, or one event; ``seen`` is the role or the relation."""
    if c.chance(32):
        return f'event "{c.pick(words.WORDS["event id"])}"'
    kind = "event" if c.chance(12) else event_kind(c, seen)
    return f"{kind}({step_condition(c, place, inner)})" if c.chance(5) else kind


def any_of(c: Choices, place: Place, seen: str, inner: Conditions) -> str:
    """One pattern, or several in parentheses."""
    if not c.chance(5):
        return pattern(c, place, seen, inner)
    found = [pattern(c, place, seen, inner) for _ in range(c.pick((2, 3)))]
    return f"({' or '.join(found)})"


def sequence(c: Choices, place: Place, inner: Conditions, *, names: list[str] | None = None, free: bool = False) -> str:
    """A whole sequence on the rows of a place; the names it gives are put into ``names``.

    One that is ``free`` stands alone and may begin without a role.
    """
    relation = place.relation
    given: list[str] = []
    count = c.pick((2, 1, 2, 3, 2, 1, 2, 1, 2, 3, 2, 4))
    found = ""
    for number in range(count):
        role = _role(c, relation)
        if number == 0:
            found += (role or ("" if free else "did ")) + _step(c, place, given, inner, role)
            continue
        gap = f"within {distance(c, relation)} " if c.chance(6) else ""
        found += f" then {gap}{role}{_step(c, place, given, inner, role)}"
    found += _ending(c, place, tuple(given), inner)
    if names is not None:
        names += given
    return found


def _role(c: Choices, relation: str) -> str:
    """The word before a step; only agents have a point of view."""
    if c.chance(4):
        return ""
    return c.pick(ROLES) if relation == "agents" else "did "


def _step(c: Choices, place: Place, given: list[str], inner: Conditions, role: str) -> str:
    """What is looked for, how often, and perhaps a name for it."""
    seen = role if place.relation == "agents" else place.relation
    found = any_of(c, place.within_step(tuple(given)), seen, inner)
    if c.chance(10):
        found += c.pick((" 2 times", " 3 times", " at least 2 times", " 1 times"))
    taken = {*given, *place.steps, *(alias for alias, _ in place.outer)}
    free = [name for name in words.STEP_NAMES if name not in taken]
    if free and c.chance(2):
        given.append(free[0])
        found += f" as {free[0]}"
    return found


def _ending(c: Choices, place: Place, names: tuple[str, ...], inner: Conditions) -> str:
    """An absence or a limit, what must not lie between, and what stays the same."""
    relation = place.relation
    within = place.within_step(names)
    found = ""
    if c.chance(7):
        found += f" then no {_role(c, relation)}{any_of(c, within, relation, inner)}"
        found += f" within {distance(c, relation)}" if c.chance(2) else ""
    elif c.chance(6):
        found += f" within {distance(c, relation)}"
    for _ in range(c.pick((0, 0, 0, 0, 0, 1, 0, 2))):
        found += f" without {_role(c, relation)}{any_of(c, within, relation, inner)}"
    if c.chance(5):
        found += f" with same {c.pick(words.SAME_KEYS)}"
    return found


def caused(c: Choices, place: Place, inner: Conditions) -> str:
    """A condition on the ancestors or the descendants of a row's event."""
    found = c.pick(("caused by ", "led to ", "caused by ", "led to ", "directly caused by ", "directly led to "))
    found += any_of(c, place.within_cause(), "events", inner)
    return found + (f" within {c.pick(('1', '2', '3', '0'))} steps" if c.chance(4) else "")


def moment(c: Choices) -> str:
    """A moment to look back from."""
    return c.pick(
        (
            *("1s", "2s", "1m1s", "1h30m", "3m", "0s", "2m"),
            *("@2026-01-31T12:00:01.5Z", "@2026-01-31T13:00:02", "@2026-02-01T12:01:01Z", "@2026-02-01T12:02:30Z"),
            *("turn 1", "turn 2", "turn 3", "turn 0", "turn 4", "2m30s", "5m"),
            *(f'event "{id}"' for id in ("1-1:25", "run 1/1:40", "1-2:20", "run 1/2:15", "1-1:50", "run 1/1:70")),
        )
    )
