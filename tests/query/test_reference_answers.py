"""What the reference shows as answers is what a store answers: one small history, asked again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.query.check import check
from matrix.store import Store
from matrix.testing.naive import answer
from matrix.testing.stores import write_history
from matrix.testing.world import World
from tests.query.alike import rows_alike
from tests.query.test_reference import blocks
from tests.stories import lamps

NOW_US = 1_800_000_000_000_000


def shown(language: str) -> list[tuple[str, str]]:
    """Queries of the reference, each with the answer that stands below it."""
    found = []
    for block in blocks(language):
        for entry in block.strip("\n").split("\n\n"):
            query, _, said = entry.partition("\n")
            found.append((query, said))
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The story of the lamp."""
    folder: Path = tmp_path_factory.mktemp("lamps")
    write_history(folder, {1: lamps()})
    with Store(folder) as opened:
        yield opened


@pytest.mark.parametrize(("query", "said"), shown("answer"))
def test_an_answer_of_the_reference_is_what_a_store_says(query: str, said: str, store: Store) -> None:
    assert str(store.query(query)) == said


@pytest.mark.parametrize(("query", "said"), shown("answer"))
def test_an_answer_of_the_reference_is_what_the_language_means(query: str, said: str, store: Store) -> None:
    """The same from the plain evaluator, which shares no code with the engine; it draws no bars."""
    result, expected = store.query(query), answer(check(query), World({1: lamps()}), now=NOW_US)
    rows = [{name: value for name, value in row.items() if name != "bar"} for row in result.rows()]
    plain = [{name: value for name, value in row.items() if name != "bar"} for row in expected.rows]
    assert rows_alike(rows, plain)


@pytest.mark.parametrize(("query", "said"), shown("explain"))
def test_an_explanation_of_the_reference_is_what_a_store_says(query: str, said: str, store: Store) -> None:
    assert _without_measures(str(store.query(query))) == _without_measures(said)


def _without_measures(text: str) -> list[list[str]]:
    """The words of each line, but for bytes and milliseconds, which differ from machine to machine."""
    return [re.sub(r"\d+\.\d+$|\b\d{3,}\b", "", line).split() for line in text.splitlines()]


def test_the_harder_forms_have_a_worked_example() -> None:
    asked = " ".join(query for query, _ in shown("answer"))
    for form in (
        "match",
        "funnel",
        "with same",
        "then no",
        "as of",
        "causes",
        "effects",
        "as chat",
        "as tree",
        "as timeline",
    ):
        assert form in asked
