"""The blocking twin: scripts, notebooks, threads, Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import trio

import matrix
from matrix.client.blocking import BlockingRemote
from matrix.errors import ConnectionLost, QueryError, Unauthorized, UsageError
from tests.client.served import Served


@pytest.fixture
def remote(served: Served) -> Iterator[BlockingRemote]:
    with matrix.connect(served.url, token=served.token) as remote:
        yield remote


def test_it_has_every_call_of_the_other(remote: BlockingRemote, local: matrix.Store) -> None:
    assert remote.query("agents | count by role").rows() == local.query("agents | count by role").rows()
    assert remote.explain("agents").column_names == local.explain("agents").column_names
    assert remote.info() == local.info()
    assert remote.kinds() == local.kinds()
    assert remote.simulation("1-2") == local.simulation("1-2")
    assert remote.digest("1-2") == local.digest("1-2")
    assert str(remote.diff("1-1", "1-3")) == str(local.diff("1-1", "1-3"))
    assert remote.complete("agents whe") == local.complete("agents whe")
    assert (remote.name, remote.scopes) == ("runs", ["read"])
    with pytest.raises(QueryError, match='agents have no field "rol"'):
        remote.query("agents where rol = x")


def test_a_plain_for_takes_batches_and_rows(remote: BlockingRemote, local: matrix.Store) -> None:
    stream = remote.stream("events", page=100)
    assert [row for batch in stream for row in batch.rows()] == local.query("events").rows()
    assert stream.seconds > 0
    with remote.stream("events", page=10) as batches:
        assert len(next(iter(batches))) == 10
    told = [row for row, _ in zip(remote.watch("events | select seq", after="start"), range(5))]
    assert [row["seq"] for row in told] == [1, 2, 3, 4, 5]
    assert list(remote.watch("events | select seq | limit 5", after="start")) == told


def test_a_watch_tells_also_that_nothing_came(remote: BlockingRemote) -> None:
    looks = remote.watch("events never").looks()
    assert [next(looks), next(looks)] == [[], []]
    looks.close()


def test_it_works_inside_a_loop_that_runs_as_in_a_notebook(served: Served) -> None:
    async def cell() -> int:
        with matrix.connect(served.url, token=served.token) as remote:
            return len(remote.query("agents"))

    assert asyncio.run(cell()) == trio.run(cell) == 123


def test_async_with_outside_of_trio_says_what_to_do(served: Served) -> None:
    async def cell() -> None:
        async with matrix.connect(served.url, token=served.token):
            pass

    with pytest.raises(UsageError, match=r"is for Trio; elsewhere: with matrix\.connect"):
        asyncio.run(cell())


def test_open_and_close_without_a_block(served: Served) -> None:
    remote = matrix.connect(served.url, token=served.token).open()
    assert remote.query("agents | count").rows() == [{"count": 123}]
    threads = threading.active_count()
    remote.close()
    remote.close()
    assert threading.active_count() <= threads - 1
    with pytest.raises(UsageError, match=r"this connection is closed; matrix\.connect makes another"):
        remote.query("agents")


def test_what_cannot_be_opened_leaves_no_thread(served: Served) -> None:
    threads = threading.active_count()
    with pytest.raises(Unauthorized):
        matrix.connect(served.url, token="wrong").open()
    with pytest.raises(ConnectionLost):
        matrix.connect("ws://127.0.0.1:1/").open()
    assert threading.active_count() <= threads  # idle ones of Trio end when they like


def test_several_threads_ask_side_by_side(remote: BlockingRemote) -> None:
    found: dict[int, int] = {}

    def ask(n: int) -> None:
        found[n] = remote.query("events where seq > $n | count", n=n).rows()[0]["count"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n] for n in range(12)] == [
        remote.query("events where seq > $n | count", n=n).rows()[0]["count"] for n in range(12)
    ]


def test_a_loop_that_is_left_open_does_not_keep_a_script_from_ending(served: Served) -> None:
    script = f"import matrix; print(len(matrix.connect({served.link!r}).open().query('agents')))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=served.environment, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "123\n", "")


def test_ctrl_c_stops_what_is_waited_for_and_the_next_can_be_asked(served: Served) -> None:
    script = f"""
import matrix
with matrix.connect({served.link!r}) as remote:
    try:
        print("waiting", flush=True)
        for row in remote.watch("events never"):
            pass
    except KeyboardInterrupt:
        print(len(remote.query("agents")), flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=served.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.5)  # it waits for a row now
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "123\n", "")
