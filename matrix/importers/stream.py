"""JSON read piece by piece: a file of any size, one element of its long list in memory at a time.

The text is decoded by Python's own JSON scanner, element by element, so every syntax error has its line
and byte, numbers keep their type, and nothing is replaced in silence: what JSON or the log cannot hold
exactly (a key twice, ``NaN``, ``1e999``, half a surrogate pair, too deep a nesting) is refused.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from matrix.importers.source import Refusal, Source
from matrix.limits import IMPORT_DEPTH_MAX, IMPORT_ELEMENT_CHARS_MAX

_SPACE = re.compile(r"[ \t\n\r]*")
_BLANK = re.compile(r"[ \t\r]*")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
#: An error this close to the end of what was read so far may only mean that the rest is not there yet.
_TAIL_CHARS = 16


class JsonStream:
    """A cursor in one JSON document.

    >>> stream = JsonStream(source)                                                   # doctest: +SKIP
    >>> for key in stream.fields():                                                     # doctest: +SKIP
    ...     if key == "simulations":
    ...         for path, simulation in stream.elements(key): ...
    ...     else:
    ...         header[key] = stream.value(key)
    >>> stream.end()                                                                  # doctest: +SKIP
    """

    def __init__(self, source: Source) -> None:
        self._chunks = source.chunks()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._is_complete = False
        self._fed_bytes = 0
        self._dropped_bytes = 0
        self._dropped_lines = 0
        self._fill(1)
        if self._text.startswith("\ufeff"):
            self._at = 1

    def fields(self) -> Iterator[str]:
        """The keys of the object that starts here; read each key's value before asking for the next key."""
        self._expect("{", "expected an object")
        seen: set[str] = set()
        if self._skip("}"):
            return
        while True:
            key = self._key()
            if key in seen:
                raise Refusal(self._place(self._at), f'the key "{key}" stands here a second time')
            seen.add(key)
            self._expect(":", 'expected ":" after a key')
            yield key
            if self._skip("}"):
                return
            self._expect(",", 'expected "," or "}"')

    def elements(self, path: str = "", *, checked: bool = True) -> Iterator[tuple[str, Any]]:
        """The elements of the list that starts here, each with its path; unchecked ones are only stepped over."""
        self._expect("[", f"{path or 'the document'}: expected a list")
        if self._skip("]"):
            return
        index = 0
        while True:
            name = f"{path}[{index}]"
            yield name, self.value(name, checked=checked)
            index += 1
            if self._skip("]"):
                return
            self._expect(",", f'{name}: expected "," or "]" after it')

    def value(self, path: str, *, checked: bool = True) -> Any:
        """The value that starts here, whole."""
        self._space()
        start = self._at
        value, end = self._decode(_CHECKED if checked else _PLAIN)
        if checked:
            _check_depth(value, path)
            if _SURROGATE_ESCAPE.search(self._text, start, end):
                _check_text(value, path)
        self._at = end
        return value

    def documents(self) -> Iterator[tuple[str, Any]]:
        """The values that stand here up to the end of the file, each with its line as path: ``line 3``.

        One document over many lines, or JSON Lines: after a value its line must end.
        """
        self._space()
        while self._at < len(self._text):
            path = self._place(self._at).partition(",")[0]
            yield path, self.value(path)
            self._pass(_BLANK)
            if not self._text.startswith("\n", self._at) and self._at < len(self._text):
                raise Refusal(self._place(self._at), f"unexpected {self._found()} after the end of the document")
            self._space()

    def starts_with(self, sign: str) -> bool:
        """Whether the next value begins with this sign: ``{`` for an object, ``[`` for a list."""
        self._space()
        return self._text.startswith(sign, self._at)

    def end(self) -> None:
        """Refuse anything but white space after the document."""
        self._space()
        if self._at < len(self._text):
            raise Refusal(self._place(self._at), f"unexpected {self._found()} after the end of the document")

    # -- below: one cursor over text that arrives in chunks --------------------------------------

    def _decode(self, decoder: json.JSONDecoder) -> tuple[Any, int]:
        while True:
            try:
                value, end = decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                self._grow_or_refuse(error)
            except RecursionError:
                raise Refusal(self._place(self._at), "the value that starts here is nested too deeply") from None
            except ValueError as error:
                raise Refusal(self._place(self._at), f"in the value that starts here: {error}") from None
            else:
                # A number near the end of what was read may go on in the next chunk: of "1e+5" only "1e+" is there.
                may_go_on = type(value) in (int, float) and end >= len(self._text) - _TAIL_CHARS
                if self._is_complete or not may_go_on:
                    return value, end
                self._grow()

    def _grow_or_refuse(self, error: json.JSONDecodeError) -> None:
        may_go_on = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _TAIL_CHARS
        if may_go_on and not self._is_complete:
            self._grow()
            return
        at_end = error.pos >= len(self._text) or error.msg.startswith("Unterminated string")
        what = f"the file is cut off ({error.msg})" if at_end else error.msg
        raise Refusal(self._place(error.pos), what) from None

    def _grow(self) -> None:
        """Read at least as much again, so that a long element is scanned a few times, not once per chunk."""
        if len(self._text) - self._at > IMPORT_ELEMENT_CHARS_MAX:
            what = f"the value that starts here is longer than {IMPORT_ELEMENT_CHARS_MAX:,} characters"
            raise Refusal(self._place(self._at), what)
        self._fill(2 * (len(self._text) - self._at))

    def _fill(self, wanted: int) -> None:
        dropped = self._text[: self._at]
        self._dropped_bytes += len(dropped.encode("utf-8"))
        self._dropped_lines += dropped.count("\n")
        parts, length = [self._text[self._at :]], len(self._text) - self._at
        while length < wanted and not self._is_complete:
            chunk = next(self._chunks, b"")
            self._is_complete = not chunk
            parts.append(self._decoded(chunk))
            length += len(parts[-1])
        self._text, self._at = "".join(parts), 0

    def _decoded(self, chunk: bytes) -> str:
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk, final=self._is_complete)
        except UnicodeDecodeError as error:
            raise Refusal(f"byte {self._fed_bytes - pending + error.start}", "not UTF-8 text") from None
        self._fed_bytes += len(chunk)
        return text

    def _space(self) -> None:
        self._pass(_SPACE)

    def _pass(self, signs: re.Pattern[str]) -> None:
        while True:
            match = signs.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text) or self._is_complete:
                return
            self._fill(1)

    def _skip(self, sign: str) -> bool:
        self._space()
        found = self._text.startswith(sign, self._at)
        self._at += found
        return found

    def _expect(self, sign: str, what: str) -> None:
        if not self._skip(sign):
            raise Refusal(self._place(self._at), f"{what}, found {self._found()}")

    def _key(self) -> str:
        if not self.starts_with('"'):
            raise Refusal(self._place(self._at), f"expected a key in double quotes, found {self._found()}")
        return str(self.value("a key"))

    def _found(self) -> str:
        return repr(self._text[self._at]) if self._at < len(self._text) else "the end: the file is cut off"

    def _place(self, position: int) -> str:
        before = self._text[:position]
        line = self._dropped_lines + before.count("\n") + 1
        return f"line {line}, byte {self._dropped_bytes + len(before.encode('utf-8'))}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" stands twice in one object')
    return value


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # Python refuses to read a number of more than some thousand digits
        raise ValueError(f"the number {text[:40]}... has {len(text):,} digits") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_CHECKED = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_whole, parse_constant=_no_constant
)
_PLAIN = json.JSONDecoder()


def line_value(line: str, path: str) -> Any:
    """The value of one line of JSON Lines, held to the same rules; ``path`` (``line 3``) names it in refusals.

    >>> line_value('{"a": [1, 2]}', "line 3")
    {'a': [1, 2]}
    >>> line_value('{"a": 1} {', "line 3")
    Traceback (most recent call last):
        ...
    matrix.importers.source.Refusal: line 3, byte 9: unexpected '{' after the end of the value
    """
    start = len(line) - len(line.lstrip(" \t\r"))
    try:
        value, end = _CHECKED.raw_decode(line, start)
    except json.JSONDecodeError as error:
        raise Refusal(_line_place(line, error.pos, path), f"not JSON: {error.msg}") from None
    except RecursionError:
        raise Refusal(path, "nested too deeply") from None
    except ValueError as error:
        raise Refusal(path, str(error)) from None
    rest = line[end:].lstrip(" \t\r")
    if rest:
        place = _line_place(line, len(line) - len(rest), path)
        raise Refusal(place, f"unexpected {rest[0]!r} after the end of the value")
    _check_depth(value, path)
    if _SURROGATE_ESCAPE.search(line):
        _check_text(value, path)
    return value


def _line_place(line: str, position: int, path: str) -> str:
    return f"{path}, byte {len(line[:position].encode())}"


def nesting(value: Any) -> int:
    """How deep lists and maps are nested: 0 for a number, 1 for ``[1, 2]``, 2 for ``{"a": [1]}``."""
    level, depth = [value] if type(value) in (dict, list) else [], 0
    while level:
        depth += 1
        inner = (child for one in level for child in (one.values() if type(one) is dict else one))
        level = [child for child in inner if type(child) in (dict, list)]
    return depth


def _check_depth(value: Any, path: str) -> None:
    depth = nesting(value)
    if depth > IMPORT_DEPTH_MAX:
        raise Refusal(path, f"nested {depth} deep, at most {IMPORT_DEPTH_MAX} can be kept")


def _check_text(value: Any, path: str) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        sign = f"\\u{ord(error.object[error.start]):04x}"
        raise Refusal(f"{path}{_path_of_half_pair(value)}", f"holds half a surrogate pair ({sign}): not text") from None


def _path_of_half_pair(value: Any) -> str:
    """The path, from this value on, of the first text that cannot be written as UTF-8; there is one."""
    steps: list[tuple[str, Any]] = []
    if type(value) is dict:
        for key, child in value.items():
            if not is_text(key):
                return " (a key)"
            steps.append((f".{key}", child))
    elif type(value) is list:
        steps = [(f"[{index}]", child) for index, child in enumerate(value)]
    for step, child in steps:
        if not is_text(child):
            return step + (_path_of_half_pair(child) if type(child) in (dict, list) else "")
    return ""


def is_text(value: Any) -> bool:
    """Whether every text in it can be written as UTF-8 (half a surrogate pair cannot)."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
