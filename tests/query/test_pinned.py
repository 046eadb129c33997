"""What comparing the two evaluators found, or nearly would have: hostile values, asked about by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from matrix.query.check import check
from matrix.store import Store
from matrix.testing.naive import evaluate
from matrix.testing.stores import write_history
from tests.query.alike import rows_alike
from tests.stories import deal, offers

INFINITY, NAN = float("inf"), float("nan")

#: Offers' ``.v`` in groups; ``.g`` is the number of the group.
GROUPS: list[list[Any]] = [
    [INFINITY, 3, None, "3"],
    [INFINITY, -INFINITY, 1e300, NAN],
    [2**53 + 1, 2**53, 2**53 + 0.0, 3],
    [2**63 - 1, 2**63, -(2**63), -(2**70), 0.5],
    [True, False, 1, 1.0, 0, -0.0],
    [b"x", [1, None, b"x"], {"price": NAN, "b": None}, [], {}],
    ["", "3", " 3 ", "3.0", "1e3", "nan", "é", "money\n"],
]
QUERIES = [
    "events offer | sum(.v), avg(.v), min(.v), max(.v), median(.v), stddev(.v), p50(.v), p95(.v), distinct(.v) by .g",
    "events offer | sum(.v), avg(.v), min(.v), max(.v), median(.v), stddev(.v), p50(.v), p95(.v), distinct(.v)",
    "events offer | count by .v as v",
    "events offer | sort .v | select .n as n",
    "events offer | sort .v desc, .n desc | select .n as n",
    "events offer | select .v, .v + 1 as a, .v * 2 as b, .v / 2 as c, .v % 7 as d, -.v as e, abs(.v) as f",
    "events offer | select round(.v) as a, round(.v, 1) as b, len(.v) as c, number(.v) as d",
    "events offer | select text(.v) as a, upper(.v) as b, lower(text(.v)) as c, len(text(.v)) as d",
    "events offer | select duration(.v) as a, seconds(duration(.v)) as b, time(.v) as c",
    "events offer where .v = 9007199254740992 | select .n as n",
    "events offer where .v > 9007199254740992 | select .n as n",
    "events offer where .v in 3..9007199254740992 | select .n as n",
    "events offer where .v >= 9223372036854775807 or .v < -1e300 | select .n as n",
    "events offer where .v = true or .v = 0 | select .n as n",
    'events offer where .v contains 1 or .v contains "3" | select .n as n',
    "events offer where .v ~ /y$/ or .v ~ /^$/ | select .n as n",
    "events offer where .v = .v | select .n as n",
    "events offer where not .v = .v | select .n as n",
    "events | sort seconds(sum(start of goals)), seq desc | select id",
    "events offer | select if(round(.v, 1) > 2, 1, 0) as a, (.v ?? 0) as b, (.v exists) as c",
    "agents | select id, data, stddev(.v of offer) as s, max(.v of offer) as m, last(.v of offer) as l",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("pinned")
    write_history(folder, SHARDS, block_events=7)
    with Store(folder) as opened:
        yield opened


SHARDS = {1: offers([{"v": value, "g": number} for number, group in enumerate(GROUPS) for value in group]), 2: deal()}


@pytest.mark.parametrize("text", QUERIES)
def test_hostile_values_have_the_same_answer_twice(text: str, store: Store) -> None:
    assert rows_alike(store.query(text).rows(), evaluate(check(text), SHARDS))
