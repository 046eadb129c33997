"""What an importer reads from: an object of the file, field by field, each of the type the format says.

A field of the wrong type is refused with its path. A record remembers which fields were asked for, so
``rest()`` is everything else the file says: nothing is lost by being unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from matrix.importers.source import Refusal
from matrix.limits import INT64_MAX, INT64_MIN

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What has a meaning of its own in the data of built-in events, so the file's own field cannot have the name.
_TAKEN = frozenset({"id", "name", "seed", "parent", "parameters", "program"})
_NAMES = {str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list"}


class Record:
    """One object of the file and the path that leads to it.

    >>> record = Record({"name": "find", "arguments": {}, "id": None, "mood": "fine"}, "calls[3]")
    >>> record.text("name"), record.map("arguments"), record.optional_text("id"), record.rest()
    ('find', {}, None, {'mood': 'fine'})
    >>> record.number("mood")
    Traceback (most recent call last):
        ...
    matrix.importers.source.Refusal: calls[3].mood: expected a number, found text
    """

    __slots__ = ("_asked", "path", "value")

    def __init__(self, value: Any, path: str) -> None:
        if type(value) is not dict:
            raise Refusal(path, f"expected an object, found {named(value)}")
        self.value: dict[str, Any] = value
        self.path = path
        self._asked: set[str] = set()

    def text(self, name: str) -> str:
        return str(self._of(name, "text", str))

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def number(self, name: str) -> int | float:
        value: int | float = self._of(name, "a number", int, float)
        return value

    def optional_number(self, name: str) -> int | float | None:
        return self.number(name) if self.has(name) else None

    def integer(self, name: str) -> int:
        """A whole number of at most 64 bits."""
        value = int(self._of(name, "a whole number", int))
        if not INT64_MIN <= value <= INT64_MAX:
            raise Refusal(self.at(name), "the number has more than 64 bits")
        return value

    def optional_integer(self, name: str) -> int | None:
        return self.integer(name) if self.has(name) else None

    def flag(self, name: str) -> bool:
        """True or false; a missing one is false."""
        return bool(self._of(name, "true or false", bool)) if self.has(name) else False

    def map(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._of(name, "an object", dict)
        return value

    def record(self, name: str) -> Record:
        return Record(self.map(name), self.at(name))

    def optional_record(self, name: str) -> Record:
        """The object under this name, an empty one where it is missing or null."""
        return self.record(name) if self.has(name) else Record({}, self.at(name))

    def records(self, name: str) -> Iterator[Record]:
        """The objects of a list, one by one; a missing or null list is an empty one."""
        for index, value in enumerate(self._of(name, "a list", list) if self.has(name) else ()):
            yield Record(value, f"{self.at(name)}[{index}]")

    def time(self, name: str) -> int:
        """A recorded moment as microseconds since 1970; one without a zone is read as UTC."""
        text = self.text(name)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Refusal(
                self.at(name), f"expected a time such as 2025-08-01T16:20:43.8, found {text[:60]!r}"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        # Whole arithmetic: a float of seconds since 1970 is not exact to the microsecond.
        since = moment - _EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds

    def optional_time(self, name: str) -> int | None:
        return self.time(name) if self.has(name) else None

    def has(self, name: str) -> bool:
        """Whether the field is there and not null; asking makes it a known field."""
        self._asked.add(name)
        return self.value.get(name) is not None

    def rest(self) -> dict[str, Any]:
        """The fields nobody asked for, without those that are null."""
        return {key: value for key, value in self.value.items() if key not in self._asked and value is not None}

    def at(self, name: str) -> str:
        """The path of one of its fields."""
        return f"{self.path}.{name}" if self.path else name

    def _of(self, name: str, expected: str, *kinds: type) -> Any:
        self._asked.add(name)
        value = self.value.get(name)
        if type(value) not in kinds:
            found = "nothing" if name not in self.value else named(value)
            raise Refusal(self.at(name), f"expected {expected}, found {found}")
        return value


def named(value: Any) -> str:
    """What a JSON value is, in words.

    >>> named(None), named([]), named(1.5)
    ('null', 'a list', 'a number')
    """
    return "null" if value is None else _NAMES[type(value)]


def joined(said: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """An event's data: our fields and the file's other ones; one whose name is taken is kept as ``recorded_<name>``.

    >>> joined({"text": "Hello"}, {"mood": "fine", "text": "?"})
    {'text': 'Hello', 'mood': 'fine', 'recorded_text': '?'}
    """
    return said | {f"recorded_{key}" if key in said or key in _TAKEN else key: value for key, value in rest.items()}


def is_plain_time(text: str) -> bool:
    """Whether a recorded time is just how its moment is written in UTC, so that the text need not be kept.

    >>> is_plain_time("1970-01-01T00:00:01.500000"), is_plain_time("1970-01-01T01:00:01.5+01:00")
    (True, False)
    """
    moment = datetime.fromisoformat(text)
    return moment.tzinfo is None and moment.isoformat() == text
