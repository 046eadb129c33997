"""Paths into data: ``.args.query``, ``.items[0].price``, ``.items[*].price``.

What is not there is missing. ``[*]`` is any element: a path with it has several values per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from matrix.query.engine.value import Array, Type, Value, from_objects
from matrix.query.syntax import WILDCARD, PathPart


def walk_path(value: Value, path: tuple[PathPart, ...]) -> Value:
    """What ``path`` (without ``[*]``) finds inside each value; with ``[*]``, the list of what it finds.

    >>> walk_path(from_objects([{"a": [1, 2]}, "x"]), ("a", -1)).objects()
    [2, None]
    """
    if not path:
        return value
    lane = value.lane(Type.OTHER)
    if lane is None:
        return from_objects([[]] * value.count) if WILDCARD in path else Value.missing(value.count)
    things = lane.spread(value.count).values
    mask = lane.mask(value.count)
    if WILDCARD in path:
        found = [present_elements(v, path) if here else [] for v, here in zip(things, mask, strict=True)]
        return from_objects(found)
    return from_objects([find(v, path) if here else None for v, here in zip(things, mask, strict=True)])


def present_elements(thing: Any, path: tuple[PathPart, ...]) -> list[Any]:
    """The list that a path with ``[*]`` shows as a value."""
    return [v for v in find_all(thing, path) if v is not None]


def find(thing: Any, path: tuple[PathPart, ...]) -> Any:
    """The one value a path leads to, or None."""
    for part in path:
        if isinstance(part, str) and isinstance(thing, dict):
            thing = thing.get(part)
        elif isinstance(part, int) and isinstance(thing, list) and -len(thing) <= part < len(thing):
            thing = thing[part]
        else:
            return None
    return thing


def find_all(thing: Any, path: tuple[PathPart, ...]) -> Iterator[Any]:
    """What a path with ``[*]`` finds in every element; None for an element that lacks the rest of the path."""
    if WILDCARD not in path:
        yield find(thing, path)
        return
    star = path.index(WILDCARD)
    inner = find(thing, path[:star])
    if isinstance(inner, list):
        for element in inner:
            yield from find_all(element, path[star + 1 :])


def elements(value: Value, path: tuple[PathPart, ...]) -> tuple[Array, Value]:
    """All values of a path with ``[*]``: (the row each belongs to, the values); a row with none has one missing."""
    owners: list[int] = []
    found: list[Any] = []
    for row, thing in enumerate(value.objects()):
        here = list(find_all(thing, path)) or [None]
        found.extend(here)
        owners.extend([row] * len(here))
    return np.array(owners, np.int64), from_objects(found)
