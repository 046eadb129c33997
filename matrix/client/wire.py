"""Messages as frames, and frames as messages, in JSON or CBOR.

What always holds: whatever comes in, ``read`` gives a message, nothing, or ``ServerFailed``. A message with Arrow
bytes has them in ``data``, in both encodings: in JSON they come in a frame of their own, right behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import cbor2

from matrix.errors import ServerFailed, UsageError
from matrix.limits import INT64_MAX, INT64_MIN
from matrix.log.items import encode_value

Encoding: TypeAlias = Literal["cbor", "json"]
Frame: TypeAlias = str | bytes
Message: TypeAlias = dict[str, Any]

ENCODINGS: Final = ("cbor", "json")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def subprotocol(encoding: Encoding) -> str:
    """What the upgrade asks for."""
    return f"matrix.v1+{encoding}"


def encode(message: Mapping[str, Any], encoding: Encoding) -> Frame:
    """A message for the server."""
    if encoding == "json":
        return json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return encode_value(dict(message))


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A message whose bytes are still to come."""

    message: Message
    count: int


class FrameReader:
    """Messages out of the frames of one connection.

    >>> FrameReader("json").read('{"type": "done", "id": 1, "rows": 2}')
    {'type': 'done', 'id': 1, 'rows': 2}
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._awaited: _Awaited | None = None

    def read(self, frame: Frame) -> Message | None:
        """The message that this frame is, or completes."""
        if self._encoding == "cbor":
            return _checked(_from_cbor(frame))
        if self._awaited is not None:
            awaited, self._awaited = self._awaited, None
            if not isinstance(frame, bytes) or len(frame) != awaited.count:
                raise ServerFailed(f"the server announced {awaited.count:,} bytes, and sent something else")
            return {**awaited.message, "data": frame}
        message = _checked(_from_json(frame))
        count = message.get("bytes")
        if count is None:
            return message
        if type(count) is not int or count < 0:
            raise ServerFailed(f'the server announced "{count}" bytes, which is no number of them')
        self._awaited = _Awaited(message, count)
        return None


def _from_json(frame: Frame) -> Any:
    if not isinstance(frame, str):
        raise ServerFailed("the server sent bytes that belong to nothing, where JSON was agreed on")
    try:
        return json.loads(frame)
    except (ValueError, RecursionError):
        raise ServerFailed(f"the server sent what is not JSON: {frame[:40]!r}") from None


def _from_cbor(frame: Frame) -> Any:
    if not isinstance(frame, bytes):
        raise ServerFailed("the server sent text, where CBOR was agreed on")
    try:
        return cbor2.loads(frame)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise ServerFailed(f"the server sent what is not CBOR: {frame[:20].hex()}") from None


def _checked(message: Any) -> Message:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ServerFailed("the server sent a message that has no type")
    return message


# -- values of $name ------------------------------------------------------------------------------


def encoded_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Values of ``$name`` as the protocol has them; what it does not have is a ``UsageError``.

    >>> encoded_parameters({"role": "buyer", "longest": timedelta(minutes=1)})
    {'role': 'buyer', 'longest': {'duration': 60000000}}
    """
    return {name: _value(name, value) for name, value in parameters.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_scalar(name, item) for item in value]
    return _scalar(name, value)


def _scalar(name: str, value: Any) -> Any:
    if hasattr(value, "item") and hasattr(value, "dtype"):  # a numpy scalar
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"the value given for ${name} is {value}; over a connection a number is finite")
        return float(value)
    if isinstance(value, str):
        return _text(name, str(value))
    if isinstance(value, int):
        return _integer(name, int(value))
    if isinstance(value, timedelta):
        return {"duration": value // _MICROSECOND}
    if isinstance(value, datetime):
        return {"time": ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND}
    if isinstance(value, date):
        return {"time": (datetime(value.year, value.month, value.day, tzinfo=UTC) - _EPOCH) // _MICROSECOND}
    raise UsageError(
        f"the value given for ${name} is a {type(value).__name__}; a parameter is a text, a number, true or false, "
        "a timedelta, a datetime, or a list of those"
    )


def _text(name: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the value given for ${name} has half a letter in it; decode it anew from its bytes"
        ) from None
    return text


def _integer(name: str, number: int) -> int:
    if not INT64_MIN <= number <= INT64_MAX:
        raise UsageError(f"the value given for ${name} is too large a number")
    return number
