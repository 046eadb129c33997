"""Long values that recur: a segment holds each once, and they come back as they were written."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import LogWriteError, UsageError
from matrix.event import Event
from matrix.log import columns, frame, references, repeats
from matrix.log.compact import compact_log
from matrix.log.digest import simulation_digest
from matrix.log.frame import NewerFormat
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from matrix.testing.disk import FaultyDisk, MemoryDisk
from tests.log.histories import LOG, patient, read_all, same_event, write_log

SEGMENT = LOG / "0001" / "00000001.seg"
PROMPT = "You sell used cars. " + " ".join(
    f"Never go below {n} coins for a car of year {1990 + n}." for n in range(200)
)
SCHEMAS = [
    {"type": "function", "function": {"name": f"tool_{n}", "description": f"What tool {n} does. " * 12, "strict": True}}
    for n in range(20)
]


def call(seq: int, simulation: int = 1, **data: Any) -> Event:
    return Event(simulation, seq, 0, 0, 1, 1, 0, 0, 0, "model.called", (), data)


def asked(simulation: int) -> list[Event]:
    """What a simulation records that begins with the same prompt and the same tools as all others."""
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": f"question {simulation}"}]
    return [
        call(1, simulation, messages=messages, tools=SCHEMAS, temperature=0.5),
        call(2, simulation, system=PROMPT, n=simulation),
    ]


def written(parts: list[list[Event]], disk: MemoryDisk | None = None, segment_bytes_max: int = 10**8) -> MemoryDisk:
    disk = disk or MemoryDisk()
    with Writer.open(LOG, shard=1, disk=disk, segment_bytes_max=segment_bytes_max) as writer:
        for part in parts:
            writer.append(rows_from_events(part))
    return disk


def versions(disk: MemoryDisk) -> set[int]:
    data, found, at = disk.bytes_of(SEGMENT), set(), 0
    while (at := data.find(b"\x58\x44MTRX", at)) >= 0:
        found.add(data[at + 6])
        at += 1
    return found


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of eight bytes are long."""
    for room in (columns, repeats):
        monkeypatch.setattr(room, "LONG_VALUE_BYTES_MIN", 8)
    monkeypatch.setattr(columns, "_LONG_TEXT", 2)


@pytest.mark.parametrize("together", [False, True])
def test_what_many_simulations_record_alike_stands_in_a_segment_once(together: bool) -> None:
    parts = [asked(simulation) for simulation in range(1, 101)]
    disk = written([[event for part in parts for event in part]] if together else parts)
    data = disk.bytes_of(SEGMENT)
    assert data.count(PROMPT.encode()) == 1
    assert data.count(b"What tool 7 does. What tool 7 does.") == SCHEMAS[7]["function"]["description"].count("7") // 2
    assert len(data) < len(PROMPT) + 20 * 400 + 100 * 800
    assert read_all(disk) == [event for part in parts for event in part]
    assert verify_log(LOG, disk=disk)[0].findings == []


def test_a_compacted_segment_holds_them_once_and_simulations_keep_their_digests() -> None:
    parts = [asked(simulation) for simulation in range(1, 101)]
    disk = written(parts)
    written([asked(101)], disk, segment_bytes_max=1)
    reader = LogReader(LOG, disk)
    before = [simulation_digest(reader, 1, ordinal) for ordinal in range(1, 102)]
    size = len(disk.bytes_of(SEGMENT))
    report = compact_log(LOG, disk=disk)
    assert (report.damaged, report.segments) == ([], 1)
    assert len(disk.bytes_of(SEGMENT)) < size // 4
    assert [simulation_digest(LogReader(LOG, disk), 1, ordinal) for ordinal in range(1, 102)] == before
    assert list(LogReader(LOG, disk).simulation_events(1, 40)) == asked(40)
    assert verify_log(LOG, disk=disk)[0].findings == []


def test_digests_do_not_depend_on_what_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [asked(simulation) for simulation in range(1, 81)]
    shared = written([[event for part in parts for event in part]])
    assert versions(shared) == {1, 2}
    monkeypatch.setattr(Writer, "_packed", lambda self, rows: repeats_off(self, rows))
    plain = written(parts)
    assert versions(plain) == {1}
    assert plain.bytes_of(SEGMENT).count(PROMPT.encode()) == 160
    digests = [[simulation_digest(LogReader(LOG, disk), 1, n) for n in range(1, 81)] for disk in (shared, plain)]
    assert digests[0] == digests[1]


def repeats_off(writer: Writer, rows: Any) -> Iterator[Any]:
    yield from repeats_free(rows, writer.last_position + 1)


def repeats_free(rows: Any, position: int) -> Iterator[Any]:
    from matrix.log.pack import pack

    yield pack(rows, position)


def test_a_segment_in_which_nothing_long_recurs_is_what_it_was_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(n: int) -> list[Event]:
        nested = {"list": [f"{n} " * 200, n, None], "map": {"a": {"b": f"text {n} " * 100}}}
        return [call(n, text=f"text {n}: " + "x" * 300, nested=nested, raw=bytes([n]) * 400)]

    sharing = written([alone(n) for n in range(1, 20)], Fixed())
    write_log(sharing, LOG.with_name("other"), blocks=9, per_block=40, segment_bytes_max=10**6)
    monkeypatch.setattr(Writer, "_packed", lambda self, rows: repeats_off(self, rows))
    plain = written([alone(n) for n in range(1, 20)], Fixed())
    assert sharing.bytes_of(SEGMENT) == plain.bytes_of(SEGMENT)
    assert versions(sharing) == {1}


class Fixed(MemoryDisk):
    def entropy(self) -> int:
        return 77


def test_a_version_that_knows_no_references_refuses_them_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = written([asked(1), asked(2)])
    monkeypatch.setattr(frame, "REFERENCES_VERSION", 1)
    with pytest.raises(NewerFormat, match=r"a frame of format version 2; this is version 1\. Upgrade matrix-runtime\?"):
        read_all(disk)
    with pytest.raises(NewerFormat):
        Writer.open(LOG, shard=1, disk=disk)
    assert [finding.trouble for finding in verify_log(LOG, disk=disk)[0].findings] == ["newer"]


# -- writers come, go and fail ---------------------------------------------------------------------


def test_a_writer_that_goes_on_knows_what_the_segment_has() -> None:
    disk = MemoryDisk()
    for simulation in range(1, 6):
        written([asked(simulation)], disk)
    data = disk.bytes_of(SEGMENT)
    assert data.count(PROMPT.encode()) == 1
    assert data.count(b"What tool 7 does. What tool 7 does.") == 6
    assert read_all(disk) == [event for simulation in range(1, 6) for event in asked(simulation)]


def test_every_segment_has_its_own() -> None:
    disk = written([asked(simulation) for simulation in range(1, 61)], segment_bytes_max=24_000)
    paths = [info.path for info in LogReader(LOG, disk).segments(1)]
    assert len(paths) >= 2
    assert {disk.bytes_of(path).count(PROMPT.encode()) for path in paths[:-1]} == {1}
    assert len(read_all(disk)) == 120


def test_what_was_taken_back_is_not_referred_to() -> None:
    disk = FaultyDisk()
    writer = Writer.open(LOG, shard=1, disk=disk)
    writer.append(rows_from_events([call(1, n=1)]))
    for space in (0, 100, 5_000, 12_000):
        disk.space = space
        with pytest.raises(LogWriteError):
            writer.append(rows_from_events(asked(1)))
    disk.space = None
    with contextlib.suppress(KeyError), writer.transaction():
        writer.append(rows_from_events(asked(2)))
        raise KeyError("the caller's own trouble")
    with pytest.raises(UsageError):
        writer.append(rows_from_events([*asked(3), call(1, 4, odd={1, 2})]))
    for simulation in (5, 6):
        writer.append(rows_from_events(asked(simulation)))
    writer.close()
    assert read_all(disk) == [call(1, n=1), *asked(5), *asked(6)]
    assert disk.bytes_of(SEGMENT).count(PROMPT.encode()) == 1


def test_a_transaction_shares_within_itself_and_with_what_was_there() -> None:
    disk = MemoryDisk()
    with Writer.open(LOG, shard=1, disk=disk) as writer:
        writer.append(rows_from_events(asked(1)))
        with writer.transaction():
            for simulation in (2, 3):
                events_of = [call(1, simulation, text="only here " * 50), *asked(simulation)]
                writer.append(rows_from_events(events_of))
                assert len(read_all(disk)) == 2
        writer.append(rows_from_events([call(1, 4, text="only here " * 50)]))
        assert [event.data.get("text", "")[:9] for event in read_all(disk)] == [
            "",
            "",
            *["only here", "", ""] * 2,
            "only here",
        ]
    assert disk.bytes_of(SEGMENT).count(b"only here " * 50) == 1


def test_a_segment_cut_at_any_byte_keeps_whole_blocks_with_their_values(short: None) -> None:
    parts = [[call(n, note={"what": "the same text", "n": n}, text="another text")] for n in range(1, 5)]
    disk = written(parts)
    assert versions(disk) == {1, 2}
    data, history = disk.bytes_of(SEGMENT), [event for part in parts for event in part]
    kept = set()
    for size in range(len(data) - 1, 158, -1):
        cut = MemoryDisk()
        written([], cut)
        cut.put(SEGMENT, data[:size])
        with Writer.open(LOG, shard=1, disk=cut) as writer:
            count = writer.last_position
            writer.append(rows_from_events(parts[0]))
        assert read_all(cut) == history[:count] + parts[0]
        assert verify_log(LOG, disk=cut)[0].findings == []
        kept.add(count)
    assert kept == set(range(5))


# -- values ----------------------------------------------------------------------------------------

leaf = st.sampled_from(
    ["a text of some length", "another such text", "é" * 9, "x", b"some bytes, too", 1, 1.0, True, None]
)
values = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner), max_leaves=12
)
payloads = st.dictionaries(st.sampled_from(["text", "note", "list"]), values, max_size=3)


@patient
@given(parts=st.lists(st.lists(payloads, min_size=1, max_size=9), min_size=1, max_size=4), again=st.booleans())
def test_any_values_come_back_of_the_same_types_live_and_compacted(
    parts: list[list[dict[str, Any]]], again: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for room in (columns, repeats):
            patch.setattr(room, "LONG_VALUE_BYTES_MIN", 8)
        patch.setattr(columns, "_LONG_TEXT", 2)
        disk, history = MemoryDisk(), []
        for part in parts:
            history += [call(len(history) + n, 1 + n % 2, **data) for n, data in enumerate(part, 1)]
            written([history[-len(part) :]], disk, 10**6)
        if again:
            written([history], disk, 1)
        expected = history * (1 + again)
        assert all(map(same_event, read_all(disk), expected))
        with Writer.open(LOG, shard=1, disk=disk, segment_bytes_max=1) as writer:
            writer.append(rows_from_events(history[:1]))
        assert compact_log(LOG, disk=disk).damaged == []
        assert all(map(same_event, read_all(disk), [*expected, history[0]]))
        assert verify_log(LOG, disk=disk)[0].findings == []


def test_order_of_keys_and_types_are_kept_apart(short: None) -> None:
    alike = [
        {"a": 1, "b": "some text"},
        {"b": "some text", "a": 1},
        {"a": 1.0, "b": "some text"},
        {"a": True, "b": "some text"},
    ]
    history = [call(n, value=value) for n, value in enumerate(alike * 3, 1)]
    found = read_all(written([history]))
    assert [repr(event.data["value"]) for event in found] == [repr(value) for value in alike * 3]


def test_whoever_changes_a_value_changes_no_other() -> None:
    found = read_all(written([[*asked(1), *asked(2)], asked(3)]))
    found[0].data["tools"].clear()
    found[2].data["tools"][0]["function"]["name"] = "changed"
    found[2].data["messages"][0]["content"] = "changed"
    assert found[4].data == asked(3)[0].data
    assert found[2].data["tools"][1] == SCHEMAS[1]


def test_texts_in_every_form_of_a_column_are_shared() -> None:
    long, other = "one long text " * 30, "é another long text " * 30
    forms: dict[str, list[Any]] = {
        "constant": [long] * 40,
        "dictionary": [long, other] * 20,
        "different": [*(f"text {n}" for n in range(38)), long, other],
        "optional": [long, None, other, None] * 10,
        "mixed": [long, 1, [other], {"a": long}] * 10,
        "bytes": [long.encode(), b"x"] * 20,
    }
    history = [call(n + 1, **{name: column[n] for name, column in forms.items()}) for n in range(40)]
    disk = written([history, history])
    assert disk.bytes_of(SEGMENT).count(long.encode()) == 2  # as text and as bytes
    assert disk.bytes_of(SEGMENT).count(other.encode()) == 1
    assert read_all(disk) == history * 2
    *_, block = LogReader(LOG, disk).blocks(1)
    for name in ("constant", "dictionary", "different", "optional"):
        coded = block.coded("model.called", name)
        assert coded is not None
        assert coded.to_pylist() == forms[name]


def test_of_too_many_long_values_the_oldest_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "LONG_VALUES_KEPT_MAX", 3)
    texts = [f"text {n} " * 60 for n in range(4)]
    history = [call(n, text=texts[n % 4]) for n in range(1, 17)]
    disk = written([[event] for event in history])
    assert disk.bytes_of(SEGMENT).count(texts[0].encode()) == 4
    assert read_all(disk) == history


def test_events_that_fit_no_frame_when_written_out_take_several_blocks_or_are_refused() -> None:
    text = "x" * (3 * 2**20)
    disk = MemoryDisk()
    with Writer.open(LOG, shard=1, disk=disk) as writer:
        writer.append(rows_from_events([call(1, note=[text])]))
        writer.append(rows_from_events([call(n, note=[text, n]) for n in range(2, 22)]))
        with pytest.raises(UsageError, match="more than the 16777216 bytes that a frame holds"):
            writer.append(rows_from_events([call(22, note=[text] * 6)]))
    assert len(disk.bytes_of(SEGMENT)) < 4 * 2**20
    blocks = list(LogReader(LOG, disk).blocks(1))
    assert blocks[0].count == 1
    assert max(block.count for block in blocks[1:]) == 5
    assert [event.seq for event in read_all(disk)] == list(range(1, 22))


# -- reading ---------------------------------------------------------------------------------------


def test_a_scan_that_does_not_need_a_long_column_does_not_resolve_it(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = written([asked(simulation) for simulation in range(1, 9)])
    asked_for: list[Any] = []
    monkeypatch.setattr(references.References, "value", lambda *given: asked_for.append(given))
    for block in LogReader(LOG, disk).blocks(1):
        field = block.field("model.called", "n")
        assert field is not None
        assert block.seq.tolist() == [1, 2]
    assert asked_for == []


def test_a_reader_remembers_values_up_to_a_bound_and_reads_the_others_again() -> None:
    kept = references.Kept(10)
    values_ = [references.Known(f"v{n}", 4, 0) for n in range(3)]
    for n, value in enumerate(values_):
        kept.add((1, n), value, 4)
    assert [kept.get((1, n)) for n in range(3)] == [None, values_[1], values_[2]]
    history = [event for simulation in range(1, 30) for event in asked(simulation)]
    disk = written([asked(simulation) for simulation in range(1, 30)])
    reader = LogReader(LOG, disk)
    reader._kept = references.Kept(0)
    assert [event for block in reader.blocks(1) for event in block.events()] == history


def test_single_blocks_of_sealed_segments_are_read_column_by_column_with_their_values() -> None:
    disk = written([asked(simulation) for simulation in range(1, 41)], segment_bytes_max=20_000)
    written([asked(41)], disk)
    reader = LogReader(LOG, disk)
    refs = [block.ref for block in reader.blocks(1) if block.ref.segment == 1]
    for _ in range(2):  # verified the first time, known the second
        for ref, simulation in zip(refs, range(1, 41), strict=False):
            assert [copy.copy(event) for event in reader.block(ref).events()] == asked(simulation)


def test_histories_of_many_simulations_in_one_block_have_their_values() -> None:
    disk = written([[event for simulation in range(1, 101) for event in asked(simulation)] for _ in range(3)])
    assert list(LogReader(LOG, disk).simulation_events(1, 77))[:2] == asked(77)
