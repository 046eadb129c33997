"""The reference says what is true: its queries pass, its errors are what is said, and nothing is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from matrix.errors import QueryError
from matrix.query.check import check
from matrix.query.language.failure import keyword_words
from matrix.query.language.fields import FIELDS, SHAPES
from matrix.query.language.grammar import folder
from matrix.query.language.values import FUNCTIONS

TEXT = (folder() / "README.md").read_text()
VALUES = {"tool": "search", "roles": ["buyer", "seller"], "name": "win", "kind": "offer", "id": "r7:1042"}


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def queries() -> list[str]:
    """One a line; a line that starts with two spaces continues the one above."""
    found: list[str] = []
    for line in "\n".join(blocks("matrix")).splitlines():
        if line.startswith("  "):
            found[-1] += "\n" + line
        elif line.strip():
            found.append(line)
    return found


def errors() -> list[tuple[str, str]]:
    """Queries and what is said of them."""
    found = []
    for entry in "\n".join(blocks("error")).strip().split("\n\n"):
        query, *said = entry.splitlines()
        found.append((query, "\n".join(line[4:] for line in said)))
    return found


@pytest.mark.parametrize("query", queries())
def test_query_of_the_reference_is_accepted(query: str) -> None:
    check(query, VALUES)


@pytest.mark.parametrize(("query", "said"), errors())
def test_error_of_the_reference_is_what_is_said(query: str, said: str) -> None:
    with pytest.raises(QueryError) as caught:
        check(query)
    assert caught.value.render() == said


@pytest.mark.parametrize("word", sorted(keyword_words() | set(FUNCTIONS) | set(SHAPES)))
def test_word_of_the_language_has_an_example(word: str) -> None:
    assert re.search(rf"(?<![\w.$]){word}\b", "\n".join(queries()))


@pytest.mark.parametrize("relation", FIELDS)
def test_fields_in_the_reference_are_those_of_the_catalogue(relation: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{relation}` |"))
    fields = row.split("|")[3]
    named = set(re.findall(r"[a-z_]+", fields)) - {"those", "of", "events", "and", "reached", "agents", "also"}
    known = set(FIELDS[relation]) - {"data"}  # type: ignore[index]
    if relation == "messages":
        known -= set(FIELDS["events"])  # type: ignore[index]
    if relation == "conversations":
        known -= {"agents"}
    assert named == known


def test_codes_in_the_reference_are_those_that_are_raised() -> None:
    source = "".join(path.read_text() for path in sorted(Path(check.__code__.co_filename).parent.rglob("*.py")))
    raised = set(re.findall(r'(?:refusal\(|code=)\s*"([a-z-]+)"', source))
    table = TEXT.partition("### Codes")[2].partition("## ")[0]
    listed = re.findall(
        r"[a-z]+(?:-[a-z]+)*", "".join(line.split("|")[2] for line in table.splitlines() if "|" in line)
    )
    assert sorted(listed) == sorted(raised | {"codes"})
