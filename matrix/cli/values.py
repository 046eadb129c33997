"""Values typed on the command line: `--set name=value` and `--param name=value`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

_NUMBER = re.compile(r"[+-]?(\d+(_\d+)*)(\.\d+)?([eE][+-]?\d+)?")
_DURATION = re.compile(r"(\d+(\.\d+)?(us|ms|s|m|h|d))+")
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 10**6, "m": 60 * 10**6, "h": 3_600 * 10**6, "d": 86_400 * 10**6}


def pairs(texts: Iterable[str], *, option: str, of_query: bool = False) -> dict[str, Any]:
    """`name=value` texts as a map; a name given twice, or no `=`, is a usage error.

    >>> pairs(["buyers=100", "limit=0.5", "fair=true", "item=lamp"], option="--set")
    {'buyers': 100, 'limit': 0.5, 'fair': True, 'item': 'lamp'}
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f'{option} takes name=value, not "{text}"')
        if name.strip() in found:
            raise click.UsageError(f"{option} {name.strip()} is given twice")
        found[name.strip()] = query_value(value) if of_query else plain_value(value)
    return found


def plain_value(text: str) -> Any:
    """A number, true or false, or text; quotes keep a text a text.

    >>> plain_value("10"), plain_value("1e3"), plain_value("false"), plain_value('"10"'), plain_value("ten")
    (10, 1000.0, False, '10', 'ten')
    """
    if text in ("true", "false"):
        return text == "true"
    if match := _NUMBER.fullmatch(text):
        return float(text) if match[3] or match[4] else int(text)
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _from_json(text)
    return text


def query_value(text: str) -> Any:
    """As the language reads it: also a duration (5m), a clock time (@2026-01-31), a list (["a", "b"]).

    >>> query_value("1m30s"), query_value('["offer", "accept"]'), query_value("buyer")
    (datetime.timedelta(seconds=90), ['offer', 'accept'], 'buyer')
    """
    if _DURATION.fullmatch(text):
        amounts = re.findall(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)", text)
        try:
            return timedelta(microseconds=round(sum(float(n) * _MICROSECONDS[unit] for n, unit in amounts)))
        except OverflowError:
            raise click.UsageError(f'"{text}" is longer than any time that there is') from None
    if text.startswith("@"):
        try:
            moment = datetime.fromisoformat(text[1:])
        except ValueError:
            raise click.UsageError(f'"{text}" is not a time; write for example @2026-01-31T12:00:00Z') from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if text.startswith("[") and text.endswith("]"):
        return _from_json(text)
    return plain_value(text)


def instant(text: str, *, option: str) -> int | timedelta:
    """Where in a simulation: the number of an event, or a virtual time.

    >>> instant("1204", option="--at"), instant("2.5s", option="--at")
    (1204, datetime.timedelta(seconds=2, microseconds=500000))
    """
    value = query_value(text.strip())
    if isinstance(value, timedelta) or (type(value) is int and value > 0):
        return value
    raise click.UsageError(
        f'{option} takes the number of an event (1204) or a virtual time (2.5s, 5m, 1h30m), not "{text}"'
    )


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{text} is not valid: {error}") from None
