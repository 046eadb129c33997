"""Hypothesis strategies for histories, queries and programs: random bytes, read as choices.

Each move and each query has bytes of its own, so that a failing example loses those it does not need.
``random_example`` makes the same things from a plain random generator, for long searches.
"""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from matrix.testing.choices import Choices
from matrix.testing.histories import Shards, history
from matrix.testing.plans import ACT_BYTES, ACTS_MAX, CAST_BYTES, CASTS_MAX, HEAD_BYTES, Plan, plan
from matrix.testing.queries import query_text

MOVE_BYTES, SIMULATION_BYTES, QUERY_BYTES = 24, 32, 192

_moves = st.lists(st.binary(min_size=MOVE_BYTES, max_size=MOVE_BYTES).map(Choices), max_size=40)
_simulation = st.tuples(st.binary(min_size=SIMULATION_BYTES, max_size=SIMULATION_BYTES).map(Choices), _moves)


def histories() -> st.SearchStrategy[Shards]:
    """Stores of one to five simulations, some of them forks, as plain events by shard."""
    return st.builds(
        history, st.binary(min_size=2, max_size=2).map(Choices), st.lists(_simulation, min_size=1, max_size=5)
    )


def queries() -> st.SearchStrategy[str]:
    """Texts of queries; most of them pass the checker."""
    return st.binary(min_size=QUERY_BYTES, max_size=QUERY_BYTES).map(lambda data: query_text(Choices(data)))


def plans() -> st.SearchStrategy[Plan]:
    """Plans of programs for ``matrix.testing.programs.generated``."""
    acts = st.binary(min_size=ACT_BYTES, max_size=ACT_BYTES).map(Choices)
    cast = st.tuples(st.binary(max_size=CAST_BYTES).map(Choices), st.lists(acts, max_size=ACTS_MAX))
    return st.builds(
        plan,
        st.binary(max_size=HEAD_BYTES).map(Choices),
        st.lists(cast, min_size=1, max_size=CASTS_MAX),
        st.lists(acts, max_size=6),
    )


def random_example(random: Random, *, queries_count: int) -> tuple[Shards, list[str]]:
    """A history and queries about it, from a seeded generator."""
    simulations = []
    for _ in range(random.choice((1, 2, 3, 5))):
        moves = [Choices(random.randbytes(MOVE_BYTES)) for _ in range(random.randint(0, 40))]
        simulations.append((Choices(random.randbytes(SIMULATION_BYTES)), moves))
    shards = history(Choices(random.randbytes(2)), simulations)
    return shards, [query_text(Choices(random.randbytes(QUERY_BYTES))) for _ in range(queries_count)]
