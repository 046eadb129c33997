"""A tool's answer, or a call's arguments, that are JSON text: kept as data, and the way back to the very text.

``result`` is the parsed value, so paths reach into it. Writers of JSON differ in white space and escapes:
a text that Python's ``json.dumps`` gives back as it stands needs nothing more; one that another known style
gives back carries that style's name in ``result_style``; any other keeps the text itself in ``result_text``.
A text that is no JSON is its own ``result``. ``result_text(data)`` undoes all of it.

``arguments`` are kept in the same way, but are always a map: of a text that is no JSON object there is only
``arguments_text``. ``arguments_text(data)`` gives the text back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from matrix.importers.stream import is_text, nesting
from matrix.limits import IMPORT_DEPTH_MAX

#: How ``json.dumps`` is asked to write, by name. The first is the usual one and goes without saying.
STYLES: dict[str, dict[str, Any]] = {
    "": {},
    "unicode": {"ensure_ascii": False},
    "compact": {"separators": (",", ":")},
    "compact-unicode": {"separators": (",", ":"), "ensure_ascii": False},
    "indent-2": {"indent": 2},
    "indent-2-unicode": {"indent": 2, "ensure_ascii": False},
    "indent-4": {"indent": 4},
    "indent-4-unicode": {"indent": 4, "ensure_ascii": False},
}


def result_fields(text: str) -> dict[str, Any]:
    """The fields that stand for this answer in an event.

    >>> result_fields('{"price": 40}'), result_fields('{"price":40}'), result_fields("Error: sold out")
    ({'result': {'price': 40}}, {'result': {'price': 40}, 'result_style': 'compact'}, {'result': 'Error: sold out'})
    >>> result_fields('{"price": 4e1}')
    {'result': {'price': 40.0}, 'result_text': '{"price": 4e1}'}
    """
    value = _parsed(text)
    if value is _NOT_KEPT:
        return {"result": text}
    if type(value) is str:  # a bare text as result means: this very text
        return {"result": value, "result_text": text}
    return {"result": value} | _written("result", value, text)


def result_text(data: Mapping[str, Any]) -> str | None:
    """The recorded text of a ``tool.completed`` or ``tool.failed``, as it stood in the file; None if it had none.

    >>> result_text({"result": {"price": 40}, "result_style": "compact"})
    '{"price":40}'
    """
    if "result" not in data:
        return None
    if "result_text" in data:
        return str(data["result_text"])
    if type(data["result"]) is str:
        return data["result"]
    return json.dumps(data["result"], **STYLES[data.get("result_style", "")])


def arguments_fields(text: str) -> dict[str, Any]:
    """The fields that stand for a call's arguments in an event.

    >>> arguments_fields('{"order": 7}'), arguments_fields('{"order":7}')
    ({'arguments': {'order': 7}}, {'arguments': {'order': 7}, 'arguments_style': 'compact'})
    >>> arguments_fields('{"order": ')
    {'arguments_text': '{"order": '}
    """
    value = _parsed(text)
    if type(value) is not dict:
        return {"arguments_text": text}
    return {"arguments": value} | _written("arguments", value, text)


def arguments_text(data: Mapping[str, Any]) -> str | None:
    """The recorded text of the arguments of a ``tool.called``; None where it has no arguments.

    Arguments that were recorded as a map, not as text, are written as ``json.dumps`` writes them.

    >>> arguments_text({"arguments": {"order": 7}, "arguments_style": "compact"})
    '{"order":7}'
    """
    if "arguments_text" in data:
        return str(data["arguments_text"])
    if "arguments" not in data:
        return None
    return json.dumps(data["arguments"], **STYLES[data.get("arguments_style", "")])


_NOT_KEPT: Any = object()


def _parsed(text: str) -> Any:
    """The value of a JSON text, or that it cannot be kept as one."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _NOT_KEPT
    is_kept = nesting(value) <= IMPORT_DEPTH_MAX and ("\\u" not in text or is_text(value))
    return value if is_kept else _NOT_KEPT


def _written(field: str, value: Any, text: str) -> dict[str, Any]:
    """What is needed besides the value to write this text again."""
    is_indented = "\n" in text
    for name, style in STYLES.items():
        if ("indent" in style) == is_indented and json.dumps(value, **style) == text:
            return {f"{field}_style": name} if name else {}
    return {f"{field}_text": text}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
