"""CBOR items: heads written and read by hand, values through cbor2 held to a strict subset.

What always holds: a value is null, bool, int (any size), float, text, bytes, a list, or a map with
text keys, nested at most ``CBOR_DEPTH_MAX`` deep; lengths are definite and in their shortest form;
map keys are unique; no tags but the two for big integers; a decoder uses all its bytes. The same
check runs before bytes leave and after they return.
"""

from __future__ import annotations

import io
from itertools import chain
from typing import Any, Final

import cbor2

from matrix.errors import FormatError, UsageError
from matrix.limits import CBOR_DEPTH_MAX

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG = range(7)
NULL_BYTE: Final = 0xF6

_TEXT = frozenset({str})
LEAVES = frozenset({type(None), bool, int, float, str, bytes})
_SHORTEST = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}  # additional information -> least argument that needs it
_WIDTH = {24: 1, 25: 2, 26: 4, 27: 8}


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    if argument < 1 << 8:
        return bytes((major << 5 | 24, argument))
    if argument < 1 << 16:
        return bytes((major << 5 | 25,)) + argument.to_bytes(2, "big")
    if argument < 1 << 32:
        return bytes((major << 5 | 26,)) + argument.to_bytes(4, "big")
    return bytes((major << 5 | 27,)) + argument.to_bytes(8, "big")


_SHORT_HEADS = [[_head(major, argument) for argument in range(256)] for major in range(8)]  # a block has a hundred


def head(major: int, argument: int) -> bytes:
    """The head of an item in its shortest form: ``head(ARRAY, 3) == b"\\x83"``."""
    return _SHORT_HEADS[major][argument] if 0 <= argument < 256 else _head(major, argument)


def integer(value: int) -> bytes:
    """An integer of at most 64 bits and a sign."""
    return head(UNSIGNED, value) if value >= 0 else head(NEGATIVE, -1 - value)


def byte_string(data: bytes) -> bytes:
    """A byte string of definite length."""
    return head(BYTES, len(data)) + data


class Cursor:
    """A place in ``data`` that moves over items and never past ``end``; any misstep is a ``FormatError``."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data, self.at, self.end = data, at, len(data) if end is None else end

    def head(self) -> tuple[int, int]:
        """Major type and argument of the item here; moves behind the head."""
        at = self.at
        if at >= self.end:
            raise FormatError("an item is missing")
        first = self.data[at]
        argument = first & 31
        if argument < 24:
            self.at = at + 1
            return first >> 5, argument
        return first >> 5, self._long_argument(at, argument)

    def _long_argument(self, at: int, information: int) -> int:
        width = _WIDTH.get(information, 0)
        stop = at + 1 + width
        if not width or stop > self.end:
            raise FormatError("an item has an indefinite, reserved or cut off length")
        argument = int.from_bytes(self.data[at + 1 : stop], "big")
        if argument < _SHORTEST[information]:
            raise FormatError("a length is not in its shortest form")
        self.at = stop
        return argument

    def expect(self, major: int) -> int:
        """The argument of the item here, which must be of type ``major``."""
        found, argument = self.head()
        if found != major:
            raise FormatError(f"expected an item of major type {major}, found {found}")
        return argument

    def integer(self) -> int:
        """The integer here."""
        major, argument = self.head()
        if major > NEGATIVE:
            raise FormatError(f"expected an integer, found an item of major type {major}")
        return argument if major == UNSIGNED else -1 - argument

    def span(self) -> tuple[int, int]:
        """Start and stop of the contents of the byte string here; moves behind it."""
        length = self.expect(BYTES)
        start = self.at
        if length > self.end - start:
            raise FormatError(f"a byte string of {length} bytes has only {self.end - start}")
        self.at = start + length
        return start, self.at

    def spans(self, count: int) -> list[tuple[int, int]]:
        """The spans of ``count`` byte strings here: a block has many, so the usual heads are read in place."""
        data, found = self.data, []
        for _ in range(count):
            at, end = self.at, self.end
            first = data[at] if at + 2 < end else 0
            if 0x40 <= first < 0x58:
                start, length = at + 1, first - 0x40
            elif first == 0x58 and data[at + 1] >= 24:
                start, length = at + 2, data[at + 1]
            elif first == 0x59 and data[at + 1]:
                start, length = at + 3, data[at + 1] << 8 | data[at + 2]
            else:
                found.append(self.span())
                continue
            if length > end - start:
                raise FormatError(f"a byte string of {length} bytes has only {end - start}")
            self.at = start + length
            found.append((start, self.at))
        return found

    def contents(self) -> bytes:
        """A copy of the contents of the byte string here."""
        start, stop = self.span()
        return self.data[start:stop]

    def finish(self) -> None:
        """All bytes must have been used."""
        if self.at != self.end:
            raise FormatError(f"{self.end - self.at} bytes are left over")


def _refuse_tag(_decoder: object, _tag: object = None) -> Any:
    raise FormatError("a tag that is not known here")


# cbor2 decodes these by itself unless told otherwise; 2 and 3 are the big integers.
_TAGS_REFUSED: Any = dict.fromkeys(
    (0, 1, 4, 5, 24, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799), _refuse_tag
)


def encode_value(value: Any) -> bytes:
    """One checked value as CBOR (see ``check_value``, ``plain_value``)."""
    return cbor2.dumps(value)


def decode_value(data: bytes) -> Any:
    """The value that ``data`` holds, nothing before or behind it; ``FormatError`` if it is not allowed here."""
    value = decode_structure(data)
    trouble = find_trouble(value, CBOR_DEPTH_MAX + 1)
    if trouble:
        raise FormatError(trouble)
    return value


def decode_structure(data: bytes) -> Any:
    """Like ``decode_value``, for a caller who looks at every type in it: simple values and byte keys may occur."""
    return load(io.BytesIO(data), len(data), _refuse_tag)


def load(stream: io.BytesIO, size: int, tag_hook: Any, read_size: int = 4_096) -> Any:
    """The structure that a stream of ``size`` bytes holds; what becomes of tags is the hook's matter."""
    try:
        value = cbor2.load(
            stream,
            tag_hook=tag_hook,
            semantic_decoders=_TAGS_REFUSED,
            read_size=read_size,
            max_depth=CBOR_DEPTH_MAX + 2,  # a column's list around the value, and cbor2 counts the value itself
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )
    except (cbor2.CBORDecodeError, FormatError, ValueError, OverflowError, MemoryError, RecursionError) as error:
        reason = error.__cause__ if isinstance(error.__cause__, FormatError) else error  # a hook's own words
        raise FormatError(f"not the CBOR that is written here: {reason}") from error
    if stream.tell() != size:
        raise FormatError(f"{size - stream.tell()} bytes are left over behind a value")
    return value


def find_trouble(value: Any, depth_max: int) -> str:
    """What makes ``value`` unfit for the log, or nothing."""
    kind = type(value)
    if kind in LEAVES:
        return ""
    if depth_max <= 0:
        return f"nested deeper than {CBOR_DEPTH_MAX}"
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            return f"a map key that is not text: {next(key for key in value if type(key) is not str)!r}"
        inner = value.values()
    elif kind is list or kind is tuple:
        inner = value
    else:
        return f"a value of type {kind.__name__}: {value!r:.80}"
    kinds = set(map(type, inner))
    if kinds <= LEAVES or (len(kinds) == 1 and depth_max > 1 and _are_flat(kinds.pop(), inner)):
        return ""
    for item in inner:
        if type(item) not in LEAVES and (trouble := find_trouble(item, depth_max - 1)):
            return trouble
    return ""


def _are_flat(kind: type, values: Any) -> bool:
    """Whether lists or maps, all of one type, hold nothing but leaves: asked of thousands of them at once."""
    if kind is dict:
        if not _TEXT.issuperset(map(type, chain.from_iterable(values))):
            return False
        values = map(dict.values, values)
    elif kind is not list:
        return False
    return LEAVES.issuperset(map(type, chain.from_iterable(values)))


def plain_value(value: Any, depth_max: int = CBOR_DEPTH_MAX) -> Any:
    """``value`` made of plain types: enums, numpy scalars and subclasses become what they stand for.

    Tuples become lists. Sets, dates, objects and maps with other than text keys raise ``UsageError``.
    """
    kind = type(value)
    if kind in LEAVES:
        return value
    if depth_max <= 0:
        raise UsageError(f"a payload may be nested {CBOR_DEPTH_MAX} deep, this one is deeper")
    if isinstance(value, dict):
        return {_plain_key(key): plain_value(item, depth_max - 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(item, depth_max - 1) for item in value]
    return _plain_leaf(value)


def _plain_key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise UsageError(f"the keys of a payload are text; {key!r} is not. Write str(key)?")


def _plain_leaf(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)  # the base type's own method: an enum's would give its name, not its value
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        converted = value.tolist()
        if type(converted) is not type(value):
            return plain_value(converted)
    raise UsageError(
        f"a payload cannot hold {value!r:.80} of type {type(value).__name__}: "
        "it takes None, bool, int, float, text, bytes, lists and maps with text keys"
    )
