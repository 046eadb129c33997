"""Secrets: what an endpoint is opened with, and no text, log or error may show.

What always holds: whatever comes from a server passes ``Secrets`` before anybody sees it, and before anything of it is
cut off: half a key would not be known as one. A server that echoes a request's key in its error, or in its answer, does
not get it into a log by that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "***"
_CHARS_MIN: Final = 6  # a shorter text is no secret, and hiding it would tear holes into others
#: What people write where a key is asked for and none is needed.
_PLACEHOLDERS: Final = frozenset(
    {"not-needed", "no-key-required", "sk-no-key-required", "ollama", "lm-studio", "dummy-key", "placeholder"}
)


class Secrets:
    """Some texts that are shown nowhere.

    >>> Secrets(["sk-12345678"]).hidden({"error": "the key sk-12345678 is wrong"})
    {'error': 'the key *** is wrong'}
    """

    def __init__(self, texts: Iterable[str]) -> None:
        wanted = {text for text in texts if len(text) >= _CHARS_MIN and text.lower() not in _PLACEHOLDERS}
        written = {form for text in wanted for form in _forms(text)}
        self._texts = sorted(written, key=len, reverse=True)  # one may be part of another

    def __repr__(self) -> str:
        return f"<secrets in {len(self._texts)} forms>"

    def hidden(self, value: Any) -> Any:
        """The value without them; the value itself where it has none, which is quickly seen."""
        if not self._texts:
            return value
        try:
            written = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError):
            return self._without(value)
        return self._without(value) if any(text in written for text in self._texts) else value

    def hidden_beginning(self, text: str) -> str:
        """The beginning of a text whose rest is not known, without them: also without the half of one at its end.

        >>> Secrets(["sk-12345678"]).hidden_beginning("the key sk-1234")
        'the key '
        """
        text = self.hidden(text)
        halves = (len(half) for one in self._texts for half in _beginnings(one) if text.endswith(half))
        return text[: len(text) - max(halves, default=0)]

    def hide_in(self, record: logging.LogRecord) -> bool:
        """A filter of diagnostics: httpx tells each request's whole URL, and httpcore the headers of answers."""
        record.msg, record.args = self.hidden(record.getMessage()), ()
        return True

    def _without(self, value: Any) -> Any:
        if isinstance(value, str):
            for text in self._texts:
                value = value.replace(text, HIDDEN)
            return value
        if isinstance(value, Mapping):
            return {self._without(name): self._without(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._without(inner) for inner in value]
        return value


def _forms(text: str) -> set[str]:
    """A text as it is, and as JSON and URLs have it."""
    as_json = {json.dumps(text, ensure_ascii=is_ascii)[1:-1] for is_ascii in (False, True)}
    return {text, *as_json, quote(text), quote(text, safe=""), quote_plus(text)}


def _beginnings(text: str) -> Iterable[str]:
    return (text[:length] for length in range(1, len(text)))
