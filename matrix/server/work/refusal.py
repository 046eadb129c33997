"""What an error becomes: the fields of a reply, and what the server notes for itself.

What always holds: a reply says nothing of the machine. A message is the language's own, or has the paths in it cut
down to a name; of a mistake of ours it says only that there was one.
"""

from __future__ import annotations

import re
import sqlite3
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from matrix.errors import NotAStore, QueryError, StoreError, UsageError

_NAME = r"[^\s/:'\",;()<>|]+"
_PATH = re.compile(rf"(?<![\w.~/])(?:~/|/{_NAME}/)(?:{_NAME}/)*({_NAME})/?")
NOTED = "a mistake of the server's; it has noted it"


class Refused(Exception):
    """An answer that cannot be given, with the fields of the error that says so."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.fields = {"code": code, "message": message, "hint": hint, "fix": ""}


class Refusal(NamedTuple):
    """The fields of an ``error``, and the server's note when there is one to take."""

    fields: dict[str, Any]
    note: str = ""


def refusal(error: BaseException, store: Path) -> Refusal:
    """What to say of an error, and what to note."""
    match error:
        case Refused():
            return Refusal(error.fields)
        case QueryError():
            return Refusal(error.as_data())
        case NotAStore() | StoreError():
            return Refusal(
                _fields("store", without_paths(str(error), store)), str(error)
            )  # where it arose tells no more
        case OSError():
            return Refusal(_fields("store", f"the store's files cannot be read: {error.strerror}"), _trace(error))
        case sqlite3.OperationalError() | sqlite3.DatabaseError():
            return Refusal(_fields("store", f"the store's index cannot be read: {error}"), _trace(error))
        case UsageError():
            return Refusal(_fields("usage", without_paths(str(error), store)))
    return Refusal(_fields("internal", NOTED), _trace(error))


def out_of_memory() -> dict[str, Any]:
    """The fields for a query that reached its limit of memory."""
    hint = "narrow it: fewer rows or columns, or a count in place of the rows"
    return _fields("memory", "the query needs more memory than one may take", hint)


def is_memory(error: BaseException) -> bool:
    """Whether memory has come to its end: Arrow's error is a MemoryError, too, and a thread needs room for a stack."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "start new thread" in str(error))


def without_paths(text: str, store: Path) -> str:
    """A message without folders: of the store's files, what is inside of it; of others, their names.

    >>> without_paths("/data/runs: there is no simulation '9'", Path("/data/runs"))
    "there is no simulation '9'"
    >>> without_paths("/home/ada/market.py has no program market", Path("/data/runs"))
    'market.py has no program market'
    """
    for path in dict.fromkeys((str(store), str(store.absolute()), str(store.resolve()))):
        if path not in (".", "/"):
            text = text.replace(f"{path}: ", "").replace(f"{path}/", "").replace(path, "the store")
    return _PATH.sub(r"\1", text)


def _fields(code: str, message: str, hint: str = "") -> dict[str, Any]:
    return {"code": code, "message": message, "hint": hint, "fix": ""}


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
