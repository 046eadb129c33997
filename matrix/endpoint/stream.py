"""Streams: server-sent events become the answer that the server would have given in one piece.

What always holds: an answer is whole when the server says ``[DONE]`` or each choice has its ``finish_reason``;
a stream that ends before is cut off. Pieces of calls of tools are put together by their index.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from matrix.endpoint.answer import shown
from matrix.endpoint.trouble import error_in_stream
from matrix.errors import EndpointGarbled, EndpointLost

DONE: Final = "[DONE]"
_OF_PIECES: Final = frozenset({"choices", "obfuscation"})  # of single pieces, and nothing of the whole
_SAID_ONCE: Final = frozenset({"role", "id", "type", "name"})  # every piece may say it again


class Lines:
    """The data of server-sent events, from the bytes as they come.

    Split at LF and CR LF only: what a text holds (U+2028 and the like) ends no line.

    >>> lines = Lines()
    >>> [*lines.feed(b'data: {"a"'), *lines.feed(b': 1}\\r\\n\\r\\n: ping\\ndata: [DONE]\\n\\n')]
    ['{"a": 1}', '[DONE]']
    """

    def __init__(self) -> None:
        self.have_begun = False  #: there was a line of data, so this is a stream
        self._rest = b""
        self._data: list[str] = []

    def feed(self, some: bytes) -> Iterator[str]:
        """The events that are whole with these bytes."""
        *lines, self._rest = (self._rest + some).split(b"\n")
        for line in lines:
            yield from self._line(line.removesuffix(b"\r"))

    def end(self) -> Iterator[str]:
        """No more bytes come: the last event may lack its empty line."""
        yield from self._line(self._rest)
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[str]:
        if line.startswith(b"data:"):
            self.have_begun = True
            self._data.append(line[5:].decode("utf-8", "replace").removeprefix(" "))
        elif not line and self._data:
            yield "\n".join(self._data)
            self._data = []


class Assembly:
    """One answer that comes in pieces.

    >>> assembly = Assembly()
    >>> assembly.add('{"choices": [{"index": 0, "delta": {"content": "Hel"}}]}')
    'Hel'
    >>> assembly.add('{"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]}')
    'lo'
    >>> assembly.answer()["choices"][0]["message"]["content"]
    'Hello'
    """

    def __init__(self) -> None:
        self.is_done = False  #: the server said so: nothing of the answer comes any more
        self.has_begun = False  #: the first piece of an answer came: a text, or a part of a call
        self._told: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, data: str) -> str:
        """Take the data of one event; returns the text that it adds to the first choice, mostly some letters."""
        if self.is_done:
            return ""
        if data.strip() == DONE:
            self.is_done = True
            return ""
        try:
            piece = json.loads(data)
        except (ValueError, RecursionError):
            raise EndpointGarbled(f"a piece of the stream is no JSON: {shown(data)}") from None
        if not isinstance(piece, Mapping):
            raise EndpointGarbled(f"a piece of the stream is no JSON object: {shown(data)}")
        if piece.get("error"):
            raise error_in_stream(piece)
        self._told.update(
            {name: value for name, value in piece.items() if name not in _OF_PIECES and value is not None}
        )
        choices = piece.get("choices")
        return "".join(self._add_choice(choice) for choice in choices) if isinstance(choices, list) else ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing of the answer is missing."""
        choices = self._choices.values()
        return bool(choices) and (self.is_done or all(choice.get("finish_reason") for choice in choices))

    def answer(self) -> dict[str, Any]:
        """The whole answer, as without a stream; ``EndpointLost`` when it was cut off."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        if not self.is_whole:
            raise EndpointLost(
                f"the stream was cut off{f' in choice {len(choices)}' if choices else ' at its beginning'}"
            )
        for choice in choices:
            for call in choice["message"].get("tool_calls", ()):
                call.pop("index", None)
        return {**self._told, "choices": choices}

    def _add_choice(self, given: Any) -> str:
        if not isinstance(given, Mapping):
            raise EndpointGarbled(f"a choice of the stream is no JSON object: {shown(given)}")
        index = given.get("index")
        key = index if type(index) is int else 0
        choice = self._choices.setdefault(key, {"index": key, "message": {}})
        for name, value in given.items():
            if name == "logprobs" and isinstance(value, Mapping):
                _merge(choice.setdefault("logprobs", {}), value)
            elif name not in ("index", "delta", "message", "logprobs") and value is not None:
                choice[name] = value
        delta = given.get("delta")
        if not isinstance(delta, Mapping):
            return ""
        calls = delta.get("tool_calls")
        self.has_begun |= any(value for name, value in delta.items() if name != "role")
        _merge(choice["message"], {name: value for name, value in delta.items() if name != "tool_calls"})
        for part in calls if isinstance(calls, list) else ():
            _add_call(choice["message"].setdefault("tool_calls", []), part)
        content = delta.get("content")
        return content if key == 0 and isinstance(content, str) else ""


def _add_call(calls: list[dict[str, Any]], part: Any) -> None:
    """Put a piece of a call where it belongs: by its id where it has one, else by its index, else behind the newest."""
    if not isinstance(part, Mapping):
        raise EndpointGarbled(f"a call of a tool in the stream is no JSON object: {shown(part)}")
    index, id = part.get("index"), part.get("id")
    newest_first = calls[::-1]
    if id:  # some servers give several calls one index; the id tells them apart
        found = next((call for call in newest_first if call.get("id") == id), None)
        found = found or next((c for c in newest_first if c["index"] == index and not c.get("id")), None)
    elif index is not None:
        found = next((call for call in newest_first if call["index"] == index), None)
    else:
        found = next(iter(newest_first), None)
    if found is None:
        found = {"index": index}
        calls.append(found)
    _merge(found, {name: value for name, value in part.items() if name != "index"})


def _merge(whole: dict[str, Any], part: Mapping[str, Any]) -> None:
    """Texts are joined, lists go on, maps likewise; what is null says nothing."""
    for name, value in part.items():
        before = whole.get(name)
        if value is None:
            whole.setdefault(name, None)
        elif isinstance(value, str) and isinstance(before, str):
            whole[name] = before or value if name in _SAID_ONCE else before + value
        elif isinstance(value, list) and isinstance(before, list):
            before.extend(value)
        elif isinstance(value, Mapping):
            if not isinstance(before, dict):
                before = whole[name] = {}
            _merge(before, value)
        else:
            whole[name] = list(value) if isinstance(value, list) else value
