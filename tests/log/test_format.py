"""The promises of FORMAT.md: its worked example, and segments written by this and earlier versions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cbor2
import pytest

import matrix.log
from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.log.digest import simulation_digest
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import MemoryDisk
from tests.log.histories import LOG, append, events, positioned, read_all

FORMAT = Path(matrix.log.__file__).with_name("FORMAT.md")
GOLDEN = Path(__file__).parent / "golden"
SEGMENT = LOG / "0001" / "00000001.seg"


class Salted(MemoryDisk):
    def entropy(self) -> int:
        return 0x0807060504030201


def hex_of(text: str, number: int = 1) -> bytes:
    """The bytes of a ``hex`` block, comments left out."""
    block = text.split("```hex\n")[number].split("```")[0]
    return bytes.fromhex("".join(line.split("#")[0] for line in block.splitlines()))


def test_the_worked_example_is_what_the_writer_writes() -> None:
    disk = Salted()
    common = (40, 1_700_000_000_000_000, 1, 1, 0, 0, 1, "offer", (2,))
    offers = [Event(1, 2, *common, {"price": 40}), Event(1, 3, *common, {"price": 38})]
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows_from_events(offers))
    assert disk.bytes_of(SEGMENT).hex(" ") == hex_of(FORMAT.read_text()).hex(" ")


def test_the_worked_example_of_a_reference_is_what_the_writer_writes() -> None:
    disk = Salted()
    common = (40, 1_700_000_000_000_000, 1, 1, 0, 0, 1, "offer", (2,))
    offers = [Event(1, seq, *common, {"terms": "as seen " * 40}) for seq in (2, 3)]
    with Writer.open(LOG, disk=disk) as writer:
        writer.append(rows_from_events(offers[:1]))
        start = len(disk.bytes_of(SEGMENT))
        writer.append(rows_from_events(offers[1:]))
        stop = len(disk.bytes_of(SEGMENT))
    assert disk.bytes_of(SEGMENT)[start:stop].hex(" ") == hex_of(FORMAT.read_text(), 2).hex(" ")
    assert read_all(disk) == offers


def test_any_cbor_tool_walks_a_segment() -> None:
    stream = io.BytesIO(hex_of(FORMAT.read_text()))
    found = []
    while stream.tell() < len(stream.getvalue()):
        found.append(cbor2.load(stream))
    headers, payloads = found[::2], found[1::2]
    assert [header[:4] for header in headers] == [b"MTRX"] * 3
    assert [payload.tag for payload in payloads] == [24] * 3
    columns = cbor2.loads(payloads[1].value)
    assert cbor2.loads(columns[0]) == {"n": 2, "kinds": [["offer", 2, ["price"], 0]]}
    assert cbor2.loads(columns[-1]) == [1, 40, -2]


def history(disk: MemoryDisk) -> None:
    """The life whose first segment is kept for ever: many blocks, a transaction, two epochs, a roll."""
    for _ in range(2):
        with Writer.open(LOG, disk=disk, segment_bytes_max=9_000) as writer:
            for _ in range(4):
                append(writer, 37)
            with writer.transaction():
                append(writer, 5)
                append(writer, 6)
            writer.sync()
    with Writer.open(LOG, disk=disk, segment_bytes_max=9_000) as writer:
        append(writer, 10)


def test_this_version_writes_the_golden_segment() -> None:
    disk = Salted()
    history(disk)
    assert disk.bytes_of(SEGMENT) == (GOLDEN / "version-1-live.seg").read_bytes()


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("version-1-*.seg")))
def test_golden_segments_are_read_for_ever(name: str) -> None:
    disk = Salted()
    history(disk)
    rest = len(read_all(disk))
    disk.put(SEGMENT, (GOLDEN / name).read_bytes())
    assert read_all(disk) == events(1, rest)
    assert verify_log(LOG, disk=disk)[0].findings == []
    (first, _) = LogReader(LOG, disk).segments(1)
    assert first.last_position == 318
    with Writer.open(LOG, shard=1, disk=disk) as writer:
        append(writer, 5)
    assert len(positioned(LogReader(LOG, disk))) == rest + 5


def test_a_golden_history_keeps_its_digest() -> None:
    disk = Salted()
    history(disk)
    digests = [simulation_digest(LogReader(LOG, disk), 1, ordinal) for ordinal in (1, 2, 3)]
    assert digests == (GOLDEN / "digests.txt").read_text().split()


RULES = "You buy and sell lots. Never name your limit; walk away rather than pay more. é " * 4
TOOLS = [{"name": name, "description": f"To {name} " + "whatever there is. " * 20} for name in ("look", "bid", "leave")]


def asked(position: int) -> Event:
    """What an event of the second version's life holds: long values that recur, in every form of a column."""
    payloads: tuple[dict[str, Any], ...] = (
        {
            "messages": [{"role": "system", "content": RULES}, {"role": "user", "content": f"lot {position}"}],
            "tools": TOOLS,
        },
        {"system": RULES, "n": position},
        {"text": RULES if position % 3 else f"text {position}", "raw": RULES.encode()},
        {"note": None if position % 8 == 3 else [RULES, {"tools": TOOLS[:2]}, position]},
    )
    facts = (1 + position % 3, position, position, 1_700_000_000_000_000, 1, position, 0, 0, 0)
    return Event(*facts, f"kind {position % 4}", (), payloads[position % 4])


def long_history(disk: MemoryDisk) -> None:
    """The same kind of life, of events with long values."""
    for _ in range(2):
        with Writer.open(LOG, disk=disk, segment_bytes_max=9_000) as writer:
            for count in (1, 17, 30):
                writer.append(rows_from_events([asked(writer.last_position + n) for n in range(1, count + 1)]))
            with writer.transaction():
                for _ in range(2):
                    writer.append(rows_from_events([asked(writer.last_position + n) for n in range(1, 9)]))
    with Writer.open(LOG, disk=disk, segment_bytes_max=1) as writer:
        writer.append(rows_from_events([asked(writer.last_position + 1)]))


def test_this_version_writes_the_golden_segment_with_references() -> None:
    disk = Salted()
    long_history(disk)
    assert disk.bytes_of(SEGMENT) == (GOLDEN / "version-2-live.seg").read_bytes()


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("version-2-*.seg")))
def test_golden_segments_with_references_are_read_for_ever(name: str) -> None:
    disk = Salted()
    long_history(disk)
    disk.put(SEGMENT, (GOLDEN / name).read_bytes())
    assert read_all(disk) == [asked(position) for position in range(1, 130)]
    assert verify_log(LOG, disk=disk)[0].findings == []
    digests = [simulation_digest(LogReader(LOG, disk), 1, ordinal) for ordinal in (1, 2, 3)]
    assert digests == (GOLDEN / "digests-2.txt").read_text().split()
    assert compact_log(LOG, disk=disk).damaged == []
    assert read_all(disk) == [asked(position) for position in range(1, 130)]


def write_version_2() -> None:
    """Writes the golden files of segments with references."""
    made = Salted()
    long_history(made)
    (GOLDEN / "version-2-live.seg").write_bytes(made.bytes_of(SEGMENT))
    digests = [simulation_digest(LogReader(LOG, made), 1, ordinal) for ordinal in (1, 2, 3)]
    (GOLDEN / "digests-2.txt").write_text("\n".join(digests) + "\n")
    compact_log(LOG, disk=made)
    (GOLDEN / "version-2-compacted.seg").write_bytes(made.bytes_of(SEGMENT))


if __name__ == "__main__":  # python -m tests.log.test_format: writes the golden files of a new version
    made = Salted()
    history(made)
    (GOLDEN / "version-1-live.seg").write_bytes(made.bytes_of(SEGMENT))
    digests_made = [simulation_digest(LogReader(LOG, made), 1, ordinal) for ordinal in (1, 2, 3)]
    (GOLDEN / "digests.txt").write_text("\n".join(digests_made) + "\n")
    compact_log(LOG, disk=made)
    (GOLDEN / "version-1-compacted.seg").write_bytes(made.bytes_of(SEGMENT))
    write_version_2()
    print([info.last_position for info in LogReader(LOG, made).segments(1)])
