"""Made-up histories and made-up queries: the executor and the naive evaluator give the same answer.

``MATRIX_FUZZ_EXAMPLES`` asks for more than the default number of histories (each is asked several
queries, live and compacted); ``pytest --hypothesis-seed=N`` repeats a run.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from matrix.errors import QueryError
from matrix.log.compact import compact_log
from matrix.query.check import check
from matrix.query.syntax import Query
from matrix.store import Store
from matrix.testing.histories import Shards
from matrix.testing.naive import Answer, answer
from matrix.testing.stores import write_history
from matrix.testing.strategies import histories, queries
from matrix.testing.world import World
from tests.query.alike import rows_alike

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "300"))
SMALL_SEGMENT_BYTES = 4_096


def accepted(texts: Sequence[str]) -> list[Query]:
    """The queries that pass the checker; the others were drawn in vain."""
    found = []
    for text in texts:
        try:
            found.append(check(text))
        except QueryError as error:
            event(f"refused: {error.code}")
    return found


def compare(store: Store, query: Query, expected: Answer, where: str) -> None:
    """Ask the store and compare names, order and values."""
    result = store.query(query.text)
    rows = result.rows()
    note(f"{where}: {query.text}\n  expected {expected.rows}\n  found    {rows}")
    assert list(result.column_names) == expected.columns
    assert rows_alike(rows, expected.rows)


def compare_all(shards: Shards, texts: Sequence[str], block_events: int) -> None:
    """One history, several queries, on the live log and on the compacted one."""
    wanted = [(query, answer(query, World(shards))) for query in accepted(texts)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder, shards, block_events=block_events, segment_bytes_max=SMALL_SEGMENT_BYTES)
        with Store(folder) as store:
            for query, expected in wanted:
                compare(store, query, expected, "live")
        compact_log(folder / "log")
        with Store(folder) as store:
            for query, expected in wanted:
                compare(store, query, expected, "compacted")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shards=histories(),
    texts=st.lists(queries(), min_size=1, max_size=8),
    block_events=st.sampled_from((1_000, 9)),
)
def test_the_executor_agrees_with_the_naive_evaluator(shards: Shards, texts: list[str], block_events: int) -> None:
    compare_all(shards, texts, block_events)
