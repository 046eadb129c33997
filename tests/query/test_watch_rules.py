"""Made-up histories written in pieces, looked at in between and gone on from anywhere: each row once, by the rules."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from matrix.errors import QueryError
from matrix.log.compact import compact_log
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query import syntax as q
from matrix.query.check import check
from matrix.query.engine import look
from matrix.query.watch import Watch, WatchedRow
from matrix.store import Store
from matrix.testing.histories import Shards
from matrix.testing.strategies import histories, queries
from tests.query.alike import rows_alike
from tests.query.watched import Moment, in_possible_order, told_by_rules

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "100"))
SMALL_SEGMENT_BYTES = 4_096


class Reel:
    """A store that is written piece by piece, and a watch that is broken off and taken up again anywhere."""

    def __init__(self, folder: Path, shards: Shards, text: str, random: Random, *, after: str | None) -> None:
        """The first look has the number 0, and begins."""
        self.folder, self.shards, self.text, self.random = folder, shards, text, random
        self.moments: list[Moment] = [{}] if after == "start" else []
        self.rows: list[tuple[int, WatchedRow]] = []  # each with the number of its look
        self.written = dict.fromkeys(shards, 0)
        self.watch = Watch(text, {}, after=after)
        self.again: int | None = None  # the look that is taken again first

    def run(self) -> None:
        with ExitStack() as opened:
            writers = {}
            for shard in sorted(self.shards):
                writer = Writer.open(self.folder / "log", segment_bytes_max=SMALL_SEGMENT_BYTES)
                writers[shard] = opened.enter_context(writer)
            with Store(self.folder) as store:
                for pieces in self.pieces():
                    for shard, count in pieces.items():
                        start = self.written[shard]
                        writers[shard].append(rows_from_events(self.shards[shard][start : start + count]))
                        self.written[shard] += count
                    if self.random.random() < 0.15:
                        compact_log(self.folder / "log")
                    if self.random.random() < 0.7:
                        self.look(store)
                self.look(store)
                self.look(store, to_the_end=True)

    def pieces(self) -> list[dict[int, int]]:
        """How many events of which shard are written between two chances to look."""
        found: list[dict[int, int]] = [{}]
        for shard in in_possible_order(self.shards, self.random.choice):
            found[-1][shard] = found[-1].get(shard, 0) + 1
            if self.random.random() < 0.08:
                found.append({})
        return found

    def look(self, store: Store, *, to_the_end: bool = False) -> None:
        if self.again is not None:
            self.rows += [(self.again, row) for row in self.watch.look(store)]
            self.again = None
        is_behind = True
        while is_behind:
            told = list(self.watch.look(store))
            is_behind = self.watch.is_behind
            is_on_the_way = is_behind or self.watch.is_done
            moment = moment_of(self.watch) if is_on_the_way else dict(self.written)
            if not self.moments or self.moments[-1] != moment:
                self.moments.append(moment)
            self.rows += [(len(self.moments) - 1, row) for row in told]
        if self.rows and not to_the_end and self.random.random() < 0.4:
            self.go_on_elsewhere()

    def go_on_elsewhere(self) -> None:
        """Forget what was told behind some row, and go on from there with a new watch."""
        last = self.random.randrange(max(len(self.rows) - 30, 0), len(self.rows))
        look, row = self.rows[last]
        self.rows, self.moments = self.rows[: last + 1], self.moments[: look + 1]
        self.watch = Watch(self.text, {}, after=row.position)
        self.again = None if row.position.endswith(".0") else look


def moment_of(watch: Watch) -> dict[int, int]:
    """How many events of each shard are behind where a watch stands."""
    assert watch.position is not None
    packed = base64.urlsafe_b64decode(watch.position.split(".")[1] + "==")
    _, before, since, _, _ = json.loads(zlib.decompress(packed))
    return {**dict(before), **dict(since)}


def accepted(text: str) -> str:
    """The text, if it can be watched, and is not drawn: shapes are of what is told."""
    try:
        query = check(text, is_watch=True)
    except QueryError:
        assume(False)
    assume(not query.is_explain and not any(isinstance(stage, q.Shape) for stage in query.stages))
    return text


def compare(shards: Shards, text: str, seed: int, after: str | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        reel = Reel(Path(name), shards, text, Random(seed), after=after)
        reel.run()
    looks = told_by_rules(check(text, is_watch=True), shards, reel.moments)
    found = [[row for look, row in reel.rows if look == number] for number in range(1, len(reel.moments))]
    note(f"{text}\n  moments {reel.moments}\n  expected {looks}\n  found    {found}")
    for expected, told in zip(looks, found, strict=True):
        assert rows_alike([dict(row) for row in told], expected)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), text=queries(), seed=st.integers(0, 2**32), after=st.sampled_from(("start", None)))
def test_a_watch_tells_what_the_rules_say_from_wherever_it_goes_on(
    shards: Shards, text: str, seed: int, after: str | None
) -> None:
    compare(shards, accepted(text), seed, after)


PLAIN = (
    "events",
    "messages",
    "agents",
    "goals",
    "simulations",
    "conversations",
    "events where goal.status = succeeded",
    "events where agent.status = finished | select id, agent, kind",
    "messages where cause.kind = offer | limit 7",
    "agents where any goal (status = succeeded)",
    "agents where count(message.sent) > 2 | goals",
    "goals where succeeded | select id, name | limit 3",
    "simulations where status != running",
    "conversations where messages > 2 | messages",
    "events | count by kind per 1s",
    "events | count, first(kind) as first, last(kind) as last per 1m",
    "messages | count by agent per 1h of wall",
    "events | count by agent per 2 turns",
    "events goal.succeeded, goal.failed | count by kind, role per 1s",
    "events simulation.started | count per 1h of wall",
    "agents where did offer then got counter",
    "agents | match offer as o then got message.sent",
    "agents | match event then event then no offer within 2s | select id, start, duration",
    "simulations | match message.sent then accept as a | where a.agent exists",
    "goals where caused by offer",
    "events where led to offer | causes within 2 steps",
    "events | where agent exists | select time, agent as who | count by who per 1s | where count > 1",
)


@pytest.mark.parametrize("text", PLAIN)
@settings(max_examples=max(EXAMPLES // 10, 5), deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), seed=st.integers(0, 2**32), after=st.sampled_from(("start", None)))
def test_a_watch_of_each_relation_and_shape_tells_what_the_rules_say(
    shards: Shards, text: str, seed: int, after: str | None
) -> None:
    compare(shards, text, seed, after)


@pytest.mark.parametrize(
    "text",
    [text for text in PLAIN if text.startswith(("events", "messages")) and " per " not in text]
    + ["events offer, counter | select id, role, to, goal, .price as price", "events where agent.turns > 1"],
)
@settings(max_examples=max(EXAMPLES // 10, 5), deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), seed=st.integers(0, 2**32), most=st.integers(1, 12))
def test_a_watch_far_behind_goes_on_in_steps_and_each_is_told_by_the_rules(
    text: str, shards: Shards, seed: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(look, "WATCH_LOOK_EVENTS_MAX", most)
        compare(shards, text, seed, "start")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("events | select simulation, seq, kind, data", "events | select simulation, seq, kind, data"),
        (
            "events | count, max(seq) as top by kind per 1s",
            "events | count, max(seq) as top by simulation, kind per 1s",
        ),
    ],
)
@settings(max_examples=max(EXAMPLES // 10, 5), deadline=None, suppress_health_check=list(HealthCheck))
@given(shards=histories(), seed=st.integers(0, 2**32))
def test_all_that_was_told_of_a_run_is_what_the_plain_query_has_of_it(
    text: str, plain: str, shards: Shards, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        reel = Reel(Path(name), shards, text, Random(seed), after="start")
        reel.run()
        with Store(Path(name)) as store:
            runs = [row["id"] for row in store.query("simulations where status != running").rows()]
            forks = {row["simulation"] for row in store.query("events simulation.forked").rows()}
            expected = store.query(plain).rows()
    for run in runs:
        if runs.count(run) == 1 and run not in forks:
            told = [row for _, row in reel.rows if row["simulation"] == run]
            assert _texts(told) == _texts([row for row in expected if row["simulation"] == run])


def _texts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows in any order; so are the fields of a payload, which compaction may change."""
    return sorted(json.dumps(row, sort_keys=True, default=repr) for row in rows)
