"""Shape: what the values at one place of all rows have in common, learned row by row.

What always holds: a shape only grows, so whoever asks after the last row gets a type that every value fits. How a
value becomes what Parquet holds is decided here, and nowhere else:

- a text, a truth, a whole number, a number stay what they are; whole numbers among others become numbers;
- lists of messages, and the steps of episodes, are nested: a struct has every key that any of them has, null in those
  that lack it;
- what is open (schemas of tools, arguments, data of events, any other map) is JSON text, since a struct of all keys
  would invent a null for each key that one value has and another has not;
- values of mixed kinds are text: texts as they are, all others as JSON.

So a row of Parquet is that row of JSON Lines, with the JSON of what is open, and null for keys that are not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from matrix.limits import EXPORT_KEYS_MAX, INT64_MAX, INT64_MIN

#: Columns whose lists of maps are nested in Parquet.
NESTED: Final = frozenset({"messages", "prompt", "chosen", "rejected", "steps"})
#: Keys within them, whose values are open: programs make them up.
OPEN: Final = frozenset({"arguments", "action", "data", "observation", "tools"})

TEXT_TYPE: Final = pa.string()

# Kinds of values that JSON has, null apart, as bits: plain integers, since every value of every row is looked at.
TRUTH, WHOLE, NUMBER, TEXT, LIST, MAP = 1, 2, 4, 8, 16, 32
BIG = 64  # whole numbers of more than 64 bits
_KINDS: Final = {str: TEXT, bool: TRUTH, float: NUMBER, dict: MAP, list: LIST, tuple: LIST}
_PLAIN: Final = {TRUTH: pa.bool_(), WHOLE: pa.int64(), NUMBER: pa.float64(), WHOLE | NUMBER: pa.float64()}


def kind_of(value: Any) -> int:
    """The kind of a value that is not null; what JSON has no form for becomes text.

    >>> kind_of(True) == TRUTH, kind_of(7) == WHOLE, kind_of(7**77) == BIG, kind_of(b"7") == TEXT
    (True, True, True, True)
    """
    kind = _KINDS.get(type(value))
    if kind is not None:
        return kind
    if isinstance(value, int):
        return WHOLE if INT64_MIN <= value <= INT64_MAX else BIG
    return next((kind for type, kind in _KINDS.items() if isinstance(value, type)), TEXT)


class Shape:
    """What is known of the values at one place.

    >>> shape = Shape()
    >>> [shape.learn(value) for value in (None, 1, 2, 2.5, 3)]
    [False, True, False, True, False]
    >>> shape.kinds == WHOLE | NUMBER
    True
    """

    __slots__ = ("fields", "is_varied", "item", "kinds")

    def __init__(self) -> None:
        self.kinds = 0
        self.item: Shape | None = None
        self.fields: dict[str, Shape] = {}
        self.is_varied = False  # maps with different keys were met, or one without any

    def learn_row(self, row: Mapping[str, Any]) -> bool:
        """Take in a row, whose keys are columns: a new one is a surprise, one that is not there is null."""
        is_new = False
        for name, value in row.items():
            shape = self.fields.get(name)
            if shape is None:
                shape, is_new = self.fields.setdefault(name, Shape()), True
            if value is not None:
                is_new |= shape.learn(value)
        return is_new

    def learn(self, value: Any, *, is_known: bool = False) -> bool:
        """Take in one more value; whether a reader that guesses types from what it read before would be surprised.

        Behind maps of varying keys nothing is a surprise (``is_known``): such readers keep them as they are.
        """
        if value is None:
            return False
        kind = kind_of(value)
        if kind & self.kinds and kind < LIST:
            return False
        is_new = not is_known and not kind & self.kinds
        if kind == MAP:
            is_new |= self._learn_map(value, is_known=is_known)
        elif kind == LIST:
            self.item = self.item or Shape()
            for one in value:
                is_new |= self.item.learn(one, is_known=is_known)
        self.kinds |= kind
        return is_new

    def _learn_map(self, value: dict[str, Any], *, is_known: bool) -> bool:
        is_new = False
        if not self.is_varied and (not value or (self.kinds & MAP and value.keys() != self.fields.keys())):
            self.is_varied, is_new = True, not is_known
        for key, one in value.items():
            if key not in self.fields:
                if len(self.fields) == EXPORT_KEYS_MAX:  # of so many no struct is made
                    continue
                self.fields[key] = Shape()
            is_new |= self.fields[key].learn(one, is_known=is_known or self.is_varied)
        return is_new

    def arrow(self, *, is_nested: bool = False) -> pa.DataType:
        """The type of what holds all these values; ``is_nested`` where maps become structs.

        >>> shape = Shape()
        >>> [shape.learn(value) for value in ([{"role": "user"}], [{"role": "tool", "n": 1}])]
        [True, True]
        >>> shape.arrow(), shape.arrow(is_nested=True)
        (DataType(string), ListType(list<element: struct<role: string, n: int64>>))
        """
        if self.kinds == LIST and self.item is not None:
            item = self.item.arrow(is_nested=is_nested)
            if is_nested or not self.item.kinds & (LIST | MAP):
                return pa.list_(pa.field("element", item))
        if is_nested and self.kinds == MAP and 0 < len(self.fields) < EXPORT_KEYS_MAX:
            fields = self.fields.items()
            return pa.struct(
                [(key, TEXT_TYPE if key in OPEN else shape.arrow(is_nested=True)) for key, shape in fields]
            )
        return _PLAIN.get(self.kinds, TEXT_TYPE)


def _field(key: str, shape: Shape) -> pa.DataType:
    return TEXT_TYPE if key in OPEN else shape.arrow(is_nested=True)


def fitted(value: Any, type: pa.DataType) -> Any:
    """A value as Arrow makes one of that type of it: what is no text, and must be one, is JSON.

    >>> fitted({"a": [1]}, pa.string()), fitted("a", pa.string()), fitted(1, pa.float64())
    ('{"a": [1]}', 'a', 1.0)
    """
    if value is None:
        return None
    if pa.types.is_string(type):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if pa.types.is_list(type):
        return [fitted(one, type.value_type) for one in value]
    if pa.types.is_struct(type):
        return {field.name: fitted(value.get(field.name), field.type) for field in type}
    return float(value) if pa.types.is_floating(type) else value
