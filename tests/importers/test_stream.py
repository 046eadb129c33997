"""JSON piece by piece: any size of chunk gives the same values, and every fault has its place."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.importers import JsonStream, Progress, Refusal, Source
from matrix.importers import source as source_room

TEXT = st.text(st.characters(blacklist_categories=("Cs",)), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


class InChunks(Source):
    """A source that hands out its content in chunks of a chosen size."""

    def __init__(self, content: bytes, size: int) -> None:
        self.content, self.size = content, size

    def chunks(self):
        return iter([self.content[at : at + self.size] for at in range(0, len(self.content), self.size)])


@settings(deadline=None)  # a busy machine may take its time
@given(st.lists(JSON, max_size=6), st.integers(1, 40), st.booleans(), st.sampled_from([None, 2]))
def test_elements_come_out_whole_whatever_the_chunks(values, size, escaped, indent):
    content = json.dumps(values, ensure_ascii=escaped, indent=indent).encode()
    stream = JsonStream(InChunks(content, size))
    assert [value for _, value in stream.elements("items")] == values
    stream.end()


@settings(deadline=None)  # a busy machine may take its time
@given(st.dictionaries(TEXT, JSON, max_size=5), st.integers(1, 40))
def test_an_object_is_read_key_by_key_whatever_the_chunks(value, size):
    stream = JsonStream(InChunks(json.dumps(value).encode(), size))
    assert {key: stream.value(key) for key in stream.fields()} == value
    stream.end()


@settings(deadline=None)  # a busy machine may take its time
@given(st.lists(JSON, min_size=1, max_size=3), st.integers(1, 40), st.data())
def test_a_document_cut_anywhere_is_refused(values, size, data):
    content = json.dumps(values).encode()
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(Refusal):
        read_list(InChunks(content[:cut], size))


@settings(deadline=None)  # a busy machine may take its time
@given(st.lists(JSON, max_size=4), st.integers(1, 40), st.sampled_from(["\n", "\n\n", " \r\n", "\n\t"]))
def test_documents_one_after_the_other_come_out_with_their_lines(values, size, between):
    content = between.join(map(json.dumps, values)) + between
    found = list(JsonStream(InChunks(content.encode(), size)).documents())
    assert [value for _, value in found] == values
    lines = [1 + index * between.count("\n") for index in range(len(values))]
    assert [path for path, _ in found] == [f"line {line}" for line in lines]


def test_a_document_may_take_several_lines():
    stream = JsonStream(InChunks(b'\n{"a":\n 1}\n[2]', 3))
    assert list(stream.documents()) == [("line 2", {"a": 1}), ("line 4", [2])]


@pytest.mark.parametrize("content", [b"1 2", b"[1][2]", b'{"a": 1} \t{"b": 2}'])
def test_two_documents_on_one_line_are_refused(content):
    with pytest.raises(Refusal, match=r"^line 1, byte \d+: unexpected '.' after the end of the document"):
        list(JsonStream(InChunks(content, 2)).documents())


def read_list(source: Source) -> list[Any]:
    stream = JsonStream(source)
    values = [value for _, value in stream.elements("items")]
    stream.end()
    return values


BAD = {
    b"": "line 1, byte 0: items: expected a list, found the end: the file is cut off",
    b"[1, 2": 'line 1, byte 5: items[1]: expected "," or "]" after it, found the end: the file is cut off',
    b'["a': "line 1, byte 1: the file is cut off (Unterminated string starting at)",
    b"[1] x": "line 1, byte 4: unexpected 'x' after the end of the document",
    b"[1][2]": "line 1, byte 3: unexpected '[' after the end of the document",
    b"[1,\n\n 2 3]": 'line 3, byte 8: items[1]: expected "," or "]" after it, found \'3\'',
    b"[1,\n{]": "line 2, byte 5: Expecting property name enclosed in double quotes",
    b"[NaN]": "line 1, byte 1: in the value that starts here: NaN is not JSON",
    b"[1e999]": "line 1, byte 1: in the value that starts here: the number 1e999 is too large",
    b'[{"a": 1, "a": 2}]': 'line 1, byte 1: in the value that starts here: the key "a" stands twice in one object',
    b'["\\ud83d"]': "items[0]: holds half a surrogate pair (\\ud83d): not text",
    b'[{"a": ["\\ud83d"]}]': "items[0].a[0]: holds half a surrogate pair (\\ud83d): not text",
    b'[{"\\ud83d": 1}]': "items[0] (a key): holds half a surrogate pair (\\ud83d): not text",
    b'["\xff"]': "byte 2: not UTF-8 text",
    b'["\xe2\x82"]': "byte 2: not UTF-8 text",
    "[1]".encode("utf-16"): "byte 0: not UTF-8 text",
    b'["a\x00"]': "line 1, byte 3: Invalid control character at",
    b"[" * 60 + b"]" * 60: "items[0]: nested 59 deep, at most 48 can be kept",
    b"[" * 100_000: "line 1, byte 1: the value that starts here is nested too deeply",
}


@pytest.mark.parametrize(("content", "message"), BAD.items(), ids=[repr(key[:12]) for key in BAD])
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_fault_is_refused_with_its_place(content, message, size):
    with pytest.raises(Refusal) as refused:
        read_list(InChunks(content, size))
    assert str(refused.value) == message


def test_a_number_of_too_many_digits_is_refused():
    with pytest.raises(Refusal, match=r"line 1, byte 1: .*11111\.\.\. has 5,000 digits"):
        read_list(InChunks(b"[" + b"1" * 5000 + b"]", 64))


def test_places_count_bytes_not_characters_also_far_into_a_file():
    content = json.dumps(["é" * 50_000] * 30, ensure_ascii=False, indent=0).encode()
    with pytest.raises(Refusal, match=rf"^line 32, byte {len(content)}: unexpected"):
        read_list(InChunks(content + b"!", 1 << 16))


def test_a_byte_order_mark_is_no_fault():
    assert read_list(InChunks(b"\xef\xbb\xbf[1]", 2)) == [1]


def test_a_key_twice_at_the_top_is_refused():
    stream = JsonStream(InChunks(b'{"a": 1, "a": 2}', 3))
    with pytest.raises(Refusal, match='the key "a" stands here a second time'):
        assert {key: stream.value(key) for key in stream.fields()}


def test_gzip_is_told_by_content_and_digests_are_of_what_is_inside(write: Callable[..., Path]):
    plain, zipped = Source(write([1], "a.json")), Source(write([1], "b.json", zipped=True))
    assert (plain.compression, zipped.compression) == ("", "gzip")
    assert plain.digest == zipped.digest
    assert read_list(zipped) == [1]


@pytest.mark.parametrize("kept", [2, 9, 15, 30, -9, -1])
def test_a_gzip_that_is_cut_off_is_refused(tmp_path: Path, kept: int):
    content = gzip.compress(json.dumps(list(range(200))).encode())[:kept]
    (tmp_path / "cut.gz").write_bytes(content)
    with pytest.raises(Refusal, match=rf"byte {len(content)} of the gzip: the file is cut off"):
        Source(tmp_path / "cut.gz")


def test_a_gzip_with_garbage_behind_it_or_inside_is_refused(tmp_path: Path):
    good = gzip.compress(json.dumps(list(range(200))).encode())
    for content in (good + b"more", good[:40] + b"\0\0\0\0" + good[44:]):
        (tmp_path / "bad.gz").write_bytes(content)
        with pytest.raises(Refusal, match="of the gzip: the file is damaged"):
            Source(tmp_path / "bad.gz")


def test_zstd_is_one_more_way_to_wrap_a_file(tmp_path: Path, write: Callable[..., Path]):
    content = json.dumps(list(range(2000))).encode()
    packed = pa.compress(content, codec="zstd", asbytes=True)
    (tmp_path / "a.json.zst").write_bytes(packed)
    source = Source(tmp_path / "a.json.zst")
    assert (source.compression, source.digest) == ("zstd", Source(write(content, "a.json")).digest)
    assert read_list(source) == list(range(2000))
    (tmp_path / "cut").write_bytes(packed[:-3])
    with pytest.raises(Refusal, match=rf"near byte {len(packed) - 3} of the zstd: the file is cut off"):
        Source(tmp_path / "cut")
    (tmp_path / "bad").write_bytes(packed + b"more")
    with pytest.raises(Refusal, match="of the zstd: the file is damaged"):
        Source(tmp_path / "bad")


def test_a_line_longer_than_the_bound_is_refused_before_it_fills_the_memory(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(source_room, "IMPORT_CHUNK_BYTES", 10)
    monkeypatch.setattr(source_room, "IMPORT_LINE_BYTES_MAX", 25)
    assert [number for number, _ in Source(write(b"x" * 25 + b"\n" + b"y" * 24)).lines()] == [1, 2]
    with pytest.raises(Refusal, match="line 2: the line is longer than 25 bytes"):
        list(Source(write(b"a\n" + b"x" * 60)).lines())


def test_two_gzip_members_are_one_content(tmp_path: Path):
    (tmp_path / "two.gz").write_bytes(gzip.compress(b"[1,") + gzip.compress(b"2]"))
    assert read_list(Source(tmp_path / "two.gz")) == [1, 2]


def test_progress_tells_bytes_of_the_file_as_it_lies_on_disk(write: Callable[..., Path], monkeypatch):
    monkeypatch.setattr(source_room, "IMPORT_CHUNK_BYTES", 1000)
    path, told = write(list(range(1000))), list[Progress]()
    Source(path, progress=told.append)
    assert [one.bytes_read for one in told] == [1000, 2000, 3000, 4000, 4890]
    assert {one.bytes_total for one in told} == {4890}


def test_lines_have_numbers_and_lose_only_their_ends(write: Callable[..., Path], monkeypatch):
    monkeypatch.setattr(source_room, "IMPORT_CHUNK_BYTES", 2)
    assert list(Source(write(b"ab\r\n\nc\xc3\xa9\nd")).lines()) == [(1, "ab"), (2, ""), (3, "c\u00e9"), (4, "d")]
    with pytest.raises(Refusal, match="line 2, byte 1 of the line: not UTF-8 text"):
        list(Source(write(b"ab\nc\xff\n")).lines())


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path):
    with pytest.raises(Refusal, match="No such file"):
        Source(tmp_path / "nowhere.json")
    with pytest.raises(Refusal, match="not a regular file"):
        Source(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Refusal, match="not a regular file"):
        Source(tmp_path / "pipe")
    with pytest.raises(Refusal, match="cannot be read"):
        Source(Path("no\0name"))
