"""References: long values that stand earlier in the same segment, read back.

    tag 28020 [block, column, start, length]        stands in place of a value

``block`` is the offset of a frame in the segment, 0 for the block that the reference is in; ``column`` counts
that block's columns from 0, which is its positions; ``start`` and ``length`` are bytes in what holds the
values of that column (`contents`): one CBOR item, or, in a column of texts, one text without a head.

What always holds: a reference goes back: to a block before, to a column before, or to bytes before it in its
own column; so following them ends. What one column's references stand for is at most ``FRAME_BYTES_MAX``
when written out, what a block's do together as well: a few bytes do not unpack into more than a frame holds.
Anything else is a ``FormatError``. Values that are read may share maps and lists: who gets them changes none.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from matrix.errors import FormatError, LogCorrupt
from matrix.limits import CBOR_DEPTH_MAX, FRAME_BYTES_MAX, REFERENCE_STEPS_MAX, REFERENCED_BYTES_KEPT_MAX
from matrix.log import items
from matrix.log.columns import BINARY, CONSTANT, DICTIONARY, OPTIONAL, PLAIN, TEXT, ZSTD
from matrix.log.integers import DEPTH_MAX, form_code, unsqueezed
from matrix.log.items import ARRAY, BYTES, LEAVES, MAP, TAG, Cursor, head, integer

REFERENCE_TAG: Final = 28_020  # "mt"
_PARTS: Final = 4
REFERENCE_HEAD: Final = head(TAG, REFERENCE_TAG) + head(ARRAY, _PARTS)  # what no text or other value begins with
_OPEN_MAX: Final = 4  # blocks and columns that are kept at hand: values mostly come from the same few
_READ_BYTES: Final = 4_096  # what cbor2 reads ahead; 1 tells where in the data it is, at a third of the speed

#: A column as it lies: ``data[start:stop]``.
Stored: TypeAlias = tuple[bytes, int, int]


class Place(NamedTuple):
    """Where a value stands in a segment."""

    block: int
    column: int
    start: int
    length: int

    def encode(self, block: int) -> bytes:
        """As a reference in the block at an offset."""
        parts = (0 if self.block == block else self.block, *self[1:])
        return b"".join((REFERENCE_HEAD, *map(integer, parts)))


def reference_bytes(data: bytes, start: int, stop: int) -> int:
    """How long the reference at ``start`` is."""
    cursor = Cursor(data, start + len(REFERENCE_HEAD), stop)
    for _ in range(_PARTS):
        cursor.integer()
    return cursor.at - start


class Near(NamedTuple):
    """The block that references are read in: its offset, and its columns by their number."""

    block: int
    column: Callable[[int], Stored]


class Known(NamedTuple):
    """A value that was read: the bytes it takes written out, how deep it is nested, and how far references led."""

    value: Any
    size: int
    depth: int
    steps: int = 0


class Contents(NamedTuple):
    """The bytes that hold the values of a column, of its form ``code``; ``is_words``: those of a dictionary."""

    code: int
    data: bytes
    start: int
    stop: int
    is_words: bool = False


def contents(stored: Stored) -> Contents:
    """What holds the values of a column, whatever is around it: presence, a dictionary, compression."""
    cursor, is_words = Cursor(*stored), False
    for depth in range(DEPTH_MAX, 0, -1):
        code = form_code(cursor, *cursor.head(), depth)
        if code == ZSTD:
            cursor = Cursor(unsqueezed(cursor))
        elif code == OPTIONAL:
            _skip(cursor, 2)
        elif code == DICTIONARY:
            cursor.integer()
            is_words = True
        elif code in (TEXT, BINARY):
            _skip(cursor, 1)  # the lengths
            return Contents(code, cursor.data, *cursor.span(), is_words)
        elif code in (CONSTANT, PLAIN):
            return Contents(code, cursor.data, *cursor.span(), is_words)
        else:
            break
    raise FormatError("a reference to a column that holds no such values")


def _skip(cursor: Cursor, count: int) -> None:
    """Move behind items."""
    while count:
        major, argument = cursor.head()
        count -= 1
        if major in (BYTES, items.TEXT):
            if argument > cursor.end - cursor.at:
                raise FormatError("an item is cut off")
            cursor.at += argument
        elif major == ARRAY:
            count += argument
        elif major == TAG:
            count += 1
        elif major == MAP:
            raise FormatError("a map within a column")


class Kept:
    """Values that were referred to, kept for the next time: up to so many bytes as they are written; any thread."""

    def __init__(self, bytes_max: int = REFERENCED_BYTES_KEPT_MAX) -> None:
        self._bytes_max = bytes_max
        self._values: OrderedDict[tuple[int, ...], tuple[Known, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: tuple[int, ...]) -> Known | None:
        with self._lock:
            found = self._values.get(key)
            if found is None:
                return None
            self._values.move_to_end(key)
            return found[0]

    def add(self, key: tuple[int, ...], known: Known, cost: int) -> None:
        with self._lock:
            if key not in self._values:
                self._values[key] = (known, cost)
                self._bytes += cost
            while self._bytes > self._bytes_max:
                self._bytes -= self._values.popitem(last=False)[1][1]

    def clear(self) -> None:
        with self._lock:
            self._values.clear()
            self._bytes = 0


class References:
    """What the references in one segment stand for, each read when it is first met.

    ``fetch(offset)`` opens a block of the segment and gives its columns by their number; ``segment`` tells its
    values apart from those of other segments in a ``Kept`` that several share.
    """

    def __init__(
        self, fetch: Callable[[int], Callable[[int], Stored]], kept: Kept | None = None, segment: tuple[int, ...] = ()
    ) -> None:
        self._fetch, self._segment = fetch, segment
        self._kept = Kept() if kept is None else kept
        self._blocks: OrderedDict[int, Callable[[int], Stored]] = OrderedDict()
        self._contents: OrderedDict[tuple[int, int], Contents] = OrderedDict()
        self._lock = threading.Lock()

    def decode(self, data: bytes, near: Near, column: int, *, base: int = 0, steps: int = 0) -> Known:
        """The value in ``data``, which stands ``base`` bytes into the contents of a column of ``near``."""
        value, found = _loaded(data, _READ_BYTES)
        if any(not one.place.block and one.place.column == column for one in found):
            value, found = _loaded(data, 1)  # once more: where in the data each stands
        for one in found:
            _check_goes_back(one, near.block, column, base)
        filling = _Filling(self, near, steps)
        value, depth = filling.filled(value, CBOR_DEPTH_MAX + 1)
        return Known(value, len(data) + filling.extra, depth, filling.led)

    def value(self, place: Place, near: Near, steps: int) -> Known:
        """What stands at a place, which a reference in ``near`` names after so many others were followed."""
        _check_steps(steps)  # before it is followed: so that following ends soon
        at = place if place.block else place._replace(block=near.block)
        key = (*self._segment, *at)
        known = self._kept.get(key)
        if known is None:
            if at.block != near.block:
                near = Near(at.block, self._open(at.block))
            known = self._read(at, near, steps)
            self._kept.add(key, known, at.length)
        _check_steps(steps + known.steps)  # and behind: so that it does not matter what was known
        return known

    def _read(self, place: Place, near: Near, steps: int) -> Known:
        held = self._contents_of(near, place.column)
        start = held.start + place.start
        if not place.length or start + place.length > held.stop:
            raise FormatError(f"a reference to {place.length} bytes that its column does not have")
        data = held.data[start : start + place.length]
        if held.code == TEXT:
            try:
                return Known(data.decode(), place.length, 0)
            except UnicodeDecodeError as error:
                raise FormatError("a reference to a text that is not UTF-8") from error
        if held.code == BINARY:
            return Known(data, place.length, 0)
        return self.decode(data, near, place.column, base=place.start, steps=steps + 1)

    def _open(self, block: int) -> Callable[[int], Stored]:
        with self._lock:
            found = self._blocks.get(block)
            if found is not None:
                self._blocks.move_to_end(block)
                return found
        try:
            opened = self._fetch(block)
        except LogCorrupt as error:
            raise FormatError(f"a reference to byte {block}: {error.expected}") from error
        with self._lock:
            self._blocks[block] = opened
            if len(self._blocks) > _OPEN_MAX:
                self._blocks.popitem(last=False)
        return opened

    def _contents_of(self, near: Near, column: int) -> Contents:
        key = (near.block, column)
        with self._lock:
            found = self._contents.get(key)
            if found is not None:
                self._contents.move_to_end(key)
                return found
        found = contents(near.column(column))
        with self._lock:
            self._contents[key] = found
            if len(self._contents) > _OPEN_MAX:
                self._contents.popitem(last=False)
        return found


def _check_steps(steps: int) -> None:
    if steps >= REFERENCE_STEPS_MAX:
        raise FormatError(f"a reference leads to another, and so on for more than {REFERENCE_STEPS_MAX} steps")


class Source:
    """Where a column is decoded that may hold references; counts what they stand for."""

    __slots__ = ("column", "extra", "near", "references")

    def __init__(self, references: References, near: Near, column: int) -> None:
        self.references, self.near, self.column = references, near, column
        self.extra = 0  # bytes

    def decode(self, data: bytes) -> Any:
        """The value in all of the column's contents."""
        if REFERENCE_HEAD not in data:
            return items.decode_value(data)
        known = self.references.decode(data, self.near, self.column)
        self.extra += known.size - len(data)
        return known.value


# -- reading one value ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """A reference where it was found: it ends so many bytes into the data that was decoded, or a bit before."""

    place: Place
    end: int


def _loaded(data: bytes, read_size: int) -> tuple[Any, list[_Found]]:
    stream = io.BytesIO(data)
    found: list[_Found] = []

    def met(tag: Any, _is_immutable: bool) -> _Found:
        parts = tag.value
        if tag.tag != REFERENCE_TAG:
            raise FormatError("a tag that is not known here")
        if type(parts) not in (list, tuple) or len(parts) != _PARTS or not all(map(_is_part, parts)):
            raise FormatError("a reference that is not four numbers")
        found.append(_Found(Place(*parts), stream.tell()))
        return found[-1]

    return items.load(stream, len(data), met, read_size), found


def _is_part(part: Any) -> bool:
    return type(part) is int and 0 <= part < 2**63


def _check_goes_back(one: _Found, block: int, column: int, base: int) -> None:
    place = one.place
    if place.block:
        goes_back = place.block < block
    elif place.column == column:
        goes_back = place.start + place.length <= base + one.end - len(place.encode(-1))
    else:
        goes_back = place.column < column
    if not goes_back:
        raise FormatError("a reference does not go back to what was written before it")


class _Filling:
    """Puts values in place of references and checks all others."""

    def __init__(self, references: References, near: Near, steps: int) -> None:
        self._references, self._near, self._steps = references, near, steps
        self.extra = 0
        self.led = 0  # steps

    def filled(self, value: Any, room: int) -> tuple[Any, int]:
        """The value without references, and how deep it is; ``room`` is how deep it may be."""
        kind = type(value)
        if kind in LEAVES:
            return value, 0
        if kind is _Found:
            known = self._references.value(value.place, self._near, self._steps)
            self.extra += known.size
            self.led = max(self.led, known.steps + 1)
            if self.extra > FRAME_BYTES_MAX:
                raise FormatError(f"references stand for more than the {FRAME_BYTES_MAX} bytes that a frame holds")
            if known.depth > room:
                raise FormatError(f"nested deeper than {CBOR_DEPTH_MAX}")
            return known.value, known.depth
        if room <= 0:
            raise FormatError(f"nested deeper than {CBOR_DEPTH_MAX}")
        return value, 1 + self._fill(value, kind, room - 1)

    def _fill(self, value: Any, kind: type, room: int) -> int:
        """Fills a list or map; returns how deep its deepest element is."""
        if kind is dict:
            if not {str}.issuperset(map(type, value)):
                raise FormatError("a map key that is not text")
            inner: Iterator[tuple[Any, Any]] = iter(list(value.items()))
            kinds = set(map(type, value.values()))
        elif kind is list:
            inner, kinds = enumerate(value), set(map(type, value))
        else:
            raise FormatError(f"a value of type {kind.__name__}")
        deepest = 0
        if kinds <= LEAVES:
            return deepest
        for key, item in inner:
            if type(item) not in LEAVES:
                value[key], depth = self.filled(item, room)
                deepest = max(deepest, depth)
        return deepest


def fresh(value: Any) -> Any:
    """The value with lists and maps of its own: for whoever may change them."""
    kind = type(value)
    if kind is dict:
        return {key: fresh(item) for key, item in value.items()}
    if kind is list:
        return [fresh(item) for item in value]
    return value
