"""Bytes from a stranger: a block whose checksums match but whose contents were made to hurt."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from pathlib import Path

import pytest

from matrix.errors import FormatError, LogCorrupt
from matrix.log import columns
from matrix.log.block import Block, BlockRef
from matrix.log.cells import decode_cells
from matrix.log.integers import decode_integers
from matrix.log.items import ARRAY, byte_string, head, integer
from matrix.log.pack import pack
from matrix.log.rows import rows_from_events
from matrix.log.segment import Seal, SegmentHead
from matrix.log.verify import verify_block
from tests.log.histories import events


def read_everything(payload: bytes) -> None:
    block = Block(payload, 0, len(payload), path=Path("x"), ref=BlockRef(1, 1, 0, 0), length=1, first=1, last=40)
    verify_block(block)
    list(block.events())
    for name in ("simulation", "time", "seq"):
        block.bounds(name)


@pytest.mark.parametrize("is_compact", [False, True])
def test_changed_bytes_in_a_block_end_in_events_or_in_log_corrupt(is_compact: bool) -> None:
    payload = pack(rows_from_events(events(1, 40)), 1, is_compact=is_compact).payload
    draw = random.Random(3)
    refused = 0
    for _ in range(1_500):
        changed = bytearray(payload)
        for _ in range(draw.choice((1, 1, 2, 5))):
            changed[draw.randrange(len(changed))] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
        try:
            read_everything(bytes(changed))
        except LogCorrupt:
            refused += 1
    assert refused > 300


def test_cut_and_extended_blocks_are_refused() -> None:
    payload = pack(rows_from_events(events(1, 40)), 1).payload
    for size in range(len(payload)):
        with pytest.raises(LogCorrupt):
            read_everything(payload[:size])
    with pytest.raises(LogCorrupt, match="left over"):
        read_everything(payload + b"\0")


def form(code: int, *parts: bytes) -> bytes:
    return b"".join((head(ARRAY, len(parts) + 1), integer(code), *parts))


def nested(depth: int) -> bytes:
    column = one = b"\xd8\x40\x41\x01"
    for _ in range(depth):
        column = form(columns.RUNS, integer(1), column, one)
    return column


BOMBS = {
    "runs longer than the column": form(2, integer(1), b"\xd8\x47\x48" + b"\xff" * 8, b"\xd8\x40\x41\x01"),
    "more runs than rows": form(2, integer(2**60), b"\xd8\x40\x40", b"\xd8\x40\x40"),
    "range beyond 64 bits": form(1, integer(2**63), integer(1)),
    "zstd that claims too much": form(11, integer(2**40), byte_string(b"x")),
    "zstd that is none": form(11, integer(100), byte_string(b"x" * 50)),
    "text lengths beyond the text": form(6, b"\xd8\x47\x48" + b"\xff" * 8, byte_string(b"ab")),
    "code without a value": form(5, integer(1), form(6, b"\xd8\x40\x41\x01", byte_string(b"a")), b"\xd8\x40\x41\x07"),
    "nested without end": nested(40),
    "tag of another array": b"\xd8\x54\x44\0\0\0\0",
    "bits behind the last row": form(8, byte_string(b"\xff")),
}


@pytest.mark.parametrize("name", BOMBS)
def test_columns_made_to_hurt_are_refused_cheaply(name: str) -> None:
    tracemalloc.start()
    try:
        for decode in (decode_cells, decode_integers):
            with pytest.raises(FormatError):
                decode(BOMBS[name], 0, len(BOMBS[name]), 1)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_long_text_repeated_in_every_row_is_not_written_out() -> None:
    text = "x" * 100_000
    for encoded in (columns.constant(text), columns.encode_values([text, "y"] * 32_768)):
        values = decode_cells(encoded, 0, len(encoded), 65_536).values()
        assert isinstance(values, list)
        assert values[0] is values[2] or values[0] == text


def test_heads_and_seals_from_a_stranger_are_refused() -> None:
    head_bytes = SegmentHead(1, 1, 0, 1, 1, 0, 0).encode()
    seal_bytes = Seal(1, 0, 0, b"d" * 16, 5).encode(1234)
    draw = random.Random(4)
    for good, decode in ((head_bytes, SegmentHead.decode), (seal_bytes, lambda b: Seal.decode(b, 0, len(b), 1234))):
        decode(good)
        for _ in range(2_000):
            changed = bytearray(good)
            changed[draw.randrange(len(good))] = draw.randrange(256)
            with contextlib.suppress(FormatError):
                decode(bytes(changed[: draw.choice((len(good), draw.randrange(len(good))))]))
