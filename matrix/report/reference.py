"""Reference texts: files of real text, read piece by piece.

Plain text and Markdown are one document a file. JSON Lines (``.jsonl``, ``.ndjson``) have a document a line, JSON
(``.json``) one for each element of the list that it is, or one; of these the texts under ``text``, ``content`` and
``utterance`` count, wherever they stand, so that chats, dialogues and dumps of corpora are read as they are. Any file
may be gzipped. What always holds: a file is read as a stream; one that cannot be read to its end is an error that says
where, never a shorter reference.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matrix.errors import UsageError
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream
from matrix.limits import REPORT_LINE_CHARS_MAX

_TEXT_KEYS = frozenset({"text", "content", "utterance"})
_LINES = (".jsonl", ".ndjson")

Progress = Callable[[str, int, int], None]
"""Told the name of a file, the bytes read of it, and its size, as they lie on disk."""


class Passage(NamedTuple):
    """A piece of a reference: the file's name, which piece of it (from 0), whether a document begins, and the text."""

    file: str
    number: int
    is_first: bool
    text: str


class ReferenceFile:
    """A file of real text. Raises ``UsageError`` for one that is not there, cut off, or no text."""

    def __init__(self, path: str | Path, progress: Progress | None = None) -> None:
        self.path = Path(path)
        with _named(self.path):
            self._source = Source(self.path, progress=_told(progress))
        self.name, self.digest, self.size = self.path.name, self._source.digest, self._source.bytes_total
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        self._suffix = next((suffix for suffix in reversed(suffixes) if suffix not in (".gz", ".gzip")), "")

    def passages(self, words: int) -> Iterator[Passage]:
        """The text in pieces of about ``words`` words; a document's last one is shorter."""
        number = 0
        with _named(self.path):
            for document in self._documents():
                is_first = True
                for text in _pieces(document, words):
                    yield Passage(self.name, number, is_first, text)
                    number, is_first = number + 1, False

    def _documents(self) -> Iterator[Iterator[str]]:
        """Documents, each as lines."""
        if self._suffix in _LINES:
            for number, line in self._source.lines():
                if line.strip():
                    yield iter(_texts(_parsed(line, number)))
        elif self._suffix == ".json":
            for value in self._elements():
                yield iter(_texts(value))
        else:
            yield self._lines()

    def _elements(self) -> Iterator[Any]:
        stream = JsonStream(self._source)
        if stream.starts_with("["):
            for _, value in stream.elements():
                yield value
        else:
            yield stream.value("the document")
        stream.end()

    def _lines(self) -> Iterator[str]:
        decoder, rest, at = codecs.getincrementaldecoder("utf-8")(), "", 0
        for chunk in self._source.chunks():
            if b"\x00" in chunk:
                raise Refusal(f"byte {at + chunk.index(0)}", "a zero byte: this is no text")
            try:
                rest += decoder.decode(chunk)
            except UnicodeDecodeError as error:
                raise Refusal(f"near byte {at + error.start}", "not UTF-8 text") from None
            at += len(chunk)
            *whole, rest = rest.split("\n")
            yield from whole
            while len(rest) > REPORT_LINE_CHARS_MAX:
                cut = rest.rfind(" ", 0, REPORT_LINE_CHARS_MAX) + 1 or REPORT_LINE_CHARS_MAX
                yield rest[:cut]
                rest = rest[cut:]
        try:
            yield rest + decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise Refusal(f"byte {at}", "the file is cut off in the middle of a character") from None


class _named:
    """What is wrong with a file becomes an error with its path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refusal):
            raise UsageError(f"{self._path}: {error}; nothing was reported") from None


def _told(progress: Progress | None) -> Callable[[Any], None] | None:
    if progress is None:
        return None
    return lambda now: progress(now.file.name, now.bytes_read, now.bytes_total)


def _parsed(line: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Refusal(f"line {number}", f"not JSON ({error})") from None


def _texts(value: Any) -> list[str]:
    """The texts in a value, in the order in which they stand, as lines."""
    found: list[str] = []
    waiting = [("", value)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            if key in _TEXT_KEYS:
                found += value.split("\n")
        elif isinstance(value, dict):
            waiting += reversed(list(value.items()))
        elif isinstance(value, list):
            waiting += [(key, part) for part in reversed(value)]
    return found


def _pieces(lines: Iterator[str], words: int) -> Iterator[str]:
    """Lines joined to pieces of ``words`` words or a few more, long ones cut between words."""
    held: list[str] = []
    count = 0
    for line in lines:
        some = line.split()
        for begin in range(0, len(some), words) if len(some) > words else (0,):
            part = " ".join(some[begin : begin + words]) if len(some) > words else line.strip()
            # A script without spaces is one "word" a line: there the number of signs says when a piece is long enough.
            held.append(part)
            count += max(min(len(some) - begin, words), len(part) // 12)
            if count >= words:
                yield "\n".join(held)
                held, count = [], 0
    if any(held):
        yield "\n".join(held)


def opened(paths: Sequence[str | Path], progress: Progress | None = None) -> list[ReferenceFile]:
    """The files of a reference, each read once to see that it can be read."""
    return [ReferenceFile(path, progress) for path in paths]
