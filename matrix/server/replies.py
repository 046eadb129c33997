"""Replies without rows as frames, in JSON or CBOR.

What always holds: JSON is valid (what it has no form for is null, half letters are escaped), CBOR has no tags, and
whole numbers keep every digit. Nothing here loads Arrow: the server's own process passes rows on as bytes, and starts
a second sooner without it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import cbor2

from matrix.server.contract import Encoding, Frame

_HALF_LETTER = re.compile("[\ud800-\udfff]")


def _default(value: Any) -> str:
    """What JSON has no form for, as text: bytes in hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else str(value)


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)


def message(encoding: Encoding, fields: Mapping[str, Any]) -> Frame:
    """One reply without rows.

    >>> message("json", {"type": "done", "id": 1, "rows": 2, "seconds": 0.012})
    '{"type":"done","id":1,"rows":2,"seconds":0.012}'
    """
    if encoding == "json":
        return json_text(fields)
    return cbor2.dumps(plain(fields))


def json_text(value: Any) -> str:
    """A value as JSON that every reader takes.

    >>> json_text({"rate": float("nan"), "text": "half \\ud83d"})
    '{"rate":null,"text":"half \\\\ud83d"}'
    """
    try:
        text = _JSON.encode(value)
    except ValueError:  # NaN or an infinity somewhere in it
        text = _JSON.encode(_finite(value))
    if text.isascii():
        return text
    return _HALF_LETTER.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain(value: Any) -> Any:
    """A value as CBOR holds it without a tag.

    >>> plain({"rate": float("inf"), "half": "a\\ud83d"})
    {'rate': None, 'half': 'a\ufffd'}
    """
    match value:
        case str():
            return _HALF_LETTER.sub("\ufffd", value)
        case None | bool() | bytes():
            return value
        case int():
            return value if -(2**64) <= value < 2**64 else float(value) if abs(value) < 2**1023 else str(value)
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {plain(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return str(value)
