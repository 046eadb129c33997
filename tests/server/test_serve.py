"""``matrix.serve``: from start to end, alone and beside simulations."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio_websocket

import matrix
from matrix.errors import NotAStore, UsageError
from matrix.server import sockets
from matrix.server.bounds import Bounds
from matrix.server.serving import Serving
from matrix.tokens import read_tokens
from tests.server.serves import Raw, children, descriptors, frame, served


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "own"))


class Greeter(matrix.Agent):
    """Says so many words, a second apart."""

    words: int

    async def run(self) -> None:
        for number in range(self.words):
            self.emit("word", number=number)
            await self.sleep(1)


async def greeting(simulation: matrix.Simulation, words: int = 5) -> None:
    simulation.spawn(Greeter, "greeter", words=words)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "greetings"
    matrix.run(greeting, store=folder)
    return folder


@asynccontextmanager
async def talking(serving: Serving, token: str = "") -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A client that has been welcomed."""
    async with trio_websocket.open_websocket_url(serving.url, subprotocols=["matrix.v1+json"]) as connection:
        await say(connection, type="hello", token=token or serving.token)
        assert (await hear(connection))["type"] == "welcome"
        yield connection


async def say(connection: trio_websocket.WebSocketConnection, **message: Any) -> None:
    await connection.send_message(json.dumps(message))


async def hear(connection: trio_websocket.WebSocketConnection, *types: str) -> Any:
    """The next message of these types."""
    with trio.fail_after(20):
        while True:
            message = json.loads(await connection.get_message())
            if not types or message["type"] in types:
                return message


# -- from start to end --------------------------------------------------------------------------------------


async def test_a_store_is_asked_and_watched_and_the_end_leaves_nothing(store: Path) -> None:
    before = children()
    async with trio.open_nursery() as nursery:
        serving: Serving = await nursery.start(partial(matrix.serve, store, port=0))
        assert read_tokens(serving.port) is not None
        async with talking(serving) as client:
            await say(client, type="query", id=1, text="events word | count")
            assert (await hear(client, "batch", "error"))["rows"] == [[5]]
            await hear(client, "done")
            await say(client, type="watch", id=2, text="events word | select .number | limit 2", after="start")
            assert (await hear(client, "batch", "error"))["rows"] == [[0], [1]]
            await hear(client, "done")
        descriptors_now = descriptors()
        nursery.cancel_scope.cancel()
    assert children() == before
    assert descriptors() < descriptors_now
    assert read_tokens(serving.port) is None
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", serving.port)


async def test_it_runs_beside_simulations_and_shows_them_while_they_run(tmp_path: Path) -> None:
    async with matrix.open_runtime(tmp_path / "runs") as runtime, trio.open_nursery() as nursery:
        serving: Serving = await nursery.start(partial(matrix.serve, tmp_path / "runs", port=0))
        async with talking(serving) as client:
            await say(client, type="watch", id=1, text="events word | select .number", after="start")
            await hear(client, "schema")
            simulation = await runtime.start(greeting, words=10_000, time="real", speed=20.0)
            seen: list[int] = []
            while len(seen) < 20:
                seen += [number for (number,) in (await hear(client, "batch"))["rows"]]
            assert simulation.outcome is None, "it still runs"
            assert seen == list(range(len(seen)))
            simulation.stop()
            await simulation.wait()
            await say(client, type="cancel", id=1)
            await hear(client, "error")
            await say(client, type="query", id=2, text="simulations | select status")
            assert (await hear(client, "batch"))["rows"] == [["stopped"]]
        nursery.cancel_scope.cancel()


async def test_a_simulation_at_full_speed_has_the_same_history_whether_served_or_not(tmp_path: Path) -> None:
    matrix.run(greeting, store=tmp_path / "alone", words=2_000)
    async with matrix.open_runtime(tmp_path / "runs") as runtime, trio.open_nursery() as nursery:
        serving: Serving = await nursery.start(partial(matrix.serve, tmp_path / "runs", port=0))
        async with talking(serving) as client:
            await say(client, type="watch", id=1, text="events word | count per 1000s")
            outcome = await (await runtime.start(greeting, words=2_000)).wait()
            assert outcome.status == "finished"
        nursery.cancel_scope.cancel()
    with matrix.open(tmp_path / "alone") as alone, matrix.open(tmp_path / "runs") as beside:
        assert alone.digest("1-1") == beside.digest("1-1")


async def test_every_connection_is_told_that_the_server_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        session, working = await here.session(), await here.session()
        await working.say(type="query", id=7, text="agents")
        silent, half = await here.upgraded(token=None), await here.connected()
        await half.send(b"GET /")
        await trio.sleep(0.05)
        begun = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hears_the_end, session)
            nursery.start_soon(_hears_the_end, working)
            nursery.start_soon(_is_closed, silent, 1001)
            nursery.start_soon(_is_closed, half, None)
            here.cancel()
        assert trio.current_time() - begun < 1.5
    assert here.echo.waiting == 0


async def _hears_the_end(raw: Raw) -> None:
    async with raw:
        message = await raw.hear()
        assert (message["type"], message["code"]) == ("error", "closing")
        assert "id" not in message
        opcode, payload = await raw.frame()
        assert (opcode, payload[:2]) == (8, b"\x03\xe9")
        await raw.send(frame(8, payload[:2]))


async def _is_closed(raw: Raw, code: int | None) -> None:
    async with raw:
        assert await raw.closed() == code


async def test_a_client_that_reads_nothing_holds_up_the_end_for_a_second_at_most(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        stuck = await here.session()
        filler = json.dumps({"type": "info", "id": 1, "x": "y" * 200_000}).encode()  # refused, at some length
        with trio.move_on_after(0.3):
            while True:
                await stuck.send(frame(1, filler))
        begun = trio.current_time()
        here.cancel()
        await here.ended.wait()
        assert trio.current_time() - begun < 2.0
        await trio.aclose_forcefully(stuck.stream)


# -- where it listens ----------------------------------------------------------------------------------------


async def test_it_listens_on_this_machine_alone_at_one_port_of_both_families(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert _listening(here.port) == {"127.0.0.1", "::1"}
        for address in ("127.0.0.1", "::1"):
            async with await here.connected(address) as raw:
                assert (await raw.ask("/health"))[0] == 200


def _listening(port: int) -> set[str]:
    """The addresses at which this machine listens at a port, as the kernel has them."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                words = bytes.fromhex(address)
                packed = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
                found.add(socket.inet_ntop(family, packed))
    return found


async def test_without_ipv6_it_listens_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = sockets._listening

    def no_ipv6(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(99, "Cannot assign requested address")
        return really(address, port)

    monkeypatch.setattr(sockets, "_listening", no_ipv6)
    async with served(tmp_path) as here:
        assert _listening(here.port) == {"127.0.0.1"}


async def test_another_address_is_listened_at_when_it_is_asked_for(tmp_path: Path) -> None:
    async with served(tmp_path, host="127.0.0.2") as here:
        assert _listening(here.port) == {"127.0.0.1", "::1", "127.0.0.2"}
        assert here.serving.link.startswith(f"http://127.0.0.2:{here.port}/#token=")
        async with await here.connected("127.0.0.2") as raw:
            assert (await raw.ask("/health", Host=f"127.0.0.2:{here.port}"))[0] == 200
            assert (await raw.ask("/health", Host=f"elsewhere.example:{here.port}"))[0] == 403


async def test_a_port_that_is_taken_at_one_address_is_not_taken_at_the_other(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is in use"):
            await sockets.listen(None, port)
        assert _listening(port) == {"::1"}


async def test_a_second_server_at_the_same_port_is_one_clear_error(store: Path, tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        with pytest.raises(UsageError, match=f"port {here.port} is in use"):
            await matrix.serve(store, port=here.port)
        assert read_tokens(here.port) is not None, "the first one's file stays"


async def test_what_is_no_store_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(NotAStore, match="no such folder"):
        await matrix.serve(tmp_path / "nowhere", port=0)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "short"}, "token has 5 characters"),
        ({"control_token": "short"}, "control_token has 5 characters"),
        ({"origins": ["everywhere"]}, "is no origin"),
        ({"host": "no-such-host.invalid"}, "no address for the host"),
    ],
)
async def test_wrong_options_are_refused_before_anything_listens(
    store: Path, options: dict[str, Any], message: str
) -> None:
    before = descriptors()
    with pytest.raises(UsageError, match=message):
        await matrix.serve(store, port=0, **options)
    assert descriptors() <= before


async def test_given_tokens_are_those_that_count(store: Path) -> None:
    async with trio.open_nursery() as nursery:
        given = {"token": "for-reading-only", "control_token": "for/running+too#1"}
        serving: Serving = await nursery.start(partial(matrix.serve, store, port=0, **given))
        assert serving.link.endswith("/#token=for-reading-only")
        assert serving.control_link.endswith("/#token=for%2Frunning%2Btoo%231")
        assert "for-reading-only" not in repr(serving)
        async with talking(serving, "for-reading-only"), talking(serving, "for/running+too#1"):
            pass
        nursery.cancel_scope.cancel()


async def test_an_open_store_may_be_given_too(store: Path) -> None:
    with matrix.open(store) as opened:
        async with trio.open_nursery() as nursery:
            serving: Serving = await nursery.start(partial(matrix.serve, opened, port=0))
            assert serving.store == "greetings"
            nursery.cancel_scope.cancel()


async def test_tokens_are_in_no_log(store: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    async with trio.open_nursery() as nursery:
        serving: Serving = await nursery.start(partial(matrix.serve, store, port=0))
        async with talking(serving, serving.control_token) as client:
            await say(client, type="check", id=1, text="agents")
            await hear(client, "done")
        nursery.cancel_scope.cancel()
    assert caplog.records, "the libraries below say something"
    assert serving.token not in caplog.text
    assert serving.control_token not in caplog.text


async def test_where_the_file_cannot_be_written_the_server_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("matrix.server.serving.write_tokens", _full)
    async with served(tmp_path) as here, await here.session():
        pass
    assert "tokens could not be written: No space left on device" in caplog.text


def _full(port: int, tokens: object) -> None:
    raise OSError(28, os.strerror(28))


async def test_the_first_answers_come_while_the_working_processes_still_start(store: Path) -> None:
    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        serving: Serving = await nursery.start(partial(matrix.serve, store, port=0))
        raw = Raw(await trio.open_tcp_stream("127.0.0.1", serving.port), serving.port)
        assert (await raw.ask("/health"))[0] == 200
        took = time.perf_counter() - begun
        async with talking(serving) as client:
            await say(client, type="info", id=1)
            assert (await hear(client, "done"))["result"]["events"] > 0
        until_answer = time.perf_counter() - begun
        await trio.aclose_forcefully(raw.stream)
        nursery.cancel_scope.cancel()
    assert took < until_answer


async def test_it_can_be_ended_while_the_working_processes_still_start(store: Path) -> None:
    before = children()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(matrix.serve, store, port=0, bounds=Bounds(close_s=0.1)))
            nursery.cancel_scope.cancel()
    assert children() == before
