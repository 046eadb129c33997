"""What comes from a working process is looked at; what is said of an error says nothing of the machine."""

import sqlite3
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import LogCorrupt, NotAStore, QueryError, UsageError
from matrix.server.pipes import Garbled, Inbox, packed
from matrix.server.work.refusal import Refused, refusal, without_paths
from matrix.server.work.wire import Kind, Message, message_of, pack_frames, packed_fields

STORE = Path("/srv/data/runs")


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.binary()), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_wherever_the_pipe_cuts(frames, size):
    inbox, data = Inbox(), packed(Kind.BATCH, pack_frames(frames)) + packed_fields(Kind.LEFT, row=3)
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    got = [message_of(*raw) for piece in pieces for raw in inbox.feed(piece)]
    assert got == [Message(Kind.BATCH, frames, {}), Message(Kind.LEFT, [], {"row": 3})]


@pytest.mark.parametrize(
    "data",
    [
        b"hello, this was printed\n",
        packed(99, b""),
        packed(Kind.BATCH, b"\x01\x00\x00\x00\x09cut"),
        packed(Kind.BATCH, pack_frames([b"\xff\xfe"]).replace(b"\x00", b"\x01", 1)),
        packed(Kind.FINISHED, b"{}"),
        packed(Kind.FINISHED, b'{"rows": "1", "seconds": 1, "retires": false, "error": null}'),
        packed(Kind.LEFT, b"[1]"),
        packed(Kind.LEFT, b"not json"),
        packed(Kind.LEFT, b"[" * 100_000),
        struct.pack(">4sBI", b"mtx\x01", 3, 2**31),
    ],
)
def test_what_is_no_message_is_garbled(data):
    with pytest.raises(Garbled):
        [message_of(*raw) for raw in Inbox().feed(data)]


@given(st.binary(max_size=200))
def test_any_bytes_are_messages_or_garbled(data):
    try:
        for raw in Inbox().feed(data + b"\x00" * 9):
            message_of(*raw)
    except Garbled:
        pass


def test_an_error_of_the_language_keeps_its_place():
    error = QueryError("no such field", code="unknown-field", text="agents where rol = 1", start=13, end=16, fix="f")
    assert refusal(error, STORE) == (error.as_data(), "")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("/srv/data/runs: there is no simulation '9'"), "usage", "there is no simulation '9'"),
        (LogCorrupt(STORE / "log/1/00000001.seg", 7, "a mark"), "store", "log/1/00000001.seg: at byte 7: a mark"),
        (NotAStore("/srv/data/runs: there is no such folder"), "store", "there is no such folder"),
        (FileNotFoundError(2, "No such file", "/srv/x"), "store", "the store's files cannot be read: No such file"),
        (IsADirectoryError(21, "Is a directory"), "store", "the store's files cannot be read: Is a directory"),
        (sqlite3.DatabaseError("malformed"), "store", "the store's index cannot be read: malformed"),
        (ZeroDivisionError("/home/ada/x.py"), "internal", "a mistake of the server's; it has noted it"),
        (RuntimeError("/etc/passwd"), "internal", "a mistake of the server's; it has noted it"),
        (Refused("memory", "too large", "narrow it"), "memory", "too large"),
    ],
)
def test_other_errors_have_a_code_and_no_path(error, code, message):
    fields, note = refusal(error, STORE)
    assert (fields["code"], fields["message"]) == (code, message)
    assert set(fields) == {"code", "message", "hint", "fix"}
    assert bool(note) == (code in ("store", "internal")), "what a client cannot mend is noted"


def test_a_note_has_the_traceback():
    with pytest.raises(ZeroDivisionError) as caught:
        1 / 0  # noqa: B018
    assert "test_work_wire.py" in refusal(caught.value, STORE).note


def test_a_note_of_the_stores_trouble_is_one_line():
    assert refusal(NotAStore("/srv/data/runs: no such folder"), STORE).note == "/srv/data/runs: no such folder"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ada/market.py has no program market any more", "market.py has no program market any more"),
        ("its file '/home/ada/a b/market.py' is not there", "its file 'a b/market.py' is not there"),
        ("40 km/h, a/b and /refund|money/i stay", "40 km/h, a/b and /refund|money/i stay"),
        ("see ~/notes.txt", "see notes.txt"),
    ],
)
def test_paths_of_others_are_cut_down_to_names(text, shown):
    assert without_paths(text, STORE) == shown
