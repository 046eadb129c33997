"""A server that does not keep to the protocol, or does not answer: one clear error, and never a hang."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pyarrow as pa
import pytest
import trio

import matrix
import matrix.client.call
import matrix.client.connection
from matrix.errors import ConnectionLost, ServerBusy, ServerError, ServerFailed, Unauthorized, UsageError
from tests.client.hostile import WELCOME, Frames, playing

Say = Callable[[Frames, int], Awaitable[None]]
SCHEMA = pa.schema([("n", pa.int64())])
HEAD = SCHEMA.serialize().to_pybytes()
BATCH = pa.record_batch([pa.array([1, 2, 3])], schema=SCHEMA).serialize().to_pybytes()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits as long as for a server that may still be busy."""
    monkeypatch.setattr(matrix.client.connection, "CLIENT_CONNECT_S", 0.5)
    monkeypatch.setattr(matrix.client.connection, "CLIENT_PING_S", 0.2)
    monkeypatch.setattr(matrix.client.connection, "CLIENT_CLOSE_S", 0.05)
    monkeypatch.setattr(matrix.client.call, "CLIENT_REPLY_S", 0.7)


async def refused(url: str) -> ServerError:
    """What ``connect`` says."""
    with trio.fail_after(5), pytest.raises(ServerError) as caught:
        async with matrix.connect(url, encoding="json"):
            raise AssertionError("it connected")
    return caught.value


# -- before there is a connection -------------------------------------------------------------------


async def test_nobody_there_is_told_with_the_address_and_what_to_do() -> None:
    error = await refused("ws://127.0.0.1:1/")
    assert isinstance(error, ConnectionLost)
    assert str(error) == "ws://127.0.0.1:1/: nobody answers there (connection refused); is matrix serve running there?"


async def test_a_server_that_takes_the_connection_and_says_nothing_is_left_after_a_while() -> None:
    async with playing(lambda stream: trio.sleep_forever()) as url:
        error = await refused(url)
    assert isinstance(error, ConnectionLost)
    assert str(error) == f"{url}: what is there has not answered as a server of Matrix within 0.5 s"


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"\x16\x03\x01\x02\x00", b"\r\n" * 10_000])
async def test_a_server_of_another_kind_is_named_as_such(said: bytes) -> None:
    async def play(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        await stream.send_all(said)

    async with playing(play) as url:
        error = await refused(url)
    assert isinstance(error, ServerFailed)
    assert str(error) == f"{url}: what answers there does not speak WebSocket; is matrix serve running there?"


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (200, "<html>", ServerFailed, "what answers there is no server of Matrix (status 200 (<html>))"),
        (404, "", ServerFailed, "what answers there is no server of Matrix (status 404)"),
        (400, "no such subprotocol", ServerFailed, "does not speak matrix.v1 (no such subprotocol)"),
        (403, "Host is not of this machine", Unauthorized, "refuses connections by that name (Host is not of this"),
        (503, "64 connections", ServerBusy, "has as many connections as it takes (64 connections); try again"),
    ],
)
async def test_a_refused_upgrade_says_why_and_what_to_do(
    status: int, body: str, kind: type[ServerError], words: str
) -> None:
    async def play(stream: trio.SocketStream) -> None:
        await stream.receive_some(65_536)
        head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n\r\n"
        await stream.send_all((head + body).encode())

    async with playing(play) as url:
        error = await refused(url)
    assert type(error) is kind
    assert words in str(error)


async def test_a_wrong_token_is_told_with_where_the_right_one_is() -> None:
    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.accept(stream)
        await frames.hear()
        await frames.say({"type": "error", "code": "unauthorized", "message": "not the token", "hint": "", "fix": ""})
        await frames.send(0x8, struct.pack("!H", 1008))

    async with playing(play) as url:
        error = await refused(url)
    assert isinstance(error, Unauthorized)
    assert str(error).startswith(f"{url}: not the token; give the token of the link that matrix serve printed")


@pytest.mark.parametrize("welcome", [{**WELCOME, "protocol": "matrix.v9"}, {"type": "done"}, {"type": "welcome"}])
async def test_a_greeting_of_another_protocol_is_refused(welcome: dict[str, Any]) -> None:
    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.accept(stream)
        await frames.say(welcome)
        await trio.sleep_forever()

    async with playing(play) as url:
        error = await refused(url)
    assert str(error) == f"{url}: what answers there does not speak matrix.v1"


async def test_an_upgrade_to_another_subprotocol_is_refused() -> None:
    async def play(stream: trio.SocketStream) -> None:
        await Frames.accept(stream, subprotocol="matrix.v1+cbor")
        await trio.sleep_forever()

    async with playing(play) as url:
        error = await refused(url)
    assert isinstance(error, ServerFailed)


# -- in the middle of an answer ---------------------------------------------------------------------


def answering(say: Say) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """A server that greets as it should, and answers each request in this way."""

    async def play(stream: trio.SocketStream) -> None:
        frames = await Frames.greet(stream)
        while True:
            request = await frames.hear()
            if request["type"] not in ("grant", "cancel"):
                await say(frames, request["id"])

    return play


async def schema(frames: Frames, id: int, data: bytes = HEAD) -> None:
    await frames.say({"type": "schema", "id": id, "columns": [], "bytes": len(data)})
    await frames.send(0x2, data)


async def batch(frames: Frames, id: int, data: bytes = BATCH, count: int = 3) -> None:
    await frames.say({"type": "batch", "id": id, "count": count, "bytes": len(data)})
    await frames.send(0x2, data)


async def whole(frames: Frames, id: int) -> None:
    await schema(frames, id)
    await batch(frames, id)
    await frames.say({"type": "done", "id": id, "rows": 3, "seconds": 0.1})


async def asked(say: Say) -> ServerError:
    """What a query says to such an answer; and the next one is answered, on the same or on a new connection."""
    plays = [say]

    async def once(frames: Frames, id: int) -> None:
        await (plays.pop() if plays else whole)(frames, id)

    async with playing(answering(once)) as url:
        with trio.fail_after(5):
            async with matrix.connect(url, encoding="json") as remote:
                with pytest.raises(ServerError) as caught:
                    await remote.query("agents")
                assert (await remote.query("agents")).rows() == [{"n": 1}, {"n": 2}, {"n": 3}]
    return caught.value


async def test_the_server_of_these_tests_can_answer_rightly() -> None:
    async with playing(answering(whole)) as url, matrix.connect(url, encoding="json") as remote:
        assert (await remote.query("agents")).rows() == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_a_request_that_is_never_answered_ends() -> None:
    async def say(frames: Frames, id: int) -> None:
        pass

    error = await asked(say)
    assert "the server has not said anything for 0.7 s; ask again" in str(error)


async def test_a_server_that_is_at_work_is_waited_for() -> None:
    async def say(frames: Frames, id: int) -> None:
        for _ in range(8):
            await trio.sleep(0.15)
            await frames.say({"type": "progress", "id": id, "state": "running", "seconds": 1})
        await whole(frames, id)

    async with playing(answering(say)) as url, matrix.connect(url, encoding="json") as remote:
        assert len(await remote.query("agents")) == 3


async def test_a_server_that_goes_in_the_middle_is_a_lost_connection_and_the_next_call_makes_another() -> None:
    async def say(frames: Frames, id: int) -> None:
        await schema(frames, id)
        await frames.stream.send_all(b"\x82\x7f\x00\x00")
        await frames.stream.aclose()

    assert isinstance(await asked(say), ConnectionLost)


async def test_a_server_that_is_gone_without_a_word_is_noticed() -> None:
    async def say(frames: Frames, id: int) -> None:
        await schema(frames, id)
        await trio.sleep_forever()  # not even pings are answered

    error = await asked(say)
    assert isinstance(error, ConnectionLost)
    assert "nothing was heard of the server for 0.4 s" in str(error)


def saying(*messages: Any) -> Say:
    """JSON messages with the request's id, texts and bytes as they stand."""

    async def say(frames: Frames, id: int) -> None:
        for message in messages:
            if isinstance(message, dict):
                await frames.say({"id": id, **message})
            else:
                await frames.send(
                    0x1 if isinstance(message, str) else 0x2, message.encode() if isinstance(message, str) else message
                )

    return say


NONSENSE = {
    "no JSON": saying("{"),
    "no object": saying("[1, 2]"),
    "no type": saying("{}"),
    "deep": saying("[" * 100_000),
    "bytes of nothing": saying(b"1234"),
    "fewer bytes than announced": saying({"type": "schema", "bytes": 10}, b"123"),
    "text where bytes are due": saying({"type": "schema", "bytes": 3}, "{}"),
    "a negative count of bytes": saying({"type": "schema", "bytes": -1}),
    "an unknown reply": saying({"type": "surprise"}),
    "the answer of another": saying({"type": "done", "id": 99}),
    "an id that is none": saying({"type": "done", "id": [1]}),
    "rows before columns": saying({"type": "batch", "bytes": len(BATCH), "count": 3}, BATCH),
    "columns that are not Arrow's": saying({"type": "schema", "bytes": 5}, b"Arrow"),
    "columns without bytes": saying({"type": "schema", "columns": []}),
    "rows that are not Arrow's": saying(
        {"type": "schema", "bytes": len(HEAD)}, HEAD, {"type": "batch", "count": 3, "bytes": 64}, bytes(64)
    ),
    "rows of other columns": saying(
        {"type": "schema", "bytes": len(HEAD)}, HEAD, {"type": "batch", "count": 3, "bytes": len(HEAD)}, HEAD
    ),
    "a count of rows that is wrong": saying(
        {"type": "schema", "bytes": len(HEAD)}, HEAD, {"type": "batch", "count": 4, "bytes": len(BATCH)}, BATCH
    ),
    "a result instead of rows": saying({"type": "done", "result": {}}),
    "an error without a code": saying({"type": "error"}),
    "an error of numbers": saying({"type": "error", "code": 7, "message": [], "hint": {}, "start": "x"}),
    "an error of the connection": saying('{"type": "error", "code": "bad-message", "message": "what?"}'),
    "text that is not UTF-8": None,
    "an unknown opcode": None,
    "a frame of 2^62 bytes": None,
}


async def _not_utf8(frames: Frames, id: int) -> None:
    await frames.send(0x1, b"\xff\xfe")


async def _opcode(frames: Frames, id: int) -> None:
    await frames.send(0x7, b"x")


async def _endless(frames: Frames, id: int) -> None:
    await frames.stream.send_all(struct.pack("!BBQ", 0x82, 127, 2**62) + b"x" * 1000)
    await trio.sleep_forever()


NONSENSE |= {"text that is not UTF-8": _not_utf8, "an unknown opcode": _opcode, "a frame of 2^62 bytes": _endless}


@pytest.mark.parametrize("say", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_one_error_and_the_next_question_is_answered(say: Say) -> None:
    error = await asked(say)
    assert str(error)
    assert "Traceback" not in str(error)


async def test_more_batches_than_were_granted_end_the_connection() -> None:
    async def say(frames: Frames, id: int) -> None:
        await schema(frames, id)
        for _ in range(1_000):
            await batch(frames, id)

    async def take_all(batches: Any) -> None:
        async for _ in batches:
            await trio.sleep(0.05)  # a reader who takes his time, and grants as little

    async with playing(answering(say)) as url, matrix.connect(url, encoding="json") as remote:
        with pytest.raises(ServerFailed, match="a batch that was not asked for"):
            await take_all(remote.stream("agents"))


async def test_remarks_without_end_fill_no_memory() -> None:
    async def say(frames: Frames, id: int) -> None:
        for number in range(3_000):
            await frames.say({"type": "notice", "id": id, "text": f"remark {number}"})
        await whole(frames, id)

    async with playing(answering(say)) as url, matrix.connect(url, encoding="json") as remote:
        assert len((await remote.query("agents")).notices) == 1_000


@pytest.mark.parametrize("seed", range(20))
async def test_random_frames_never_raise_anything_but_a_server_error(seed: int) -> None:
    chance = random.Random(seed)

    async def say(frames: Frames, id: int) -> None:
        for _ in range(20):
            kind = chance.choice(["schema", "batch", "done", "notice", "position", "error", "progress", "bytes", "raw"])
            junk = chance.choice([None, -1, 7, "x", [], {}, True, 1e300, "\ud83d", [[1]], {"a": 1}])
            fields = {chance.choice(["bytes", "count", "columns", "rows", "code", "text", "position", "result"]): junk}
            if kind == "bytes":
                await frames.send(0x2, chance.randbytes(chance.randrange(200)))
            elif kind == "raw":
                await frames.stream.send_all(chance.randbytes(chance.randrange(1, 40)))
            else:
                await frames.send(0x1, json.dumps({"type": kind, "id": id, **fields}).encode())

    async with playing(answering(say)) as url:
        with trio.fail_after(10):
            async with matrix.connect(url, encoding="json") as remote:
                for ask in (remote.query("agents"), remote.info(), remote.diff("1", "2"), remote.complete("a")):
                    with pytest.raises(ServerError):
                        await ask


# -- how it ends ------------------------------------------------------------------------------------


async def test_an_error_of_the_users_own_comes_out_as_it_is_and_a_cancellation_is_one() -> None:
    async with playing(answering(whole)) as url:
        with pytest.raises(KeyError, match="mine"):
            async with matrix.connect(url, encoding="json"):
                raise KeyError("mine")
        with trio.move_on_after(0.1) as scope:
            async with matrix.connect(url, encoding="json"):
                await trio.sleep_forever()
        assert scope.cancelled_caught
        with pytest.raises(ExceptionGroup) as caught:
            async with matrix.connect(url, encoding="json"):
                raise ExceptionGroup("mine", [KeyError("one"), ValueError("two")])
        assert caught.value.message == "mine"


async def test_a_connection_that_was_left_says_so() -> None:
    async with playing(answering(whole)) as url:
        async with matrix.connect(url, encoding="json") as remote:
            pass
        with pytest.raises(UsageError, match=r"this connection is closed; matrix\.connect makes another"):
            await remote.query("agents")
