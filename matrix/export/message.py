"""Single messages in OpenAI's form, made of events.

The rules:

- A ``message.sent`` with a text says that text. Any other event that is sent to somebody says its kind and its data as
  JSON: ``{"kind": "offer", "data": {"price": 40}}``; that it came too late for somebody is not the speaker's word.
- A call of a tool is an entry of ``tool_calls``, its arguments as JSON text, as they were recorded; its answer is a
  message of the role ``tool``: the text as it was recorded, and of a failed call its error.
- An event that was imported may bring along what its message says beside that (``.message``), or an entry of
  ``tool_calls`` as a whole (``.call``): it is laid over, and a null there takes a field away.

JSON of our own making is written as models are shown it: spaces after commas and colons, letters as they are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from matrix.event import MESSAGE_SENT, Event
from matrix.importers.jsontext import arguments_text, result_text
from matrix.limits import EXPORT_NAME_CHARS_MAX
from matrix.query.rows import json_default

#: What a run adds to the data of a message that somebody did not get: true for all, else their ids.
UNDELIVERED: Final = "undelivered"
#: What a message says only of who said it: of no use to whom it was said.
_OF_THE_SPEAKER: Final = frozenset({"role", "tool_calls", "function_call", "refusal", "audio", "tool_call_id"})
_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]")


def content_of(event: Event, *, is_imported: bool = False) -> str:
    """What an event says that is sent to somebody.

    >>> content_of(Event(1, 7, 0, 0, 1, 1, 0, 0, 0, "offer", (2,), {"price": 40}))
    '{"kind": "offer", "data": {"price": 40}}'
    """
    text = event.data.get("text")
    if event.kind == MESSAGE_SENT and type(text) is str:
        return text
    data = event.data
    if is_imported and "message" in data:
        data = {name: value for name, value in data.items() if name != "message"}
    elif not is_imported and _missed(event):
        data = {name: value for name, value in data.items() if name != UNDELIVERED}
    return json_text({"kind": event.kind, "data": data})


def has_reached(event: Event, number: int, id: str) -> bool:
    """Whether an agent got what a run sent to it; one that had ended by then did not."""
    missed = _missed(event)
    return number in event.to and not (missed is True or (missed and id in missed))


def _missed(event: Event) -> bool | list[Any]:
    found: Any = event.data.get(UNDELIVERED)
    return found if found is True or type(found) is list else False


def json_text(value: Any) -> str:
    """A value as the JSON that a model is shown; bytes are text there, and a number that is not finite is null.

    >>> json_text({"wo": "Köln", "key": b"?!", "share": float("nan")})
    '{"wo": "Köln", "key": "3f21", "share": null}'
    """
    try:
        return _ENCODER.encode(value)
    except ValueError:  # the exception, literally: looking for such numbers everywhere would cost more
        return _ENCODER.encode(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=json_default)


def tool_call(event: Event, *, is_imported: bool) -> dict[str, Any]:
    """The entry of ``tool_calls`` for a ``tool.called``."""
    data = event.data
    whole = data.get("call") if is_imported else None
    if isinstance(whole, Mapping):
        return dict(whole)
    arguments = arguments_text(data) if is_imported else json_text(data.get("arguments", {}))
    function = {"name": str(data.get("tool", "")), "arguments": arguments}
    return {"id": call_name(data), "type": "function", "function": function}


def tool_answer(event: Event, *, is_imported: bool) -> dict[str, Any]:
    """The message for a ``tool.completed`` or ``tool.failed``."""
    data = event.data
    if "result" in data and is_imported:
        content = result_text(data)
    elif "result" in data:
        content = data["result"] if type(data["result"]) is str else json_text(data["result"])
    else:
        error = data.get("error")
        content = error if type(error) is str else "" if error is None else json_text(error)
    message = {"role": "tool", "tool_call_id": call_name(data), "content": content or ""}
    return laid_over(message, event) if is_imported else message


def call_name(data: Mapping[str, Any]) -> str:
    """The id that a call and its answer share: the one that a model gave it, else our own."""
    return str(data.get("tool_call_id") or data.get("call_id", ""))


def laid_over(message: dict[str, Any], event: Event, *, is_own: bool = True) -> dict[str, Any]:
    """A message with what its imported event says beside; of somebody else's only what is for its hearers."""
    beside = event.data.get("message")
    if not isinstance(beside, Mapping):
        return message
    found = message | {name: value for name, value in beside.items() if is_own or name not in _OF_THE_SPEAKER}
    return {name: value for name, value in found.items() if value is not None}


def name_for(id: str, others: Mapping[str, str]) -> str:
    """An agent's id as the ``name`` of a message: letters, digits, ``_`` and ``-``, and unlike those of ``others``.

    >>> name_for("Dr. Who", {}), name_for("Dr? Who", {"Dr. Who": "Dr__Who"})
    ('Dr__Who', 'Dr__Who_2')
    """
    plain = _NOT_IN_NAMES.sub("_", id)[:EXPORT_NAME_CHARS_MAX] or "_"
    taken = {name for other, name in others.items() if other != id}
    name, number = plain, 1
    while name in taken:
        number += 1
        ending = f"_{number}"
        name = plain[: EXPORT_NAME_CHARS_MAX - len(ending)] + ending
    return name
