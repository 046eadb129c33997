"""Made-up histories and made-up queries: the executor and the naive evaluator give the same answer.

``MATRIX_FUZZ_EXAMPLES`` asks for more than the default number of histories (each is asked several
queries, live and compacted); ``pytest --hypothesis-seed=N`` repeats a run. ``MATRIX_FUZZ_COMPARISONS`` asks for
that many answers compared in the long search, which ``MATRIX_FUZZ_SEED`` begins elsewhere.
"""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.log import columns, repeats
from matrix.log.references import Known, Near, Place, References
from matrix.testing.histories import Shards
from matrix.testing.strategies import histories, queries, random_example
from tests.query.oracle import Setting, compare_all

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "120"))
COMPARISONS = int(os.environ.get("MATRIX_FUZZ_COMPARISONS", "2000"))
SEED = int(os.environ.get("MATRIX_FUZZ_SEED", "0"))
PARTS = 4  # of the long search, so that several processes share it
QUERIES_EACH = 40  # of the long search: a store costs more than a question

SETTINGS = st.builds(Setting, st.sampled_from((1_000, 9, 64)), st.booleans(), st.booleans(), st.booleans())


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), texts=st.lists(queries(), min_size=1, max_size=8), setting=SETTINGS)
def test_the_executor_agrees_with_the_naive_evaluator(shards: Shards, texts: list[str], setting: Setting) -> None:
    compare_all(shards, texts, setting)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_executor_agrees_over_a_long_search(part: int) -> None:
    compared, number = 0, part
    while compared < COMPARISONS // PARTS:
        random = Random(f"{SEED}:{number}")
        setting = Setting(random.choice((1_000, 9, 64)), *(random.random() < 0.3 for _ in range(3)))
        shards, texts = random_example(random, queries_count=QUERIES_EACH)
        try:
            compared += compare_all(shards, texts, setting)
        except Exception as error:
            error.add_note(f"history {number} of seed {SEED}, {setting}")
            raise
        number += PARTS
    assert compared >= COMPARISONS // PARTS


def test_the_executor_agrees_where_most_values_stand_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = 0
    value = References.value

    def counted(self: References, place: Place, near: Near, steps: int) -> Known:
        nonlocal followed
        followed += 1
        return value(self, place, near, steps)

    monkeypatch.setattr(References, "value", counted)
    for room in (columns, repeats):
        monkeypatch.setattr(room, "LONG_VALUE_BYTES_MIN", 3)
    monkeypatch.setattr(columns, "_LONG_TEXT", 1)
    compared, number = 0, 0
    while compared < 160:
        random = Random(f"shared {SEED}:{number}")
        compared += compare_all(*random_example(random, queries_count=QUERIES_EACH), Setting(9, False, False, False))
        number += 1
    assert followed > 500
