"""The figures of a report, against answers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UsageError
from matrix.report import distinct, similarity, tally
from matrix.report.report import About, report
from matrix.report.words import WordHashes, ngrams, ngrams_of, words
from tests.report.made import calling, row, speech


def figures(*rows: dict[str, Any], **options: Any) -> dict[str, Any]:
    return report(rows, **options).data


def test_distinct_n_is_different_n_grams_through_all_words() -> None:
    found = figures(row(1, "to be or not to be"), row(2, "to be", "not to be"))["diversity"]
    # 11 words; to be or not | to-be be-or or-not not-to | to-be-or be-or-not or-not-to not-to-be
    assert (found["words"], found["vocabulary"]) == (11, 4)
    assert [found[f"distinct_{n}"] for n in (1, 2, 3)] == [round(4 / 11, 6)] * 3
    assert found["distinct_1_per_1000_words"] is None  # there are no thousand words
    assert found["frequent"][:2] == [{"word": "be", "count": 4}, {"word": "to", "count": 4}]
    assert (found["said_once"], found["share_of_100_most_frequent"]) == (1, 1.0)


def test_only_the_agents_own_words_count_and_each_role_has_its_figures() -> None:
    rows = [
        row(1, "one two", system="be kind", heard="many words that do not count"),
        row(2, "one two three", role="seller"),
    ]
    found = figures(*rows)["diversity"]
    assert {role: (voice["rows"], voice["words"]) for role, voice in found["by_role"].items()} == {
        "assistant": (1, 2),
        "seller": (1, 3),
    }
    assert found["words"] == 5


def test_stretches_of_a_thousand_words_can_be_compared_between_sets_of_any_size() -> None:
    once = " ".join(f"w{k}" for k in range(500))
    small, large = figures(row(1, once, once)), figures(*(row(k, once, once) for k in range(4)))
    assert small["diversity"]["distinct_1"] == 0.5 and large["diversity"]["distinct_1"] == 0.125
    for found in (small, large):
        assert found["diversity"]["distinct_1_per_1000_words"] == 0.5
        assert found["diversity"]["distinct_2_per_1000_words"] == 0.499  # 499 pairs in each message, the same ones


def test_lengths_count_messages_own_words_and_calls() -> None:
    plain = row(1, "one two three", "four five")
    busy = row(2, "one")
    busy["messages"] += calling("find", '{"id": 7}', "a long answer of many words")
    found = figures(plain, busy)["lengths"]
    assert {name: (one["min"], one["max"], one["mean"]) for name, one in found.items()} == {
        "messages_per_row": (4, 4, 4.0),
        "own_messages_per_row": (2, 2, 2.0),
        "own_words_per_row": (1, 5, 3.0),
        "own_words_per_message": (1, 3, 2.0),
        "tool_calls_per_row": (0, 1, 0.5),
    }


def test_outcomes_are_counted_by_role_and_rewards_have_a_distribution() -> None:
    rows = [
        row(1, "a", outcome="succeeded", reward=1.0),
        row(2, "b", outcome="failed", reward=0.0),
        row(3, "c", role="user"),
        row(4, "d", outcome="failed", reward=0.0),
    ]
    found = figures(*rows)["outcomes"]
    assert found["all"] == {"none": 1, "failed": 2, "succeeded": 1}
    assert found["by_role"] == {"assistant": {"failed": 2, "succeeded": 1}, "user": {"none": 1}}
    assert (found["reward"]["count"], found["reward"]["mean"], found["reward"]["p50"]) == (3, 0.3333, 0.0)


def test_planted_duplicates_are_counted_and_named() -> None:
    texts = [speech(seed, 60) for seed in range(5)]
    changed = texts[1].rsplit(" ", 1)[0] + " another"
    rows = [row(k, text) for k, text in enumerate([*texts, texts[0].upper(), changed, texts[0]])]
    found = figures(*rows)["duplicates"]
    assert [found[name] for name in ("rows", "exact", "near", "unique", "clusters")] == [8, 2, 1, 5, 2]
    assert found["share"] == 0.375
    greatest = found["greatest"][0]
    assert (greatest["size"], greatest["first"]["simulation"]) == (3, "1-0")
    assert [one["simulation"] for one in greatest["repeats"]] == ["1-5", "1-7"]
    assert [(one["simulation"], one["of"]["simulation"], one["is_exact"]) for one in found["repeats"]] == [
        ("1-5", "1-0", True),
        ("1-6", "1-1", False),
        ("1-7", "1-0", True),
    ]


def test_a_system_prompt_and_answers_of_tools_make_no_duplicates() -> None:
    rows = []
    for k in range(3):
        one = row(k, speech(k, 20), system="always the same " * 100)
        one["messages"] += calling("find", f'{{"id": {k}}}', "the same long record " * 100)
        rows.append(one)
    assert figures(*rows)["duplicates"]["unique"] == 3
    rows[2]["messages"] = [{"role": "system", "content": "other"}, *rows[0]["messages"][1:]]
    assert figures(*rows)["duplicates"]["exact"] == 1


def test_both_sides_of_one_conversation_are_two_rows() -> None:
    said = [("user", speech(1, 30)), ("assistant", speech(2, 30))]
    turned = {"user": "assistant", "assistant": "user"}
    one = {"messages": [{"role": role, "content": text} for role, text in said], "simulation": "1-1", "agent": "a"}
    other = {
        "messages": [{"role": turned[role], "content": text} for role, text in said],
        "simulation": "1-1",
        "agent": "b",
    }
    assert figures(one, other)["duplicates"]["unique"] == 2


def test_likeness_is_that_of_pairs_and_of_nearest_rows() -> None:
    # word pairs: ab bc cd | ab bc ce | xy yz: 2 of 4 in common, else nothing
    found = figures(row(1, "a b c d"), row(2, "a b c e"), row(3, "x y z"))["similarity"]
    assert found["pairs"]["mean"] == round(0.5 / 3, 4) and found["pairs"]["max"] == 0.5
    assert (found["nearest"]["mean"], found["nearest"]["max"], found["nearest"]["min"]) == (0.3333, 0.5, 0.0)
    assert figures(row(1, "a b"))["similarity"] == {"rows": 1, "pairs": None, "nearest": None}


@given(st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=1, max_size=12))
def test_all_pairs_at_once_are_the_pairs_one_by_one(sets: list[set[int]]) -> None:
    found = similarity.jaccards([np.array(sorted(some), np.uint64) for some in sets])
    expected = [[len(one & other) / len(one | other) for other in sets] for one in sets]
    np.testing.assert_allclose(found, expected)


def test_the_sample_of_likeness_does_not_depend_on_more_rows_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    few = similarity.Similarity(sample=5)
    lots = sorted(range(50), key=similarity.lot)[:5]
    for number in range(50):
        few.take(_seen(number))
    assert sorted(one[1] for one in few._drawn) == sorted(lots)


def _seen(number: int) -> Any:
    from matrix.report.rows import seen

    return seen(number, row(number, "a b c"), WordHashes(), (1, 2, 3))


@given(st.lists(st.integers(-5, 60), min_size=1), st.floats(0.01, 1))
def test_quantiles_and_histograms_are_those_of_the_values(some: list[int], share: float) -> None:
    counted = tally.Tally()
    for value in some:
        counted.add(value)
    found = counted.quantile(share)
    assert found in some
    assert sum(value <= found for value in some) >= share * len(some) - 1e-9 > sum(value < found for value in some) - 1
    bins = counted.histogram()
    assert len(bins) <= tally.BINS_MAX
    assert [one["count"] for one in bins] == [sum(one["from"] <= v < one["to"] for v in some) for one in bins]


def test_counting_more_different_n_grams_than_are_kept_is_nearly_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "REPORT_DISTINCT_KEPT_MAX", 20_000)
    counted = distinct.Distinct()
    for begin in range(0, 300_000, 10_000):
        counted.add(np.arange(begin, begin + 15_000, dtype=np.uint64))
    assert counted.is_estimate and abs(counted.count / 305_000 - 1) < 0.02
    assert distinct.Distinct().count == 0


@given(st.lists(st.text("ab ", max_size=12), max_size=5))
def test_n_grams_never_reach_from_one_message_into_the_next(texts: list[str]) -> None:
    hashes = WordHashes()
    parts = [hashes.of(words(text)) for text in texts]
    for n, found in ngrams_of(parts, (1, 2, 4)).items():
        assert found.tolist() == [gram for part in parts for gram in ngrams(part, n).tolist()]


def test_no_rows_are_a_report_that_says_so() -> None:
    found = report([])
    assert found.data["rows"] == 0
    assert [one["verdict"] for one in found.data["readings"]] == ["bad"]
    assert "no row of chat" in found.to_html()


def test_rows_that_lack_what_rows_have_are_measured_for_what_they_are() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"messages": None, "role": None, "reward": True},
        {"messages": [{"role": "assistant", "content": None}, {"role": "assistant", "tool_calls": [{}, "x"]}]},
        {"messages": [{"role": "assistant", "content": [{"type": "text", "text": "in parts"}, "plain", 3]}]},
        row(1, "\ud800 half a pair", "zero\x00byte", "🙂🙂"),
    ]
    found = report(odd)
    assert found.data["diversity"]["words"] == 3 + 3 + 2
    assert found.to_html() and found.to_json()


def test_the_same_rows_give_the_same_report_to_the_byte_in_any_process(tmp_path: Any) -> None:
    (tmp_path / "real.txt").write_text(speech(99, 3_000))
    code = (
        "import hashlib\n"
        "from matrix.report.report import report\n"
        "from tests.report.made import row, speech\n"
        "rows = [row(k, speech(k % 40, 50), outcome='failed', role=f'r{k % 3}') for k in range(60)]\n"
        f"done = report(rows, reference=[{str(tmp_path / 'real.txt')!r}])\n"
        "print(hashlib.sha256((done.to_json() + done.to_html()).encode()).hexdigest())\n"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "77")
    }  # fmt: skip
    assert len(said) == 1


def test_facts_of_the_query_are_in_the_report() -> None:
    about = About("runs", "agents where role = $r", {"r": "buyer"}, ["mind this"], lambda: {"left_out": {"silent": 2}})
    found = figures(row(1, "a"), about=about)
    assert (found["store"], found["query"], found["parameters"]) == ("runs", "agents where role = $r", {"r": "buyer"})
    assert (found["notices"], found["counts"]) == (["mind this"], {"left_out": {"silent": 2}})


@pytest.mark.parametrize("threshold", [0, 1.1])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    with pytest.raises(UsageError, match="threshold"):
        report([], threshold=threshold)
