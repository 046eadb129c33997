"""Several processes at one log: killed writers, two writers, readers that follow."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from matrix.errors import LogWriteError, ShardBusy
from matrix.log import segment
from matrix.log.block import Block
from matrix.log.compact import compact_log
from matrix.log.reader import LogReader
from matrix.log.verify import verify_log
from matrix.log.writer import Writer
from tests.log.histories import append, event, events, positioned

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT, cwd=ROOT
    )


class Follower:
    """A reader that comes back after each crash, and checks what is new since."""

    def __init__(self, log: Path) -> None:
        self.reader, self.position = LogReader(log), 0

    def check(self, acknowledged: int) -> None:
        found = positioned(self.reader, after=self.position)
        assert [position for position, _ in found] == list(range(self.position + 1, self.position + len(found) + 1))
        assert all(got == event(position) for position, got in found)
        self.position += len(found)
        assert self.position >= acknowledged


def test_a_writer_killed_at_200_random_moments_loses_nothing_acknowledged(tmp_path: Path) -> None:
    log, draw = tmp_path / "log", random.Random(11)
    server = start("tests/log/killed_writer.py", str(log))
    assert server.stdin and server.stdout and server.stderr
    follower, acknowledged = Follower(log), 0
    for seed in range(200):
        server.stdin.write(f"{seed}\n")
        server.stdin.flush()
        child = int(server.stdout.readline().removeprefix("ready "))
        moment = threading.Timer(draw.random() * 0.02, os.kill, (child, signal.SIGKILL))
        moment.start()
        while (line := server.stdout.readline()) not in ("dead\n", ""):
            acknowledged = int(line) if line.endswith("\n") else acknowledged
        moment.join()
        assert line == "dead\n", server.stderr.read()
        follower.check(acknowledged)
    server.communicate()
    assert acknowledged > 2_000
    assert all(finding.trouble == "torn" for finding in verify_log(log)[0].findings)
    with Writer.open(log, shard=1) as writer:
        assert writer.last_position >= acknowledged
    assert [got for _, got in positioned(LogReader(log))] == events(1, writer.last_position)


def test_a_second_writer_takes_a_shard_of_its_own_and_a_third_adopts_an_idle_one(tmp_path: Path) -> None:
    first = Writer.open(tmp_path)
    second = Writer.open(tmp_path)
    assert (first.shard, second.shard) == (1, 2)
    with pytest.raises(ShardBusy):
        Writer.open(tmp_path, shard=1)
    append(first, 5)
    append(second, 7)
    first.close()
    with Writer.open(tmp_path) as third:
        assert (third.shard, third.last_position, third.next_simulation) == (1, 5, 4)
        append(third, 5)
    second.close()
    reader = LogReader(tmp_path)
    assert reader.shards() == [1, 2]
    assert [len(positioned(reader, shard)) for shard in reader.shards()] == [10, 7]


def test_two_processes_never_write_one_shard(tmp_path: Path) -> None:
    other = start("tests/log/killed_writer.py", str(tmp_path))
    assert other.stdin and other.stdout and other.stderr
    other.stdin.write("1\n")
    other.stdin.flush()
    child = int(other.stdout.readline().removeprefix("ready "))
    os.kill(child, signal.SIGSTOP)  # a writer that stands still still owns its shard
    with pytest.raises(ShardBusy):
        Writer.open(tmp_path, shard=1)
    with Writer.open(tmp_path) as writer:
        assert writer.shard == 2
    os.kill(child, signal.SIGKILL)
    other.communicate()
    with Writer.open(tmp_path) as writer:
        assert writer.shard == 1


def test_a_forked_child_cannot_write_with_its_parents_writer(tmp_path: Path) -> None:
    writer = Writer.open(tmp_path)
    append(writer, 3)
    child = os.fork()
    if child == 0:
        try:
            append(writer, 3)
        except LogWriteError as error:
            writer.close()
            os._exit(7 if "after a fork" in str(error) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with pytest.raises(ShardBusy):  # a child that closes does not give the parent's shard away
        Writer.open(tmp_path, shard=1)
    append(writer, 3)
    writer.close()
    assert [got for _, got in positioned(LogReader(tmp_path))] == events(1, 6)


def test_a_writer_whose_segment_was_written_by_another_stops(tmp_path: Path) -> None:
    writer = Writer.open(tmp_path)
    append(writer, 3)
    with (tmp_path / "0001" / "00000001.seg").open("ab") as segment:
        segment.write(b"x")
    with pytest.raises(LogWriteError, match="another process"):
        append(writer, 3)


def test_a_reader_follows_another_process_through_rolls_and_compaction(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from matrix.log import segment
from matrix.log.block import Block
from matrix.log.compact import compact_log
from matrix.log.writer import Writer
from tests.log.histories import append
with Writer.open(Path(sys.argv[1]), segment_bytes_max=30_000) as writer:
    for round_ in range(120):
        append(writer, 40)
        if round_ % 30 == 29:
            compact_log(Path(sys.argv[1]))
print(writer.last_position)
"""
    other = start("-c", script, str(tmp_path))
    reader, seen, looks = LogReader(tmp_path), {}, 0
    after = 0
    while other.poll() is None or len(seen) < 4_800:
        looks += 1
        for shard in reader.shards():
            for block in reader.blocks(shard, after=after):
                seen |= dict(zip(block.positions.tolist(), block.events(), strict=True))
            while after + 1 in seen:
                after += 1
        assert looks < 100_000
    assert other.communicate()[0].strip() == "4800"
    assert [seen[position] for position in range(1, 4_801)] == events(1, 4_800)


def test_what_was_written_just_before_a_roll_is_read_before_what_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Writer.open(tmp_path, segment_bytes_max=30_000) as writer:
        append(writer, 10)
        listed = segment.segment_numbers

        def listed_after_a_roll(*arguments: Any) -> list[int]:
            if reader.is_at_the_end:  # this reader saw the end of the first segment; now it grows, and another begins
                reader.is_at_the_end = False
                while len(listed(*arguments)) < 3:
                    append(writer, 10)
            return listed(*arguments)

        class Reader(LogReader):
            is_at_the_end = False

            def _blocks_of(self, shard: int, number: int, after: int) -> Iterator[Block]:
                yield from super()._blocks_of(shard, number, after)
                self.is_at_the_end = writer.last_position == 10

        reader = Reader(tmp_path)
        monkeypatch.setattr("matrix.log.reader.segment_numbers", listed_after_a_roll)
        positions = [position for position, _ in positioned(reader, after=0)]
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) > 100


def test_sixteen_readers_follow_a_writer_thread(tmp_path: Path) -> None:
    troubles: list[BaseException] = []

    def follow() -> None:
        try:
            reader, position = LogReader(tmp_path), 0
            while position < 4_000:
                found = positioned(reader, after=position) if reader.shards() else []
                numbers = [number for number, _ in found]
                assert numbers == list(range(position + 1, position + len(found) + 1))
                position += len(found)
                time.sleep(0.001)  # gives the writer its turn; nothing waits for this moment
        except BaseException as error:
            troubles.append(error)

    with Writer.open(tmp_path, segment_bytes_max=30_000) as writer:
        readers = [threading.Thread(target=follow) for _ in range(16)]
        for thread in readers:
            thread.start()
        for _ in range(100):
            append(writer, 40)
            writer.sync()
    for thread in readers:
        thread.join()
    assert troubles == []


def test_a_file_that_may_not_grow_is_a_clear_error_and_all_acknowledged_stays(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from matrix.errors import LogWriteError
from matrix.log.writer import Writer
from tests.log.histories import append
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
with Writer.open(Path(sys.argv[1])) as writer:
    try:
        while True:
            append(writer, 30)
    except LogWriteError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    append(writer, 30)
print(writer.last_position)
"""
    other = start("-c", script, str(tmp_path))
    said, last, *_ = other.communicate()[0].splitlines()
    assert "File too large" in said
    assert [got for _, got in positioned(LogReader(tmp_path))] == events(1, int(last))


def test_a_reader_changes_nothing(tmp_path: Path) -> None:
    def contents() -> dict[Path, tuple[int, bytes]]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    with Writer.open(tmp_path, segment_bytes_max=3_000) as writer:
        for _ in range(10):
            append(writer, 20)
    before = contents()
    reader = LogReader(tmp_path)
    positioned(reader)
    reader.segments(1)
    verify_log(tmp_path)
    assert before == {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()
    }


def test_compaction_in_a_thread_beside_its_writer(tmp_path: Path) -> None:
    with Writer.open(tmp_path, segment_bytes_max=20_000) as writer:
        for _ in range(20):
            worker = threading.Thread(target=compact_log, args=(tmp_path,))
            worker.start()
            for _ in range(5):
                append(writer, 40)
            assert len(positioned(LogReader(tmp_path))) == writer.last_position
            worker.join()
    assert verify_log(tmp_path)[0].findings == []
    assert [got for _, got in positioned(LogReader(tmp_path))] == events(1, 4_000)


def test_a_program_that_ends_with_an_open_store_ends_without_a_word(tmp_path: Path) -> None:
    """Its last names go when modules are half gone already."""
    program = tmp_path / "program.py"
    program.write_text(
        "import matrix\n"
        "async def nothing(simulation): pass\n"
        f"matrix.run(nothing, store={str(tmp_path / 'runs')!r})\n"
        f"store = matrix.open({str(tmp_path / 'runs')!r})\n"
        "print(len(store.query('simulations')))\n"
    )
    done = subprocess.run([sys.executable, program], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
