"""Values typed on the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from matrix.cli.values import instant, pairs, plain_value, query_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("10_000", 10_000),
        ("0.5", 0.5),
        ("1e6", 1e6),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("lamp", "lamp"),
        ("", ""),
        ("007bond", "007bond"),
        ('"10"', "10"),
        ('"a \\"b\\""', 'a "b"'),
        ("5m", "5m"),
    ],
)
def test_a_value_of_set_is_a_number_true_or_false_or_text(text: str, value: object) -> None:
    assert plain_value(text) == value
    assert type(plain_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        ("250ms", timedelta(milliseconds=250)),
        ("1.5s", timedelta(seconds=1.5)),
        ("@2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("@2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ('["offer", "accept"]', ["offer", "accept"]),
        ('"5m"', "5m"),
        ("1-1:42", "1-1:42"),
        ("10", 10),
    ],
)
def test_a_value_of_param_may_also_be_a_duration_a_time_or_a_list(text: str, value: object) -> None:
    assert query_value(text) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("buyers", '--set takes name=value, not "buyers"'),
        ("=3", '--set takes name=value, not "=3"'),
        ('x="half', None),
        ('x="a"b"', "is not valid"),
    ],
)
def test_a_pair_that_cannot_be_read_is_a_usage_error(text: str, message: str | None) -> None:
    if message is None:
        assert pairs([text], option="--set") == {"x": '"half'}
        return
    with pytest.raises(click.UsageError, match=message):
        pairs([text], option="--set")


def test_a_name_given_twice_is_a_usage_error() -> None:
    with pytest.raises(click.UsageError, match="--param id is given twice"):
        pairs(["id=1", "id=2"], option="--param", of_query=True)


def test_a_bad_clock_time_is_a_usage_error_with_an_example() -> None:
    with pytest.raises(click.UsageError, match="write for example @2026-01-31"):
        query_value("@tomorrow")


def test_a_duration_that_no_clock_could_hold_is_refused() -> None:
    for text in ("99999999999999999999h", "9" * 400 + "s"):
        with pytest.raises(click.UsageError, match="is longer than any time"):
            instant(text, option="--at")
