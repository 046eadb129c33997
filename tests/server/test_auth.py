"""Who may come in: tokens, what they allow, and how often one may try."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

import matrix
from matrix.errors import UsageError
from matrix.server import auth
from matrix.server.auth import CONTROL, READ, Failures, Keys, Names
from matrix.server.bounds import Bounds
from tests.server.serves import TEXT, frame, served

QUICK = Bounds(linger_s=0.05, failure_delay_s=0.3)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


# -- tokens ---------------------------------------------------------------------------------------------


def test_tokens_that_are_made_have_256_bits_and_are_never_the_same() -> None:
    made = [token for _ in range(8) for keys in [Keys()] for token in (keys.token, keys.control_token)]
    assert len(set(made)) == 16
    assert {len(token) for token in made} == {43}  # 32 bytes in base64


def test_each_token_allows_what_the_server_knows_of_it() -> None:
    keys = Keys("r" * 16, "c" * 16)
    assert keys.allowed("r" * 16) == READ
    assert keys.allowed("c" * 16) == CONTROL
    assert keys.allowed("r" * 15) is None
    assert keys.allowed("r" * 17) is None
    assert keys.allowed("") is None
    assert keys.allowed("\ud800" * 16) is None


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "x" * 513, "with a space in it", "mit ümläuten darin"])
def test_a_token_that_is_given_must_not_be_easily_guessed(token: str) -> None:
    with pytest.raises(UsageError, match="16 to 512"):
        Keys(token)
    with pytest.raises(UsageError, match="control_token"):
        Keys(None, token)


def test_both_tokens_must_differ() -> None:
    with pytest.raises(UsageError, match="the same"):
        Keys("x" * 16, "x" * 16)


def test_a_token_is_compared_in_constant_time_with_all_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    really = hmac.compare_digest

    def compared(one: bytes, other: bytes) -> bool:
        seen.append((len(one), len(other)))
        return really(one, other)

    monkeypatch.setattr(auth.hmac, "compare_digest", compared)
    keys = Keys("r" * 16, "c" * 16)
    for token in ("r" * 16, "c" * 16, "w", "w" * 400):
        seen.clear()
        keys.allowed(token)
        assert seen == [(32, 32), (32, 32)]


def test_tokens_do_not_show_where_objects_are_printed() -> None:
    keys = Keys()
    assert keys.token not in repr(keys)


@pytest.mark.parametrize("origin", ["example.org", "http://", "http://a.example/", "ftp://a.example", "null", "*"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(UsageError, match="no origin"):
        Names(8765, origins=[origin])


def test_the_host_that_was_given_and_the_address_connected_to_are_right_names() -> None:
    names = Names(8765, "box.example")
    assert names.is_host("box.example:8765", "192.0.2.1")
    assert names.is_host("192.0.2.1:8765", "192.0.2.1")
    assert names.is_host("[2001:db8::1]:8765", "2001:db8::1")
    assert names.is_origin("http://192.0.2.1:8765", "192.0.2.1:8765")
    assert not names.is_host("192.0.2.2:8765", "192.0.2.1")
    assert not Names(8765, "0.0.0.0").is_host("0.0.0.0:8765", "192.0.2.1")
    assert Names(80).is_host("localhost", "127.0.0.1")


# -- hello ------------------------------------------------------------------------------------------------


async def test_hello_with_the_right_token_is_welcomed(tmp_path: Path) -> None:
    async with served(tmp_path / "runs") as here, await here.upgraded(token=None) as raw:
        await raw.say(type="hello", token=here.serving.token)
        welcome = await raw.hear()
    assert welcome == {
        "type": "welcome",
        "protocol": "matrix.v1",
        "version": matrix.__version__,
        "store": "runs",
        "scopes": ["read"],
        "limits": {
            "message_bytes": 262_144,
            "requests": 64,
            "page_rows": 10_000,
            "page_bytes": 8_388_608,
            "query_seconds": 30.0,
            "text_bytes": 65_536,
            "messages_per_second": 100,
        },
    }


@pytest.mark.parametrize("word", ["Bearer", "bearer", "BEARER "])
async def test_a_token_in_the_head_needs_no_hello(tmp_path: Path, word: str) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.upgrade(Authorization=f"{word} {here.serving.control_token}"))[0] == 101
        assert (await raw.hear())["scopes"] == ["read", "control"]


async def test_the_token_for_control_allows_both(tmp_path: Path) -> None:
    async with served(tmp_path) as here, await here.session(token=here.serving.control_token) as raw:
        await raw.say(type="replay", id=1, simulation="1-1")
        assert (await raw.hear())["type"] == "done"


async def test_a_scope_cannot_be_forged(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as here:
        async with await here.session() as raw:
            await raw.say(type="replay", id=1, simulation="1-1")
            assert (await raw.hear())["code"] == "forbidden"
            await raw.say(type="replay", id=2, simulation="1-1", scopes=["read", "control"])
            assert (await raw.hear())["code"] == "bad-request"
            await raw.say(type="hello", token=here.serving.control_token)  # too late: it is said once
            assert (await raw.hear())["code"] == "bad-message"
            await raw.say(type="replay", id=3, simulation="1-1")
            assert (await raw.hear())["code"] == "forbidden"
        async with await here.upgraded(token=None) as raw:
            await raw.say(type="hello", token=here.serving.token, scopes=["read", "control"])
            assert (await raw.hear())["code"] == "unauthorized"
        async with await here.upgraded(Matrix_Scopes="control") as raw:
            assert (await raw.hear())["scopes"] == ["read"]


WRONG: list[Any] = [
    {"type": "hello", "token": "0" * 43},
    {"type": "hello", "token": ""},
    {"type": "hello", "token": None},
    {"type": "hello", "token": 7},
    {"type": "hello"},
    {"type": "query", "id": 1, "text": "agents"},
    {"type": "cancel", "id": 1},
    ["hello"],
    "hello",
]


@pytest.mark.parametrize("message", WRONG)
async def test_without_a_right_token_nothing_is_answered(tmp_path: Path, message: Any) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.upgraded(token=None) as raw:
        await raw.send(frame(TEXT, json.dumps(message).encode()))
        assert (await raw.hear())["code"] == "unauthorized"
        assert await raw.closed() == 1008
        assert here.echo.waiting == 0


async def test_a_token_cut_short_or_of_an_earlier_start_is_wrong(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as earlier:
        old = earlier.serving.token
        for token in (old[:-1], old + "x", old.upper(), old[::-1]):
            async with await earlier.upgraded(token=token) as raw:
                assert (await raw.hear())["code"] == "unauthorized", token
    async with served(tmp_path, bounds=QUICK) as later, await later.upgraded(token=old) as raw:
        assert (await raw.hear())["code"] == "unauthorized"
        assert await raw.closed() == 1008


async def test_without_the_check_of_tokens_anybody_would_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keys, "allowed", lambda *_: READ)
    async with served(tmp_path) as here, await here.upgraded(token="wrong") as raw:
        assert (await raw.hear())["type"] == "welcome"


@pytest.mark.parametrize(("handshake_s", "is_refused"), [(0.2, True), (30.0, False)])
async def test_hello_comes_in_time(tmp_path: Path, handshake_s: float, is_refused: bool) -> None:
    bounds = replace(QUICK, handshake_s=handshake_s)
    async with served(tmp_path, bounds=bounds) as here, await here.upgraded(token=None) as raw:
        await trio.sleep(0.4)
        assert here.refused("hello-time") == is_refused
        if is_refused:
            assert (await raw.hear())["code"] == "unauthorized"
            assert await raw.closed() == 1008
        else:
            await raw.say(type="hello", token=here.serving.token)
            assert (await raw.hear())["type"] == "welcome"


# -- how often --------------------------------------------------------------------------------------------


async def test_after_ten_failures_in_a_minute_each_try_waits(autojump_clock: trio.testing.MockClock) -> None:
    failures = Failures(10, 1.0)

    async def tried() -> float:
        begun = trio.current_time()
        await failures.wait()
        return trio.current_time() - begun

    for _ in range(10):
        assert await tried() == 0
        failures.count()
    assert await tried() == 1
    assert await tried() == 1
    await trio.sleep(59)
    assert await tried() == 0


@pytest.mark.parametrize(("failures_max", "is_late"), [(3, True), (1_000, False)])
async def test_whoever_guesses_is_answered_later(tmp_path: Path, failures_max: int, is_late: bool) -> None:
    bounds = replace(QUICK, failures_max=failures_max)
    async with served(tmp_path, bounds=bounds) as here:
        for _ in range(3):
            async with await here.upgraded(token="guess" * 4) as raw:
                assert (await raw.hear())["code"] == "unauthorized"
        for token, answer in [("guess" * 4, "error"), (here.serving.token, "welcome")]:
            begun = trio.current_time()
            async with await here.upgraded(token=token) as raw:
                assert (await raw.hear())["type"] == answer
            assert (trio.current_time() - begun >= 0.3) == is_late


# -- how many ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "is_refused"), [(2, True), (3, False)])
async def test_one_token_has_so_many_connections(tmp_path: Path, most: int, is_refused: bool) -> None:
    bounds = replace(QUICK, connections_per_token_max=most)
    async with served(tmp_path, bounds=bounds) as here:
        first, second = await here.session(), await here.session()
        async with await here.upgraded(token=None) as raw:
            await raw.say(type="hello", token=here.serving.token)
            if is_refused:
                assert (await raw.hear())["code"] == "too-many"
                assert await raw.closed() == 1013
            else:
                assert (await raw.hear())["type"] == "welcome"
        if is_refused:
            async with await here.connected() as raw:
                assert (await raw.upgrade(Authorization=f"Bearer {here.serving.token}"))[0] == 503
        async with await here.session(token=here.serving.control_token):
            pass  # the other token has places of its own
        await trio.aclose_forcefully(first.stream)
        await trio.sleep(0.1)
        async with await here.session():
            pass  # a place is free again
        await trio.aclose_forcefully(second.stream)
