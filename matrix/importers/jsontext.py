"""A tool's answer that is JSON text, kept as data, and the way back to the text, byte for byte.

``result`` is the parsed value, so paths reach into it. Writers of JSON differ in white space and escapes:
a text that Python's ``json.dumps`` gives back as it stands needs nothing more; one that another known style
gives back carries that style's name in ``result_style``; any other keeps the text itself in ``result_text``.
A text that is no JSON is its own ``result``. ``result_text(data)`` undoes all of it.

The arguments of a call, which OpenAI's form has as JSON text, are kept the same way in ``arguments``,
``arguments_style`` and ``arguments_text``, except that ``arguments`` is always a map: an empty one where the text
is no JSON object. ``arguments_text(data)`` gives the text.
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


_NO_JSON = object()


def result_fields(text: str) -> dict[str, Any]:
    """The fields that stand for this answer in an event.

    >>> result_fields('{"price": 40}'), result_fields('{"price":40}'), result_fields("Error: sold out")
    ({'result': {'price': 40}}, {'result': {'price': 40}, 'result_style': 'compact'}, {'result': 'Error: sold out'})
    >>> result_fields('{"price": 4e1}')
    {'result': {'price': 40.0}, 'result_text': '{"price": 4e1}'}
    """
    value = _parsed(text)
    if value is _NO_JSON:
        return {"result": text}
    if type(value) is str:  # a bare text as result means: this very text
        return {"result": value, "result_text": text}
    return {"result": value} | _as_written("result", value, text)


def arguments_fields(text: str) -> dict[str, Any]:
    """The fields that stand for the arguments of a call in an event.

    >>> arguments_fields('{"id":7}'), arguments_fields("id=7")
    ({'arguments': {'id': 7}, 'arguments_style': 'compact'}, {'arguments': {}, 'arguments_text': 'id=7'})
    """
    value = _parsed(text)
    if type(value) is not dict:
        return {"arguments": {}, "arguments_text": text}
    return {"arguments": value} | _as_written("arguments", value, text)


def arguments_text(data: Mapping[str, Any]) -> str:
    """The arguments of a ``tool.called`` as JSON text: as they were recorded, else as ``json.dumps`` writes them.

    >>> arguments_text({"arguments": {"id": 7}, "arguments_style": "compact"}), arguments_text({"arguments": {"id": 7}})
    ('{"id":7}', '{"id": 7}')
    """
    if "arguments_text" in data:
        return str(data["arguments_text"])
    return json.dumps(data.get("arguments", {}), **STYLES[data.get("arguments_style", "")])


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


def _parsed(text: str) -> Any:
    """What a text says as JSON; ``_NO_JSON`` where it is none, or none that an event can hold."""
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _NO_JSON
    return _NO_JSON if nesting(value) > IMPORT_DEPTH_MAX or ("\\u" in text and not is_text(value)) else value


def _as_written(field: str, value: Any, text: str) -> dict[str, str]:
    """How the text is got back from the value: nothing to say, the name of a style, or the text itself."""
    is_indented = "\n" in text
    for name, style in STYLES.items():
        if ("indent" in style) == is_indented and json.dumps(value, **style) == text:
            return {f"{field}_style": name} if name else {}
    return {f"{field}_text": text}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
