"""Duplicates: what is one, what is not, and that nothing but the texts decides."""

from __future__ import annotations

import errno
import random
import sys
import tempfile
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import StoreError, UsageError
from matrix.report import duplicates
from matrix.report.duplicates import Duplicates, Match
from matrix.report.words import OWN, normalised, words


def in_common(one: str, other: str, n: int = 5) -> float:
    """Jaccard of the sets of word n-grams, on the words themselves."""

    def grams(text: str) -> set[tuple[str, ...]]:
        some = words(text)
        size = min(n, len(some))
        return {tuple(some[k : k + size]) for k in range(len(some) - size + 1)}

    both, either = grams(one) & grams(other), grams(one) | grams(other)
    return len(both) / len(either) if either else 0.0


def test_a_text_that_differs_in_case_and_white_space_is_an_exact_duplicate() -> None:
    with Duplicates() as seen:
        assert seen.find("Where is my order?") is None
        assert seen.find("  where IS\n\tmy order? ") == Match(0, 1.0, True)
        assert seen.find("Where is my order") == Match(0, 1.0, False)  # the same words, other signs


def test_a_near_duplicate_names_the_first_text_and_what_they_share() -> None:
    text = " ".join(f"word{k}" for k in range(50))  # 46 shingles of five words
    changed = text.replace("word49", "other")  # 45 of them are left, of 47 in all
    with Duplicates() as seen:
        assert [seen.find(some) for some in ("something else", text, changed)] == [
            None,
            None,
            Match(1, 45 / 47, False),
        ]
        assert seen.find(changed.upper()) == Match(1, 45 / 47, True)  # equal to one that was not remembered


def test_what_is_under_the_threshold_is_no_duplicate() -> None:
    text = " ".join(f"word{k}" for k in range(50))
    changed = text.replace("word25", "other")  # five shingles of 46 are gone: 41 of 51 in common
    assert 41 / 51 > 0.8
    more = changed.replace("word35", "another")  # 36 of 56
    with Duplicates() as seen:
        assert [seen.first_of(some) for some in (text, more, changed)] == [None, None, 0]
    with Duplicates(threshold=0.85) as seen:
        assert [seen.first_of(some) for some in (text, changed)] == [None, None]


def test_texts_with_nothing_in_them_are_not_called_duplicates_of_each_other() -> None:
    with Duplicates() as seen:
        assert [seen.first_of(text) for text in ("", " \n", "", "?!", "...", "?!")] == [None, None, None, None, None, 3]


def test_the_same_words_said_by_the_other_side_are_not_the_same() -> None:
    said, heard = " ".join("abcdefghij"), " ".join("klmnopqrst")
    with Duplicates() as seen:
        assert seen.first_of(f"{OWN}{said}\n{heard}") is None
        assert seen.first_of(f"{said}\n{OWN}{heard}") is None
        assert seen.first_of(f"{OWN}{said}\n{heard}!") == 0


def test_words_of_scripts_without_spaces_are_compared_sign_by_sign() -> None:
    text = "今日は天気がとても良いので公園まで歩いて行きましたそして花を見ました"
    with Duplicates() as seen:
        assert seen.first_of(text) is None
        assert seen.first_of(text + "よ") == 0
        assert seen.first_of("全然違うことについて話しているので同じではありません") is None


def test_a_lone_surrogate_and_a_zero_byte_are_text_too() -> None:
    with Duplicates() as seen:
        assert [seen.first_of(text) for text in ("a \ud800 b\x00", "A  \ud800 b\x00", "\udfff")] == [None, 0, None]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=14).map(" ".join), max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_is_found_is_what_a_comparison_of_all_with_all_finds(texts: list[str]) -> None:
    new: list[int] = []
    with Duplicates(threshold=0.5, words=2) as seen:
        for number, text in enumerate(texts):
            match = seen.find(text)
            alike = {k: in_common(texts[k], text, 2) for k in new}
            if match is None:
                # Pairs far above the threshold are missed once in millions.
                assert not text.strip() or all(share < 0.75 for share in alike.values())
                new.append(number)
            else:
                assert match.first in new
                assert match.similarity == alike[match.first] >= 0.5
                assert match.is_exact == (normalised(text) in map(normalised, texts[:number]))


def test_planted_duplicates_among_thousands_are_all_found_and_no_others() -> None:
    chance = random.Random(5)
    vocabulary = [f"word{k}" for k in range(3_000)]
    texts = [" ".join(chance.choices(vocabulary, k=60)) for _ in range(4_500)]  # past what lies in a dict
    with Duplicates() as seen:
        assert [seen.first_of(text) for text in texts] == [None] * 4_500
        planted = chance.sample(range(4_500), 200)
        for number in planted:
            some = texts[number].split()
            some[chance.choice([0, 1, 58, 59])] = "changed"
            assert seen.first_of(" ".join(some)) == number


def test_a_text_takes_as_much_memory_as_is_said_whatever_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "REPORT_SETS_MEMORY_BYTES", 1)  # shingles are on disk from the first text on
    texts = [" ".join(f"w{k}x{j}" for j in range(200)) for k in range(300)]
    peaks = []
    for count in (100, 300):
        tracemalloc.start()
        with Duplicates() as seen:
            assert not any(seen.first_of(text) for text in texts[:count])
            seen._hashes.clear()
            peaks.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert (peaks[1] - peaks[0]) / 200 < 7_000  # the newest 4,096 texts lie in a dict, 150 bytes for each of 25 bands


@pytest.mark.parametrize("threshold", [0, -1, 1.5, float("nan"), "high", True])
def test_a_threshold_outside_its_bounds_is_refused(threshold: object) -> None:
    with pytest.raises(UsageError, match="threshold"):
        Duplicates(threshold=threshold)  # type: ignore[arg-type]  # what is tested


def test_without_datasketch_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(UsageError, match=r"pip install 'matrix-runtime\[report\]'"):
        Duplicates()


def test_a_full_disk_is_an_error_that_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def seek(self, place: int) -> None: ...
        def close(self) -> None: ...
        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", lambda **_: Full())
    with pytest.raises(StoreError, match=r"No space left on device.*TMPDIR"):
        Duplicates().first_of("a text of words")
