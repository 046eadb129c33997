"""Made-up histories and queries are worth comparing answers over: every form comes, and conditions divide the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from random import Random

import pytest

from matrix.errors import QueryError
from matrix.query import syntax as q
from matrix.query.check import check
from matrix.testing.histories import Shards
from matrix.testing.naive import answer
from matrix.testing.naive_conditions import Evaluator
from matrix.testing.naive_rows import Scope
from matrix.testing.strategies import random_example
from matrix.testing.world import World


@cache
def examples() -> list[tuple[Shards, list[q.Query]]]:
    """Fifty histories with the queries about each that pass the checker: nearly all do."""
    random = Random("made up")
    found = []
    for _ in range(50):
        shards, texts = random_example(random, queries_count=30)
        found.append((shards, list(accepted(texts))))
    return found


def accepted(texts: list[str]) -> Iterator[q.Query]:
    for text in texts:
        try:
            yield check(text)
        except QueryError:
            continue


def nodes() -> list[q.Node]:
    return [node for _, queries in examples() for query in queries for node in q.walk(query)]


def test_nearly_all_queries_pass_the_checker() -> None:
    assert sum(len(queries) for _, queries in examples()) > 0.9 * 50 * 30


@pytest.mark.parametrize(
    "form",
    [
        *(q.Sequence, q.MatchCount, q.Match, q.Funnel, q.Without, q.Absent, q.Caused, q.Causes, q.Effects, q.AsOf),
        *(q.Where, q.Select, q.Aggregate, q.Sort, q.Limit, q.Sample, q.Follow, q.Quantified, q.RelatedAggregate),
    ],
)
def test_every_form_of_the_language_is_made(form: type[q.Node]) -> None:
    assert sum(isinstance(node, form) for node in nodes()) > 5


def test_sequences_have_all_roles_limits_names_and_repetitions() -> None:
    steps = [node for node in nodes() if isinstance(node, q.Step)]
    assert {step.role for step in steps} == {"did", "got", "saw"}
    assert {step.gap.unit for step in steps if step.gap} == {"time", "turns", "events"}
    assert {1, 2, 3} <= {step.times for step in steps}
    assert any(step.name for step in steps)
    assert any(len(step.patterns) > 1 for step in steps)
    assert any(pattern.event for step in steps for pattern in step.patterns)
    sequences = [node for node in nodes() if isinstance(node, q.Sequence)]
    assert {sequence.source.value for sequence in sequences} == {"agents", "simulations", "goals", "conversations"}
    assert {len(sequence.same) for sequence in sequences} == {0, 1, 2}
    assert {sequence.absent.limit is None for sequence in sequences if sequence.absent} == {True, False}
    assert any(isinstance(node, q.Field) and node.step for node in nodes())
    assert any(isinstance(inner, q.Sequence) for outer in sequences for inner in list(q.walk(outer))[1:])


def test_all_moments_and_shapes_are_asked_for() -> None:
    assert {node.by for node in nodes() if isinstance(node, q.AsOf)} == {"time", "wall", "turn", "event"}
    assert {node.name for node in nodes() if isinstance(node, q.Shape)} == {"table", "chat", "tree", "timeline"}


def test_sequences_and_causes_hold_for_some_rows_and_not_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[q.Span, set[bool]] = {}
    kinds: dict[q.Span, type[q.Node]] = {}
    holds = Evaluator.holds

    def noted(self: Evaluator, expr: q.Expr, scope: Scope) -> bool:
        is_met = holds(self, expr, scope)
        if isinstance(expr, (q.Sequence, q.Caused)):
            found.setdefault(expr.span, set()).add(is_met)
            kinds[expr.span] = type(expr)
        return is_met

    monkeypatch.setattr(Evaluator, "holds", noted)
    asked: Counter[type[q.Node]] = Counter()
    divide: Counter[type[q.Node]] = Counter()
    for shards, queries in examples():
        world = World(shards)
        for query in queries:
            found.clear()
            answer(query, world)
            for span, answers in found.items():
                asked[kinds[span]] += 1
                divide[kinds[span]] += len(answers) == 2
    for kind in (q.Sequence, q.Caused):
        assert asked[kind] > 100
        assert divide[kind] / asked[kind] > 0.25
