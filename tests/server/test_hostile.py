"""What hostile clients and a hostile machine do to the real ``matrix serve``, in a process of its own.

Each protection is switched off, to see that it is this one which protects, where it lives: see the tests of its part.
Here it is seen that they hold together. ``make hostile`` does it with the full numbers.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

import matrix
from matrix.errors import MatrixError
from tests.server.process import Client, Process, ask, process_of, replies, shown, until
from tests.server.serves import BINARY, CONTINUATION, PONG, TEXT, frame
from tests.server.test_gate import ASKED, random_frame
from tests.server.working import SLOW

FULL = bool(os.environ.get("MATRIX_HOSTILE"))
RANDOM_FRAMES = 10_000 if FULL else 1_000
ABUSIVE_CONNECTIONS = 1_000 if FULL else 40
SEED = 20_260_131
MIB = 1024 * 1024
QUICK = "agents | count"


@pytest.fixture(scope="module")
def server(big_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One that all attacks here go against, one after the other."""
    with process_of(big_store, tmp_path_factory.mktemp("server")) as found:
        yield found
        assert found.said() == "", "nothing of all this was a mistake of the server's"


async def is_well(server: Process) -> None:
    """It answers a question, and lets go of all that is over."""
    async with await server.session() as raw:
        found = await ask(raw, type="query", id=1, text=QUICK)
        assert found[1]["rows"] == [[600]], shown(found)
    await at_rest(server)


async def at_rest(server: Process) -> None:
    """Wait until no client is there, nothing is at work and nothing lies in files."""
    with trio.fail_after(30):
        for name in (
            'matrix_connections{state="session"}',
            'matrix_work{state="running"}',
            'matrix_work{state="waiting"}',
            "matrix_watches",
            "matrix_work_held_bytes",
            "matrix_work_spilled_bytes",
        ):
            while await server.metric(name):
                await trio.sleep(0.05)
        while server.spilled():
            await trio.sleep(0.05)


# -- the process -------------------------------------------------------------------------------------------


async def test_the_servers_own_process_loads_neither_arrow_nor_numpy(server: Process) -> None:
    await is_well(server)
    loaded = Path(f"/proc/{server.pid}/maps").read_text()
    assert "pyarrow" not in loaded and "numpy" not in loaded
    worker = server.child("work.child")
    assert "pyarrow" in Path(f"/proc/{worker}/maps").read_text(), "this is where it would be seen"


# -- who may come in ---------------------------------------------------------------------------------------


async def test_a_foreign_page_and_a_rebound_name_get_nothing(server: Process) -> None:
    for headers, status in [
        ({}, 101),
        ({"Origin": f"http://127.0.0.1:{server.port}"}, 101),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": f"http://127.0.0.1:{server.port}.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": f"evil.example:{server.port}"}, 403),
        ({"Host": f"localhost.evil.example:{server.port}"}, 403),
    ]:
        async with await server.connected() as raw:
            given = {"Authorization": f"Bearer {server.token}", **headers}
            assert (await raw.upgrade(**given))[0] == status, headers


async def test_wrong_tokens_and_forged_scopes_get_nothing(server: Process, small_store: Path, tmp_path: Path) -> None:
    with process_of(small_store, tmp_path) as other:
        for token in (other.token, other.control, server.token[:-1], server.token[:8], "x", server.token.swapcase()):
            async with await server.upgraded(token=token) as raw:
                assert (await raw.hear())["code"] == "unauthorized", token
                assert await raw.closed() == 1008
    async with await server.upgraded(token=None) as raw:
        await raw.say(type="hello", token=server.token, scopes=["read", "control"])
        assert await raw.closed() == 1008
    async with await server.session() as raw:
        assert (await ask(raw, type="replay", id=1, all=True))[0]["code"] == "forbidden"
        assert (await ask(raw, type="replay", id=2, all=True, scopes=["control"]))[0]["code"] == "bad-request"
    async with await server.session(token=server.control) as raw:
        assert (await ask(raw, type="replay", id=1, simulation="1-1"))[0]["code"] == "usage", "it may, but cannot"


# -- what comes in -----------------------------------------------------------------------------------------


async def test_random_frames_end_nothing_but_their_connection(server: Process) -> None:
    chance, sent = random.Random(SEED), 0
    while sent < RANDOM_FRAMES:
        async with await server.session() as raw, trio.open_nursery() as nursery:
            nursery.start_soon(raw.ends)
            with suppress(trio.BrokenResourceError):
                for _ in range(100):
                    await raw.send(random_frame(chance))
                    sent += 1
                    await trio.lowlevel.checkpoint()
                await raw.stream.send_eof()
    await is_well(server)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(BINARY, claimed=2**62) + bytes(4 * MIB), 1009),
        (frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 200_000, 1008),
        (frame(PONG) * 200_000, 1008),
        (frame(TEXT, b"[" * 200_000) * 40, 1008),
    ],
    ids=["length", "fragments", "rate", "depth"],
)
async def test_a_flood_ends_its_connection_and_takes_no_memory(server: Process, data: bytes, code: int) -> None:
    await is_well(server)
    before = server.resident_bytes()
    for _ in range(5):
        async with await server.session() as raw, trio.open_nursery() as nursery:

            async def flood(raw: Client = raw) -> None:
                with suppress(trio.BrokenResourceError):
                    await raw.send(data)
                    await raw.send(frame(PONG) * 1_200)

            nursery.start_soon(flood)
            assert await raw.closed() in (code, None), "None when it was reset while it still sent"
            nursery.cancel_scope.cancel()
    assert server.resident_bytes() - before < 16 * MIB
    await is_well(server)


async def test_half_open_connections_keep_others_out_for_five_seconds_at_most(server: Process) -> None:
    await at_rest(server)
    halves = [await server.connected() for _ in range(64)]
    for raw in halves:
        await raw.send(b"GET / HTTP/1.1\r\nHo")
    await until(lambda: server.descriptors() > 64)
    async with await server.connected() as raw:
        assert (await raw.ask("/health"))[0] == 503
    begun = trio.current_time()
    for raw in halves:
        async with raw:
            assert b"408" in (await raw.ends())[:16]
    assert trio.current_time() - begun < 15, "5 seconds, and what a busy machine needs"
    await is_well(server)


async def test_a_token_has_sixteen_connections_and_the_other_token_its_own(server: Process) -> None:
    await at_rest(server)
    sessions = [await server.session() for _ in range(16)]
    async with await server.connected() as raw:
        assert (await raw.upgrade(Authorization=f"Bearer {server.token}"))[0] == 503
    async with await server.session(token=server.control):
        pass
    for raw in sessions:
        await trio.aclose_forcefully(raw.stream)
    await at_rest(server)
    await is_well(server)


# -- who does not read -------------------------------------------------------------------------------------


GREEDY = (
    {"type": "query", "text": "events | limit 60000", "page": 10_000},
    {"type": "export", "text": "events | limit 60000", "format": "json"},
    {"type": "watch", "text": "events", "after": "start", "page": 10_000},
)


async def test_who_reads_nothing_is_cut_off_and_holds_up_nobody(server: Process) -> None:
    await is_well(server)
    before, cut = server.resident_bytes(), await server.metric("matrix_cut_off_total")
    stuck = [await server.session() for _ in GREEDY * (4 if FULL else 1)]
    try:
        for number, raw in enumerate(stuck):
            await raw.say(id=1, credit=1_000_000, **GREEDY[number % len(GREEDY)])
        async with await server.session() as raw:
            for id in range(10):
                assert (await ask(raw, type="query", id=id, text=QUICK))[-1]["type"] == "done"
        with trio.fail_after(150):  # long queries stand behind whatever else the machine does
            while await server.metric("matrix_cut_off_total") < cut + len(stuck):
                await trio.sleep(0.1)
        assert server.resident_bytes() - before < 160 * MIB, "64 MiB of batches at most, as bytes and on their way"
    finally:
        for raw in stuck:
            await trio.aclose_forcefully(raw.stream)
    await is_well(server)


async def test_a_client_that_goes_in_the_middle_of_a_batch_leaves_nothing(server: Process) -> None:
    for bytes_read in (1, 1_000, 100_000):
        async with await server.session() as raw:
            await raw.say(type="query", id=1, text="events | limit 10000", page=10_000)
            await raw._exactly(bytes_read)
    await is_well(server)


async def test_grants_and_cancels_in_any_number_do_no_harm(server: Process) -> None:
    async with await server.session() as raw, trio.open_nursery() as nursery:
        nursery.start_soon(raw.ends)
        chance = random.Random(SEED)
        for _ in range(300):
            id = chance.randrange(8)
            await raw.say(type="query", id=id, text=chance.choice((QUICK, "events", SLOW)), credit=1, page=100)
            await raw.say(type="cancel", id=id)
        await raw.say(type="grant", id=1, credit=1_000_000)
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    await is_well(server)


# -- many of them ------------------------------------------------------------------------------------------

Abuse = Callable[[Process], Awaitable[None]]


async def _half_a_head(server: Process) -> None:
    async with await server.connected() as raw:
        await raw.send(b"GET / HT")


async def _foreign(server: Process) -> None:
    async with await server.connected() as raw:
        await raw.upgrade(Origin="http://evil.example")


async def _gone_with_a_query(server: Process) -> None:
    async with await server.session() as raw:
        await raw.say(type="query", id=1, text="events", credit=1)


async def _gone_with_a_bomb(server: Process) -> None:
    async with await server.session() as raw:
        await raw.say(type="query", id=1, text=SLOW)
        await raw.hear()


async def _gone_with_a_watch(server: Process) -> None:
    async with await server.session() as raw:
        await raw.say(type="watch", id=1, text="events", after="start", credit=2)
        await raw.hear()


async def _gone_with_an_export(server: Process) -> None:
    async with await server.session() as raw:
        await raw.say(type="export", id=1, text="events | limit 20000", format="jsonl", credit=1)
        await raw.hear()


async def _cancelled_at_once(server: Process) -> None:
    async with await server.session() as raw:
        await raw.send(
            frame(TEXT, b'{"type":"query","id":1,"text":"events"}') + frame(TEXT, b'{"type":"cancel","id":1}')
        )
        await replies(raw, 1)


async def _huge(server: Process) -> None:
    async with await server.session() as raw:
        await raw.send(frame(BINARY, claimed=2**62))
        await raw.closed()


async def _half_a_frame(server: Process) -> None:
    async with await server.session() as raw:
        await raw.send(frame(TEXT, ASKED)[:5])


async def _reset(server: Process) -> None:
    raw = await server.session()
    raw.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    await trio.aclose_forcefully(raw.stream)


ABUSES: list[Abuse] = [
    _half_a_head,
    _foreign,
    _gone_with_a_query,
    _gone_with_a_bomb,
    _gone_with_a_watch,
    _gone_with_an_export,
    _cancelled_at_once,
    _huge,
    _half_a_frame,
    _reset,
]


async def test_abusive_connections_leave_no_descriptor_process_or_file(server: Process) -> None:
    await is_well(server)
    before = server.descriptors() - 5 * len(server.children())  # each has a few pipes, and they come and go
    for _ in range(ABUSIVE_CONNECTIONS // len(ABUSES)):
        async with trio.open_nursery() as nursery:
            for abuse in ABUSES:
                nursery.start_soon(abuse, server)
    await is_well(server)
    await until(lambda: len(server.children()) <= 8)
    await until(lambda: server.descriptors() - 5 * len(server.children()) <= before)
    assert server.spilled() == []


# -- processes that die or hang ----------------------------------------------------------------------------


async def test_a_working_process_that_is_killed_costs_one_query(big_store: Path, tmp_path: Path) -> None:
    with process_of(big_store, tmp_path) as server:
        async with await server.session() as raw:
            await raw.say(type="query", id=1, text=SLOW)
            while (await raw.hear()).get("state") != "running":
                pass
            for pid, module in server.children().items():
                if module == "matrix.server.work.child":
                    os.kill(pid, signal.SIGKILL)
            found = await replies(raw, 1)
            assert found[-1]["code"] == "internal", shown(found)
            assert (await ask(raw, type="query", id=2, text=QUICK))[1]["rows"] == [[600]]
        assert "is lost" in server.said() and "Traceback" not in server.said()


async def test_a_process_of_watches_that_is_killed_costs_no_row(small_store: Path, tmp_path: Path) -> None:
    with process_of(small_store, tmp_path) as server:
        async with await server.session() as raw:
            await raw.say(type="watch", id=1, text="events | select seq", after="start", page=10, credit=3)
            rows: list[list[int]] = []
            while len(rows) < 30:
                message = await raw.hear()
                rows += message.get("rows", [])
            for pid, module in server.children().items():
                if module == "matrix.server.watches.child":
                    os.kill(pid, signal.SIGKILL)
            await raw.say(type="grant", id=1, credit=1_000)
            while len(rows) < 500:
                rows += (await raw.hear()).get("rows", [])
            assert rows == sorted(rows) and len({row[0] for row in rows}) == 500
        assert "Traceback" not in server.said()


async def test_a_working_process_that_hangs_ends_with_its_query(big_store: Path, tmp_path: Path) -> None:
    with process_of(big_store, tmp_path, "--timeout", "2") as server:
        async with await server.session() as raw:
            await ask(raw, type="query", id=0, text=QUICK)
            hanging = [pid for pid, module in server.children().items() if module == "matrix.server.work.child"]
            for pid in hanging:
                os.kill(pid, signal.SIGSTOP)
            found = await ask(raw, type="query", id=1, text=QUICK)
            while found[-1]["type"] == "error":
                assert found[-1]["code"] == "timeout", shown(found)
                for pid in hanging:  # also one that hangs while it starts, which is given a minute
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                found = await ask(raw, type="query", id=2, text=QUICK)
            assert found[1]["rows"] == [[600]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_however_it_ends_no_process_outlives_it(small_store: Path, tmp_path: Path, number: int) -> None:
    with process_of(small_store, tmp_path) as server:
        async with await server.session() as raw:
            await raw.say(type="watch", id=1, text="events", after="start")
            await ask(raw, type="query", id=2, text=QUICK)
            children = server.children()
            assert len(children) >= 3
            server.process.send_signal(number)
            await until(lambda: server.process.poll() is not None)
            await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))
        assert "Traceback" not in server.said()
        if number != signal.SIGKILL:
            assert not list((tmp_path / "tmp").iterdir())


async def test_a_client_whose_server_is_killed_is_told_so(small_store: Path, tmp_path: Path) -> None:
    with process_of(small_store, tmp_path) as server, trio.fail_after(60):
        async with matrix.connect(f"ws://127.0.0.1:{server.port}", token=server.token) as remote:
            assert (await remote.query(QUICK)).rows() == [{"count": 10}]
            server.process.kill()
            server.process.wait()
            with pytest.raises(MatrixError) as caught:
                await remote.query(QUICK)
            assert f":{server.port}" in str(caught.value)


# -- a store and a machine in trouble ----------------------------------------------------------------------


async def test_an_index_that_is_lost_or_spoiled_is_made_anew(small_store: Path, tmp_path: Path) -> None:
    store = shutil.copytree(small_store, tmp_path / "store")
    text = "events where .price > 3 | count"
    with process_of(store, tmp_path / "own") as server:
        async with await server.session() as raw:
            right = (await ask(raw, type="query", id=0, text=text))[1]["rows"]
            spoilings: list[Callable[[Path], object]] = [
                Path.unlink,
                lambda index: index.write_bytes(b"garbage" * 1_000),
                lambda index: index.write_bytes(index.read_bytes()[:5_000]),
                lambda index: index.write_bytes(b""),
            ]
            for number, spoil in enumerate(spoilings):
                for side in ("-wal", "-shm"):
                    (store / f"index.sqlite{side}").unlink(missing_ok=True)
                spoil(store / "index.sqlite")
                for id in range(3):
                    found = await ask(raw, type="query", id=id, text=text)
                    assert found[-1]["type"] == "done", (number, shown(found))
                    assert found[1]["rows"] == right
        assert "Traceback" not in server.said()


async def test_a_store_that_is_damaged_or_away_is_told_without_a_path(small_store: Path, tmp_path: Path) -> None:
    store = shutil.copytree(small_store, tmp_path / "store")
    segment = next((store / "log").rglob("*.seg"))
    good = segment.read_bytes()
    with process_of(store, tmp_path / "own") as server:
        async with await server.session() as raw:
            for id, (spoil, mend) in enumerate(
                [
                    (lambda: segment.write_bytes(good[: len(good) // 2]), lambda: segment.write_bytes(good)),
                    (lambda: store.rename(tmp_path / "away"), lambda: (tmp_path / "away").rename(store)),
                ]
            ):
                spoil()
                for request in ({"type": "query", "text": "events | select data"}, {"type": "info"}):
                    found = await ask(raw, id=id, **request)
                    while found[-1]["type"] == "done":  # what is open can be read for a while
                        found = await ask(raw, id=id, **request)
                    assert found[-1]["code"] == "store", shown(found)
                    assert str(tmp_path) not in shown(found)
                mend()
                found = await ask(raw, type="query", id=id, text="events | count")
                assert found[-1]["type"] == "done", shown(found)
        assert "Traceback" not in server.said()


async def test_where_no_file_may_grow_what_fits_is_answered_and_the_rest_refused(
    big_store: Path, tmp_path: Path
) -> None:
    wrapper = ("bash", "-c", 'ulimit -f 64; exec "$@"', "-")  # 64 KiB a file
    with process_of(big_store, tmp_path, wrapper=wrapper) as server:
        async with await server.session() as raw:
            assert (await ask(raw, type="query", id=1, text=QUICK))[1]["rows"] == [[600]]
            for request in ({"type": "query"}, {"type": "export", "format": "jsonl"}):
                found = await ask(raw, id=2, text="events", credit=1, **request)
                assert found[-1]["code"] == "memory", shown(found)
                assert "could not be kept in a file: File too large" in found[-1]["message"]
            assert (await ask(raw, type="query", id=3, text=QUICK))[1]["rows"] == [[600]]
        assert server.said() == ""


async def test_two_servers_share_a_store_that_grows(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (store / "log").mkdir(parents=True)
    with process_of(store, tmp_path / "one") as one, process_of(store, tmp_path / "other") as other:
        async with await one.session() as first, await other.session() as second:
            for raw in (first, second):
                assert (await ask(raw, type="query", id=1, text="events | count"))[1]["rows"] == [[0]]
                await raw.say(type="watch", id=2, text="events word | select .number", after="start")
            for round_ in range(3):
                await trio.to_thread.run_sync(lambda: matrix.run(_words, store=store))
                for raw in (first, second):
                    found = await ask(raw, type="query", id=1, text="events word | count")
                    assert found[1]["rows"] == [[20 * (round_ + 1)]], shown(found)
        assert one.said() == other.said() == ""


class _Speaker(matrix.Agent):
    async def run(self) -> None:
        for number in range(20):
            self.emit("word", number=number)


async def _words(simulation: matrix.Simulation) -> None:
    simulation.spawn(_Speaker, "speaker")


def test_a_port_in_use_is_one_line(server: Process, small_store: Path) -> None:
    command = [sys.executable, "-c", "from matrix.cli.main import main; main()", "serve", str(small_store)]
    done = subprocess.run([*command, "--port", str(server.port)], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"port {server.port} is in use" in done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
