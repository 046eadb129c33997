"""Trouble: what an HTTP status, a broken connection or an odd answer means for whoever asked.

408, 409, 425, 429 and everything from 500 on are worth another attempt, after as long as the server says
(``retry-after-ms``, ``Retry-After`` in seconds or as a date); other statuses are not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

import trio

from matrix.endpoint.answer import shown
from matrix.errors import EndpointBusy, EndpointError, EndpointRefused

_TEMPORARY: Final = frozenset({408, 409, 425, 429})


def is_worth_another_try(error: Exception) -> bool:
    """What a model call's policy asks of an attempt that failed; one that took too long is worth another."""
    if isinstance(error, EndpointError):
        return error.is_temporary
    return isinstance(error, trio.TooSlowError)


def trouble_of(status: int, headers: Mapping[str, str], body: str, url: str) -> EndpointError:
    """The error for an answer with another status than 200, in the server's own words.

    >>> trouble_of(429, {"retry-after": "2"}, '{"error": {"message": "slow down"}}', "http://localhost/v1").retry_after
    2.0
    """
    told = f"{status} {_reason(status)} from {url}: {words_of(body) or 'no further words'}"
    if status == 404:
        told += " (a model that is not there, or a base URL that is not right: it mostly ends with /v1)"
    if 300 <= status < 400:
        place = headers.get("location", "").partition("?")[0]  # what follows may open it
        told += f" (redirects are not followed; where the server is now, the endpoint should say: {place or 'unknown'})"
    if status in _TEMPORARY or status >= 500:
        return EndpointBusy(told, status=status, retry_after=retry_after(headers))
    return EndpointRefused(told, status=status)


def words_of(body: str) -> str:
    """What an error's body says, wherever servers put it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return shown(" ".join(body.split()))
    return shown(_words(data) or body)


def _words(data: Any) -> str:
    if isinstance(data, str):
        return data
    if isinstance(data, list) and data:  # one server answers with a list of one error
        return _words(data[0])
    if isinstance(data, Mapping):
        for name in ("error", "message", "detail"):
            if data.get(name):
                return _words(data[name]) or json.dumps(data[name], ensure_ascii=False)
    return ""


def error_in_stream(data: Mapping[str, Any]) -> EndpointError:
    """The error for a stream that says one in place of a piece: its status is in the text, if anywhere."""
    error = data.get("error")
    code = error.get("code") if isinstance(error, Mapping) else None
    status = code if type(code) is int and 300 <= code <= 599 else None
    told = f"the stream ends with an error: {shown(_words(data) or json.dumps(data, ensure_ascii=False))}"
    is_refused = status is not None and status < 500 and status not in _TEMPORARY
    return (EndpointRefused if is_refused else EndpointBusy)(told, status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds for which a server wants to be left alone; None when it does not say, or nothing that can be.

    >>> retry_after({"retry-after-ms": "250"}), retry_after({"retry-after": "soon"})
    (0.25, None)
    >>> retry_after({"retry-after": "Fri, 28 Nov 2025 10:00:07 GMT", "date": "Fri, 28 Nov 2025 10:00:00 GMT"})
    7.0
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None or said is None:
        return seconds
    until = _instant(said)
    if until is None:
        return None
    now = _instant(headers.get("date")) or datetime.now(UTC)  # by the server's clock, where it tells the time
    return max(0.0, (until - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < math.inf else None


def _instant(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, IndexError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "of a kind of its own"
