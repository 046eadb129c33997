"""One connection: many requests at a time, one last reply each, credit, cancelling, and clients that do not read."""

import socket

import pytest
import trio
import trio_websocket

from matrix.server.contract import RequestError
from matrix.server.protocol import encode
from tests.server.wired import wired


def reply(request, **fields):
    return [encode({"type": "done", "id": request.id, **fields}, "json")]


async def echo(request, outlet):
    await outlet.send(
        [encode({"type": "done", "id": request.id, "result": request.text}, outlet.encoding)], is_last=True
    )


@pytest.mark.parametrize("encoding", ["json", "cbor"])
async def test_a_request_is_answered_by_the_answerer_of_its_type(encoding):
    async with wired({"query": echo}, encoding=encoding) as client:
        await client.say(type="query", id=4, text="agents")
        assert await client.hear() == {"type": "done", "id": 4, "result": "agents"}
        assert client.traffic.requests["query", "done"] == 1


async def test_requests_run_at_the_same_time_and_end_in_any_order():
    second_is_done = trio.Event()

    async def answer(request, outlet):
        if request.id == 1:
            await second_is_done.wait()
        await echo(request, outlet)
        second_is_done.set()

    async with wired({"query": answer}) as client:
        await client.say(type="query", id=1, text="a")
        await client.say(type="query", id=2, text="b")
        assert [(await client.hear())["id"] for _ in range(2)] == [2, 1]


async def test_frames_of_one_reply_stand_side_by_side():
    async def answer(request, outlet):
        for _ in range(20):
            await outlet.send([encode({"id": request.id}, "json"), bytes([request.id])])
            await trio.lowlevel.checkpoint()

    async with wired({"query": answer}) as client:
        for id in (1, 2, 3):
            await client.say(type="query", id=id, text="a")
        for _ in range(60):
            message = await client.hear()
            assert await client.hear() == bytes([message["id"]])


async def test_batches_wait_for_credit_and_go_on_when_it_is_granted():
    async def answer(request, outlet):
        for n in range(5):
            await outlet.take_credit()
            await outlet.send([encode({"type": "batch", "id": request.id, "n": n}, "json")])

    async with wired({"query": answer}) as client:
        await client.say(type="query", id=1, text="a", credit=2)
        assert [(await client.hear())["n"] for _ in range(2)] == [0, 1]
        with trio.move_on_after(0.05):
            pytest.fail(f"{await client.connection.get_message()} came without credit")
        await client.say(type="grant", id=1, credit=3)
        assert [(await client.hear())["n"] for _ in range(3)] == [2, 3, 4]


async def test_a_grant_or_a_cancel_for_a_request_that_has_ended_is_nothing():
    async with wired({"query": echo}) as client:
        await client.say(type="grant", id=1, credit=3)
        await client.say(type="cancel", id=1)
        await client.say(type="query", id=1, text="a")
        assert (await client.hear())["type"] == "done"


async def test_cancel_stops_the_work_itself_and_is_the_last_reply():
    stopped = trio.Event()

    async def answer(request, outlet):
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with wired({"query": answer}) as client:
        await client.say(type="query", id=1, text="a")
        await client.say(type="cancel", id=1)
        answer = await client.hear()
        assert (answer["type"], answer["id"], answer["code"]) == ("error", 1, "cancelled")
        assert stopped.is_set()
        assert client.traffic.requests["query", "cancelled"] == 1


async def test_an_id_is_free_again_as_soon_as_its_last_reply_is_there():
    lingering = trio.Event()

    async def answer(request, outlet):
        await echo(request, outlet)
        if request.text == "first":
            await lingering.wait()  # the answerer tidies up

    async with wired({"query": answer}) as client:
        for text in ("first", "second"):
            await client.say(type="query", id=1, text=text)
            assert (await client.hear())["result"] == text
        lingering.set()


async def test_an_id_that_is_in_use_is_refused_and_the_first_request_goes_on():
    go_on = trio.Event()

    async def answer(request, outlet):
        await go_on.wait()
        await echo(request, outlet)

    async with wired({"query": answer}) as client:
        await client.say(type="query", id=1, text="first")
        await client.say(type="query", id=1, text="second")
        assert (await client.hear())["code"] == "duplicate-id"
        go_on.set()
        assert (await client.hear())["result"] == "first"


async def test_more_requests_than_a_connection_may_have_are_refused_one_by_one():
    async def answer(request, outlet):
        await trio.sleep_forever()

    async with wired({"query": answer}, requests_max=3) as client:
        for id in range(4):
            await client.say(type="query", id=id, text="a")
        refused = await client.hear()
        assert (refused["id"], refused["code"]) == (3, "too-many")


async def test_replay_needs_the_scope_control_whatever_the_client_says_of_itself():
    for scopes, expected in ((("read",), "forbidden"), (("read", "control"), None)):
        async with wired({"replay": echo}, scopes=scopes) as client:
            await client.say(type="replay", id=1, simulation="1-1", scope="control")
            assert (await client.hear())["code"] == "bad-request"
            await client.say(type="replay", id=2, simulation="1-1")
            assert (await client.hear()).get("code") == expected


async def test_errors_of_an_answerer_are_the_last_reply_and_say_nothing_of_the_machine(caplog):
    async def wrong(request, outlet):
        raise RequestError("usage", "there is no such simulation", position="p")

    async def broken(request, outlet):
        raise OSError("/secret/place is gone")

    async with wired({"query": wrong, "info": broken}) as client:
        await client.say(type="query", id=1, text="a")
        assert await client.hear() == {
            "type": "error",
            "id": 1,
            "code": "usage",
            "message": "there is no such simulation",
            "hint": "",
            "fix": "",
            "position": "p",
        }
        await client.say(type="info", id=2)
        answer = await client.hear()
        assert answer["code"] == "internal"
        assert "secret" not in str(answer)
        assert "/secret/place is gone" in caplog.text  # but the server's own log has it


async def test_what_is_no_message_is_told_and_the_connection_stays():
    async with wired({"query": echo}) as client:
        for frame in ("nonsense", "[]", '{"type": "query"}', '{"type": "hello", "token": "t"}', b"\x00"):
            await client.connection.send_message(frame)
            assert (await client.hear())["code"] == "bad-message"
        await client.say(type="query", id=1, text="a")
        assert (await client.hear())["type"] == "done"


async def test_when_the_connection_ends_all_of_its_work_is_stopped():
    stopped = []

    async def answer(request, outlet):
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(request.id)

    async with wired({"query": answer}) as client:
        for id in range(3):
            await client.say(type="query", id=id, text="a")
        await trio.testing.wait_all_tasks_blocked()
    assert sorted(stopped) == [0, 1, 2]


def _socket_pair():
    """Two ends with real buffers, which fill up."""
    one, other = socket.socketpair()
    return tuple(trio.SocketStream(trio.socket.from_stdlib_socket(end)) for end in (one, other))


class Deaf(trio.abc.Stream):
    """A client's side that takes nothing from its socket once it is deaf."""

    is_deaf = False

    def __init__(self, stream):
        self._stream = stream

    async def receive_some(self, max_bytes=None):
        if self.is_deaf:
            await trio.sleep_forever()
        return await self._stream.receive_some(max_bytes)

    async def aclose(self):
        await self._stream.aclose()

    async def send_all(self, data):
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self):
        await self._stream.wait_send_all_might_not_block()


async def test_a_client_that_reads_nothing_is_cut_off_and_its_work_stopped():
    stopped = trio.Event()

    async def flood(request, outlet):
        try:
            while True:
                await outlet.send([b"x" * 100_000])
        finally:
            stopped.set()

    here, there = _socket_pair()
    here = Deaf(here)
    async with wired({"query": flood}, sides=(here, there), send_s=0.2) as client:
        here.is_deaf = True
        await client.say(type="query", id=1, text="a")
        with trio.fail_after(3):
            await stopped.wait()
        assert client.traffic.cut_off == 1


async def test_a_client_that_reads_slowly_but_reads_is_not_cut_off():
    async def flood(request, outlet):
        for _ in range(40):
            await outlet.send([b"x" * 100_000])
        await echo(request, outlet)

    async with wired({"query": flood}, sides=_socket_pair(), send_s=0.5) as client:
        await client.say(type="query", id=1, text="a")
        for _ in range(40):
            await trio.sleep(0.02)
            assert len(await client.hear()) == 100_000
        assert (await client.hear())["type"] == "done"
        assert client.traffic.cut_off == 0


async def test_a_message_that_has_begun_is_finished_though_its_request_is_cancelled():
    async def big(request, outlet):
        await outlet.send([*[b"x" * 1_000_000] * 3, b"tail"])
        await trio.sleep_forever()

    async with wired({"query": big}, sides=_socket_pair()) as client:
        await client.say(type="query", id=1, text="a")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await client.say(type="cancel", id=1)
        assert [len(await client.hear()) for _ in range(3)] == [1_000_000] * 3
        assert await client.hear() == b"tail"
        assert (await client.hear())["code"] == "cancelled"


async def test_closing_is_told():
    async with wired({"query": echo}) as client:
        await client.session.say_closing()
        assert (await client.hear())["code"] == "closing"
        await client.connection.aclose()
        await client.session.say_closing()  # and nothing happens when nobody is there
        with pytest.raises(trio_websocket.ConnectionClosed):
            await client.connection.get_message()
