"""Plain requests: the page, health, metrics, and what is refused before any upgrade."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import trio

import matrix.server.files
from matrix.server.auth import Names
from matrix.server.bounds import Bounds
from matrix.server.http import Head
from matrix.server.plain import Desk
from tests.server.serves import served

QUICK = Bounds(linger_s=0.05)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    (folder / "vendor").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>Matrix</title>")
    (folder / "app.js").write_text("export {}")
    (folder / "vendor/arrow.mjs").write_text("export const one = 1")
    (folder / "vendor/LICENSE").write_text("Apache")
    (folder / "notes.xyz").write_text("?")
    (folder / ".hidden.js").write_text("hidden")
    (tmp_path / "secret.js").write_text("secret")
    (folder / "way-out.js").symlink_to(tmp_path / "secret.js")
    return folder


# -- what is there ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "type", "body"),
    [
        ("/", "text/html; charset=utf-8", b"<!doctype html><title>Matrix</title>"),
        ("/?x=1", "text/html; charset=utf-8", b"<!doctype html><title>Matrix</title>"),
        ("/app.js", "text/javascript; charset=utf-8", b"export {}"),
        ("/vendor/arrow.mjs", "text/javascript; charset=utf-8", b"export const one = 1"),
        ("/vendor/LICENSE", "text/plain; charset=utf-8", b"Apache"),
    ],
)
async def test_the_page_and_its_files_come_with_their_types(
    tmp_path: Path, page: Path, target: str, type: str, body: bytes
) -> None:
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        status, headers, got = await raw.ask(target)
    assert (status, headers["content-type"], got) == (200, type, body)


async def test_every_answer_forbids_the_browser_all_that_is_not_the_servers_own(tmp_path: Path, page: Path) -> None:
    async with served(tmp_path, page=page) as here:
        for target in ("/", "/health", "/metrics", "/nowhere"):
            async with await here.connected() as raw:
                _, headers, _ = await raw.ask(target)
            policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
            assert policy["default-src"] == "'self'"
            assert policy["connect-src"] == f"'self' ws://127.0.0.1:{here.port}"
            assert policy["frame-ancestors"] == "'none'"
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] in ("no-cache", "no-store")


async def test_a_file_that_the_browser_has_is_not_sent_again_until_it_changes(tmp_path: Path, page: Path) -> None:
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        _, headers, _ = await raw.ask("/app.js")
        again = await raw.ask("/app.js", If_None_Match=headers["etag"])
        (page / "app.js").write_text("export { changed }")
        changed = await raw.ask("/app.js", If_None_Match=headers["etag"])
    assert (again[0], again[2]) == (304, b"")
    assert (changed[0], changed[2]) == (200, b"export { changed }")


async def test_head_is_get_without_the_body(tmp_path: Path, page: Path) -> None:
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        status, headers, body = await raw.ask("/app.js", "HEAD")
        assert (status, headers["content-length"], body) == (200, "9", b"")
        assert (await raw.ask("/app.js"))[2] == b"export {}"  # nothing stood between the two answers


async def test_without_a_page_the_answer_says_what_to_do(tmp_path: Path) -> None:
    async with served(tmp_path, page=tmp_path / "nothing") as here, await here.connected() as raw:
        status, _, body = await raw.ask("/")
    assert status == 404
    assert b"without its browser page" in body


async def test_health_is_bad_when_the_store_has_vanished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("matrix.server.plain._LOOKED_AT_S", 0.0)
    store = tmp_path / "store"
    async with served(store) as here, await here.connected() as raw:
        assert (await raw.ask("/health"))[::2] == (200, b'{"status":"ok"}\n')
        (store / "log").rmdir()
        assert (await raw.ask("/health"))[::2] == (503, b'{"status":"the store cannot be read"}\n')


async def test_metrics_are_what_prometheus_reads(tmp_path: Path) -> None:
    (tmp_path / "log/0001").mkdir(parents=True)
    (tmp_path / "log/0001/00000001.seg").write_bytes(bytes(1_000))
    async with served(tmp_path) as here, await here.session() as session, await here.connected() as raw:
        await session.say(type="info", id=1)
        await session.hear()
        await raw.ask("/nowhere")
        status, headers, body = await raw.ask("/metrics")
    text = body.decode()
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    for line in text.splitlines():
        assert re.fullmatch(r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \d+(\.\d+)?', line), line
    assert 'matrix_connections{state="session"} 1\n' in text
    assert 'matrix_requests_total{type="info",outcome="done"} 1\n' in text
    assert 'matrix_http_answers_total{status="404"} 1\n' in text
    assert "matrix_received_messages_total 1\n" in text
    assert "matrix_store_log_bytes 1000\n" in text


async def test_metrics_ask_another_machine_for_a_token(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        desk = here.server.desk
        assert isinstance(desk, Desk)
        head = Head("GET", "/metrics", "1.1", {}, False)
        known = replace(head, headers={"authorization": (f"Bearer {here.serving.token}",)})
        wrong = replace(head, headers={"authorization": ("Bearer 0123456789abcdef",)})
        for address, one, status in [
            ("192.0.2.7", head, 401),
            ("192.0.2.7", wrong, 401),
            ("192.0.2.7", known, 200),
            ("fe80::1%eth0", head, 401),
            ("127.0.0.1", head, 200),
            ("::1", head, 200),
            ("::ffff:127.0.0.1", head, 200),
        ]:
            assert (await desk.answer(one, address)).status == status, address


async def test_requests_follow_each_other_on_one_connection_also_when_sent_at_once(tmp_path: Path, page: Path) -> None:
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        await raw.send(raw.head("/app.js") + raw.head("/vendor/LICENSE") + raw.head("/health"))
        bodies = [(await raw.answer())[2] for _ in range(3)]
    assert bodies == [b"export {}", b"Apache", b'{"status":"ok"}\n']


async def test_an_upgrade_may_follow_a_plain_request(tmp_path: Path) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.ask("/health"))[0] == 200
        assert (await raw.upgrade(Authorization=f"Bearer {here.serving.token}"))[0] == 101
        assert (await raw.hear())["type"] == "welcome"


async def test_the_old_version_of_http_is_answered_and_closed(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.connected() as raw:
        await raw.send(f"GET /health HTTP/1.0\r\nHost: localhost:{here.port}\r\n\r\n".encode())
        assert (await raw.ends()).startswith(b"HTTP/1.1 200 OK")


# -- paths --------------------------------------------------------------------------------------------

OUTWARD = [
    "/../secret.js",
    "/vendor/../../secret.js",
    "/%2e%2e/secret.js",
    "/..%2fsecret.js",
    "//secret.js",
    "/./secret.js",
    "/.hidden.js",
    "/vendor/.%2e/app.js",
    "/..\\secret.js",
    "/way-out.js",
    "/notes.xyz",
    "/vendor",
    "/vendor/",
]


@pytest.mark.parametrize("target", OUTWARD)
async def test_no_path_leads_out_of_the_page(tmp_path: Path, page: Path, target: str) -> None:
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        status, _, body = await raw.ask(target)
    assert status == 404
    assert b"secret" not in body


async def test_without_the_two_looks_at_a_path_it_would_lead_out(
    tmp_path: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = "/../secret.js"
    async with served(tmp_path, page=page) as here, await here.connected() as raw:
        monkeypatch.setattr(matrix.server.files, "_PLAIN_PATH", re.compile(".*"))
        assert (await raw.ask(target))[0] == 404
        monkeypatch.setattr(Path, "is_relative_to", lambda *_: True)
        assert (await raw.ask(target))[::2] == (200, b"secret")


# -- what is no request here ---------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "BREW"])
async def test_other_methods_are_refused(tmp_path: Path, method: str) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        status, headers, _ = await raw.ask("/health", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("more", [{"Content_Length": "3"}, {"Transfer_Encoding": "chunked"}])
async def test_a_body_is_refused_and_the_connection_closed(tmp_path: Path, more: dict[str, str]) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.connected() as raw:
        status, headers, _ = await raw.ask("/health", **more)
        assert (status, headers["connection"]) == (400, "close")
        assert await raw.ends() == b""


@pytest.mark.parametrize(
    "lines",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",  # no Host
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x00" * 300 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_answered_with_400(tmp_path: Path, lines: bytes) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.connected() as raw:
        await raw.send(lines)
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (400, "close")
        assert await raw.ends() == b""


async def test_another_version_of_http_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, bounds=QUICK) as here, await here.connected() as raw:
        await raw.send(b"GET / HTTP/2.0\r\n\r\n")
        assert (await raw.ends()).startswith(b"HTTP/1.1 505 ")


async def test_a_target_of_another_server_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.ask("http://elsewhere.example/health"))[0] == 400


@pytest.mark.parametrize(("head_bytes_max", "status"), [(16_384, 431), (65_536, 200)])
async def test_a_head_has_at_most_16_kib(tmp_path: Path, head_bytes_max: int, status: int) -> None:
    bounds = replace(QUICK, head_bytes_max=head_bytes_max)
    async with served(tmp_path, bounds=bounds) as here, await here.connected() as raw:
        assert (await raw.ask("/health", X_Long="x" * 32_768))[0] == status


@pytest.mark.parametrize(("handshake_s", "is_refused"), [(0.3, True), (30.0, False)])
async def test_a_head_that_drips_is_cut_off(tmp_path: Path, handshake_s: float, is_refused: bool) -> None:
    bounds = replace(QUICK, handshake_s=handshake_s)
    async with served(tmp_path, bounds=bounds) as here, await here.connected() as raw:
        begun = trio.current_time()
        try:
            for byte in raw.head("/health")[:40]:
                await raw.send(bytes([byte]))
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            pass  # closed while we were at it
        took = trio.current_time() - begun
        assert here.refused("head-time") == is_refused
        if is_refused:
            assert (await raw.answer())[0] == 408
        else:
            await raw.send(raw.head("/health")[40:])
            assert (await raw.answer())[0] == 200
    assert took >= 0.3


@pytest.mark.parametrize(("keep_alive_s", "is_closed"), [(0.1, True), (30.0, False)])
async def test_a_connection_without_requests_is_closed(tmp_path: Path, keep_alive_s: float, is_closed: bool) -> None:
    bounds = replace(QUICK, keep_alive_s=keep_alive_s)
    async with served(tmp_path, bounds=bounds) as here, await here.connected() as raw:
        assert (await raw.ask("/health"))[0] == 200
        await trio.sleep(0.4)
        assert (here.server.metrics.sockets == 0) == is_closed


# -- Host and Origin ------------------------------------------------------------------------------------

RIGHT_HOSTS = ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"]
WRONG_HOSTS = [
    "evil.example:{port}",
    "evil.example",
    "127.0.0.1",
    "127.0.0.1:1",
    "localhost.evil.example:{port}",
    "x; script-src *",
    "0.0.0.0:{port}",
]


@pytest.mark.parametrize("host", RIGHT_HOSTS)
async def test_a_name_of_this_machine_is_a_right_host(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.ask("/health", Host=host.format(port=here.port)))[0] == 200


@pytest.mark.parametrize("host", WRONG_HOSTS)
async def test_another_name_is_refused_before_the_upgrade_and_for_plain_requests(tmp_path: Path, host: str) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        given = host.format(port=here.port)
        status, headers, _ = await raw.ask("/health", Host=given)
        assert status == 403
        assert headers["content-security-policy"].count(";") == 6, "nobody adds to the policy"
        assert (await raw.upgrade(Host=given, Authorization=f"Bearer {here.serving.token}"))[0] == 403
        assert here.refused("host") == 2


async def test_without_the_look_at_host_a_rebound_name_would_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Names, "is_host", lambda *_: True)
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.upgrade(Host=f"evil.example:{here.port}"))[0] == 101


RIGHT_ORIGINS = ["http://127.0.0.1:{port}", "http://localhost:{port}", "http://[::1]:{port}", "https://notes.example"]
WRONG_ORIGINS = [
    "http://evil.example",
    "https://127.0.0.1:{port}",
    "http://127.0.0.1",
    "http://127.0.0.1:{port}/",
    "http://127.0.0.1:{port}.evil.example",
    "http://notes.example",
    "https://notes.example:444",
    "https://sub.notes.example",
    "null",
    "file://",
]


@pytest.mark.parametrize("origin", RIGHT_ORIGINS)
async def test_pages_of_the_server_and_allowed_ones_may_ask(tmp_path: Path, origin: str) -> None:
    async with served(tmp_path, origins=["https://notes.example"]) as here, await here.connected() as raw:
        assert (await raw.upgrade(Origin=origin.format(port=here.port)))[0] == 101


@pytest.mark.parametrize("origin", WRONG_ORIGINS)
async def test_pages_of_others_are_refused_before_the_upgrade(tmp_path: Path, origin: str) -> None:
    async with served(tmp_path, origins=["https://notes.example"]) as here, await here.connected() as raw:
        given = origin.format(port=here.port)
        assert (await raw.upgrade(Origin=given, Authorization=f"Bearer {here.serving.token}"))[0] == 403
        assert (await raw.ask("/metrics", Origin=given))[0] == 403
        assert here.refused("origin") == 2


async def test_without_the_look_at_origin_a_foreign_page_would_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Names, "is_origin", lambda *_: True)
    async with served(tmp_path) as here, await here.connected() as raw:
        assert (await raw.upgrade(Origin="http://evil.example"))[0] == 101


# -- the upgrade's form ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("named", "chosen"),
    [
        ("", None),
        ("matrix.v1+json", "matrix.v1+json"),
        ("matrix.v1+cbor", "matrix.v1+cbor"),
        ("other, matrix.v1+cbor, matrix.v1+json", "matrix.v1+cbor"),
    ],
)
async def test_the_first_subprotocol_that_is_known_is_taken(tmp_path: Path, named: str, chosen: str | None) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        status, headers, _ = await raw.upgrade(Sec_WebSocket_Protocol=named)
    assert (status, headers.get("sec-websocket-protocol")) == (101, chosen)


async def test_compression_is_not_taken(tmp_path: Path) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        status, headers, _ = await raw.upgrade(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits")
    assert (status, "sec-websocket-extensions" in headers) == (101, False)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec_WebSocket_Protocol": "matrix.v2+json, graphql-ws"}, 400),
        ({"Sec_WebSocket_Version": "8"}, 426),
        ({"Sec_WebSocket_Version": ""}, 426),
        ({"Sec_WebSocket_Key": ""}, 400),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400),
        ({"Sec_WebSocket_Key": "not base64 at all"}, 400),
        ({"Sec_WebSocket_Protocol": "matrix.v1+j\u00e9son"}, 400),
        ({"target": "/elsewhere"}, 404),
        ({"method": "HEAD"}, 405),
    ],
)
async def test_an_upgrade_that_is_wrong_in_form_is_refused(
    tmp_path: Path, changed: dict[str, str], status: int
) -> None:
    async with served(tmp_path) as here, await here.connected() as raw:
        changed = {"target": "/", "method": "GET", **changed}
        assert (await raw.upgrade(**changed))[0] == status
        assert (await raw.ask("/health"))[0] == 200, "the connection stays"


# -- places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("connections_max", "status"), [(4, 503), (5, 200)])
async def test_half_open_connections_take_places_too(tmp_path: Path, connections_max: int, status: int) -> None:
    bounds = replace(QUICK, connections_max=connections_max)
    async with served(tmp_path, bounds=bounds) as here:
        idle = [await here.connected() for _ in range(4)]
        await trio.sleep(0.05)
        async with await here.connected() as raw:
            got, headers, _ = await raw.ask("/health")
        assert got == status
        assert ("retry-after" in headers) == (status == 503)
        await trio.aclose_forcefully(idle[0].stream)
        await trio.sleep(0.1)
        async with await here.connected() as raw:
            assert (await raw.ask("/health"))[0] == 200
        for one in idle:
            await trio.aclose_forcefully(one.stream)
