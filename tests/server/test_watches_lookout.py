"""Inside the process that looks: who shares a look, who has to go, whose trouble is whose."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from matrix.errors import StoreError
from matrix.event import Event
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query.round import Round
from matrix.query.watch import Watch
from matrix.server.pipes import Message, Pipes, ServerGone
from matrix.server.watches import child, feed
from matrix.server.watches.child import Lookout
from matrix.server.watches.pulse import Pulse
from matrix.server.watches.words import (
    Close,
    Ended,
    Joined,
    Moved,
    Open,
    Opened,
    Rows,
    Subscription,
    Taken,
    ToServer,
    pack_for_child,
    unpack_in_server,
)

OFFERS = "events offer | select .n"
Act = Callable[[], Any]


class Script:
    """In place of the pipes: what the server says and what happens, one round of the loop after the other."""

    def __init__(self, *acts: Act | list[Any]) -> None:
        self._acts = list(acts)
        self.said: list[ToServer] = []

    def receive_within(self, seconds: float | None, *others: int) -> list[Message]:
        if not self._acts:
            raise ServerGone
        act = self._acts.pop(0)
        if isinstance(act, list):
            return [Message(1, pack_for_child(act))]
        act()
        return []

    def send(self, kind: int, body: bytes = b"") -> None:
        self.said.append(unpack_in_server(Message(kind, body))[0])

    def of(self, word: type) -> list[Any]:
        return [said for said in self.said if isinstance(said, word)]


def play(store: Path, *acts: Act | list[Any], is_slow: bool = False) -> tuple[Script, int]:
    """What was said, and how many looks that took."""
    script, pulse = Script(*acts), Pulse.new()
    lookout = Lookout(store, cast(Pipes, script), pulse, is_slow=is_slow)
    try:
        with pytest.raises(ServerGone):
            lookout.run()
        return script, pulse.read().looks
    finally:
        if lookout._opened is not None:
            lookout._opened.close()
        lookout._growth.close()
        pulse.close()


def opens(feed: int, text: str = OFFERS, after: str | None = None, *, page: int = 1_000, is_slow: bool = False) -> Open:
    return Open(feed, Subscription(text, {}, "json", "rows", page), after, is_slow)


@pytest.fixture
def offer(tmp_path: Path) -> Any:
    """Writes so many offers."""
    numbers = itertools.count()
    with Writer.open(tmp_path / "log") as writer:

        def write(kind: str, data: dict[str, Any]) -> Event:
            seq = next(numbers) + 1
            places = {"time": seq, "wall": 1, "agent": 0, "turn": 0, "goal": 0, "state": 0, "cause": 0}
            return Event(1, seq, kind=kind, data=data, **places)

        def offers(count: int = 1) -> Act:
            return lambda: writer.append(rows_from_events([write("offer", {"n": n}) for n in range(count)]))

        writer.append(rows_from_events([write("simulation.started", {"id": "r1", "name": "offers"})]))
        yield offers


@pytest.fixture(autouse=True)
def without_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round follows a round at once, since a script has no time in it."""
    monkeypatch.setattr(child.Pace, "after_look", lambda self, took_us: 0.0)


def test_equal_watches_share_looks(tmp_path: Path, offer: Any) -> None:
    script, looks = play(tmp_path, [opens(1)], [opens(2), opens(3)], offer(), offer())
    assert script.of(Joined) == [Joined(2, 1), Joined(3, 1)]
    assert [rows.feed for rows in script.of(Rows)] == [1, 1]
    assert looks == 3


def test_without_sharing_each_would_look_by_itself(tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = itertools.count()
    monkeypatch.setattr(Subscription, "key", property(lambda self: str(next(keys))))
    script, looks = play(tmp_path, [opens(1)], [opens(2), opens(3)], offer(), offer())
    assert script.of(Joined) == []
    assert [rows.feed for rows in script.of(Rows)] == [1, 2, 3, 1, 2, 3]
    assert looks == 9


def test_one_with_a_limit_does_not_join_others_that_have_used_theirs(tmp_path: Path, offer: Any) -> None:
    text = f"{OFFERS} | limit 2"
    script, _ = play(tmp_path, [opens(1, text)], offer(), [opens(2, text)], offer(), offer())
    assert script.of(Joined) == []
    assert [(rows.feed, rows.count) for rows in script.of(Rows)] == [(1, 1), (1, 1), (2, 1), (2, 1)]
    assert script.of(Ended) == [Ended(1, None), Ended(2, None)]


def test_one_that_has_caught_up_goes_to_the_quick_ones(tmp_path: Path, offer: Any) -> None:
    offer(3)()
    script, _ = play(tmp_path, [opens(1, after="start")], [], [], is_slow=True)
    [moved] = script.of(Moved)
    assert [rows.count for rows in script.of(Rows)] == [3]
    assert (moved.feed, moved.is_slow, moved.position) == (1, False, script.of(Rows)[0].position)


def test_looks_that_take_long_leave_the_quick_ones(tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SERVED_WATCH_SLOW_LOOK_S", 0.0)
    acts = [[opens(1, "events sale"), opens(2, "events counter")], offer(), offer(), offer(), []]
    script, _ = play(tmp_path, *acts)
    assert [(moved.feed, moved.is_slow) for moved in script.of(Moved)] == [(1, True)]  # the other one is alone then
    script, _ = play(tmp_path, [opens(1, "events sale")], offer(), offer(), offer(), [])
    assert script.of(Moved) == []


def test_one_that_nobody_took_from_for_long_catches_up_away_from_the_quick_ones(
    tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "SERVED_WATCH_BEHIND_S", 0.0)
    taken = [Taken(1, 2_000, 100_000, 1)]
    script, _ = play(tmp_path, [opens(1, page=2_000)], offer(2_000), offer(), [], offer(), [], taken, [])
    [moved] = script.of(Moved)
    assert [rows.count for rows in script.of(Rows)] == [2_000]
    assert moved.position == script.of(Rows)[0].position


def test_no_page_leaves_without_room_and_none_is_lost(tmp_path: Path, offer: Any) -> None:
    script, looks = play(tmp_path, [opens(1, page=1_000)], offer(5_000), [], [])
    assert [rows.count for rows in script.of(Rows)] == [1_000, 1_000]
    taken = [Taken(1, 2_000, 60_000, 2)]
    acts = [[opens(1, after="start", page=1_000, is_slow=True)], [], taken, taken, offer(), taken, []]
    script, looks = play(tmp_path, *acts, is_slow=True)
    assert [rows.count for rows in script.of(Rows)] == [1_000] * 5 + [1]
    assert looks == 2


def test_what_fails_in_one_look_ends_that_watch_alone(
    tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = Watch.look

    def failing(self: Watch, source: Any) -> Any:
        if "counter" in self.query.text:
            raise MemoryError
        if "sale" in self.query.text:
            raise AssertionError("a mistake of ours")
        return look(self, source)

    monkeypatch.setattr(Watch, "look", failing)
    script, _ = play(tmp_path, [opens(1), opens(2, "events counter"), opens(3, "events sale")], offer())
    ended = {ended.feed: ended.error["code"] for ended in script.of(Ended)}
    assert ended == {2: "memory", 3: "internal"}
    assert "ours" not in str(script.of(Ended))
    assert [rows.feed for rows in script.of(Rows)] == [1]


def test_a_store_that_cannot_be_read_for_a_moment_is_tried_again(
    tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_TROUBLE_REST_S", 0.0)
    troubles = iter([sqlite3.OperationalError("database is locked")] * 5)
    _trouble(monkeypatch, lambda: next(troubles, None))
    script, _ = play(tmp_path, [opens(1)], *[[]] * 5, offer())
    assert script.of(Ended) == []
    assert len(script.of(Opened)) == len(script.of(Rows)) == 1


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), StoreError("/data/runs/log: no")])
def test_one_that_cannot_be_read_at_all_is_told_to_everybody(
    tmp_path: Path, offer: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(child, "_TROUBLE_REST_S", 0.0)
    _trouble(monkeypatch, lambda: error)
    script, _ = play(tmp_path, [opens(1), opens(2, "events")], *[[]] * 30)
    assert [(ended.feed, ended.error["code"]) for ended in script.of(Ended)] == [(1, "store"), (2, "store")]
    assert "/data" not in str(script.of(Ended))


def _trouble(monkeypatch: pytest.MonkeyPatch, trouble: Callable[[], Exception | None]) -> None:
    refresh = Round.refresh

    def troubled(self: Round) -> object:
        error = trouble()
        if error is not None:
            raise error
        return refresh(self)

    monkeypatch.setattr(Round, "refresh", troubled)


def test_a_closed_feed_is_not_looked_at(tmp_path: Path, offer: Any) -> None:
    script, looks = play(tmp_path, [opens(1), opens(2, "events")], [Close(1)], offer(), [opens(3), Close(3)], [])
    assert {rows.feed for rows in script.of(Rows)} == {2}
    assert looks == 3
