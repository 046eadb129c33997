"""A tool's answer that is JSON text, kept as data, and the way back to the text, byte for byte.

``result`` is the parsed value, so paths reach into it. Writers of JSON differ in white space and escapes:
a text that Python's ``json.dumps`` gives back as it stands needs nothing more; one that another known style
gives back carries that style's name in ``result_style``; any other keeps the text itself in ``result_text``.
A text that is no JSON is its own ``result``. ``result_text(data)`` undoes all of it.
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
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {"result": text}
    if nesting(value) > IMPORT_DEPTH_MAX or ("\\u" in text and not is_text(value)):
        return {"result": text}
    if type(value) is str:  # a bare text as result means: this very text
        return {"result": value, "result_text": text}
    is_indented = "\n" in text
    for name, style in STYLES.items():
        if ("indent" in style) == is_indented and json.dumps(value, **style) == text:
            return {"result": value, "result_style": name} if name else {"result": value}
    return {"result": value, "result_text": text}


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


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
