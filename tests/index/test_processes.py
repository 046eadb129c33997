"""Several processes follow one log at once, while it is written and compacted: one index, nothing twice."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from matrix.index.index import Followed, Index
from matrix.log.compact import compact_log
from matrix.log.reader import LogReader
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from tests.index.logs import digest, follow, trade, write_log

FOLLOWER = """
import sys
from pathlib import Path
from matrix.index.index import Index
from matrix.log.reader import LogReader
store, events = Path(sys.argv[1]), int(sys.argv[2])
with Index.open(store) as index:
    reader = LogReader(store / "log")
    own = known = 0
    print("ready", flush=True)
    while known < events:
        own += index.follow(reader, batch_events=50).events
        (known,) = index.connection.execute("SELECT coalesce(sum(events), 0) FROM simulations").fetchone()
    print(own, flush=True)
"""


def start_follower(store: Path, events: int) -> subprocess.Popen[str]:
    """A process that follows until the index holds ``events``, then prints how many it applied itself."""
    run = [sys.executable, "-c", FOLLOWER, str(store), str(events)]
    started = subprocess.Popen(run, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


def test_two_processes_that_follow_a_writer_apply_every_event_once(tmp_path: Path) -> None:
    told = [trade(n, 8) for n in range(1, 61)]
    total = sum(map(len, told))
    followers = [start_follower(tmp_path, total) for _ in range(2)]
    with Writer.open(tmp_path / "log", segment_bytes_max=40_000) as writer:
        for number, events in enumerate(told):
            writer.append(rows_from_events(events[:20]))
            writer.append(rows_from_events(events[20:]))
            if number % 20 == 19:
                compact_log(tmp_path / "log")
    applied = [int(follower.communicate(timeout=60)[0]) for follower in followers]
    assert [follower.returncode for follower in followers] == [0, 0]
    assert sum(applied) == total
    followed = digest(tmp_path)
    (tmp_path / "index.sqlite").unlink()
    assert digest(tmp_path) == followed


def test_compaction_of_followed_segments_replaces_their_maps_alone(tmp_path: Path) -> None:
    write_log(tmp_path, *(trade(n, 20) for n in range(1, 30)), segment_bytes_max=20_000)
    before = follow(tmp_path), digest(tmp_path)
    compact_log(tmp_path / "log")
    assert follow(tmp_path) == Followed(events=0)
    assert digest(tmp_path) == before[1]
    maps = "SELECT * FROM blocks ORDER BY shard, segment, offset"
    with Index.open(tmp_path) as index:
        compacted = index.connection.execute(maps).fetchall()
        reader = LogReader(tmp_path / "log")
        assert {row[2] for row in compacted} == {0, 1}  # all but the newest segment
        assert [row[:4] for row in compacted] == [tuple(block.ref) for block in reader.blocks(1)]
        index.rebuild(reader)
        assert index.connection.execute(maps).fetchall() == compacted
    assert digest(tmp_path) == before[1]


def test_many_threads_may_share_one_index(tmp_path: Path) -> None:
    write_log(tmp_path, *(trade(n) for n in range(1, 20)))
    with Index.open(tmp_path) as index:
        reader, applied = LogReader(tmp_path / "log"), []
        work = [
            threading.Thread(target=lambda: applied.append(index.follow(reader, batch_events=40))) for _ in range(8)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        assert sum(followed.events for followed in applied) == 19 * 32
    assert follow(tmp_path) == Followed(events=0)
