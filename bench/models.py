"""Conversations with models: what a turn takes in the log, and how many of them go on side by side.

    turns        one conversation of 10, 100 and 1,000 turns: bytes of the log per turn, beside what the same turns take
                 where each request is kept whole (what a checkpoint of the whole conversation after each turn does)
    concurrent   1,000 conversations at once against a model server in a process of its own, whose answers take a fixed
                 time: turns a second, beside the ideal (that time and nothing else), and beside a plain loop of httpx
                 on Trio with as many tasks and connections against the same server, which records nothing: in clients
                 of as few connections as ours, and (once, one turn) in one client

    python bench/models.py [--quick] [--only turns,concurrent] [--rounds 3] [--answer-ms 4000] [--json FILE]

The server is that of the tests. Each run of ``concurrent`` is in a process of its own; they take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import trio

import matrix
from matrix.endpoint.endpoint import Endpoint
from matrix.limits import ENDPOINT_POOL_CONNECTIONS as POOL

ROOT = Path(__file__).parent.parent
SYSTEM = "You are a clerk who is polite and brief, and follows the rules of the shop. " * 25
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"find_{what}",
            "description": f"Finds the {what} that a customer asks for, by its number.",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
        },
    }
    for what in ("order", "customer", "product", "invoice", "parcel", "refund")
]


class Customer(matrix.Agent):
    """Talks with a model for some turns."""

    turns: int

    async def run(self) -> None:
        messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        for turn in range(self.turns):
            messages.append({"role": "user", "content": said(self.id, turn)})
            reply = await self.model(messages, model="small", tools=TOOLS, temperature=0)
            messages.append(reply.message)


async def shop(simulation: matrix.Simulation, conversations: int, turns: int) -> None:
    for n in range(conversations):
        simulation.spawn(Customer, f"customer-{n}", turns=turns)


def said(who: str, turn: int) -> str:
    """What a customer says: another text in each turn of each."""
    return f"{who} asks about number {turn * 7919 % 10_007}, and where the parcel of last week has gone."


@contextmanager
def server(answer_ms: float) -> Iterator[str]:
    """The model server of the tests in a process of its own; its URL."""
    command = [sys.executable, "-m", "tests.models.service", "--answer-ms", str(answer_ms)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None, "it is a pipe"
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


# -- bytes per turn ------------------------------------------------------------------------------


def bytes_per_turn(url: str, turns: int) -> dict[str, float]:
    """What one conversation takes in the log, and what its requests would take whole."""
    with tempfile.TemporaryDirectory(prefix="models_bench_") as folder:
        models = Endpoint(url, key="")
        outcome = matrix.run(shop, store=folder, index=False, models=models, conversations=1, turns=turns)
        assert outcome.status == "finished", outcome.reason
        size = sum(path.stat().st_size for path in (Path(folder) / "log").rglob("*.seg"))
        with matrix.open(folder) as store:
            requests = [len(json.dumps([r.messages, r.tools])) for r in store.requests(outcome.id)]
            answers = [e.data["message"] for e in store.events(outcome.id) if e.kind == "model.completed"]
    spoken = sum(len(json.dumps(answer)) + len(said("customer-0", turn)) for turn, answer in enumerate(answers))
    return {
        "turns": turns,
        "log_bytes_per_turn": size / turns,
        "spoken_bytes_per_turn": spoken / turns,
        "whole_bytes_per_turn": (sum(requests) + sum(len(json.dumps(answer)) for answer in answers)) / turns,
    }


# -- side by side --------------------------------------------------------------------------------


def with_matrix(url: str, conversations: int, turns: int) -> dict[str, float]:
    """All conversations as agents of one simulation, recorded."""
    with tempfile.TemporaryDirectory(prefix="models_bench_") as folder:
        models, begun, cpu = Endpoint(url, key=""), time.perf_counter(), time.process_time()
        outcome = matrix.run(shop, store=folder, index=False, models=models, conversations=conversations, turns=turns)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        assert outcome.status == "finished", outcome.reason
        with matrix.open(folder) as store:
            told = [event.data for event in store.events(outcome.id) if event.kind == "model.completed"]
    assert len(told) == conversations * turns, len(told)
    took = sorted(data["ms"] for data in told)
    attempts = max(data["attempts"] for data in told)
    return {"seconds": seconds, "cpu_s": cpu, "attempts_max": attempts, "p99_ms": took[len(took) * 99 // 100]}


def with_httpx(url: str, conversations: int, turns: int, connections: int = POOL) -> dict[str, float]:
    """The same requests in a plain loop, each conversation a task; nothing is recorded."""
    took: list[float] = []

    async def converse(client: httpx.AsyncClient, who: str) -> None:
        messages: list[dict[str, Any]] = [{"role": "system", "content": SYSTEM}]
        for turn in range(turns):
            messages.append({"role": "user", "content": said(who, turn)})
            body = {"model": "small", "messages": messages, "tools": TOOLS, "temperature": 0}
            begun = time.perf_counter()
            response = await client.post(f"{url}/chat/completions", json=body)
            took.append(time.perf_counter() - begun)
            messages.append(response.raise_for_status().json()["choices"][0]["message"])

    async def main() -> None:
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30)
        async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
            for n in range(conversations):
                if n % connections == 0:
                    client = httpx.AsyncClient(timeout=None, limits=limits, verify=False)
                    await stack.enter_async_context(client)
                nursery.start_soon(converse, client, f"customer-{n}")

    begun, cpu = time.perf_counter(), time.process_time()
    trio.run(main)
    found = {"seconds": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu, "attempts_max": 1}
    return {**found, "p99_ms": sorted(took)[len(took) * 99 // 100] * 1_000}


def with_one_client(url: str, conversations: int, turns: int) -> dict[str, float]:
    """Likewise, all in one client, as one would write it first."""
    return with_httpx(url, conversations, turns, conversations)


WAYS = {"matrix": with_matrix, "httpx": with_httpx, "one client": with_one_client}


def in_process(way: str, url: str, conversations: int, turns: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--one", way, url, str(conversations), str(turns)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    found: dict[str, float] = json.loads(result)
    return found


def concurrent(conversations: int, turns: int, answer_ms: float, rounds: int) -> dict[str, Any]:
    """Both ways, taking turns, against one server; medians."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with server(answer_ms) as url:
        for number in range(rounds):
            for way, runs in found.items():
                if way != "one client":
                    runs.append(in_process(way, url, conversations, turns) | {"turns": turns})
                elif not number:  # one turn takes it as long as five do the others
                    runs.append(in_process(way, url, conversations, 1) | {"turns": 1})
    told: dict[str, Any] = {"conversations": conversations, "turns": turns, "answer_ms": answer_ms}
    told["ideal_turns_per_s"] = conversations / answer_ms * 1_000
    for way, runs in found.items():
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        told[way] = {**middle, "turns_per_s": conversations * middle["turns"] / middle["seconds"]}
    return told


def show(told: dict[str, Any]) -> None:
    """A table of turns a second."""
    print(
        f"{told['conversations']:,} conversations at once, {told['turns']} turns, answers of {told['answer_ms']:g} ms"
    )
    ideal = told["ideal_turns_per_s"]
    print(f"  {'ideal':10} {ideal:8,.0f} turns/s")
    for way in WAYS:
        one = told[way]
        rate = one["turns_per_s"]
        print(
            f"  {way:10} {rate:8,.0f} turns/s  {rate / ideal:4.0%} of the ideal, processor {one['cpu_s']:.1f} s "
            f"of {one['seconds']:.1f} s, 99 of 100 answers within {one['p99_ms']:,.0f} ms"
        )
    print(f"  matrix to httpx: {told['matrix']['turns_per_s'] / told['httpx']['turns_per_s']:.2f}", flush=True)


def main() -> None:
    """Ask both questions, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only check that it runs")
    parser.add_argument("--only", default="turns,concurrent", help="questions, with commas between")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--answer-ms", type=float, default=4_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand connections, at either end
    if options.one:
        way, url, conversations, turns = options.one
        print(json.dumps(WAYS[way](url, int(conversations), int(turns))))
        return
    print(f"python {platform.python_version()}, httpx {httpx.__version__}, {platform.machine()}")
    found: dict[str, Any] = {}
    if "turns" in options.only:
        with server(0) as url:
            found["turns"] = [bytes_per_turn(url, turns) for turns in ((3, 10) if options.quick else (10, 100, 1_000))]
        for one in found["turns"]:
            print(
                f"{one['turns']:>6,} turns: {one['log_bytes_per_turn']:>9,.0f} bytes of log a turn, of which "
                f"{one['spoken_bytes_per_turn']:,.0f} were said; whole requests: {one['whole_bytes_per_turn']:,.0f}",
                flush=True,
            )
    if "concurrent" in options.only:
        size = (
            (20, 2, 50.0, 1)
            if options.quick
            else (
                options.conversations,
                options.turns,
                options.answer_ms,
                options.rounds,
            )
        )
        found["concurrent"] = concurrent(*size)
        show(found["concurrent"])
    if options.json:
        machine = {"python": platform.python_version(), "httpx": httpx.__version__, "machine": platform.machine()}
        options.json.write_text(json.dumps({**machine, **found}, indent=2))


if __name__ == "__main__":
    main()
