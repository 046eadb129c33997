"""Messages: what a client sends, checked field by field, and replies made bytes.

What always holds: nothing that a client sends raises anything but ``RequestError``; a ``Request`` that comes out has
every field it may use, each of its type and within its bounds; an error says which field was wrong and what may stand
there. ``PROTOCOL.md`` is the table that this file carries out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

from matrix.errors import FormatError
from matrix.limits import (
    INT64_MAX,
    INT64_MIN,
    PROTOCOL_CREDIT,
    PROTOCOL_CREDIT_MAX,
    PROTOCOL_DEPTH_MAX,
    PROTOCOL_ID_CHARS_MAX,
    PROTOCOL_ID_MAX,
    PROTOCOL_PAGE_ROWS,
    PROTOCOL_PAGE_ROWS_MAX,
    PROTOCOL_PARAMS_MAX,
    QUERY_BYTES_MAX,
    WATCH_POSITION_CHARS_MAX,
)
from matrix.log.items import decode_value, encode_value
from matrix.server.contract import Encoding, Frame, Request, RequestError

SUBPROTOCOLS: Mapping[str, Encoding] = {"matrix.v1+json": "json", "matrix.v1+cbor": "cbor"}
ROW_FORMATS = ("rows", "arrow")
FILE_FORMATS = ("jsonl", "json", "csv", "arrow", "parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN_CHARS = 40  # of a value that an error repeats


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message: who is there."""

    token: str


@dataclass(frozen=True, slots=True)
class Grant:
    """More batches for a running request."""

    id: int | str
    credit: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop a running request."""

    id: int | str


Message: TypeAlias = Hello | Grant | Cancel | Request


# -- bytes to an object, and back ------------------------------------------------------------------


def encode(message: Mapping[str, Any], encoding: Encoding) -> Frame:
    """A reply as the frame that carries it."""
    if encoding == "cbor":
        return encode_value(dict(message))
    return json.dumps(message, ensure_ascii=True, separators=(",", ":"), default=str)


def is_batch(frame: Frame) -> bool:
    """Whether a reply is a batch: the type stands first in each.

    >>> is_batch(encode({"type": "batch", "id": 1, "count": 0}, "cbor")), is_batch('{"type":"batch","id":1}')
    (True, True)
    """
    return frame.startswith('{"type":"batch"') if isinstance(frame, str) else frame[1:12] == b"\x64type\x65batch"


def decode(frame: Frame, encoding: Encoding) -> dict[str, Any]:
    """The object in a frame; ``RequestError`` ``bad-message`` for anything else.

    >>> decode('{"type": "cancel", "id": 7}', "json")
    {'type': 'cancel', 'id': 7}
    """
    try:
        if encoding == "cbor":
            if isinstance(frame, str):
                raise _bad_message("with matrix.v1+cbor messages are binary frames")
            value = decode_value(frame)
        else:
            if isinstance(frame, bytes):
                raise _bad_message("with matrix.v1+json messages are text frames")
            value = json.loads(frame, parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)
            if _depth(value) > PROTOCOL_DEPTH_MAX:
                raise _bad_message(f"nested deeper than {PROTOCOL_DEPTH_MAX}")
    except (ValueError, FormatError, RecursionError) as error:
        name = "CBOR" if encoding == "cbor" else "JSON"
        raise _bad_message(f"not the {name} that is read here: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise _bad_message(f'a message is an object with a "type", not {_shown(value)}')
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _depth(value: Any) -> int:
    """How deep lists and objects are nested, without recursion."""
    depth, layer = 0, [value]
    while layer := [inner for outer in layer if isinstance(outer, (dict, list)) for inner in _inside(outer)]:
        depth += 1
    return depth


def _inside(outer: dict[str, Any] | list[Any]) -> list[Any]:
    return list(outer.values()) if isinstance(outer, dict) else outer


def _bad_message(text: str) -> RequestError:
    return RequestError("bad-message", text)


# -- fields ---------------------------------------------------------------------------------------


class _Field(NamedTuple):
    """How a field is read: ``read`` returns the value, or raises ``ValueError`` with what may stand there."""

    name: str
    read: Callable[[Any], Any]
    is_needed: bool = False


def _text(most_bytes: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("a text")
        if len(value) > most_bytes or len(value.encode("utf-8", "surrogatepass")) > most_bytes:
            raise ValueError(f"a text of at most {most_bytes:,} bytes")
        return value

    return read


def _name(value: Any) -> str:
    text = _text(WATCH_POSITION_CHARS_MAX)(value)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("a text without half letters")
    return text


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"a whole number from {least:,} to {most:,}")
        return value

    return read


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return read


def _true(value: Any) -> bool:
    if value is not True:
        raise ValueError("true")
    return True


def _identity(value: Any) -> int | str:
    if type(value) is int and 0 <= value <= PROTOCOL_ID_MAX:
        return value
    if isinstance(value, str) and len(value) <= PROTOCOL_ID_CHARS_MAX:
        return value
    raise ValueError(f"a whole number from 0 to 2^53 - 1, or a text of at most {PROTOCOL_ID_CHARS_MAX} characters")


def _params(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > PROTOCOL_PARAMS_MAX:
        raise ValueError(f"an object of at most {PROTOCOL_PARAMS_MAX} values")
    return {str(name): _param(str(name), given) for name, given in value.items()}


def _param(name: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_single(name, item) for item in value]
    return _single(name, value)


def _single(name: str, value: Any) -> Any:
    """A value for ``$name``, as a store's ``query`` takes it."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a finite number for ${name}")
    if value is None or isinstance(value, (bool, float, str)):
        return value
    if isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError(f"a number of at most 64 bits for ${name}")
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((unit, amount),) = value.items()
        if unit in ("duration", "time") and type(amount) is int:
            try:
                span = timedelta(microseconds=amount)
                return span if unit == "duration" else _EPOCH + span
            except OverflowError:
                raise ValueError(f"a {unit} that there is, for ${name}") from None
    raise ValueError(
        f'for ${name} a text, a number, a boolean, null, {{"duration": microseconds}}, {{"time": microseconds}}, '
        "or a list of those"
    )


_TEXT = _Field("text", _text(QUERY_BYTES_MAX), is_needed=True)
_CREDIT = _Field("credit", _whole(1, PROTOCOL_CREDIT_MAX))
_PARAMS = _Field("params", _params)
_ASKING = (
    _TEXT,
    _PARAMS,
    _Field("format", _one_of(*ROW_FORMATS)),
    _Field("page", _whole(1, PROTOCOL_PAGE_ROWS_MAX)),
    _CREDIT,
)

_FIELDS: Mapping[str, tuple[_Field, ...]] = {
    "query": _ASKING,
    "explain": _ASKING,
    "watch": (*_ASKING, _Field("after", _name)),
    "export": (_TEXT, _Field("format", _one_of(*FILE_FORMATS), is_needed=True), _PARAMS, _CREDIT),
    "check": (_TEXT, _PARAMS),
    "complete": (_TEXT, _Field("cursor", _whole(0, QUERY_BYTES_MAX))),
    "info": (_Field("simulation", _name),),
    "diff": (_Field("one", _name, is_needed=True), _Field("other", _name, is_needed=True)),
    "replay": (_Field("simulation", _name), _Field("all", _true), _CREDIT),
    "grant": (_CREDIT._replace(is_needed=True),),
    "cancel": (),
}
TYPES = tuple(_FIELDS)
_HELLO = (_Field("token", _text(1_024), is_needed=True),)


def read(frame: Frame, encoding: Encoding) -> Message:
    """What a client says in one frame.

    Raises ``RequestError``: ``bad-message`` without the id of a request, ``bad-request`` with it (in ``fields``).
    """
    message = decode(frame, encoding)
    kind = message.pop("type", None)
    if kind == "hello":
        return Hello(**_read_fields("hello", _HELLO, message))
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise _bad_message(f'"type" is one of hello, {", ".join(TYPES)}, not {_shown(kind)}')
    try:
        id = _identity(message.pop("id", None))
    except ValueError as error:
        raise _bad_message(f'"id" of {kind} is {error}') from None
    try:
        fields = _read_fields(kind, _FIELDS[kind], message)
        return _message(kind, id, fields)
    except RequestError as error:
        error.fields["id"] = id
        raise


def _message(kind: str, id: int | str, fields: dict[str, Any]) -> Message:
    if kind == "grant":
        return Grant(id, **fields)
    if kind == "cancel":
        return Cancel(id)
    if kind == "replay" and ("simulation" in fields) == ("all" in fields):
        raise _bad_request('replay takes "simulation", or "all": true')
    fields = {"page": PROTOCOL_PAGE_ROWS, "credit": PROTOCOL_CREDIT} | fields
    return Request(kind, id, **fields)


def _read_fields(kind: str, fields: tuple[_Field, ...], message: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for field in fields:
        if field.name not in message or (message[field.name] is None and not field.is_needed):
            message.pop(field.name, None)
            if field.is_needed:
                raise _bad_request(f'{kind} needs "{field.name}"')
            continue
        value = message.pop(field.name)
        try:
            found[field.name] = field.read(value)
        except ValueError as error:
            raise _bad_request(f'"{field.name}" of {kind} is {error}, not {_shown(value)}') from None
    if message:
        names = ", ".join(field.name for field in fields) or "none"
        raise _bad_request(f"{kind} has no field {_shown(next(iter(message)))}; its fields are: {names}")
    return found


def _bad_request(text: str) -> RequestError:
    return RequestError("bad-request", text)


def _shown(value: Any) -> str:
    """A value as an error repeats it: short, and without half letters."""
    text = json.dumps(value, ensure_ascii=True, default=lambda other: type(other).__name__)
    return text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
