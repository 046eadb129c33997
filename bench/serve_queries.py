"""What a server makes of questions: how many a second, how long each takes, and what it adds to `store.query`.

A server in a process of its own serves a made society; the clients are plain sockets in this process, a thread each.

    mix        1 and 16 clients ask small questions in turn
    tiny       one client asks the smallest question; the same asked of the store in this process
    bombs      quick questions of one client, alone and beside 2 and 4 clients whose questions never end
    rows       all events as JSON, CBOR and Arrow: rows a second

    python bench/serve_queries.py [--quick] [--seconds 10] [--events 1000000] [--only mix,tiny] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from serve_watch import served

import matrix

sys.path.insert(0, str(Path(__file__).parent / "questions"))
from made import make  # after the path that leads to it

TINY = "simulations | count"
MIX = (TINY, "agents | count by role", "events | limit 20", "goals | limit 50", "events goal.failed | count")
BOMB = "events | effects | causes | effects | causes | effects | count"
_LAST = re.compile(rb'"type":"(done|error)"|dtype(ddone|eerror)')
_PAGES = 1_000_000  # granted at once: what is asked is not how clients take turns to grant


class Line:
    """One connection without a library: the server's frames are whole and not masked."""

    def __init__(self, url: str, token: str, encoding: str = "json") -> None:
        host, port = urlsplit(url).hostname, urlsplit(url).port
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Authorization: Bearer {token}\r\nSec-WebSocket-Version: 13\r\n"
        head += f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: matrix.v1+{encoding}\r\n\r\n"
        self.socket.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4_096)
        self._number, self._is_cbor = 0, encoding == "cbor"

    def say(self, **message: Any) -> None:
        """Send a request."""
        self._number += 1
        fields = {"id": self._number, **message}
        if self._is_cbor:
            import cbor2

            body, sign = cbor2.dumps(fields), 0x82
        else:
            body, sign = json.dumps(fields).encode(), 0x81
        long = struct.pack(">BBH4x", sign, 0xFE, len(body))
        self.socket.sendall((struct.pack(">BB4x", sign, 0x80 | len(body)) if len(body) < 126 else long) + body)

    def ask(self, text: str, **more: Any) -> int:
        """Ask, and take the whole answer: how many bytes it has."""
        self.say(type="query", text=text, **more)
        size, tail = 0, b""
        while not (last := _LAST.search(tail)):
            chunk = self.socket.recv(1 << 20)
            if not chunk:
                raise SystemExit("the server closed a connection")
            size += len(chunk)
            tail = (tail + chunk)[-400:]  # the last reply is short
        if b"error" in last[0]:
            raise SystemExit(f"no answer to {text}: {tail!r}")
        return size


def spread(took: list[float]) -> dict[str, float]:
    """Of seconds: how many there are, and milliseconds."""
    half, most = np.percentile(np.array(took) * 1_000, [50, 99]).tolist()
    return {"count": len(took), "p50_ms": half, "p99_ms": most}


def asking(where: tuple[str, str], texts: tuple[str, ...], seconds: float) -> list[float]:
    """How long each of the answers took that one client got in so many seconds."""
    line, took = Line(*where), []
    for text in texts:
        line.ask(text)  # not told: what happens the first time
    until, number = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        begun = time.perf_counter()
        line.ask(texts[number % len(texts)])
        took.append(time.perf_counter() - begun)
        number += 1
    line.socket.close()
    return took


def mix(where: tuple[str, str], clients: int, seconds: float) -> dict[str, Any]:
    """Small questions of so many clients at once."""
    took: list[float] = []
    threads = [threading.Thread(target=lambda: took.extend(asking(where, MIX, seconds))) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"clients": clients, "a_second": len(took) / seconds, **spread(took)}


def tiny(where: tuple[str, str], store: Path, seconds: float) -> dict[str, Any]:
    """The smallest question over the wire and in process, in turn."""
    line, there, here = Line(*where), [], []
    with matrix.open(store) as opened:
        line.ask(TINY)
        opened.query(TINY)  # not told: what happens the first time
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            begun = time.perf_counter()
            line.ask(TINY)
            between = time.perf_counter()
            opened.query(TINY)
            there.append(between - begun)
            here.append(time.perf_counter() - between)
    line.socket.close()
    over, alone = spread(there), spread(here)
    return {"over_the_wire": over, "in_process": alone, "adds_ms": over["p50_ms"] - alone["p50_ms"]}


@contextlib.contextmanager
def bombs(where: tuple[str, str], count: int) -> Iterator[list[str]]:
    """So many clients whose questions take as long as they may; behind it, how those ended that did not go on."""
    lines = [Line(*where) for _ in range(count)]
    for line in lines:
        line.say(type="query", text=BOMB)
    time.sleep(2 if count else 0)  # they are long ones by then
    ended: list[str] = []
    yield ended
    for line in lines:
        line.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            found = re.search(rb'"type":"done"|"code":"([^"]+)"', line.socket.recv(1 << 20))
            ended += [(found[1] or b"done").decode()] if found else []  # else it tells how it gets on
        line.socket.close()


def rows(where: tuple[str, str], events: int) -> list[dict[str, Any]]:
    """All events, in each form."""
    found = []
    for name, encoding, format in (("JSON", "json", "rows"), ("CBOR", "cbor", "rows"), ("Arrow", "cbor", "arrow")):
        line, begun = Line(*where, encoding), time.perf_counter()
        size = line.ask("events", format=format, credit=_PAGES, page=10_000)
        seconds = time.perf_counter() - begun
        line.socket.close()
        found.append({"form": name, "bytes": size, "seconds": seconds, "rows_a_second": events / seconds})
    return found


def measure(where: tuple[str, str], store: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What is asked for, printed as it comes."""
    figures: dict[str, Any] = {}
    asked = options.only.split(",")
    if "mix" in asked:
        figures["mix"] = [mix(where, clients, options.seconds) for clients in (1, 16)]
        for f in figures["mix"]:
            print(f"mix, {f['clients']:>2} clients: {f['a_second']:6,.0f}/s, {_times(f)}", flush=True)
    if "tiny" in asked:
        figures["tiny"] = f = tiny(where, store, options.seconds)
        print(f"tiny: {_times(f['over_the_wire'])}; in process {_times(f['in_process'])}; adds {f['adds_ms']:.2f} ms")
    if "bombs" in asked:
        figures["bombs"] = []
        for count in (0, 2, 4):
            with bombs(where, count) as ended:
                f = {"bombs": count, **spread(asking(where, MIX, options.seconds))}
            figures["bombs"].append({**f, "ended": ended})
            print(f"quick beside {count} bombs: {_times(f)}; ended meanwhile: {', '.join(ended) or 'none'}", flush=True)
    if "rows" in asked:
        figures["rows"] = rows(where, options.events)
        for f in figures["rows"]:
            print(f"{f['form']:<6}{f['rows_a_second']:10,.0f} rows/s, {f['bytes'] / 1e6:6,.1f} MB", flush=True)
    return figures


def _times(found: dict[str, Any]) -> str:
    return f"p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms"


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one second each, 50,000 events")
    parser.add_argument("--seconds", type=float, default=10, help="at most 15: the clients answer no pings")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--only", default="mix,tiny,bombs,rows", help="some of these")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.events = 1, 50_000
    machine = {"python": platform.python_version(), "machine": platform.machine(), "load": os.getloadavg()[0]}
    print(f"Python {machine['python']}, {machine['machine']}, load {machine['load']:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.events, ("live",))
        store = Path(folder) / "live"
        with served(store) as where:
            figures = machine | measure(where, store, options)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
