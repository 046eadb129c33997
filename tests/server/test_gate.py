"""Frames that no library would send: each is refused with its code, and nothing but its own connection notices."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from matrix.server.bounds import Bounds
from matrix.server.gate import Inspector, Refused
from tests.server.serves import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Served,
    children,
    descriptors,
    frame,
    served,
)

QUICK = Bounds(linger_s=0.05, failures_max=100_000)
ASKED = json.dumps({"type": "info", "id": 1}).encode()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def inspected(*pieces: bytes, bounds: Bounds = QUICK) -> str:
    """The rule that these bytes break; "" when they break none."""
    inspector = Inspector(bounds, lambda: 0.0)
    try:
        for piece in pieces:
            inspector.feed(piece)
    except Refused as refusal:
        return refusal.rule
    return ""


# -- headers, whatever pieces they come in ---------------------------------------------------------------

FRAMES: list[tuple[bytes, str]] = [
    (frame(TEXT, b"hello"), ""),
    (frame(TEXT), ""),
    (frame(BINARY, bytes(126)), ""),
    (frame(BINARY, bytes(65_536)), ""),
    (frame(BINARY, bytes(262_144)), ""),
    (frame(PING, bytes(125)) + frame(PONG) + frame(CLOSE, b"\x03\xe8"), ""),
    (frame(TEXT, b"a", is_last=False) + frame(PING) + frame(CONTINUATION, b"b"), ""),
    (frame(BINARY, claimed=262_145), "message-bytes"),
    (frame(BINARY, claimed=2**62), "message-bytes"),
    (frame(BINARY, claimed=2**64 - 1), "message-bytes"),
    (frame(BINARY, bytes(200_000), is_last=False) + frame(CONTINUATION, claimed=62_145), "message-bytes"),
    (frame(TEXT, b"x", reserved=4), "reserved"),  # what compression would set
    (frame(TEXT, b"x", reserved=1), "reserved"),
    (frame(TEXT, b"x", is_masked=False), "unmasked"),
    (frame(PING, bytes(126)), "control"),
    (frame(CLOSE, claimed=2**62), "control"),
    (frame(PING, is_last=False), "control"),
    (frame(0x3), "opcode"),
    (frame(0xF), "opcode"),
    (frame(CONTINUATION, b"x"), "continuation"),
    (frame(TEXT, b"x", is_last=False) + frame(TEXT, b"y"), "continuation"),
]


@pytest.mark.parametrize(("data", "rule"), FRAMES)
def test_a_frame_is_judged_by_its_header_in_whatever_pieces_it_comes(data: bytes, rule: str) -> None:
    assert inspected(data) == rule
    if len(data) < 1_000:
        assert inspected(*(bytes([byte]) for byte in data)) == rule
        assert all(inspected(data[:cut], data[cut:]) == rule for cut in range(len(data)))


def test_a_claimed_length_is_refused_before_a_byte_of_it_has_come() -> None:
    data = frame(BINARY, claimed=2**62)
    assert inspected(data[:-1]) == ""
    assert inspected(data) == "message-bytes"
    assert len(data) == 14, "the header alone"


def test_an_inspector_keeps_no_payload() -> None:
    inspector = Inspector(QUICK, lambda: 0.0)
    inspector.feed(frame(BINARY, claimed=200_000) + bytes(199_999))
    assert inspector.is_midway
    assert len(inspector._header) == 0
    inspector.feed(b"x")
    assert not inspector.is_midway


@pytest.mark.parametrize(("fragments_max", "rule"), [(1_024, "fragments"), (10**9, "")])
def test_a_message_has_at_most_1024_fragments_empty_ones_too(fragments_max: int, rule: str) -> None:
    flood = frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 1_023
    bounds = replace(QUICK, fragments_max=fragments_max)
    assert inspected(flood, bounds=bounds) == ""
    assert inspected(flood, frame(CONTINUATION, is_last=False), bounds=bounds) == rule


def test_fragments_are_counted_for_each_message_anew() -> None:
    bounds = replace(QUICK, fragments_max=2, message_bytes_max=4)
    message = frame(TEXT, b"ab", is_last=False) + frame(CONTINUATION, b"cd")
    assert inspected(*([message] * 50), bounds=bounds) == ""


@pytest.mark.parametrize("one", [frame(TEXT, b"{}"), frame(PING), frame(PONG, b"unasked")])
def test_a_hundred_a_second_on_average_over_ten_seconds(one: bytes) -> None:
    now = 0.0
    inspector = Inspector(QUICK, lambda: now)
    inspector.feed(one * 1_000)
    with pytest.raises(Refused, match="more than 100 messages a second over 10 seconds"):
        inspector.feed(one)

    inspector = Inspector(QUICK, lambda: now)
    for _ in range(60):
        inspector.feed(one * 100)
        now += 1.0
    inspector.feed(one * 1_000)
    with pytest.raises(Refused):
        inspector.feed(one)


def test_ten_fragments_count_as_a_message() -> None:
    message = frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 999 + frame(CONTINUATION)
    assert inspected(*([message] * 9)) == ""
    assert inspected(*([message] * 10)) == "rate"
    assert inspected(*([message] * 10), bounds=replace(QUICK, fragments_per_message=10**9)) == ""


# -- on the wire --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code", "rule"),
    [
        (frame(BINARY, claimed=2**62), 1009, "message-bytes"),
        (frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 1_024, 1008, "fragments"),
        (frame(PONG) * 3_000, 1008, "rate"),
        (frame(TEXT, b"x", reserved=4), 1002, "reserved"),
        (frame(TEXT, b"x", is_masked=False), 1002, "unmasked"),
        (frame(PING, bytes(126)), 1002, "control"),
        (frame(0x7), 1002, "opcode"),
        (frame(CONTINUATION), 1002, "continuation"),
    ],
)
async def test_a_refused_client_is_told_by_a_close_frame(tmp_path: Path, data: bytes, code: int, rule: str) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw, await here.session() as other:
        await raw.send(data + ASKED)
        assert await raw.closed() == code
        assert here.refused(rule) == 1
        await other.say(type="info", id=1)
        assert (await other.hear())["type"] == "done"


async def test_the_reason_is_read_also_by_a_client_that_has_much_more_to_send(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=replace(QUICK, linger_s=1.0)) as here, await here.session() as raw:
        await raw.send(frame(BINARY, claimed=2**62))
        try:
            for _ in range(16):
                await raw.send(bytes(65_536))
        except trio.BrokenResourceError:
            pass
        assert await raw.closed() == 1009


async def test_without_the_gate_the_library_would_keep_a_flood_of_empty_fragments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inspector, "feed", lambda *_: None)
    flood = frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 20_000
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw:
        await raw.send(flood)
        await raw.send(frame(CONTINUATION, ASKED))
        assert (await raw.hear())["type"] == "done"  # 20,000 empty fragments, and it would take more


async def test_without_the_gate_a_claimed_length_would_be_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inspector, "feed", lambda *_: None)
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw:
        await raw.send(frame(BINARY, claimed=2**62) + bytes(100_000))
        with trio.move_on_after(0.3) as waited:
            await raw.closed()
        assert waited.cancelled_caught


@pytest.mark.parametrize("data", [frame(TEXT, b"x", reserved=4), frame(TEXT, b"x", is_masked=False), frame(0x7)])
async def test_without_the_gate_the_library_would_end_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(Inspector, "feed", lambda *_: None)
    monkeypatch.setattr("matrix.server.talk._code_not_said", lambda _: None)
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw:
        await raw.send(data)
        assert await raw.closed() is None


async def test_without_the_gate_the_library_would_take_any_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Inspector, "feed", lambda *_: None)
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw:
        await raw.send(frame(PONG) * 5_000 + frame(TEXT, ASKED))
        assert (await raw.hear())["type"] == "done"


@pytest.mark.parametrize(("message_s", "is_refused"), [(0.3, True), (30.0, False)])
@pytest.mark.parametrize("step", [1, 2])
async def test_a_frame_that_drips_is_cut_off(tmp_path: Path, message_s: float, is_refused: bool, step: int) -> None:
    data = frame(TEXT, ASKED)
    async with served(tmp_path, bounds=replace(QUICK, message_s=message_s)) as here, await here.session() as raw:
        try:
            for at in range(0, len(data) - 1, step):
                await raw.send(data[at : at + step])
                await trio.sleep(0.03 * step)
        except trio.BrokenResourceError:
            pass  # closed while we were at it
        assert here.refused("message-time") == is_refused
        if is_refused:
            assert await raw.closed() == 1008
        else:
            await raw.send(data[-1:])
            assert (await raw.hear())["type"] == "done"


async def test_fragments_that_drip_are_cut_off_though_pings_come_between_them(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=replace(QUICK, message_s=0.3)) as here, await here.session() as raw:
        await raw.send(frame(TEXT, b"{", is_last=False))
        try:
            for _ in range(20):
                await raw.send(frame(PING) + frame(CONTINUATION, b" ", is_last=False))
                await trio.sleep(0.03)
        except trio.BrokenResourceError:
            pass
        assert here.refused("message-time") == 1
        assert await raw.closed() == 1008


async def test_a_client_may_be_silent_between_messages(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=replace(QUICK, message_s=0.1)) as here, await here.session() as raw:
        for id in (1, 2):
            await trio.sleep(0.3)
            await raw.say(type="info", id=id)
            assert (await raw.hear())["id"] == id


@pytest.mark.parametrize(("silence_s", "is_cut"), [(0.2, True), (30.0, False)])
async def test_a_client_that_answers_no_ping_is_cut_off(tmp_path: Path, silence_s: float, is_cut: bool) -> None:
    bounds = replace(QUICK, ping_s=0.1, silence_s=silence_s)
    async with served(tmp_path, bounds=bounds) as here, await here.session() as raw:
        assert (await raw.frame())[0] == PING
        await trio.sleep(0.4)
        assert (here.server.metrics.sockets == 0) == is_cut
        assert here.refused("silence") == is_cut


async def test_a_client_that_answers_pings_stays(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=replace(QUICK, ping_s=0.05, silence_s=0.2)) as here, await here.session() as raw:
        for _ in range(8):
            opcode, payload = await raw.frame()
            assert opcode == PING
            await raw.send(frame(PONG, payload))
        await raw.say(type="info", id=1)
        assert (await raw.hear())["type"] == "done"


async def test_text_that_is_not_utf8_is_closed_with_its_code(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.session() as raw:
        await raw.send(frame(TEXT, b"\xff\xfe"))
        assert await raw.closed() == 1007  # trio-websocket itself would end without a word


async def test_frames_sent_with_the_upgrade_are_looked_at_like_all_others(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as here:
        for data, code in [(frame(BINARY, claimed=2**62), 1009), (b"", None)]:
            async with await here.connected() as raw:
                head = raw.head(
                    Connection="Upgrade",
                    Upgrade="websocket",
                    Sec_WebSocket_Version="13",
                    Sec_WebSocket_Key="AAAAAAAAAAAAAAAAAAAAAA==",
                )
                hello = frame(TEXT, json.dumps({"type": "hello", "token": here.serving.token}).encode())
                await raw.send(head + hello + data)
                assert (await raw.answer())[0] == 101
                if code is None:
                    assert (await raw.hear())["type"] == "welcome"
                else:
                    assert await raw.closed() == code


async def test_a_close_is_answered_and_the_socket_ends(tmp_path: Path) -> None:
    async with served(tmp_path) as here, await here.session() as raw:
        await raw.send(frame(CLOSE, b"\x03\xe8bye"))
        assert await raw.closed() == 1000
        assert await raw.ends() == b""


async def test_pings_sent_with_a_close_do_no_harm(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        for data in (frame(CLOSE) + frame(PING), frame(PING) * 3 + frame(CLOSE) + frame(TEXT, ASKED)):
            async with await here.session() as raw:
                await raw.send(data)
                assert await raw.closed() == 1005  # as it was said: without a code
        async with await here.session():
            pass


# -- in bulk --------------------------------------------------------------------------------------------------

SEED = 20_260_131
RANDOM_FRAMES = 10_000


def random_frame(chance: random.Random) -> bytes:
    """Mostly right in form, with one thing or another wrong; sometimes mere noise."""
    if chance.random() < 0.02:
        return chance.randbytes(chance.randrange(1, 40))
    wrong = chance.random() < 0.06
    opcode = chance.randrange(16) if wrong else chance.choice([TEXT, TEXT, TEXT, BINARY, PING, PONG])
    payload = chance.choice([b"", ASKED, b"{}", b"null", b"\xff", chance.randbytes(chance.randrange(120))])
    if opcode == TEXT and chance.random() < 0.9:
        payload = chance.choice(
            [ASKED, b"{}", b"[[[[", b'{"type":"cancel","id":9}', b'{"type":"query","id":1,"text":"x"}']
        )
    return frame(
        opcode,
        payload,
        is_last=not (wrong and chance.random() < 0.3),
        is_masked=not (wrong and chance.random() < 0.2),
        reserved=chance.randrange(8) if wrong and chance.random() < 0.2 else 0,
        claimed=chance.choice([2**62, 2**31, 70_000, 126]) if wrong and chance.random() < 0.3 else None,
    )


async def test_ten_thousand_random_frames_neither_end_the_server_nor_leave_a_task(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    bounds = replace(QUICK, messages_per_s=1e9, linger_s=0.01)
    sent = sessions = 0
    async with served(tmp_path, bounds=bounds) as here:
        await at_rest(here)
        before = trio.lowlevel.current_statistics().tasks_living
        while sent < RANDOM_FRAMES:
            async with await here.session() as raw, trio.open_nursery() as nursery:
                sessions += 1
                nursery.start_soon(raw.ends)
                try:
                    for _ in range(100):
                        await raw.send(random_frame(chance))
                        sent += 1
                        await trio.lowlevel.checkpoint()
                except trio.BrokenResourceError:
                    pass
                with suppress(trio.BrokenResourceError):
                    await raw.stream.send_eof()
        await at_rest(here)
        assert trio.lowlevel.current_statistics().tasks_living == before, SEED
        assert here.echo.waiting == 0
        async with await here.session() as raw:
            await raw.say(type="info", id=1)
            assert (await raw.hear())["type"] == "done", SEED
    assert sessions >= 100


Abuse = Callable[[Served], Awaitable[None]]


async def _half_a_head(here: Served) -> None:
    async with await here.connected() as raw:
        await raw.send(b"GET / HT")


async def _nothing(here: Served) -> None:
    async with await here.connected():
        pass


async def _noise(here: Served) -> None:
    async with await here.connected() as raw:
        await raw.send(bytes(range(256)) + b"\r\n\r\n")
        await raw.ends()


async def _foreign(here: Served) -> None:
    async with await here.connected() as raw:
        assert (await raw.upgrade(Origin="http://evil.example"))[0] == 403


async def _wrong_token(here: Served) -> None:
    async with await here.upgraded(token="wrong") as raw:
        assert await raw.closed() == 1008


async def _gone_before_hello(here: Served) -> None:
    async with await here.upgraded(token=None):
        pass


async def _gone_with_work(here: Served) -> None:
    async with await here.session() as raw:
        await raw.say(type="query", id=1, text="agents")
        await raw.send(frame(TEXT, ASKED)[:5])


async def _huge(here: Served) -> None:
    async with await here.session() as raw:
        await raw.send(frame(BINARY, claimed=2**62))
        assert await raw.closed() == 1009


async def _fragments(here: Served) -> None:
    async with await here.session() as raw:
        await raw.send(frame(TEXT, is_last=False) + frame(CONTINUATION, is_last=False) * 1_100)
        assert await raw.closed() == 1008


async def _reset(here: Served) -> None:
    raw = await here.session()
    raw.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    await trio.aclose_forcefully(raw.stream)


ABUSES: list[Abuse] = [
    _half_a_head,
    _nothing,
    _noise,
    _foreign,
    _wrong_token,
    _gone_before_hello,
    _gone_with_work,
    _huge,
    _fragments,
    _reset,
]


async def at_rest(here: Served) -> None:
    """Wait until the server has let go of every connection."""
    with trio.fail_after(5):
        while here.server.metrics.sockets:
            await trio.sleep(0.01)
    await trio.sleep(0.02)


async def test_a_thousand_abusive_connections_leave_no_task_descriptor_or_child(tmp_path: Path) -> None:
    bounds = replace(QUICK, linger_s=0.5)
    async with served(tmp_path, bounds=bounds) as here:
        for abuse in ABUSES:  # what is loaded at first use stays open
            await abuse(here)
        await at_rest(here)
        files = descriptors()
        before = trio.lowlevel.current_statistics().tasks_living, children()
        for _ in range(1_000 // len(ABUSES) // 2):
            async with trio.open_nursery() as nursery:
                for abuse in ABUSES * 2:
                    nursery.start_soon(abuse, here)
        await at_rest(here)
        assert (trio.lowlevel.current_statistics().tasks_living, children()) == before
        assert descriptors() <= files
        assert here.server.metrics.accepted == 1_000 + len(ABUSES)
        assert here.server.metrics.sessions == here.echo.waiting == 0
        async with await here.session() as raw:
            await raw.say(type="info", id=1)
            assert (await raw.hear())["type"] == "done"
