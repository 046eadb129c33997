"""Results of tools: what the log keeps of one, and what a model is shown.

What always holds: data models, dataclasses, enums, dates and the like become plain values; what is plain stays what
it is, so a set, whose order differs between processes, is left for the log to refuse.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

_AS_TEXT = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID, os.PathLike)


def as_data(value: Any) -> Any:
    """``value`` with everything in it that the log cannot hold as such written out as plain data.

    >>> as_data({"when": datetime.date(2024, 5, 15), "seats": (1, 2)})
    {'when': '2024-05-15', 'seats': [1, 2]}
    """
    if value is None or type(value) in (str, int, float, bool, bytes):
        return value
    if hasattr(value, "model_dump") and not isinstance(value, type):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return as_data(value.value)
    if isinstance(value, Mapping):
        return {as_data(key): as_data(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(inner) for inner in value]
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, _AS_TEXT):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    return value


def result_text(result: Any) -> str:
    """What a model is shown of a result: a text as it is, anything else as JSON.

    >>> result_text("sold out"), result_text({"price": 40, "name": "Käse"}), result_text(None)
    ('sold out', '{"price": 40, "name": "Käse"}', 'null')
    """
    return result if type(result) is str else json.dumps(result, ensure_ascii=False, default=_as_text)


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
