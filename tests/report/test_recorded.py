"""Reports of recorded data: what is known of it is what they find."""

from __future__ import annotations

from pathlib import Path

import pytest

import matrix
from bench import truth_table

DATA = truth_table.DATA

if not DATA.exists():
    pytest.skip(f"no recorded data in {DATA} (set MATRIX_SHARED_DATA)", allow_module_level=True)


def test_people_who_negotiate_are_found_in_their_own_words_and_not_in_those_of_others(tmp_path: Path) -> None:
    file = DATA / "casino" / "casino_valid.json.gz"
    matrix.import_files(tmp_path / "store", "casino", [file])
    with matrix.open(tmp_path / "store") as store:
        own = store.report("agents", reference=[file]).data
        others = DATA / "schema-guided-dialogue" / "dev_dialogues_001.json.gz"
        other = store.report("agents", reference=[others]).data["grounding"]
    # Two speakers in 30 dialogues; both sides of a dialogue are rows, and no two rows are alike.
    assert (own["rows"], own["duplicates"]["unique"], own["grounding"]["judged"]) == (60, 60, 60)
    # One of them says eight words in a row in nothing but an offer, which the file has as data, not as text.
    assert own["grounding"]["copied"] >= 59 and own["grounding"]["far"] == 0
    assert other["copied"] == 0 and other["contained"][-1]["share"] < 0.001


def test_an_agent_that_does_the_same_for_a_ticket_again_is_a_duplicate(tmp_path: Path) -> None:
    file = DATA / "tau2" / "results" / "gpt-4.1_telecom_no-user.json.gz"
    matrix.import_files(tmp_path / "store", "tau2", [file])
    with matrix.open(tmp_path / "store") as store:
        found = store.report("agents where role = assistant").data["duplicates"]
        kept = store.export("agents where role = assistant", tmp_path / "chats.jsonl", drop_duplicates=True)
    assert (found["rows"], found["exact"], found["near"]) == (40, 5, 0)
    assert kept.rows == found["unique"] == 35
