"""Every wrong query is refused at the right place, with its cause, its hint, and a fix that passes."""

from __future__ import annotations

import pytest

from matrix.errors import QueryError
from matrix.query.check import check
from tests.query.queries import WRONG_VALUES, Wrong, wrong_queries


@pytest.mark.parametrize("wrong", wrong_queries(), ids=lambda wrong: wrong.query)
def test_wrong_query_is_refused_as_promised(wrong: Wrong) -> None:
    with pytest.raises(QueryError) as caught:
        check(wrong.query, WRONG_VALUES)
    assert caught.value.render() == wrong.said


@pytest.mark.parametrize("wrong", wrong_queries(), ids=lambda wrong: wrong.query)
def test_fix_of_a_wrong_query_is_accepted(wrong: Wrong) -> None:
    with pytest.raises(QueryError) as caught:
        check(wrong.query, WRONG_VALUES)
    if caught.value.fix:
        check(caught.value.fix, WRONG_VALUES)


def test_there_are_wrong_queries() -> None:
    assert len(wrong_queries()) >= 140
