"""Frame: the unit of commit. A header under its own checksum, then the payload it vouches for.

    58 44  <68 bytes of header>  d8 18 5a <payload length, 4 bytes>  <payload>

Two CBOR items: a byte string of fixed length and an embedded item, so any CBOR tool walks a segment.
What always holds: the header is trusted only after its CRC, and its length only then; the payload only
after its own CRC; ``chain`` is the CRC of this header under the previous frame's chain, so a frame that
is missing, doubled or foreign breaks it. Zeros are not a frame. All CRCs are CRC-32C.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import google_crc32c
import numpy as np

from matrix.errors import FormatError
from matrix.limits import COMPACT_BLOCK_EVENTS_MAX, FRAME_BYTES_MAX

MAGIC: Final = b"MTRX"
FORMAT_VERSION: Final = 1
REFERENCES_VERSION: Final = 2  # of a frame of events whose columns hold references to others of the segment
GROUP_OPEN: Final = 1  # flag: more frames of this transaction follow; without them it never happened

_FIELDS: Final = struct.Struct("<4sBBHIIIIQQQQI")  # up to the payload's CRC: what the chain covers
_CHECKS: Final = struct.Struct("<II")  # chain, CRC of the header
HEADER_BYTES: Final = _FIELDS.size + _CHECKS.size
_OPENING: Final = bytes((0x58, HEADER_BYTES))
_EMBEDDED: Final = struct.Struct(">3sI")
_EMBEDDED_HEAD: Final = b"\xd8\x18\x5a"
FRAME_PREFIX_BYTES: Final = len(_OPENING) + HEADER_BYTES + _EMBEDDED.size

assert HEADER_BYTES == 68


class NewerFormat(FormatError):
    """Intact bytes of a format that this version does not know."""


class FrameKind(IntEnum):
    """What a frame is for."""

    SEGMENT = 1  # the first of each segment
    EVENTS = 2  # a block of events
    MARK = 3  # says what is durable, or ends a transaction; no events
    SEAL = 4  # the last of a sealed segment: directory, counts, digest
    CLOSE = 5  # the writer ended in order


class Header(NamedTuple):
    """What a frame says about itself. ``durable`` is a watermark: all positions up to it survive power loss."""

    kind: int
    flags: int
    payload_bytes: int
    number: int  # of the frame in its segment, from 0
    epoch: int  # of the writer in the shard, from 1
    events: int
    first: int  # position; of frames without events: that of the last event before
    last: int
    salt: int  # of the shard
    durable: int
    payload_crc: int
    chain: int = 0
    is_referring: bool = False  # its columns hold references: it needs the blocks before it


class Frame(NamedTuple):
    """A verified frame: its header, its place in the segment, and ``data[start:stop]`` as payload."""

    header: Header
    offset: int
    data: bytes
    start: int
    stop: int

    @property
    def length(self) -> int:
        """Bytes of the whole frame."""
        return FRAME_PREFIX_BYTES + self.header.payload_bytes

    @property
    def payload(self) -> bytes:
        """A copy of the payload."""
        return self.data[self.start : self.stop]


def crc(data: bytes) -> int:
    """CRC-32C, through google-crc32c: 19 GB/s here where zlib's CRC-32 does 1."""
    return int(google_crc32c.value(data))


def encode_prefix(header: Header, previous_chain: int) -> tuple[bytes, int]:
    """The bytes before the payload, and the chain value that the next frame builds on."""
    fields = _FIELDS.pack(
        MAGIC,
        REFERENCES_VERSION if header.is_referring else FORMAT_VERSION,
        header.kind,
        header.flags,
        header.payload_bytes,
        header.number,
        header.epoch,
        header.events,
        header.first,
        header.last,
        header.salt,
        header.durable,
        header.payload_crc,
    )
    chain = google_crc32c.extend(previous_chain, fields)
    checked = fields + chain.to_bytes(4, "little")
    head = checked + crc(checked).to_bytes(4, "little")
    return b"".join((_OPENING, head, _EMBEDDED.pack(_EMBEDDED_HEAD, header.payload_bytes))), chain


def decode_prefix(data: bytes, at: int, previous_chain: int | None) -> Header:
    """The verified header at ``data[at:]``, which must hold at least ``FRAME_PREFIX_BYTES``.

    ``previous_chain`` is None where the frame before is not known. Raises ``FormatError``.
    """
    start = at + len(_OPENING)
    stop = start + HEADER_BYTES
    checked = data[start : stop - 4]
    if data[at:start] != _OPENING or crc(checked) != int.from_bytes(data[stop - 4 : stop], "little"):
        raise FormatError("the checksum of a frame's header does not match")
    magic, version, *rest = _FIELDS.unpack_from(checked)
    if magic != MAGIC:
        raise FormatError("not a frame of a Matrix log")
    if version not in (FORMAT_VERSION, REFERENCES_VERSION):
        raise NewerFormat(
            f"a frame of format version {version}; this is version {REFERENCES_VERSION}. Upgrade matrix-runtime?"
        )
    header = Header._make((*rest, int.from_bytes(checked[-4:], "little"), version == REFERENCES_VERSION))
    if previous_chain is not None and google_crc32c.extend(previous_chain, checked[:-4]) != header.chain:
        raise FormatError("a frame does not continue the chain of the one before")
    if _EMBEDDED.unpack_from(data, stop) != (_EMBEDDED_HEAD, header.payload_bytes):
        raise FormatError("a frame's payload has not the length of its header")
    if header.payload_bytes > FRAME_BYTES_MAX or header.events > COMPACT_BLOCK_EVENTS_MAX:
        raise FormatError(f"a frame of {header.payload_bytes} bytes and {header.events} events is out of bounds")
    return header


def payload_matches(header: Header, data: bytes, start: int) -> bool:
    """Whether the payload at ``data[start:]`` is the one the header vouches for."""
    # A numpy view, since google-crc32c refuses a memoryview and a slice of bytes would be a copy.
    view = np.frombuffer(data, np.uint8, header.payload_bytes, start) if header.payload_bytes else b""
    return bool(google_crc32c.value(view) == header.payload_crc)


def find_prefix(data: bytes, at: int, stop: int) -> int:
    """Offset of the next thing that may be a frame's header in ``data[at:stop]``, or -1."""
    return data.find(_OPENING + MAGIC, at, stop)
