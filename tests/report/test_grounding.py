"""Grounding: what is copied, what is far, and what is neither; and references of every kind."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matrix.errors import UsageError
from matrix.report import corpus as corpora
from matrix.report.bloom import Filter
from matrix.report.corpus import Corpus
from matrix.report.report import report
from matrix.report.words import WordHashes, ngrams, words
from tests.report.made import row, speech


def inside(corpus: Corpus, text: str, n: int) -> float:
    grams = ngrams(WordHashes().of(words(text)), n)
    return corpus.contained(grams) / len(grams)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_copied_row_and_a_far_row_are_flagged_and_an_ordinary_one_is_not(tmp_path: Path) -> None:
    real = speech(1, 4_000)
    said = real.split()
    copied = " ".join(said[1_000:1_060])
    # Three words of the reference, then two of its own, over and over: real 3-grams, no 8-grams.
    ordinary = " ".join(" ".join([*said[k : k + 3], f"own{k}", f"mine{k}"]) for k in range(0, 200, 10))
    far = speech(2, 60, vocabulary=10**9)
    rows = [row(1, ordinary), row(2, copied), row(3, far), row(4, "too short to say")]
    found = report(rows, reference=[write(tmp_path / "real.txt", real)]).data["grounding"]
    assert [found[name] for name in ("judged", "too_short", "copied", "far")] == [3, 1, 1, 1]
    assert [(one["simulation"], one["agent"], one["share"]) for one in found["copied_rows"]] == [("1-2", "ada", 1.0)]
    assert [(one["simulation"], one["share"]) for one in found["far_rows"]] == [("1-3", 0.0)]
    nearest = found["copied_shown"][0]["nearest"]
    assert nearest["file"] == "real.txt" and nearest["passage"] in (9, 10) and nearest["similarity"] > 0.2
    assert found["far_shown"][0]["nearest"] is None
    assert found["far_shown"][0]["text"].startswith(far[:100])


def test_the_thresholds_of_flags_are_the_callers(tmp_path: Path) -> None:
    real = speech(1, 1_000)
    half = " ".join(real.split()[:40]) + " " + speech(2, 40, vocabulary=10**9)
    file = write(tmp_path / "real.txt", real)
    flags = {}
    for copied in (0.4, 0.5):
        found = report([row(1, half)], reference=[file], copied=copied, far=0.9).data["grounding"]
        flags[copied] = found["copied"], found["far"]
    assert flags == {0.4: (1, 1), 0.5: (0, 1)}  # 33 of 73 8-grams


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_flag_needs_a_share(share: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="copied is a share from 0 to 1"):
        report([], reference=[tmp_path / "is not even looked for"], copied=share)


def test_every_n_gram_of_the_reference_is_contained_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "_STRETCH_WORDS", 350)
    text = speech(4, 5_000)
    corpus = Corpus([write(tmp_path / "real.md", text.replace(" word7 ", "\n\nword7 "))])
    for n in corpora.SIZES:
        assert inside(corpus, text, n) == 1.0
    assert inside(corpus, speech(5, 5_000, vocabulary=10**9), 3) < 0.001
    assert (corpus.words, corpus.figures()["passages"]) == (5_000, len(corpus._shelf))


def test_n_grams_do_not_reach_from_one_document_into_the_next(tmp_path: Path) -> None:
    lines = [json.dumps({"text": "one two three"}), json.dumps({"text": "four five six"})]
    corpus = Corpus([write(tmp_path / "real.jsonl", "\n".join(lines))])
    assert inside(corpus, "one two three", 3) == 1.0 and inside(corpus, "two three four", 3) == 0.0


def test_real_text_scores_what_a_part_of_it_has_in_common_with_the_rest(tmp_path: Path) -> None:
    chorus = speech(1, 150)
    twice = "\n".join([chorus] * 40)  # each passage stands elsewhere, too
    corpus = Corpus([write(tmp_path / "song.txt", twice)])
    assert corpus.real_text is not None and corpus.real_text[3] == 1.0
    unlike = Corpus([write(tmp_path / "noise.txt", speech(2, 6_000, vocabulary=10**9))])
    assert unlike.real_text is not None and unlike.real_text[3] < 0.001
    assert Corpus([write(tmp_path / "short.txt", "a few words")]).real_text is None


DIALOGUE = {"turns": [{"utterance": "the cat sat", "speaker": "ignored words here"}, {"utterance": "on the mat"}]}
CHAT = {"messages": [{"role": "user", "content": "the cat sat"}, {"role": "assistant", "content": "on the mat"}]}
PARTS = {"messages": [{"content": [{"type": "text", "text": "the cat sat"}, {"type": "text", "text": "on the mat"}]}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.txt", "The cat sat\non the mat."),
        ("plain", "The cat sat on the mat"),
        ("page.md", "# The cat\n\n* sat on *the mat*"),
        ("chats.jsonl", json.dumps(CHAT) + "\n\n" + json.dumps(PARTS) + "\n"),
        ("texts.ndjson", json.dumps({"text": "the cat sat on the mat", "id": "x y z"})),
        ("dialogues.json", json.dumps([DIALOGUE, CHAT])),
        ("dialogue.json", json.dumps(DIALOGUE)),
    ],
)
@pytest.mark.parametrize("is_gzipped", [False, True])
def test_references_of_every_form_are_read(name: str, content: str, is_gzipped: bool, tmp_path: Path) -> None:
    path = tmp_path / (f"{name}.gz" if is_gzipped else name)
    path.write_bytes(gzip.compress(content.encode()) if is_gzipped else content.encode())
    corpus = Corpus([path])
    assert inside(corpus, "the cat sat on the mat", 6) == 1.0
    assert inside(corpus, "ignored words here", 3) == 0.0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.txt.gz", gzip.compress(b"some words " * 1_000, mtime=0)[:-9], "the file is cut off"),
        ("bad.txt", b"good \xff bad", "not UTF-8 text"),
        ("cut.txt", "schön".encode()[:4], "cut off in the middle of a character"),
        ("picture.png", b"\x89PNG\r\n\x00\x00", "a zero byte: this is no text"),
        ("bad.jsonl", b'{"text": "fine"}\n{"text": ', "line 2: not JSON"),
        ("bad.json", b'[{"text": "fine"}, ', "the file is cut off"),
        ("empty.txt", b"", "there is no word in this reference"),
        ("other.jsonl", b'{"body": "words in another place"}', "the texts under"),
    ],
)
def test_a_reference_that_cannot_be_read_is_an_error_that_says_where(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        Corpus([path])
    assert str(path) in str(caught.value)


def test_a_reference_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        Corpus([tmp_path / "nowhere.txt"])


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = []
    for folder in ("shop", "airline"):
        (tmp_path / folder).mkdir()
        paths.append(write(tmp_path / folder / "policy.md", f"rules of the {folder} for everyone"))
    corpus = Corpus(paths)
    assert [file["name"] for file in corpus.figures()["files"]] == ["shop/policy.md", "airline/policy.md"]
    found = corpus.nearest(WordHashes().of(words("rules of the airline for everyone")))
    assert found is not None and (found.file, found.passage, found.similarity) == ("airline/policy.md", 0, 1.0)


def test_a_large_reference_has_longer_passages_and_no_more_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "REPORT_PASSAGES_MAX", 10)
    corpus = Corpus([write(tmp_path / "real.txt", "\n".join(speech(k, 37) for k in range(100)))])
    assert corpus.passage_words == 370 and corpus.figures()["passages"] <= 11
    assert inside(corpus, speech(50, 37), 8) == 1.0


def test_a_long_line_is_cut_between_words_and_loses_none(tmp_path: Path) -> None:
    text = speech(1, 20_000)
    corpus = Corpus([write(tmp_path / "line.txt", text)])
    assert corpus.words == 20_000 and inside(corpus, text, 8) == 1.0
    signs = "今日は良い天気ですね" * 30_000  # nowhere to cut
    assert Corpus([write(tmp_path / "signs.txt", signs)]).words == len(signs)


@given(st.sets(st.integers(0, 2**64 - 1), max_size=300), st.sets(st.integers(0, 2**64 - 1), max_size=300))
@settings(max_examples=20)
def test_what_is_in_a_filter_is_found_and_little_else(some: set[int], others: set[int]) -> None:
    known = Filter(len(some))
    known.add(np.array(sorted(some), np.uint64))
    assert known.has(np.array(sorted(some), np.uint64)).all()
    assert known.has(np.array(sorted(others - some), np.uint64)).sum() <= 1


def test_the_share_of_wrong_answers_is_the_one_that_is_told() -> None:
    known = Filter(100)
    known.add(np.arange(200_000, dtype=np.uint64))  # far more than it has room for
    wrong = known.has(np.arange(10**7, 10**7 + 200_000, dtype=np.uint64)).mean()
    assert 0.05 < known.false_positives < 0.1
    assert wrong == pytest.approx(known.false_positives, rel=0.05)


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    file = write(tmp_path / "real.txt", speech(1, 100))
    report([row(k, "a") for k in range(300)], reference=[file], progress=lambda *now: told.append(now))
    size = file.stat().st_size
    assert ("reading real.txt", size, size) in told and told[-1] == ("measuring rows", 256, 0)


def test_a_row_is_placed_by_its_own_words_only(tmp_path: Path) -> None:
    real = speech(1, 200)
    one = row(1, speech(2, 30, vocabulary=10**9), heard=real, system=real)
    found: dict[str, Any] = report([one], reference=[write(tmp_path / "real.txt", real)]).data["grounding"]
    assert (found["copied"], found["far"], found["contained"][0]["share"]) == (0, 1, 0.0)


def test_a_small_reference_makes_no_row_a_bad_one(tmp_path: Path) -> None:
    rows = [row(1, speech(2, 60, vocabulary=10**9))]
    verdicts = {}
    for words_count in (1_000, 60_000):
        found = report(rows, reference=[write(tmp_path / "real.txt", speech(1, words_count))]).data["readings"]
        verdicts[words_count] = found[-1]["verdict"], "few enough that ordinary text is far" in found[-1]["meaning"]
    assert verdicts == {1_000: ("note", True), 60_000: ("bad", False)}
