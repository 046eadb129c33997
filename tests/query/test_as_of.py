"""As of: a query that looks at a moment sees the log cut there, as if that were the whole log.

The oracle is the store itself: the log is cut in plain Python and written anew, and the same query is asked there
without its moment.
"""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from matrix.log.compact import compact_log
from matrix.query.check import check
from matrix.query.execute import execute
from matrix.store import Store
from matrix.testing.histories import Shards
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_history
from matrix.testing.strategies import histories, queries
from matrix.testing.telling import Telling
from tests.query.alike import rows_alike
from tests.query.asking import column, deal_store, store_of
from tests.query.forked import forked_deals, written
from tests.query.moments import Moment, asked_at, left_at, moments
from tests.query.test_oracle import accepted
from tests.stories import SECOND, deal

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "150"))
SMALL_SEGMENT_BYTES = 4_096

#: Everything that there is to see of each relation.
EVERYTHING = (
    "simulations | select *, (any agent) as peopled, count(events) as happened",
    "agents | select *, goal.id, goal.status, simulation.status, count(events) as acts, count(messages) as letters",
    "goals | select *, agent.status, parent.status, simulation.end, count(events) as acts",
    "events | select *, state.data, cause.kind, cause.cause.id, agent.turns, goal.steps, simulation.duration",
    "messages | select *, conversation.messages, conversation.duration, peer.role, to.role, from.status",
    "conversations | select *, (any agent (role = buyer)) as bought",
    "agents as a where any message (received and peer.role != a.role) | goals | messages",
    "events | count by kind",
    "events | count",
    "events | limit 7",
    "goals where status = running and turns > 0 | count, sum(steps) by agent.role",
    "agents where turns > 1 and .budget exists | select id, .budget, duration",
    "simulations where status = running | agents where goal.status = running | events",
    "agents where goal started | conversations | select id, messages",
)


def compare(store: Store, cut: Store, texts: list[str], moment: Moment, where: str) -> None:
    """Ask the same of the store at a moment, and of the store that ends there."""
    for text in texts:
        found, expected = store.query(asked_at(text, moment)), cut.query(text)
        note(f"{where}: {asked_at(text, moment)}\n  expected {expected.rows()}\n  found    {found.rows()}")
        assert found.column_names == expected.column_names
        assert rows_alike(found.rows(), expected.rows()), (where, asked_at(text, moment))


def compare_all(shards: Shards, texts: list[str], some: list[Moment], *, block_events: int) -> None:
    """Several moments of one history, live and compacted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_history(folder / "all", shards, block_events=block_events, segment_bytes_max=SMALL_SEGMENT_BYTES)
        for place, moment in enumerate(some):
            write_history(folder / str(place), left_at(shards, moment), block_events=1_000)
        for where in ("live", "compacted"):
            with Store(folder / "all") as store:
                for place, moment in enumerate(some):
                    with Store(folder / str(place)) as cut:
                        compare(store, cut, texts, moment, where)
            compact_log(folder / "all" / "log")


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    shards=histories(),
    texts=st.lists(queries(), min_size=1, max_size=6),
    places=st.lists(st.integers(0, 10_000), min_size=1, max_size=3),
    block_events=st.sampled_from((1_000, 9, 3)),
)
def test_a_moment_is_the_log_that_ends_there(
    shards: Shards, texts: list[str], places: list[int], block_events: int
) -> None:
    all_moments = list(moments(shards))
    some = [all_moments[place % len(all_moments)] for place in places]
    compare_all(shards, [query.text for query in accepted(texts)], some, block_events=block_events)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), place=st.integers(0, 10_000), block_events=st.sampled_from((1_000, 9, 3)))
def test_every_field_of_every_relation_is_as_it_was(shards: Shards, place: int, block_events: int) -> None:
    all_moments = list(moments(shards))
    compare_all(shards, list(EVERYTHING), [all_moments[place % len(all_moments)]], block_events=block_events)
