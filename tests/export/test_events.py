"""Events: a row for each, with all its fields."""

from __future__ import annotations

import json
from typing import Any

import pytest

import matrix
from matrix.export import events
from matrix.export.contract import Options
from matrix.export.selection import Selection
from matrix.log.reader import LogReader
from matrix.testing.society import events_of, society
from matrix.testing.stores import write_history
from tests.export.told import Talk, exported, stored


def shop(id: str = "t1") -> Talk:
    talk = Talk(id).agent("ann", "buyer").agent("sam", "seller").agent("tom", "seller")
    outer = talk.goal("ann", "buy")
    inner = talk.goal("ann", "ask")
    talk.says("ann", "", "sam tom", kind="offer", price=40, für="dich")
    talk.ends(inner)
    talk.says("sam", "No.", "ann")
    talk.ends(outer, "failed")
    return talk


def test_a_row_has_every_field_of_its_event(tmp_path):
    (row,) = exported(stored(tmp_path, shop()), "events offer", "events")
    wall = row.pop("wall")
    assert row == {
        "store": "runs", "simulation": "t1", "seq": 7, "id": "t1:7", "time": 1_000_000, "turn": 1, "agent": "ann",
        "role": "buyer", "goal": 6, "state": None, "cause": 2, "kind": "offer", "to": ["sam", "tom"],
        "data": '{"price": 40, "für": "dich"}', "family": "t1",
    }  # fmt: skip
    assert wall == 1_000_000


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("simulations", list(range(1, 12))),
        ("events message.sent, offer", [7, 9]),
        ("agents where id = tom", [4, 7]),
        ("agents where id = ann", [2, 5, 6, 7, 8, 9, 10]),
        ("goals where name = ask", [6, 7, 8]),
        ("goals where name = buy", [5, 6, 7, 8, 10]),
        ('conversations where id = "t1/ann+sam"', [9]),
        ("events as of 1s", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("agents as of 1s where id = ann", [2, 5, 6, 7, 8]),
        ("simulations as of turn 0", [1, 2, 3, 4]),
        ("events simulation.finished", [11]),
    ],
)
def test_a_query_gives_the_events_that_it_speaks_of(tmp_path, query, seqs):
    rows = exported(stored(tmp_path, shop()), query, "events")
    assert [row["seq"] for row in rows] == seqs
    assert all(type(json.loads(row["data"])) is dict for row in rows)


def test_rows_come_in_the_order_of_the_store(tmp_path):
    rows = exported(stored(tmp_path, shop("b"), shop("a")), "events offer | sort wall desc", "events")
    assert [row["id"] for row in rows] == ["b:7", "a:7"]


def test_rows_come_before_the_log_is_read(tmp_path, monkeypatch):
    """So an export of a million events holds no more of them than a few blocks."""
    store = tmp_path / "store"
    write_history(store, {1: [event for some in society(20, 5_000) for event in events_of(some)]}, block_events=100)
    read: list[Any] = []
    monkeypatch.setattr(
        LogReader, "block", lambda self, ref, found=LogReader.block: read.append(ref) or found(self, ref)
    )
    with matrix.open(store) as opened:
        selection = Selection(opened, "simulations")
        read.clear()
        rows = events.rows(opened, selection, Options())
        assert [next(rows).data["seq"] for _ in range(150)] == list(range(1, 151))
        assert len(set(read)) <= 4
        assert sum(1 for _ in rows) >= 4_800 and len(set(read)) >= 49
