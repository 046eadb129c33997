"""What goes over the wire, seen from a server's end: credit, cancelling, pace, and a watch that goes on."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa
import pytest
import trio

import matrix
import matrix.client.connection
import matrix.client.watch
from matrix.errors import ConnectionLost, ServerBusy, Unauthorized, UsageError
from tests.client.hostile import WELCOME, Frames, playing

SCHEMA = pa.schema([("n", pa.int64())])
HEAD = SCHEMA.serialize().to_pybytes()


def rows(*numbers: int) -> bytes:
    return pa.record_batch([pa.array(numbers, pa.int64())], schema=SCHEMA).serialize().to_pybytes()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix.client.connection, "CLIENT_CLOSE_S", 0.05)
    monkeypatch.setattr(matrix.client.watch, "CLIENT_REST_S", 0.001)
    monkeypatch.setattr(matrix.client.watch, "CLIENT_REST_MAX_S", 0.01)


class Granting:
    """A server of endless answers, that sends as much as it was granted and remembers what it heard."""

    def __init__(self) -> None:
        self.heard: list[dict[str, Any]] = []
        self.sent = 0
        self.is_cancelled = trio.Event()

    async def play(self, stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        while True:
            message = await frames.hear()
            self.heard.append(message)
            if message["type"] == "cancel":
                self.is_cancelled.set()
                await frames.say({"type": "error", "id": message["id"], "code": "cancelled", "message": "as asked"})
                continue
            if message["type"] == "query":
                await frames.say({"type": "schema", "id": message["id"], "columns": [], "bytes": len(HEAD)})
                await frames.send(0x2, HEAD)
            for _ in range(message["credit"]):
                self.sent += 1
                data = rows(self.sent)
                await frames.say({"type": "batch", "id": message["id"], "count": 1, "bytes": len(data)})
                await frames.send(0x2, data)


async def test_no_more_batches_are_under_way_than_a_reader_can_take_soon() -> None:
    server = Granting()
    async with playing(server.play) as url, matrix.connect(url, encoding="json") as remote:
        batches = remote.stream("events")
        taken = [(await anext(batches)).rows()[0]["n"] for _ in range(20)]
        await trio.sleep(0.05)
        assert taken == list(range(1, 21))
        assert 20 < server.sent <= 28
        assert server.heard[0]["credit"] == 8
        assert {message["type"] for message in server.heard[1:]} == {"grant"}
        batches.close()


async def test_a_stream_that_is_left_is_cancelled_and_the_connection_stays() -> None:
    server = Granting()
    async with playing(server.play) as url, matrix.connect(url, encoding="json") as remote:
        async for _ in remote.stream("events"):
            break
        gc.collect()
        with trio.fail_after(2):
            await server.is_cancelled.wait()
        async with remote.stream("events") as batches:
            assert len(await anext(batches)) == 1
        assert [message["id"] for message in server.heard if message["type"] == "query"] == [1, 2]


async def test_a_query_that_is_given_up_is_cancelled() -> None:
    server = Granting()
    async with playing(server.play) as url, matrix.connect(url, encoding="json") as remote:
        with trio.move_on_after(0.1) as scope:
            await remote.query("events")
        assert scope.cancelled_caught
        with trio.fail_after(2):
            await server.is_cancelled.wait()


async def test_messages_go_out_no_faster_than_the_server_takes_them() -> None:
    times: list[float] = []

    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.accept(stream)
        await frames.hear()
        await frames.say({**WELCOME, "limits": {"messages_per_second": 40}})
        while True:
            message = await frames.hear()
            times.append(trio.current_time())
            await frames.say({"type": "done", "id": message["id"], "result": {"completions": []}})

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote:
        for _ in range(110):
            await remote.complete("agents")
    assert times[79] - times[0] < 1  # so many may come at once
    assert times[109] - times[79] > 0.9  # then 30 a second


async def test_many_requests_wait_for_each_other_before_a_server_refuses_them() -> None:
    at_once = most = 0

    async def play(stream: trio.SocketStream) -> None:
        nonlocal at_once, most
        frames = await Frames.greet(stream)

        async def answer(id: int) -> None:
            nonlocal at_once
            await trio.sleep(0.01)
            at_once -= 1
            await frames.say({"type": "done", "id": id, "result": {"completions": []}})

        async with trio.open_nursery() as nursery:
            while True:
                message = await frames.hear()
                at_once += 1
                most = max(most, at_once)
                nursery.start_soon(answer, message["id"])

    async def complete(remote: Any) -> None:
        await remote.complete("agents")

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote, trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(complete, remote)
    assert most == 8


async def test_what_is_too_long_for_a_message_is_refused_here_and_the_connection_stays() -> None:
    server = Granting()
    async with playing(server.play) as url, matrix.connect(url, encoding="json") as remote:
        with pytest.raises(UsageError, match=r"has 300,\d\d\d bytes; a server takes 262,144 at once"):
            await remote.query("agents where role = $role", role="x" * 300_000)
        async with remote.stream("events") as batches:
            assert len(await anext(batches)) == 1


# -- watches ----------------------------------------------------------------------------------------


class Telling:
    """A server that tells the numbers from 1 on, some to each connection, and then ends that in one way or another.

    ``ends`` are called in turn, the last again and again; the position behind the number n is ``p.n``.
    """

    def __init__(self, *ends: Callable[[Frames, int, int], Awaitable[None]], upto: int = 10) -> None:
        self._ends, self._upto = list(ends), upto
        self.afters: list[str | None] = []

    async def play(self, stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        while True:
            message = await frames.hear()
            if message["type"] == "watch":
                await self._tell(frames, message)

    async def _tell(self, frames: Frames, message: dict[str, Any]) -> None:
        id, after = message["id"], message.get("after")
        self.afters.append(after)
        first = 0 if after in (None, "start") else int(after.split(".")[1])
        await frames.say({"type": "schema", "id": id, "columns": [{"name": "n", "type": "integer"}]})
        last = min(first + 3, self._upto)
        if last > first:
            told = [[number] for number in range(first + 1, last + 1)]
            place = {"position": f"p.{last}", "stem": "p", "first": first + 1}
            await frames.say({"type": "batch", "id": id, "count": len(told), "rows": told, **place})
        if last == self._upto:
            await frames.say({"type": "done", "id": id, "rows": last, "seconds": 1})
        else:
            await self._ends[0](frames, id, last)
            del self._ends[: len(self._ends) > 1]


async def breaks(frames: Frames, id: int, last: int) -> None:
    await frames.stream.aclose()


async def lags(frames: Frames, id: int, last: int) -> None:
    await frames.say({"type": "error", "id": id, "code": "lagged", "message": "too slow", "position": f"p.{last}"})


async def closes(frames: Frames, id: int, last: int) -> None:
    await frames.say({"type": "error", "id": id, "code": "closing", "message": "the server ends"})
    await frames.stream.aclose()


@pytest.mark.parametrize("ends", [[breaks], [lags], [closes], [lags, breaks, closes]])
async def test_a_watch_goes_on_without_a_gap_and_without_a_row_twice(ends: list[Any]) -> None:
    server = Telling(*ends)
    async with playing(server.play) as url, matrix.connect(url, encoding="json") as remote:
        with trio.fail_after(5):
            told = [(row["n"], row.position) async for row in remote.watch("events", after="start")]
    assert told == [(number, f"p.{number}") for number in range(1, 11)]
    assert server.afters == ["start", "p.3", "p.6", "p.9"]


async def test_a_watch_gives_up_after_some_tries_and_says_where_it_can_go_on() -> None:
    refused = 0

    async def play(stream: trio.SocketStream) -> None:
        nonlocal refused
        frames = await Frames.greet(stream)
        message = await frames.hear()
        if message.get("after") != "start":
            refused += 1
            await stream.aclose()
            return
        await frames.say({"type": "schema", "id": message["id"], "columns": [{"name": "n", "type": "integer"}]})
        place = {"position": "p.1", "stem": "p", "first": 1}
        await frames.say({"type": "batch", "id": message["id"], "count": 1, "rows": [[1]], **place})
        await stream.aclose()

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote:
        watch = remote.watch("events", after="start")
        assert await anext(watch) == {"n": 1}
        with trio.fail_after(5), pytest.raises(ConnectionLost, match=r"tried 6 times; the watch can go on after p\.1"):
            await anext(watch)
    assert refused == 6


async def test_a_watch_that_has_no_position_yet_does_not_guess_one() -> None:
    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        message = await frames.hear()
        await frames.say({"type": "schema", "id": message["id"], "columns": []})
        await stream.aclose()

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote:
        with trio.fail_after(5), pytest.raises(ConnectionLost, match="had told no position yet: begin it anew"):
            await anext(remote.watch("events"))


async def test_a_watch_from_now_on_goes_on_from_where_it_had_looked() -> None:
    afters: list[str | None] = []

    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        message = await frames.hear()
        afters.append(message.get("after"))
        id = message["id"]
        await frames.say({"type": "schema", "id": id, "columns": [{"name": "n", "type": "integer"}]})
        if len(afters) == 1:
            await frames.say({"type": "position", "id": id, "position": "p.7"})
            await stream.aclose()
        place = {"position": "p.8", "stem": "p", "first": 8}
        await frames.say({"type": "batch", "id": id, "count": 1, "rows": [[8]], **place})
        await frames.hear()

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote:
        with trio.fail_after(5):
            assert await anext(remote.watch("events")) == {"n": 8}
    assert afters == [None, "p.7"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("busy", ServerBusy), ("forbidden", Unauthorized), ("usage", UsageError), ("closing", ConnectionLost)],
)
async def test_a_watch_that_never_began_is_refused_at_once(code: str, kind: type[Exception]) -> None:
    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        while True:
            message = await frames.hear()
            await frames.say(
                {"type": "error", "id": message["id"], "code": code, "message": "no", "hint": "", "fix": ""}
            )

    async with playing(play) as url, matrix.connect(url, encoding="json") as remote:
        with trio.fail_after(5), pytest.raises(kind, match="no"):
            await anext(remote.watch("events"))


async def test_a_blocking_watch_waits_for_a_slow_connection_and_rests_between_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrix.client.watch, "CLIENT_REST_S", 0.2)
    monkeypatch.setattr(matrix.client.watch, "CLIENT_REST_MAX_S", 0.2)
    server, begun = Telling(breaks, upto=5), trio.current_time()

    async def play(stream: trio.SocketStream) -> None:
        await trio.sleep(0.3)  # longer than the blocking twin waits before it says that nothing has come
        await server.play(stream)

    def look(url: str) -> list[int]:
        with matrix.connect(url, encoding="json") as remote:
            looks = list(remote.watch("events", after="start").looks())
        assert [] in looks
        return [row["n"] for look in looks for row in look]

    async with playing(play) as url:
        with trio.fail_after(10):
            assert await trio.to_thread.run_sync(look, url) == [1, 2, 3, 4, 5]
    assert server.afters == ["start", "p.3"]
    assert trio.current_time() - begun > 0.3 + 0.2 + 0.3
