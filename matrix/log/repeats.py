"""Repeats: what a writer does so that a segment holds a long value once, however many events have it.

It looks at texts, byte strings, lists and maps of ``LONG_VALUE_BYTES_MIN`` and more bytes, each by a hash of its
encoded bytes. One that is new stays where it is, written as ever, and its place is noted; one that stands in the
segment becomes a reference to that place (see ``references``). So a segment in which nothing long recurs is what it
would be without this file.

What always holds: a reference goes to bytes that were written before it in the same segment, or stand before it
in the same block; places in what was taken back are forgotten (``cut``); what a block's columns and references stand
for together fits a frame, or ``TooLarge`` says so before much memory is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any, Final

import numpy as np

from matrix.errors import FormatError, LogCorrupt
from matrix.limits import FRAME_BYTES_MAX, LONG_VALUE_BYTES_MIN, LONG_VALUE_DEPTH_MAX, LONG_VALUES_KEPT_MAX
from matrix.log import items
from matrix.log.block import Block
from matrix.log.columns import BINARY, CONSTANT, PLAIN, TEXT, binary, form
from matrix.log.items import ARRAY, BYTES, MAP, byte_string, head
from matrix.log.references import REFERENCE_HEAD, Contents, Place, contents, reference_bytes
from matrix.log.rows import TooLarge

_CHUNK: Final = 256  # values that are encoded before their lengths are looked at
_LETTER_BYTES_MAX: Final = 5  # 4 in UTF-8, and a share of the text's head
_MAJOR: Final = {TEXT: items.TEXT, BINARY: BYTES}


class Repeats:
    """The long values of a segment that is written, and where they stand.

    ``begin`` says which block comes next; ``column`` is set to the number of the column that is encoded.
    """

    def __init__(self, earlier: Callable[[], Iterable[Block]] | None = None) -> None:
        """``earlier`` gives the blocks that the segment has already; they are read when a long value comes."""
        self._earlier = earlier
        self._places: dict[bytes, Place] = {}  # in the order of the segment
        self._block = 0
        self.column = 0
        self.extra = 0  # bytes that the references of this block stand for, beyond their own
        self.is_referring = False

    def begin(self, block: int) -> None:
        """The block at this offset is packed next."""
        self._block, self.extra, self.is_referring = block, 0, False

    def cut(self, offset: int) -> None:
        """Forget what stands at this byte of the segment or behind."""
        places = self._places
        while places:
            key, place = places.popitem()
            if place.block < offset:
                places[key] = place
                return

    # -- what is written ----------------------------------------------------------------------

    def plain(self, values: Sequence[Any]) -> bytes:
        """The contents of a column of any values: a CBOR array."""
        out = bytearray(head(ARRAY, len(values)))
        for start in range(0, len(values), _CHUNK):
            some = values[start : start + _CHUNK]
            encoded = list(map(items.encode_value, some))
            if max(map(len, encoded)) < LONG_VALUE_BYTES_MIN:
                out += b"".join(encoded)
            else:
                for value, item in zip(some, encoded, strict=True):
                    if len(item) < LONG_VALUE_BYTES_MIN:
                        out += item
                    else:
                        self._write_long(out, value, item, 0)
            if len(out) + self.extra > FRAME_BYTES_MAX:
                raise TooLarge(f"values of more than the {FRAME_BYTES_MAX} bytes that a frame holds")
        return bytes(out)

    def constant(self, value: Any) -> bytes:
        """A column of the same text in all rows."""
        out, item = bytearray(), items.encode_value(value)
        if len(item) < LONG_VALUE_BYTES_MIN:
            return form(CONSTANT, byte_string(item))
        self._write_long(out, value, item, 0)
        return form(CONSTANT, byte_string(bytes(out)))

    def strings(self, code: int, lengths: np.ndarray, data: bytes) -> bytes:
        """A column of texts or byte strings, some of them long, that lie one behind the other."""
        stops = np.cumsum(lengths, dtype=np.int64)
        long = np.flatnonzero(lengths >= LONG_VALUE_BYTES_MIN)
        spans = list(zip(long.tolist(), stops[long].tolist(), lengths[long].tolist(), strict=True))
        keys = {row: _key(_head_of(code, length) + data[stop - length : stop]) for row, stop, length in spans}
        if len(set(keys.values())) == len(keys) and not any(map(self._found, keys.values())):
            for row, stop, length in spans:
                self._note(keys[row], stop - length, length)
            return binary(code, lengths, data)
        return form(PLAIN, byte_string(self._strings_one_by_one(code, stops, data, keys)))

    def _strings_one_by_one(self, code: int, stops: np.ndarray, data: bytes, keys: dict[int, bytes]) -> bytes:
        out, start = bytearray(head(ARRAY, len(stops))), 0
        for row, stop in enumerate(stops.tolist()):
            item = _head_of(code, stop - start) + data[start:stop]
            if row not in keys:
                out += item
            elif not self._write_known(out, keys[row], item):
                self._note(keys[row], len(out), len(item))
                out += item
            start = stop
        return bytes(out)

    def _write_long(self, out: bytearray, value: Any, item: bytes, depth: int) -> None:
        """Writes a value whose encoded form ``item`` is long; what of it is known becomes a reference."""
        parts = _Parts.of(value, item, depth)
        key = b"" if parts is not None and parts.is_wrapper else _key(item)
        if key and self._write_known(out, key, item):
            return
        start = len(out)
        if parts is None:
            out += item
        else:
            out += parts.head
            for name, inner, inner_item in parts.each():
                out += name
                if len(inner_item) < LONG_VALUE_BYTES_MIN:
                    out += inner_item
                else:
                    self._write_long(out, inner, inner_item, depth + 1)
        if key:
            self._note(key, start, len(out) - start)

    def _write_known(self, out: bytearray, key: bytes, item: bytes) -> bool:
        place = self._found(key)
        if place is None:
            return False
        reference = place.encode(self._block)
        out += reference
        self.extra += len(item) - len(reference)
        self.is_referring = True
        return True

    # -- what is known ------------------------------------------------------------------------

    def _found(self, key: bytes) -> Place | None:
        if self._earlier is not None:
            self._learn()
        return self._places.get(key)

    def _note(self, key: bytes, start: int, length: int) -> None:
        """A value stands here from now on; of too many the oldest is forgotten, and written again if it comes."""
        if len(self._places) >= LONG_VALUES_KEPT_MAX:
            del self._places[next(iter(self._places))]
        self._places[key] = Place(self._block, self.column, start, length)

    # -- what was written before this writer ---------------------------------------------------

    def _learn(self) -> None:
        """Notes the long values of the blocks that the segment has already."""
        assert self._earlier is not None, "there is something to learn from"
        blocks, self._earlier = self._earlier(), None
        before = (self._block, self.column)
        for block in blocks:
            self._block = block.ref.offset
            for kind, name, self.column in block.payload_columns():
                try:
                    self._learn_column(block, kind, name)
                except (FormatError, LogCorrupt):
                    continue  # its values are not shared with later ones; whoever reads it is told
        self._block, self.column = before

    def _learn_column(self, block: Block, kind: str, name: str) -> None:
        stored = block.stored(self.column)
        if stored[2] - stored[1] < LONG_VALUE_BYTES_MIN:
            return
        held = contents(stored)
        if held.code in _MAJOR:
            self._learn_strings(held, block, kind, name)
            return
        value = block.decoded(self.column, held.data[held.start : held.stop])
        _Following(self, held).follow(value)

    def _learn_strings(self, held: Contents, block: Block, kind: str, name: str) -> None:
        column = block.cells(kind, name, is_coded=True)
        assert column is not None, "the block has this column"
        texts = column.dense.dictionary if held.is_words else column.dense
        offsets = np.frombuffer(texts.buffers()[1], np.int32)[texts.offset : texts.offset + len(texts) + 1]
        lengths = np.diff(offsets)
        for row in np.flatnonzero(lengths >= LONG_VALUE_BYTES_MIN).tolist():
            start, length = int(offsets[row]), int(lengths[row])
            at = held.start + start
            self._learn_one(_key(_head_of(held.code, length) + held.data[at : at + length]), start, length)

    def _learn_one(self, key: bytes, start: int, length: int) -> None:
        if key not in self._places:
            self._note(key, start, length)


class _Following:
    """Goes through the contents of a column along the value that they hold, and notes where its long parts stand."""

    def __init__(self, repeats: Repeats, held: Contents) -> None:
        self._repeats, self._data, self._base, self._stop = repeats, held.data, held.start, held.stop
        self._at = held.start

    def follow(self, value: Any) -> None:
        """The value is a column's list of values, or the one value of a constant."""
        if type(value) is list:
            self._expect(head(ARRAY, len(value)))
            for one in value:
                self._value(one, items.encode_value(one), 0)
        else:
            self._value(value, items.encode_value(value), 0)

    def _value(self, value: Any, item: bytes, depth: int) -> None:
        if self._data.startswith(REFERENCE_HEAD, self._at, self._stop):
            self._at += reference_bytes(self._data, self._at, self._stop)
            return
        if len(item) < LONG_VALUE_BYTES_MIN:
            self._expect(item)
            return
        start, parts = self._at, _Parts.of(value, item, depth)
        if parts is None:
            self._expect(item)
        else:
            self._expect(parts.head)
            for name, inner, inner_item in parts.each():
                self._expect(name)
                self._value(inner, inner_item, depth + 1)
        if parts is None or not parts.is_wrapper:
            self._repeats._learn_one(_key(item), start - self._base, self._at - start)

    def _expect(self, item: bytes) -> None:
        if not self._data.startswith(item, self._at, self._stop):
            raise FormatError("values that another writer encodes otherwise")
        self._at += len(item)


class _Parts:
    """A list or map some of whose elements are long.

    ``is_wrapper``: one element is nearly all of it, so it is enough to look that one up. A map around a prompt, a
    list around the map.
    """

    __slots__ = ("_encoded", "_value", "head", "is_wrapper")

    def __init__(self, value: Any, encoded: list[bytes], size: int) -> None:
        self._value, self._encoded = value, encoded
        self.head = head(MAP if type(value) is dict else ARRAY, len(value))
        self.is_wrapper = max(map(len, encoded)) * 4 > size * 3

    @classmethod
    def of(cls, value: Any, item: bytes, depth: int) -> _Parts | None:
        """The parts of a value that is encoded as ``item``; None where it has no long ones."""
        if type(value) not in _NESTED or depth >= LONG_VALUE_DEPTH_MAX or _is_made_of_short(value):
            return None
        encoded = list(map(items.encode_value, value.values() if type(value) is dict else value))
        has_long = max(map(len, encoded), default=0) >= LONG_VALUE_BYTES_MIN
        return cls(value, encoded, len(item)) if has_long else None

    def each(self) -> Iterator[tuple[bytes, Any, bytes]]:
        """Each element behind its encoded name, which is nothing in a list, and as it is encoded."""
        if type(self._value) is dict:
            return zip(map(_encoded_name, self._value), self._value.values(), self._encoded, strict=True)
        return zip(repeat(b""), self._value, self._encoded, strict=False)


_NESTED: Final = (dict, list, tuple)
_SIZED: Final = frozenset({str, bytes})


def _is_made_of_short(value: Any) -> bool:
    """Whether nothing in a list or map can be long: seen without encoding its elements once more."""
    inner = value.values() if type(value) is dict else value
    if not items.LEAVES.issuperset(map(type, inner)):
        return False
    longest = max(map(len, [one for one in inner if type(one) in _SIZED]), default=0)
    return longest * _LETTER_BYTES_MAX < LONG_VALUE_BYTES_MIN


def _key(item: bytes) -> bytes:
    """What stands for a value: equal for equal encoded bytes, and for no others that anyone can find."""
    return hashlib.blake2b(item, digest_size=16).digest()


_encoded_name = lru_cache(4_096)(items.encode_value)  # keys of maps, mostly the same ones


def _head_of(code: int, length: int) -> bytes:
    return head(_MAJOR[code], length)
