"""Columns at once against values one by one: the kernels agree with plain Python on any mixture of types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.query.engine.aggregate import aggregate
from matrix.query.engine.arithmetic import arithmetic, negate
from matrix.query.engine.combine import concat, first_present
from matrix.query.engine.compare import compare, contains, is_in
from matrix.query.engine.functions import call
from matrix.query.engine.order import groups, ranks
from matrix.query.engine.value import Type, Value, from_objects
from matrix.testing import plain_values as plain
from matrix.testing.naive_groups import aggregate as aggregate_plainly
from tests.query.alike import alike

EDGES = [0, 1, -1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64, 2**70, -(2**70)]
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from(EDGES),
    st.sampled_from([float(edge) for edge in EDGES]),
    st.sampled_from([0.5, -2.5, 1e308, float("inf"), float("-inf"), float("nan")]),
)
texts = st.sampled_from(["", "a", "B", "é", "ab", "12", " 3.5 ", "1h30m", "🜁"])
leaves = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.one_of(leaves, st.lists(st.one_of(leaves, st.just([1])), max_size=2))
pairs = st.lists(st.tuples(values, values), max_size=8)
OPERATORS = ["=", "<", "<=", ">", ">="]


def column(items: list[Any]) -> Value:
    return from_objects(items)


def sides(rows: list[tuple[Any, Any]]) -> tuple[Value, Value]:
    return column([a for a, _ in rows]), column([b for _, b in rows])


@pytest.mark.parametrize("op", OPERATORS)
@settings(deadline=None)  # a busy machine
@given(rows=pairs)
def test_comparisons(op: str, rows: list[tuple[Any, Any]]) -> None:
    found = compare(op, *sides(rows)).holds.tolist()
    assert found == [plain.equal(a, b) if op == "=" else plain.ordered(op, a, b) for a, b in rows]


@pytest.mark.parametrize("op", OPERATORS)
@settings(deadline=None)  # a busy machine
@given(items=st.lists(values, max_size=8), constant=values)
def test_comparisons_with_a_constant(op: str, items: list[Any], constant: Any) -> None:
    one = Value.missing(len(items)) if constant is None else Value.one(constant, len(items))
    found = compare(op, column(items), one).holds.tolist()
    assert found == [plain.equal(a, constant) if op == "=" else plain.ordered(op, a, constant) for a in items]


@settings(deadline=None)  # a busy machine
@given(rows=pairs)
def test_containment(rows: list[tuple[Any, Any]]) -> None:
    assert contains(*sides(rows)).holds.tolist() == [plain.contains(a, b) for a, b in rows]


@settings(deadline=None)  # a busy machine
@given(items=st.lists(values, max_size=8), members=st.lists(leaves.filter(lambda v: v is not None), max_size=3))
def test_membership(items: list[Any], members: list[Any]) -> None:
    found = is_in(column(items), [Value.one(member, len(items)) for member in members]).holds.tolist()
    assert found == [any(plain.equal(item, member) for member in members) for item in items]


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "%"])
@settings(deadline=None)  # a busy machine
@given(rows=pairs)
def test_arithmetic(op: str, rows: list[tuple[Any, Any]]) -> None:
    found = arithmetic(op, *sides(rows)).value.objects()
    expected = [plain.arithmetic(op, a, b) for a, b in rows]
    assert all(alike(a, b) for a, b in zip(found, expected, strict=True)), (found, expected)


@settings(deadline=None)  # a busy machine
@given(a=numbers, b=numbers, op=st.sampled_from("+-*/%"))
def test_arithmetic_of_constants_is_a_constant(a: Any, b: Any, op: str) -> None:
    found = arithmetic(op, Value.one(a, 3), Value.one(b, 3)).value.objects()
    expected = plain.arithmetic(op, a, b)
    assert len(found) == 3
    assert all(alike(item, expected) for item in found)


@settings(deadline=None)  # a busy machine
@given(items=st.lists(values, max_size=8))
def test_negation(items: list[Any]) -> None:
    found = negate(column(items)).value.objects()
    assert all(alike(a, plain.negated(b)) for a, b in zip(found, items, strict=True))


@pytest.mark.parametrize("name", ["len", "lower", "upper", "round", "abs", "number", "text"])
@settings(deadline=None)  # a busy machine
@given(items=st.lists(leaves, max_size=8))
def test_functions(name: str, items: list[Any]) -> None:
    found = call(name, [column(items)]).objects()
    expected = [plain.call(name, [item]) for item in items]
    assert all(alike(a, b) for a, b in zip(found, expected, strict=True)), (found, expected)


@settings(deadline=None)  # a busy machine
@given(rows=pairs)
def test_the_first_present_of_two(rows: list[tuple[Any, Any]]) -> None:
    found = first_present(*sides(rows)).objects()
    assert all(alike(a, b if b is not None else c) for a, (b, c) in zip(found, rows, strict=True))


@settings(deadline=None)  # a busy machine
@given(parts=st.lists(st.lists(values, max_size=4), min_size=1, max_size=4))
def test_columns_end_to_end(parts: list[list[Any]]) -> None:
    found = concat([column(part) for part in parts]).objects()
    assert all(alike(a, b) for a, b in zip(found, [item for part in parts for item in part], strict=True))


@settings(deadline=None)  # a busy machine
@given(items=st.lists(values, max_size=8), rows=st.lists(st.integers(-1, 7), max_size=10))
def test_rows_taken_from_a_column(items: list[Any], rows: list[int]) -> None:
    rows = [row for row in rows if row < len(items)]
    found = column(items).take(np.array(rows, np.int64)).objects()
    assert all(alike(a, None if row < 0 else items[row]) for a, row in zip(found, rows, strict=True))


@settings(deadline=None)  # a busy machine
@given(items=st.lists(values, max_size=10))
def test_ranks_order_values_and_tell_different_ones_apart(items: list[Any]) -> None:
    codes, firsts = ranks(column(items))
    for i, a in enumerate(items):
        assert (codes[i] < 0) == (a is None)
        for j, b in enumerate(items):
            if a is None or b is None:
                continue
            assert (codes[i] == codes[j]) == (plain.group_key(a) == plain.group_key(b))
            if plain.sort_rank(a) < plain.sort_rank(b):
                assert codes[i] < codes[j]
    assert all(codes[row] == code for code, row in enumerate(firsts.tolist()))


@settings(deadline=None)  # a busy machine
@given(rows=pairs)
def test_groups_agree_in_every_column(rows: list[tuple[Any, Any]]) -> None:
    codes, firsts = groups(list(sides(rows)), len(rows))
    keys = [(plain.group_key(a), plain.group_key(b)) for a, b in rows]
    assert [[codes[i] == codes[j] for j in range(len(rows))] for i in range(len(rows))] == [
        [a == b for b in keys] for a in keys
    ]
    assert len(firsts) == len(set(keys))


@pytest.mark.parametrize(
    ("function", "percentile"),
    [
        ("count", None),
        ("sum", None),
        ("avg", None),
        ("min", None),
        ("max", None),
        ("median", None),
        ("stddev", None),
        ("percentile", 50.0),
        ("percentile", 95.0),
        ("distinct", None),
        ("first", None),
        ("last", None),
    ],
)
@settings(deadline=None)  # a busy machine
@given(rows=st.lists(st.tuples(values, st.integers(0, 2)), max_size=12))
def test_aggregates_of_groups(function: str, percentile: float | None, rows: list[tuple[Any, int]]) -> None:
    calculates = function in ("sum", "avg", "stddev", "median")
    usable = [(v, g) for v, g in rows if not calculates or not plain.is_number(v) or abs(v) < 2**400]
    value, codes = column([v for v, _ in usable]), np.array([g for _, g in usable], np.int64)
    found = aggregate(function, value, codes, 3, percentile=percentile).objects()
    expected = [aggregate_plainly(function, [v for v, g in usable if g == group], percentile) for group in range(3)]
    assert all(_near(a, b) for a, b in zip(found, expected, strict=True)), (found, expected)


def _near(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(b) > 2**52:
        return a == b or bool(abs(a - b) <= 1e-6 * abs(b))  # floats of this size add up differently in another order
    return alike(a, b)


def test_microseconds_do_not_mix_with_numbers() -> None:
    times = Value.of(Type.DURATION, np.array([5, 7]))
    assert compare("=", times, Value.one(5, 2)).holds.tolist() == [False, False]
    assert arithmetic("*", times, Value.one(0.5, 2)).value.objects() == [2, 4]
    assert arithmetic("/", times, times).value.objects() == [1.0, 1.0]
    assert arithmetic("+", times, Value.one(5, 2)).value.objects() == [None, None]


def test_the_median_of_whole_numbers_beyond_53_bits_is_exact() -> None:
    value, codes = column([2**53, -(2**53) - 1]), np.zeros(2, np.int64)
    assert aggregate("median", value, codes, 1).objects() == [-0.5]
