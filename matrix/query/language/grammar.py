"""The grammar and its parse tables: found, checked against each other, and loaded on first use.

``grammar/query.lark`` is the source; ``grammar/query.tables`` is what Lark makes of it, saved with
Lark's own ``save``. Building takes most of a second, loading a few hundredths, and a query that is
typed at a prompt should not wait. The tables begin with one line that names Lark's version and the
hash of the grammar they were made from; when either differs they are built in memory instead, so
tables can be out of date but never wrong. (Lark's standalone generator was the other way: it puts
4,000 generated lines, a copy of Lark's own code, into the package, for no gain in speed.)

    python -m matrix.query.language.grammar        # make the tables again, after a change of the grammar
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Any

import lark

GRAMMAR_FILE = "query.lark"
TABLES_FILE = "query.tables"
OPTIONS: dict[str, Any] = {
    "parser": "lalr",
    "lexer": "contextual",
    "maybe_placeholders": True,
    "propagate_positions": True,
}


def folder() -> Path:
    """Where the grammar is: inside the package in a wheel, beside it in a source tree."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "grammar"
    return inside if (inside / GRAMMAR_FILE).exists() else package.parent / "grammar"


@cache
def parser() -> lark.Lark:
    """The parser, from the tables when they are of this grammar and this Lark; built once."""
    source = (folder() / GRAMMAR_FILE).read_bytes()
    try:
        tables = (folder() / TABLES_FILE).read_bytes()
    except FileNotFoundError:
        return build(source)
    header, _, body = tables.partition(b"\n")
    return lark.Lark.load(io.BytesIO(body)) if header == header_of(source) else build(source)


def build(source: bytes) -> lark.Lark:
    """The parser, made from the grammar itself."""
    return lark.Lark(source.decode(), **OPTIONS)


def header_of(source: bytes) -> bytes:
    """The first line of tables made from this grammar by this Lark."""
    return f"matrix query tables, lark {lark.__version__}, grammar {hashlib.sha256(source).hexdigest()}".encode()


def make_tables(source: bytes) -> bytes:
    """The content of the tables file for this grammar."""
    body = io.BytesIO()
    build(source).save(body)
    return header_of(source) + b"\n" + body.getvalue()


def main() -> None:
    """Write the tables beside the grammar."""
    place = folder()
    place.joinpath(TABLES_FILE).write_bytes(make_tables((place / GRAMMAR_FILE).read_bytes()))


if __name__ == "__main__":
    main()
