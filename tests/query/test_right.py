"""Every right query passes the checker."""

from __future__ import annotations

import pytest

from matrix.query.check import check
from tests.query.queries import RIGHT_VALUES, right_queries


@pytest.mark.parametrize("query", right_queries())
def test_right_query_is_accepted(query: str) -> None:
    assert check(query, RIGHT_VALUES).text == query


def test_there_are_right_queries() -> None:
    assert len(right_queries()) >= 70
