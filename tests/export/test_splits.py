"""Which family is to train on, and which to test with."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from matrix.errors import UsageError
from matrix.export.splits import Splits


def test_a_family_stays_where_it_is_on_every_machine_and_whatever_else_there_is() -> None:
    splits = Splits(test=0.2, validation=0.2)
    found = [splits.of(f"1-{n}") for n in range(1, 13)]
    assert found == [
        "validation", "train", "train", "train", "train", "train",
        "train", "test", "test", "train", "test", "train",
    ]  # fmt: skip


def test_shares_are_about_what_was_asked_for() -> None:
    counts = Counter(Splits(test=0.1, validation=0.2).of(f"1-{n}") for n in range(10_000))
    assert math.isclose(counts["test"], 1_000, abs_tol=100)
    assert math.isclose(counts["validation"], 2_000, abs_tol=150)
    assert counts.total() == 10_000


def test_a_larger_share_takes_more_families_and_gives_none_back() -> None:
    families = [f"1-{n}" for n in range(500)]
    small = {family for family in families if Splits(test=0.1).of(family) == "test"}
    large = {family for family in families if Splits(test=0.3).of(family) == "test"}
    assert small < large


def test_another_seed_draws_other_families() -> None:
    families = [f"1-{n}" for n in range(100)]
    drawn = [{f for f in families if Splits(test=0.3, seed=seed).of(f) == "test"} for seed in (0, 1)]
    assert drawn[0] != drawn[1]


def test_without_shares_all_are_to_train_on() -> None:
    assert Splits().names == ("train",)
    assert {Splits().of(f"1-{n}") for n in range(100)} == {"train"}


@pytest.mark.parametrize("shares", [(1.0, 0.0), (-0.1, 0.0), (0.0, 1.5), (0.5, 0.5), (float("nan"), 0.0), (True, 0.0)])
def test_shares_that_leave_nothing_or_are_none_are_refused(shares: tuple[float, float]) -> None:
    test, validation = shares
    with pytest.raises(UsageError, match=r"share of|leave nothing to train on"):
        Splits(test=test, validation=validation)
