"""References from a stranger: ones that go forward, in a circle, nowhere, or stand for far more than they take."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from matrix.errors import FormatError, LogCorrupt
from matrix.event import Event
from matrix.log import columns
from matrix.log.block import Block, BlockRef
from matrix.log.frame import FrameKind, Header, crc, encode_prefix
from matrix.log.items import ARRAY, byte_string, head
from matrix.log.pack import BLOCK_COLUMNS, pack
from matrix.log.references import Place, References, Stored
from matrix.log.repeats import Repeats
from matrix.log.rows import rows_from_events
from matrix.log.segment import Walk
from matrix.log.verify import verify_block, verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.histories import LOG, events, read_all
from tests.log.test_repeats import SEGMENT, asked

FIRST = len(BLOCK_COLUMNS)  # the number of the first payload column
HERE, BEFORE = 5_000, 1_000  # bytes at which two blocks stand


def reference(*parts: Any) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(28_020, list(parts)))


def listed(*values: bytes) -> bytes:
    """A column of these encoded values."""
    return columns.form(columns.PLAIN, byte_string(head(ARRAY, len(values)) + b"".join(values)))


def payload_of(*fields: bytes, rows: int) -> bytes:
    """A block of ``rows`` events with these payload columns."""
    data = {f"f{n}": n for n in range(len(fields))}
    good = pack(rows_from_events([Event(1, n, 0, 0, 0, 0, 0, 0, 0, "note", (), data) for n in range(rows)]), 1).payload
    parts = cbor2.loads(good)
    return cbor2.dumps([*parts[: 1 + FIRST], *fields])


def fetching(blocks: dict[int, bytes]) -> References:
    def fetch(offset: int) -> Callable[[int], Stored]:
        if offset not in blocks:
            raise LogCorrupt("x", offset, "a block is expected here")
        return block_at(offset, blocks[offset], references).stored

    references = References(fetch)
    return references


def block_at(offset: int, payload: bytes, references: References | None) -> Block:
    ref = BlockRef(1, 1, 0, offset)
    facts: dict[str, Any] = {"length": 1, "first": 1, "last": 40, "references": references}
    block = Block(payload, 0, len(payload), path=Path("x.seg"), ref=ref, **facts)
    block.last_position = block.count
    return block


TEXT = columns.encode_values(["some text", "é" * 20])
LIST = listed(cbor2.dumps({"a": [1, 2]}), cbor2.dumps("second"))
NUMBERS = columns.encode_values([7, 900])


def opened(*fields: bytes, before: tuple[bytes, ...] = (TEXT, LIST, NUMBERS)) -> Block:
    """A block of two events, behind another that has columns of texts, of values and of numbers."""
    return block_at(HERE, payload_of(*fields, rows=2), fetching({BEFORE: payload_of(*before, rows=2)}))


def test_references_reach_texts_values_and_parts_of_values() -> None:
    block = opened(
        listed(reference(BEFORE, FIRST, 0, 9), reference(BEFORE, FIRST, 9, 40)),
        listed(reference(BEFORE, FIRST + 1, 1, 6), cbor2.dumps({"b": 1})[:3] + reference(BEFORE, FIRST + 1, 4, 3)),
        listed(cbor2.dumps("own text"), reference(0, FIRST + 2, 1, 9)),
        columns.form(columns.CONSTANT, byte_string(reference(0, FIRST + 2, 1, 9))),
    )
    assert [event.data for event in block.events()] == [
        {"f0": "some text", "f1": {"a": [1, 2]}, "f2": "own text", "f3": "own text"},
        {"f0": "é" * 20, "f1": {"b": [1, 2]}, "f2": "own text", "f3": "own text"},
    ]


WRONG = {
    "forward to another block": (reference(HERE + 1, FIRST, 0, 9), "does not go back"),
    "to the same block by its place": (reference(HERE, FIRST, 0, 9), "does not go back"),
    "forward to another column": (reference(0, FIRST + 1, 0, 3), "does not go back"),
    "to itself": (reference(0, FIRST, 2, 10), "does not go back"),
    "to the list that holds it": (reference(0, FIRST, 0, 12), "does not go back"),
    "forward in its own column": (reference(0, FIRST, 12, 1), "does not go back"),
    "where no block is": (reference(BEFORE + 1, FIRST, 0, 9), f"byte {BEFORE + 1}: a block is expected here"),
    "more than the column has": (reference(BEFORE, FIRST, 9, 41), "41 bytes that its column does not have"),
    "behind the column": (reference(BEFORE, FIRST, 2**40, 1), "that its column does not have"),
    "to nothing": (reference(BEFORE, FIRST, 0, 0), "that its column does not have"),
    "a part of a letter": (reference(BEFORE, FIRST, 9, 3), "not UTF-8"),
    "a part of a value": (reference(BEFORE, FIRST + 1, 1, 5), "not the CBOR"),
    "two values": (reference(BEFORE, FIRST + 1, 4, 10), "left over"),
    "a column of numbers": (reference(BEFORE, FIRST + 2, 0, 1), "holds no such values"),
    "the time of events": (reference(BEFORE, 3, 0, 1), "has no values in column 3"),
    "a column too many": (reference(BEFORE, FIRST + 3, 0, 1), "has no values in column 16"),
    "three numbers": (reference(BEFORE, FIRST, 0), "not known here"),
    "a number below 0": (reference(BEFORE, FIRST, -1, 9), "not four numbers"),
    "no numbers": (reference(BEFORE, FIRST, True, 9), "not four numbers"),
    "another tag": (cbor2.dumps(cbor2.CBORTag(28_021, [BEFORE, FIRST, 0, 9])), "not known here"),
    "a key of a map": (b"\xa1" + reference(BEFORE, FIRST, 0, 9) + b"\x01", "not text|not the CBOR"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_reference_that_cannot_be_is_refused_with_its_place(name: str) -> None:
    wrong, message = WRONG[name]
    block = opened(listed(wrong, b"\x01"), listed(b"\x01", b"\x02"))
    with pytest.raises(LogCorrupt, match=f"x.seg: at byte {HERE}: the block here does not decode: .*({message})"):
        verify_block(block)
    constant = opened(columns.form(columns.CONSTANT, byte_string(wrong)), TEXT)
    with pytest.raises(LogCorrupt, match=f"at byte {HERE}"):
        verify_block(constant)


def test_a_block_that_says_it_has_no_references_has_none() -> None:
    payload = payload_of(listed(b"\x01", reference(BEFORE, FIRST, 0, 9)), rows=2)
    with pytest.raises(LogCorrupt, match="a tag that is not known here"):
        verify_block(block_at(HERE, payload, None))


def test_a_dictionary_of_references_holds_text() -> None:
    codes = columns.encode_integers(columns.integers_of([0, 0]))
    words = listed(reference(BEFORE, FIRST, 0, 9))
    good = opened(columns.form(columns.DICTIONARY, b"\x01", words, codes))
    assert [event.data["f0"] for event in good.events()] == ["some text"] * 2
    bad = opened(columns.form(columns.DICTIONARY, b"\x01", listed(reference(BEFORE, FIRST + 1, 1, 6)), codes))
    with pytest.raises(LogCorrupt, match="a dictionary holds text"):
        verify_block(bad)


def test_a_long_chain_of_references_is_refused() -> None:
    values = [cbor2.dumps(["end"])]
    while len(values) < 20:
        start = 1 + sum(map(len, values[:-1]))
        values.append(head(ARRAY, 1) + reference(0, FIRST, start, len(values[-1])))
    column = columns.form(columns.PLAIN, byte_string(head(ARRAY, 20) + b"".join(values)))
    block = block_at(HERE, payload_of(column, rows=20), fetching({}))
    with pytest.raises(LogCorrupt, match="for more than 16 steps"):
        list(block.events())


def test_values_that_are_too_deep_only_with_what_they_refer_to_are_refused() -> None:
    deep: Any = "end"
    for _ in range(40):
        deep = [deep]
    nested = cbor2.dumps(deep)
    before = (listed(nested, nested),)
    fine = opened(
        listed(reference(BEFORE, FIRST, 1, len(nested)), b"\x81" * 24 + reference(BEFORE, FIRST, 1, len(nested))),
        before=before,
    )
    assert len(list(fine.events())) == 2
    block = opened(listed(b"\x81" * 25 + reference(BEFORE, FIRST, 1, len(nested)), b"\x01"), before=before)
    with pytest.raises(LogCorrupt, match="nested deeper than 64"):
        list(block.events())


def bomb() -> Block:
    """Ten values of which each refers ten times to the one before: 10 GB in 2 kB."""
    values = [cbor2.dumps("x" * 1_000)]
    while len(values) < 8:
        start = 2 + sum(map(len, values[:-1])) - 1
        values.append(head(ARRAY, 10) + 10 * reference(0, FIRST, start, len(values[-1])))
    column = columns.form(columns.PLAIN, byte_string(head(ARRAY, 8) + b"".join(values)))
    return block_at(HERE, payload_of(column, rows=8), fetching({}))


def many() -> Block:
    """Columns that stand for 10 MB each."""
    text = columns.encode_values(["x" * 1_000_000, "y"])
    refers = listed(head(ARRAY, 10) + 10 * reference(BEFORE, FIRST, 0, 1_000_000), b"\x01")
    return opened(*[refers] * 200, before=(text,))


@pytest.mark.parametrize("made", [bomb, many])
def test_few_bytes_that_stand_for_gigabytes_are_refused_cheaply(made: Callable[[], Block]) -> None:
    block = made()
    tracemalloc.start()
    try:
        with pytest.raises(LogCorrupt, match="stand for more than the 16777216 bytes that a frame holds"):
            list(block.events())
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_changed_bytes_in_blocks_with_references_end_in_events_or_in_log_corrupt() -> None:
    repeats, offset, blocks = Repeats(), 100, {}
    for simulation in range(1, 4):
        packed = pack(rows_from_events(asked(simulation) + events(3, 3)), 1, repeats=repeats, offset=offset)
        blocks[offset] = packed.payload
        offset += 20_000
    draw, refused = random.Random(5), 0
    last = blocks[offset - 20_000]
    assert len(last) < 1_200
    for _ in range(1_500):
        changed = bytearray(last)
        for _ in range(draw.choice((1, 1, 2, 5))):
            changed[draw.randrange(len(changed))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        try:
            block = block_at(offset - 20_000, bytes(changed), fetching(blocks))
            verify_block(block)
            list(block.events())
        except LogCorrupt:
            refused += 1
    assert refused > 300


def test_only_frames_of_events_may_say_that_they_refer() -> None:
    disk = MemoryDisk()
    with Writer.open(LOG, shard=1, disk=disk) as writer:
        writer.append(rows_from_events(asked(1)))
    walk = Walk(disk.open(SEGMENT), SEGMENT)
    list(walk.frames())
    place = walk.place
    assert place.chain is not None
    facts = (place.number, place.epoch, 0, place.position, place.position, walk.salt, 0)
    prefix, _ = encode_prefix(Header(FrameKind.MARK, 0, 1, *facts, crc(b"\xf6"), is_referring=True), place.chain)
    disk.put(SEGMENT, disk.bytes_of(SEGMENT) + prefix + b"\xf6")
    assert "with references" in verify_log(LOG, disk=disk)[0].findings[0].message
    assert len(read_all(disk)) == 2


def test_a_reference_says_what_format_md_says() -> None:
    assert Place(1_000, 14, 5, 300).encode(5_000).hex(" ") == "d9 6d 74 84 19 03 e8 0e 05 19 01 2c"
    assert Place(5_000, 14, 5, 300).encode(5_000).hex(" ") == "d9 6d 74 84 00 0e 05 19 01 2c"
    with pytest.raises(FormatError, match="not four numbers"):
        fetching({}).decode(bytes.fromhex("d96d748400f70000"), (HERE, None), FIRST)  # type: ignore[arg-type]
