"""What every service desk has: a database of its own, tools over it, and a calculator.

A desk belongs to one conversation. Its tools run inside the simulation (``inside=True``), so a replay builds the same
database again, step by step. Arguments are handed over as they came (``check=False``): these desks are made after
those of tau2-bench, which let every mistake of an assistant reach the function, and the words of that
function, or of Python, or of pydantic, reach the assistant. Recorded conversations are full of such words.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import warnings
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

import matrix
from matrix.tools import Tool, tools_of


def told(error: Exception) -> str:
    """An exception in the words that the assistant reads."""
    return f"Error: {error}"


#: How the methods of a desk become tools.
desk_tool = matrix.tool(inside=True, check=False, error_text=told)


class Database(BaseModel):
    """Tables: maps of records by their keys."""

    model_config = ConfigDict(extra="forbid")


Tables = TypeVar("Tables", bound=Database)


def plain(record: BaseModel) -> dict[str, Any]:
    """A record as data; what an assistant wrote into it may be of another type than it should be."""
    return record.model_dump(warnings=False)


class Desk:
    """A desk for one conversation, with a fresh copy of the database in ``data``, which is JSON."""

    tables: ClassVar[type[Database]]

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.db: Any = self.tables.model_validate_json(data)

    @desk_tool
    def calculate(self, expression: str) -> str:
        """Work out a sum, such as '2 * (3 + 4.50)', to two places.

        Args:
            expression: Numbers, + - * / and parentheses.
        """
        if not all(char in "0123456789+-*/(). " for char in expression):
            raise ValueError("Invalid characters in expression")
        if isinstance(expression, str) and re.search(r"\*\*[^*]*(\*\*|\d{4})", expression):
            raise ValueError("Number too large")  # it would take for ever to work out
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return str(round(float(eval(expression, {"__builtins__": None}, {})), 2))

    @desk_tool
    def transfer_to_human_agents(self, summary: str) -> str:
        """Hand the customer over to a person, when asked to or when nothing else helps.

        Args:
            summary: What the customer wants, in short.
        """
        return "Transfer successful"

    def tool(self, name: str) -> Tool:
        """A tool by name; for one that is not there, a tool that says so."""
        found = {tool.name: tool for tool in tools_of(self)}.get(name)
        if found is not None:
            return found

        def missing(**_: Any) -> None:
            raise ValueError(f"Tool '{name}' not found.")

        fitting = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64] or "_"  # an assistant may have invented any name
        return Tool(missing, name=fitting, inside=True, check=False, error_text=told)

    def digest(self) -> str:
        """SHA-256 of the whole database."""
        data = self.db.model_dump(warnings=False)
        return hashlib.sha256(json.dumps(data, sort_keys=True, default=str).encode()).hexdigest()

    def changed_since(self, before: Desk) -> list[str]:
        """Which records differ from those of another desk, as ``table/key``."""
        return sorted(
            f"{table}/{key}"
            for table in type(self.db).model_fields
            for key in {**getattr(self.db, table), **getattr(before.db, table)}
            if getattr(self.db, table).get(key) != getattr(before.db, table).get(key)
        )


def result_text(result: Any) -> str:
    """What the assistant of a recorded conversation was shown of a result: JSON in ASCII, but a text as it is."""
    return result if isinstance(result, str) else json.dumps(result)


def read_bytes(path: str | Path) -> bytes:
    """A file, or what a ``.gz`` holds."""
    data = Path(path).read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def read_json(path: str | Path) -> Any:
    """What a JSON file holds."""
    return json.loads(read_bytes(path))
