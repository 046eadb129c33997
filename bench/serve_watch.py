"""How long after an `emit` a client of a server gets the row, and what a client that never reads costs the writer.

For the first question one process runs a simulation in real time (the one of `watch.py`), another serves its store,
and this one has the connections: plain sockets, so that what is measured is not the client. Each event says in its
payload when it was emitted; the first fifth is left out.

    everything     one client that gets every event
    one            one client that gets a probe now and then
    alike          100 clients with the same text
    different      100 clients, each with a text of its own

For the second, simulations emit as fast as they can, in turn with nobody watching and with a client that watches all
events and never reads; once with the server in a process of its own, and once in the process that writes.

    python bench/serve_watch.py [--quick] [--seconds 10] [--rounds 9] [--only one,stuck] [--rates 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import selectors
import socket
import statistics
import struct
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import trio
from watch import RATES, write

import matrix
from matrix.server.bounds import Bounds
from matrix.server.serving import Serving

AGENTS = 10
CREDIT = 1_000_000
QUIET_S = 2  # behind the end of the simulation: then all rows have come
STUCK_EVENTS = 300_000  # of a simulation beside a client that never reads
SPAWN = multiprocessing.get_context("spawn")
BOUNDS = Bounds(connections_max=128, connections_per_token_max=128)  # what is asked is not how many are let in

WATCHES = {
    "everything": ["events offer | select .at as told"],
    "one": ["events probe | select .at as told"],
    "alike": ["events probe | select .at as told"] * 100,
    "different": [f"events probe where .at > {n} | select .at as told" for n in range(100)],
}


# -- the server -------------------------------------------------------------------------------------


def serve(store: Path, pipe: Connection) -> None:
    """Serve a store until the other end of the pipe is closed."""
    trio.run(_serve, store, pipe)


async def _serve(store: Path, pipe: Connection) -> None:
    async with trio.open_nursery() as nursery:
        serving = await nursery.start(_serving, store)
        pipe.send((serving.url, serving.token))
        with contextlib.suppress(EOFError):
            await trio.to_thread.run_sync(pipe.recv)
        nursery.cancel_scope.cancel()


async def _serving(store: Path, task_status: trio.TaskStatus[Serving]) -> None:
    await matrix.serve(store, port=0, bounds=BOUNDS, task_status=task_status)


@contextlib.contextmanager
def served(store: Path) -> Iterator[tuple[str, str]]:
    """A server in a process of its own: where it is, and the token."""
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(store, theirs))
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join()


# -- a client that costs next to nothing ------------------------------------------------------------


class Client:
    """One connection with one watch, without a library: the server's frames are whole and not masked."""

    def __init__(self, url: str, token: str, text: str) -> None:
        host, port = urlsplit(url).hostname, urlsplit(url).port
        self.socket = socket.create_connection((host, port))
        head = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        head += f"Authorization: Bearer {token}\r\nSec-WebSocket-Version: 13\r\n"
        head += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: matrix.v1+json\r\n\r\n"
        self.socket.sendall(head.encode())
        self._bytes = bytearray()
        while b"\r\n\r\n" not in self._bytes:
            self._bytes += self.socket.recv(4_096)
        answer, _, rest = bytes(self._bytes).partition(b"\r\n\r\n")
        if b" 101 " not in answer:
            raise SystemExit(f"no upgrade: {answer!r}")
        self._bytes = bytearray(rest)
        self._say({"type": "watch", "id": 1, "text": text, "credit": CREDIT, "page": 10_000})

    def _say(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        head = (
            struct.pack(">BB4x", 0x81, 0x80 | len(body))
            if len(body) < 126
            else struct.pack(">BBH4x", 0x81, 0xFE, len(body))
        )
        self.socket.sendall(head + body)  # masked with 0

    def replies(self) -> list[bytes]:
        """What has come and is whole."""
        chunk = self.socket.recv(1 << 20)
        if not chunk:
            raise SystemExit("the server closed a connection")
        self._bytes += chunk
        found, place = [], 0
        while len(self._bytes) - place >= 2:
            opcode, length, begin = self._bytes[place] & 15, self._bytes[place + 1], place + 2
            if length >= 126:
                form, begin = (">H", place + 4) if length == 126 else (">Q", place + 10)
                if len(self._bytes) < begin:
                    break
                (length,) = struct.unpack_from(form, self._bytes, place + 2)
            if len(self._bytes) < begin + length:
                break
            if opcode == 1:
                found.append(bytes(self._bytes[begin : begin + length]))
            place = begin + length
        del self._bytes[:place]
        return found


def told(texts: list[str], url: str, token: str, run: Any) -> list[int]:
    """Microseconds from emitted to received, of all rows that ``run`` leads to."""
    clients = [Client(url, token, text) for text in texts]
    found: list[int] = []
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
        begun: set[Client] = set()
        while len(begun) < len(clients):
            for key, _ in selector.select():
                if any(b'"position"' in reply for reply in key.data.replies()):
                    begun.add(key.data)
        run.start()
        heard = time.perf_counter()
        while run.is_alive() or time.perf_counter() < heard + QUIET_S:
            for key, _ in selector.select(0.1):
                now, heard = time.time_ns() // 1_000, time.perf_counter()
                for reply in key.data.replies():
                    message = json.loads(reply)
                    if message["type"] == "error":
                        raise SystemExit(f"a watch ended: {message}")
                    found += [now - at for (at,) in message.get("rows", ())]
    for client in clients:
        client.socket.close()
    return found


def latencies(name: str, rate: int, seconds: float) -> dict[str, Any]:
    """Milliseconds from emitted to received."""
    used = SPAWN.Value("d", 0.0)
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder)
        (store / "log").mkdir()
        with served(store) as (url, token):
            writing = SPAWN.Process(target=write, args=(store, rate, AGENTS, seconds, used))
            found = told(WATCHES[name], url, token, writing)
        if writing.exitcode:
            raise SystemExit("the simulation failed")
    half, most, worst = (np.percentile(found[len(found) // 5 :], [50, 99, 100]) / 1_000).tolist()
    return {"watch": name, "rate": rate, "rows": len(found), "p50_ms": half, "p99_ms": most, "max_ms": worst}


# -- a client that never reads ------------------------------------------------------------------------


class Emitter(matrix.Agent):
    """Emits, a thousand events a turn."""

    count: int

    async def run(self) -> None:
        for _ in range(self.count // 1_000):
            for n in range(1_000):
                self.emit("offer", n=n, item="lamp")
            await self.sleep(0.001)


async def emitting(simulation: Any, count: int) -> None:
    """Ten agents that emit so many events together."""
    for number in range(10):
        simulation.spawn(Emitter, f"e-{number}", count=count // 10)


def rounds(store: Path, where: tuple[str, str] | None, count: int, events: int, results: Any) -> None:
    """Simulations in turn without and with a client that never reads; where there is no server, it is in here."""
    results.put(trio.run(_rounds, store, where, count, events))


async def _rounds(store: Path, where: tuple[str, str] | None, count: int, events: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"alone": [], "stuck": [], "alone_cpu": [], "stuck_cpu": []}
    async with matrix.open_runtime(store) as runtime, trio.open_nursery() as nursery:
        if where is None:
            serving = await nursery.start(_serving, store)
            where = serving.url, serving.token
        await runtime.run(emitting, count=events, guard="off")  # not told: what happens the first time
        for number in range(2 * count):
            name = ("alone", "stuck")[number % 2]
            client = None
            if name == "stuck":
                client = await trio.to_thread.run_sync(Client, *where, "events offer")
                await trio.sleep(0.3)  # it has begun
            begun, cpu = time.perf_counter(), time.process_time()
            await runtime.run(emitting, count=events, guard="off")
            found[name].append(time.perf_counter() - begun)
            found[f"{name}_cpu"].append(time.process_time() - cpu)
            if client is not None:
                client.socket.close()
            await trio.sleep(0.3)  # and has gone
        nursery.cancel_scope.cancel()
    return found


def stuck(count: int, events: int, *, embedded: bool) -> dict[str, Any]:
    """Events a second by the clock and by the processor, without and with a client that never reads."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = Path(folder)
        (store / "log").mkdir()
        where = None if embedded else stack.enter_context(served(store))
        results = SPAWN.Queue()
        process = SPAWN.Process(target=rounds, args=(store, where, count, events, results))
        process.start()
        found = results.get()
        process.join()
    rates = {name: events / statistics.median(times) for name, times in found.items()}
    shares = {
        f"costs{kind}": 1 - statistics.median(a / b for a, b in zip(found[f"alone{kind}"], found[f"stuck{kind}"]))
        for kind in ("", "_cpu")
    }
    return {"server": "in the writer's process" if embedded else "beside it", "rounds": count, **rates, **shares}


def main() -> None:
    """Measure, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two seconds of each rate, two rounds")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--only", default=",".join([*WATCHES, "stuck"]), help="some of these")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    seconds, count = (2, 2) if options.quick else (options.seconds, options.rounds)
    names = options.only.split(",")
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {platform.machine()}, load {load:.1f}; {seconds:g} s each")
    figures: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine(), "load": load}
    figures["latencies"] = []
    for rate in map(int, options.rates.split(",")):
        for name in (name for name in WATCHES if name in names):
            figures["latencies"].append(found := latencies(name, rate, seconds))
            print(
                f"{rate:>7,} events/s, {name:<10} {found['rows']:>9,} rows: p50 {found['p50_ms']:7.1f} ms, "
                f"p99 {found['p99_ms']:7.1f} ms, max {found['max_ms']:7.1f} ms",
                flush=True,
            )
    figures["stuck"] = [stuck(count, STUCK_EVENTS, embedded=place) for place in (False, True) if "stuck" in names]
    for found in figures["stuck"]:
        print(
            f"server {found['server']}, {count} rounds: {found['alone']:,.0f} events/s alone, "
            f"{found['stuck']:,.0f} beside a client that never reads, which costs {found['costs']:.1%} by the clock "
            f"and {found['costs_cpu']:.1%} by the processor"
        )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
