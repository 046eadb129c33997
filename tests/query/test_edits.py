"""Right queries with random mistakes in them: each is answered by a checked query or by a whole error.

``MATRIX_EDITS=100000`` asks for more than the default number of edits.
"""

from __future__ import annotations

import os
import random
import re
import time

from matrix.errors import QueryError
from matrix.query.check import check
from matrix.testing.strategies import random_example
from tests.query.queries import right_queries
from tests.query.test_reference import VALUES as REFERENCE_VALUES
from tests.query.test_reference import queries as reference_queries

SEED = 20_261_128
EDITS = int(os.environ.get("MATRIX_EDITS", "5000"))
SECONDS_MAX = 0.25
VALUES = {**REFERENCE_VALUES, "role": "buyer"}
SIGNS = "\"'()[]{}|,.*$@#/\\\n\t\x00é“”𝄞\u00a0\ud800-=<>~%+:;?&^!0 9_"
#: Pieces that other languages would have written.
PIECES = (
    *("==", "!=", "<>", "&&", "||", "->", "=~", "!~", "..", "??", "is not null", "like '%x%'", "group by", "$nobody"),
    *(
        "5 min",
        "{x}",
        ":name",
        "f'",
        "then no",
        "with same",
        "within 3",
        "as of",
        "caused by",
        "count(",
        "[*]",
        "1e999",
    ),
    *("9" * 25, "@2026-99-99", "tool.*", "'\\q'", "/(/", '."odd', "-", 'event "r7:1"', "as chat", "watch", "per 0s"),
)


def bases(chance: random.Random) -> list[str]:
    """Right queries: those written down, those of the reference, and made-up ones."""
    made = [text for _ in range(20) for text in random_example(chance, queries_count=10)[1]]
    return [*right_queries(), *reference_queries(), *made]


def edited(chance: random.Random, query: str, words: list[str]) -> str:
    """A query with one mistake, or with two."""
    for _ in range(chance.choice((1, 1, 2))):
        query = chance.choice((_letter, _letter, _token, _token, _cut, _other_quotes, _other_case))(
            chance, query, words
        )
    return query


def _letter(chance: random.Random, query: str, words: list[str]) -> str:
    """A letter left out, put in, replaced, or swapped with its neighbour."""
    place = chance.randrange(len(query) + 1)
    before, after = query[:place], query[place:]
    letter = chance.choice((chance.choice(SIGNS), chance.choice("abcdefghijklmnopqrstuvwxyz")))
    return chance.choice(
        (
            before + after[1:],
            before + letter + after,
            before + letter + after[1:],
            before + after[1:2] + after[:1] + after[2:],
        )
    )


def _token(chance: random.Random, query: str, words: list[str]) -> str:
    """A word or sign left out, put in, replaced, doubled, or swapped with another."""
    parts = re.findall(r"\w+|[^\w\s]|\s+", query) or [" "]
    place, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    new = chance.choice((chance.choice(words), chance.choice(PIECES)))
    match chance.randrange(5):
        case 0:
            parts[place] = new
        case 1:
            parts.insert(place, f" {new} ")
        case 2:
            del parts[place : place + chance.choice((1, 1, 4))]
        case 3:
            parts[place], parts[other] = parts[other], parts[place]
        case 4:
            parts[place:place] = [*parts[place : place + chance.choice((1, 3, 9))], " "]
    return "".join(parts)


def _cut(chance: random.Random, query: str, words: list[str]) -> str:
    """Only the beginning, or only the end."""
    place = chance.randrange(len(query) + 1)
    return chance.choice((query[:place], query[:place], query[place:]))


def _other_quotes(chance: random.Random, query: str, words: list[str]) -> str:
    """Quotes of another kind, on one side or on all."""
    return re.sub("[\"']", chance.choice(("'", '"', "`", "“", "")), query, count=chance.choice((0, 1)))


def _other_case(chance: random.Random, query: str, words: list[str]) -> str:
    """A word in capitals, or all of them."""
    found = chance.choice(list(re.finditer(r"\w+", query)) or [None])
    if found is None or chance.random() < 0.2:
        return query.upper()
    change = chance.choice((str.upper, str.capitalize))
    return query[: found.start()] + change(found.group()) + query[found.end() :]


def answer(text: str) -> QueryError | None:
    """The error for a text, each of its promises checked; None when it is a right query."""
    began = time.thread_time()
    error = refused(text)
    assert time.thread_time() - began < SECONDS_MAX, "answering took too long"
    if error is not None:
        assert 0 <= error.start <= error.end <= len(text)
        lines = text[: error.start].split("\n")
        assert (error.line, error.column) == (len(lines), len(lines[-1]) + 1)
        assert error.message.strip() and error.hint.strip() and error.code
        assert not error.fix or refused(error.fix) is None
    return error


def refused(text: str) -> QueryError | None:
    """The error for a text, if it has one; anything else that is raised is a failure."""
    try:
        check(text, VALUES)
    except QueryError as error:
        return error
    return None


def test_random_edits_of_right_queries_are_all_answered() -> None:
    chance = random.Random(SEED)
    queries = bases(chance)
    words = sorted({word for query in queries for word in re.findall(r"\w+|[^\w\s]", query)})
    check("agents where role ~ /a/")  # loads the tables and Arrow, which is no part of an answer
    for number in range(EDITS):
        text = edited(chance, chance.choice(queries), words)
        try:
            answer(text)
        except Exception as error:
            raise AssertionError(f"edit {number} of seed {SEED}: {text!r}") from error
