"""The processes that look: killed, hung, guilty; and nothing left of them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from matrix.server.contract import Request, RequestError
from matrix.server.watches.pulse import Beat
from matrix.server.watches.watches import Watches
from tests.server.watched import Reading, Serving, serving, writing

OFFERS = "events offer | select .n as n"
GUILTY = "events offer"


async def test_a_killed_process_costs_no_row_and_repeats_none(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(100)
        now = [served.watch(OFFERS, page=7) for _ in range(3)]
        early = served.watch(OFFERS, after="start", page=7)
        for reading in now:
            await reading.until(lambda reading=reading: reading.of("position"))
        for n in range(40):
            writer.offers(25)
            await trio.sleep(0.02)
            if n in (5, 25):
                for pid in served.watches.pids:
                    os.kill(pid, signal.SIGKILL)
        await early.until_rows(1_100)
        for reading in now:
            await reading.until_rows(1_000)
        assert served.watches.statistics().restarts >= 2
    assert early.values == list(range(1_100))
    assert all(reading.values == list(range(100, 1_100)) for reading in now)


def _look_at(served: Serving, text: str, *, seconds: int) -> None:
    """Let it seem as if the quick process had been in a look at the feed of that text for so long."""
    keeper = served.watches._quick
    assert keeper._pulse is not None
    [number] = [number for number, group in keeper.groups.items() if group.subscription.text == text]
    keeper._pulse._write(Beat(number, time.monotonic_ns() - seconds * 1_000_000_000, looks=0, rounds=0))


async def test_a_look_that_takes_too_long_ends_its_watch_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        guilty, other = served.watch(GUILTY), served.watch(OFFERS)
        for reading in (guilty, other):
            await reading.until(lambda reading=reading: reading.of("position"))
        _look_at(served, GUILTY, seconds=60)
        await guilty.until_ended()
        writer.offers(2)
        await other.until_rows(2)
    assert guilty.error is not None
    assert guilty.error["code"] == "timeout"
    assert guilty.error["position"] == guilty.position
    assert other.error is None


async def test_a_watch_whose_looks_crash_the_process_twice_is_ended_and_no_other(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        guilty, other = served.watch(GUILTY), served.watch(OFFERS)
        for reading in (guilty, other):
            await reading.until(lambda reading=reading: reading.of("position"))
        await _crash_in_a_look(served)
        assert guilty.error is None
        with trio.fail_after(60):
            while len(served.watches._quick.groups) < 2 or served.watches._quick.pid is None:
                await trio.sleep(0.01)
        await _crash_in_a_look(served)
        await guilty.until_ended()
        writer.offers(2)
        await other.until_rows(2)
    assert guilty.error is not None
    assert guilty.error["code"] == "internal"
    assert other.error is None


async def _crash_in_a_look(served: Serving) -> None:
    """Kill the quick process as if it were in a look at the guilty feed."""
    keeper, restarts = served.watches._quick, served.watches._quick.restarts
    assert keeper.pid is not None
    _look_at(served, GUILTY, seconds=0)  # it took not too long: it died
    os.kill(keeper.pid, signal.SIGKILL)
    with trio.fail_after(60):
        while keeper.restarts == restarts:
            await trio.sleep(0.001)


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


async def test_two_hundred_watches_leave_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(10)
        first = served.watch(OFFERS)
        late = served.watch(OFFERS, after="start")
        await first.until_begun()
        await late.until_rows(10)
        files, tasks = open_files(), trio.lowlevel.current_statistics().tasks_living
        for n in range(10):
            readings = [
                served.watch(f"events offer where .n > {i % 5}", after=(None, "start")[i % 2]) for i in range(20)
            ]
            for reading in readings[: 2 * n]:
                await reading.until_begun()
            for reading in readings:
                reading.scope.cancel()
        with trio.fail_after(60):
            while served.watches.statistics().watches > 2 or served.watches.statistics().groups > 2:
                await trio.sleep(0.01)
        await trio.sleep(0.1)
        assert open_files() <= files
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        writer.offers(1)
        await first.until_rows(1)


async def test_when_the_server_ends_so_do_the_processes_and_every_watch(tmp_path: Path) -> None:
    files = open_files()
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(1)
        readings = [served.watch(OFFERS), served.watch(OFFERS, after="start")]
        for reading in readings:
            await reading.until_begun()
        pids = served.watches.pids
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert open_files() <= files


_SERVER = """
import sys, trio
from pathlib import Path
from tests.server.watched import serving

async def main():
    async with serving(Path(sys.argv[1])) as served:
        reading = served.watch("events offer", after="start")
        await reading.until_begun()
        print(*served.watches.pids, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_the_processes_end_when_the_server_is_killed(tmp_path: Path) -> None:
    async with writing(tmp_path) as writer:
        writer.offers(1)
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _SERVER, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}
    ) as server:
        assert server.stdout is not None
        pids = [int(pid) for pid in server.stdout.readline().split()]
        server.kill()
    assert len(pids) == 2
    with trio.fail_after(60):
        while any(_is_alive(pid) for pid in pids):
            await trio.sleep(0.01)


def _is_alive(pid: int) -> bool:
    """Whether a process is there, and not only still to be reaped by whoever has inherited it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_watch_is_told_when_the_server_ends(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    watches, reading = Watches(tmp_path), Reading()
    request = Request("watch", 1, text=OFFERS)
    async with trio.open_nursery() as nursery:
        running = await nursery.start(_run_until_told, watches)
        serving = Serving(watches, nursery)
        reading = serving.watch(OFFERS)
        await reading.until_begun()
        running.cancel()
        await reading.until_ended()
    assert reading.error is not None
    assert reading.error["code"] == "closing"
    with pytest.raises(RequestError, match="closing"):
        await watches.answer(request, None, Reading())


async def _run_until_told(watches: Watches, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(watches.run)
        task_status.started(nursery.cancel_scope)


async def test_more_watches_than_there_may_be_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, watches_max=2) as served:
        allowed = [served.watch(OFFERS) for _ in range(2)]
        for reading in allowed:
            await reading.until_begun()
        refused = served.watch(OFFERS)
        await refused.until_ended()
    assert refused.error is not None
    assert refused.error["code"] == "busy"
