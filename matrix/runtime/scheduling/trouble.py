"""What an exception is called in a history, and which ones nobody may absorb."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

import trio

from matrix.errors import LogWriteError
from matrix.runtime.values import mended


class Unstarted(BaseException):
    """Stands for the cancellation of a coroutine that never ran."""


def is_cancellation(error: BaseException) -> bool:
    """Whether an exception is nothing but cancellation."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(trio.Cancelled)[1] is None
    return isinstance(error, (trio.Cancelled, Unstarted))


def absorbable(error: BaseException) -> Exception:
    """The error as a policy may treat it, without cancellations that came along with it.

    Raises what no policy may absorb: a log that cannot be written, an exit, Ctrl-C.
    """
    if isinstance(error, BaseExceptionGroup):
        failure = error.subgroup(LogWriteError)
        if failure is not None:
            raise first_of(failure)
        if not isinstance(error, Exception):
            rest = error.split(trio.Cancelled)[1]
            assert rest is not None, "what is nothing but cancellation is no error"
            error = rest
    if isinstance(error, LogWriteError) or not isinstance(error, Exception):
        raise error
    return error


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first exception of a group that is none itself."""
    inner = group.exceptions[0]
    return first_of(inner) if isinstance(inner, BaseExceptionGroup) else inner


def text_of(error: BaseException) -> str:
    """An exception's type and text; of a group those of its members.

    >>> text_of(ExceptionGroup("tasks", [ValueError("bad"), KeyError("x")]))
    "ExceptionGroup: tasks (ValueError: bad; KeyError: 'x')"
    """
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {mended(error.message)} ({'; '.join(map(text_of, error.exceptions))})"
    return f"{type(error).__name__}: {_said(error)}"


def _said(error: BaseException) -> str:
    """An exception's own text; it may have been written by anybody, and fail itself."""
    try:
        return mended(str(error))
    except Exception as failure:
        return f"(its text cannot be had: {type(failure).__name__})"


def remark(error: BaseException, text: str) -> None:
    """Add a note to an exception, where it takes any: one that is a frozen dataclass does not."""
    with contextlib.suppress(Exception):
        error.add_note(text)


def reason_of(error: BaseException) -> str:
    """An exception as the reason for which a goal failed: its text, or its type where it says nothing."""
    return text_of(error) if isinstance(error, BaseExceptionGroup) else _said(error) or type(error).__name__


def place_of(error: BaseException) -> str:
    """Where an exception was raised: ``negotiation.py:31 in run``, without the folder, which differs by machine."""
    if isinstance(error, BaseExceptionGroup):
        return place_of(error.exceptions[0])
    frames = traceback.extract_tb(error.__traceback__)
    ours = (str(Path(__file__).parents[1]), str(Path(trio.__file__).parent))  # a foreign wait ends in Trio
    theirs = [frame for frame in frames if not frame.filename.startswith(ours)] or list(frames)
    return f"{Path(theirs[-1].filename).name}:{theirs[-1].lineno} in {theirs[-1].name}" if theirs else ""
