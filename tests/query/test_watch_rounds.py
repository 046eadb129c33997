"""Many watches at one moment of a store; what looks cost; and being told when to look."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.event import Event
from matrix.index import settling
from matrix.index.index import Index
from matrix.log.block import Block
from matrix.log.growth import Growth
from matrix.log.notify import Notices
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query.engine import look as looking
from matrix.query.engine.look import Look
from matrix.query.round import Round
from matrix.query.watch import Watch
from matrix.watching import LOG_FOLDER, OpenStore
from tests.index.logs import trade, write_log


def write(store: Path, events: list[Event], *, per_block: int = 1_000) -> None:
    """Add events to shard 1."""
    with Writer.open(store / LOG_FOLDER, shard=1) as writer:
        for first in range(0, len(events), per_block):
            writer.append(rows_from_events(events[first : first + per_block]))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenStore]:
    """A store of one whole trade, as a process of watches has it open."""
    write_log(tmp_path, trade(1))
    opened = OpenStore(tmp_path)
    yield opened
    opened.close()


# -- rounds -----------------------------------------------------------------------------------------


def test_a_round_follows_once_for_all_its_watches(opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    followed: list[Index] = []
    follow = Index.follow
    monkeypatch.setattr(Index, "follow", lambda self, reader: followed.append(self) or follow(self, reader))
    watches = [Watch(text, {}, after="start") for text in ("events offer", "goals where succeeded", "agents")]
    with Round(opened) as source:
        told = [len(watch.look(source)) for watch in watches]
    assert (told, len(followed)) == ([6, 3, 6], 1)
    for watch in watches:
        watch.look(opened)
    assert len(followed) == 4


def test_all_looks_of_a_round_see_one_moment_whatever_is_written_meanwhile(opened: OpenStore, tmp_path: Path) -> None:
    first, second = Watch("events offer", {}, after="start"), Watch("events offer", {}, after="start")
    with Round(opened) as source:
        assert len(first.look(source)) == 6
        write(tmp_path, trade(2))
        with Index.open(tmp_path) as other:
            other.follow(LogReader(tmp_path / LOG_FOLDER))
        assert len(second.look(source)) == 6
    assert first.position == second.position
    with Round(opened) as source:
        assert [len(first.look(source)), len(second.look(source))] == [6, 6]


def test_new_blocks_are_decoded_once_for_all_looks_of_a_round(
    opened: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ("events offer", "events", "messages", "events goal.failed", "goals where failed", "agents where turns > 2")
    watches = [Watch(text, {}) for text in texts]
    with Round(opened) as source:
        for watch in watches:
            watch.look(source)
    write(tmp_path, trade(2), per_block=10)
    decoded: list[int] = []
    describe = Block._describe
    monkeypatch.setattr(Block, "_describe", lambda self, known: decoded.append(0) or describe(self, known))
    with Round(opened) as source:
        told = [len(watch.look(source)) for watch in watches]
    assert told == [6, 32, 0, 3, 3, 6]
    assert len(decoded) == 4  # blocks of 10, 10, 10 and 2


def test_what_a_look_tells_carries_the_positions_of_its_rows(opened: OpenStore) -> None:
    told = Watch("events offer | select seq", {}, after="start").look(opened)
    positions = [f"{told.stem}.{told.first + place}" for place in range(len(told) - 1)]
    assert [row.position for row in told] == [*positions, told.position]
    again = Watch("events offer | select seq", {}, after=positions[1]).look(opened)
    assert again.result.rows() == told.result.rows()[2:]
    assert (again.first, again.position) == (3, told.position)
    nothing = Watch("events offer | select seq", {}, after=told.position).look(opened)
    assert (len(nothing), nothing.position) == (0, told.position)


# -- what a look costs --------------------------------------------------------------------------------


def test_a_watch_far_behind_tells_the_same_events_in_steps(opened: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Watch("events", {}, after="start").look(opened).result.rows()
    monkeypatch.setattr(looking, "WATCH_LOOK_EVENTS_MAX", 5)
    watch = Watch("events", {}, after="start")
    steps = [watch.look(opened).result.rows()]
    while watch.is_behind:
        steps.append(watch.look(opened).result.rows())
    assert [len(step) for step in steps] == [5, 5, 5, 5, 5, 5, 2]
    assert [row for step in steps for row in step] == whole


def test_of_goals_only_those_that_new_events_are_about_are_asked_again(
    opened: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watches = [Watch("goals where failed", {}), Watch("goals where failed and duration > 1us", {})]
    write(tmp_path, trade(2)[:20])
    for watch in watches:
        watch.look(opened)
    statements: list[str] = []
    opened.connection.set_trace_callback(statements.append)
    write(tmp_path, trade(2)[20:-1])
    monkeypatch.setattr(Look, "_there_before", lambda *_: pytest.fail("all goals are asked"))
    assert [row["id"] for row in watches[0].look(opened)] == ["trade 2:9", "trade 2:11", "trade 2:13"]
    assert not [sql for sql in statements if "FROM main.goals" in sql and "seq IN" not in sql]
    with pytest.raises(pytest.fail.Exception, match="all goals are asked"):
        watches[1].look(opened)


@pytest.mark.parametrize(
    ("text", "is_quick"),
    [
        ("events", True),
        ("messages where from.role = buyer", True),
        ("events offer where goal.status = running | select agent.turns as turns", True),
        ("goals where succeeded and agent.role = buyer", True),
        ("agents where status = finished", True),
        ("simulations where status != running", True),
        ("agents | match offer then got accept", False),
        ("agents where count(offer) > 2", False),
        ("goals where duration > 5s", False),
        ("agents where goal.status = failed", False),
        ("events where caused by offer", False),
    ],
)
def test_a_watch_says_whether_its_looks_cost_what_is_new(text: str, is_quick: bool) -> None:
    assert Watch(text, {}).is_quick is is_quick


# -- when to look ---------------------------------------------------------------------------------------


def test_growth_is_told_at_once_also_of_a_new_shard(tmp_path: Path) -> None:
    write_log(tmp_path, trade(1))
    growth = Growth(tmp_path / LOG_FOLDER)
    assert growth.wait(0)
    assert not growth.wait(0.01)
    growth.has_grown()
    waiting = threading.Thread(target=write, args=(tmp_path, trade(2)))
    waiting.start()
    assert growth.wait(30)
    waiting.join()
    while growth.has_grown():
        pass
    with Writer.open(tmp_path / LOG_FOLDER, shard=1), Writer.open(tmp_path / LOG_FOLDER) as other:
        assert growth.wait(30)
        while growth.has_grown():
            pass
        other.append(rows_from_events(trade(1)))
        assert growth.wait(30)
    assert growth.has_grown()  # both were closed, which the log says
    growth.close()
    assert not growth.has_grown()


def test_where_the_system_tells_nothing_a_glance_finds_out_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Notices) -> None:
        raise OSError("no inotify here")

    monkeypatch.setattr(Notices, "__init__", refuse)
    write_log(tmp_path, trade(1))
    growth = Growth(tmp_path / LOG_FOLDER)
    assert growth.fileno() is None
    assert growth.wait(0)
    write(tmp_path, trade(2))
    assert growth.wait(0.001)
    assert not growth.wait(0.001)


# -- the index beside -----------------------------------------------------------------------------------


def test_the_pages_of_a_steady_follower_are_moved_into_the_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "SETTLE_EVERY", 3)
    write_log(tmp_path, trade(1))
    opened = OpenStore(tmp_path)
    opened.refresh()
    size = (tmp_path / "index.sqlite").stat().st_size
    for number in range(2, 12):
        write(tmp_path, trade(number, agents=200))
        opened.refresh()
        for thread in threading.enumerate():
            if thread.name == "matrix-settle":
                thread.join()
    assert (tmp_path / "index.sqlite").stat().st_size > size  # before anybody has closed it
    with sqlite3.connect(tmp_path / "index.sqlite") as other:
        assert other.execute("SELECT count(*) FROM agents").fetchone() == (2_006,)
    other.close()
    opened.close()
