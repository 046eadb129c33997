"""Any text is answered: with a checked query, or with a QueryError whose place is in the text."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import QueryError
from matrix.limits import QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TOKENS_MAX
from tests.query.queries import right_queries, wrong_queries
from tests.query.test_edits import refused

VALUES = {"id": "r7:1042", "role": "buyer"}
EDITS = 5_000
SIGNS = "\"'()[]{}|,.*$@#/\\\n\t\x00é“”𝄞-=<>~%+:;0 9_"


def answer(text: str) -> QueryError | None:
    """The error for a text, its promises checked; None when it is a right query."""
    error = refused(text)
    if error is not None:
        assert 0 <= error.start <= error.end <= len(text)
        assert error.message
        assert error.code
        assert error.render().startswith(f"{error.line}:{error.column}: ")
        assert not error.fix or refused(error.fix) is None
    return error


def test_random_edits_of_queries_are_all_answered() -> None:
    seed = 20_261_122
    chance = random.Random(seed)
    queries = right_queries() + [wrong.query for wrong in wrong_queries()]
    words = sorted({word for query in queries for word in re.findall(r"\w+|[^\w\s]", query)})
    for number in range(EDITS):
        text = edited(chance, chance.choice(queries), words)
        try:
            answer(text)
        except Exception as error:
            raise AssertionError(f"edit {number} of seed {seed}: {text!r}") from error


def edited(chance: random.Random, query: str, words: list[str]) -> str:
    """One to three words or signs put in, left out, replaced or swapped."""
    for _ in range(chance.randint(1, 3)):
        parts = re.findall(r"\w+|[^\w\s]|\s+", query) or [" "]
        place, other = chance.randrange(len(parts)), chance.randrange(len(parts))
        match chance.randrange(5):
            case 0:
                parts[place] = chance.choice(words)
            case 1:
                parts.insert(place, f" {chance.choice(words)} ")
            case 2:
                del parts[place : place + chance.choice((1, 1, 4))]
            case 3:
                parts[place], parts[other] = parts[other], parts[place]
            case 4:
                parts.insert(place, chance.choice(SIGNS))
        query = "".join(parts)
    return query


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_answered(text: str) -> None:
    answer(text)
    answer(f"agents where {text}")
    answer(f"events | {text}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty-query"),
        ("  \n\t # only a comment", "empty-query"),
        ("\x00", "no-relation"),
        ("agents where role = '\ud800'", "bad-character"),
        ("agents where " + "(" * 1_000 + "role = a" + ")" * 1_000, "too-deep"),
        ("agents where " + "not " * 1_000 + "role = a", "too-deep"),
        ("agents where turns = " + "-" * 1_000 + "1", "too-deep"),
        ("agents where turns = 1" + " + 1" * 900, "too-deep"),
        ("agents where turns = .a" + " ?? .a" * 900, "too-deep"),
        ("simulations where " + "any agent (" * 100 + "role = a" + ")" * 100, "too-deep"),
        ("agents where turns = 1" + " or turns = 1" * 1_000, "too-many-words"),
        ("agents # " + "x" * QUERY_BYTES_MAX, "too-long"),
        ("agents where role = '" + "é" * (QUERY_BYTES_MAX // 2) + "'", "too-long"),
    ],
    ids=lambda value: value[:40] if len(value) > 40 else value,
)
def test_limit_has_its_own_error(text: str, code: str) -> None:
    error = answer(text)
    assert error is not None
    assert error.code == code


def test_what_is_within_the_limits_is_accepted() -> None:
    depth = QUERY_DEPTH_MAX - 2
    assert answer("agents where " + "(" * depth + "role = a" + ")" * depth) is None
    assert answer("agents where " + "not " * (depth - 1) + "role = a") is None
    conditions = " or ".join(["role = a"] * ((QUERY_TOKENS_MAX - 2) // 4))
    assert answer(f"agents where {conditions}") is None
    assert answer("agents where role = '" + "é" * 20_000 + "'") is None


def test_long_texts_are_answered_in_time() -> None:
    texts = [
        "agents where role = " + "9" * 60_000,
        "agents where " + "x" * 60_000,
        "agents where role = '" + "\\" * 60_000,
        "agents where role ~ /" + "(" * 60_000,
        "agents where " + "a." * 30_000,
        "9" * 60_000 + "s",
        "agents where duration > " + "9s" * 30_000,
        "." * 60_000,
        "agents | " + "x" * 60_000,
    ]
    start = time.perf_counter()
    for text in texts:
        answer(text)
    assert time.perf_counter() - start < 10, "some text takes time that grows with the square of its length"
