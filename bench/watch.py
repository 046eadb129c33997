"""How long after an `emit` in one process a watch in another process tells the row, and what that costs both.

One process runs a simulation in real time: agents that emit at a steady rate together, and now and then a probe,
its answer, and a goal. This one watches the store and takes the time at which rows are at hand. Each event says in its
payload when it was emitted. The first fifth, in which the watch opens, is left out.

    python bench/watch.py [--quick] [--seconds 10] [--agents 10] [--only probes,goals] [--rates 1000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import matrix
from matrix.store import Store

RATES = (1_000, 10_000, 100_000)  # offers a second, of all agents together
TURNS_A_SECOND = 200  # of all agents together
PROBE_EVERY = 4  # turns of an agent

#: By name, a watch that tells everything, and some that tell a row now and then. ``at`` is when it was emitted.
WATCHES = {
    "offers": "events offer | select .at as told",
    "probes": "events probe | select .at as told",
    "goals": "goals where succeeded | select .at as told",
    "sequences": "agents | match probe as a then answer as b | select b.wall as told",
}


class Trader(matrix.Agent):
    """Emits what is due at each of its turns."""

    rate: float
    count: int
    every: float
    first: float

    async def run(self) -> None:
        await self.sleep(self.first)  # so that their turns are spread
        done = turn = 0
        while done < self.count:
            await self.sleep(self.every)
            turn += 1
            at = time.time_ns() // 1_000
            if turn % PROBE_EVERY == 0:
                self.emit("probe", at=at)
                with self.goal("deal", at=at):
                    self.emit("answer", at=at)
            due = min(int(self.rate * self.now), self.count)
            for n in range(done, due):
                self.emit("offer", at=at, n=n, item="lamp")
            done = due


async def trade(simulation: Any, rate: int, agents: int, seconds: float) -> None:
    """Agents that trade for so many seconds."""
    own, every = rate / agents, agents / TURNS_A_SECOND
    for number in range(agents):
        first = every * number / agents
        simulation.spawn(Trader, f"t-{number}", rate=own, count=int(own * seconds), every=every, first=first)


def write(store: Path, rate: int, agents: int, seconds: float, used: Any) -> None:
    """Run the simulation; says the share of a core that it took."""
    begun, cpu = time.perf_counter(), time.process_time()
    matrix.run(trade, store=store, time="real", guard="off", rate=rate, agents=agents, seconds=seconds)
    used.value = (time.process_time() - cpu) / (time.perf_counter() - begun)


def measured(text: str, rate: int, agents: int, seconds: float) -> dict[str, float]:
    """Milliseconds from emitted to told, and the share of a core of both processes."""
    spawn = multiprocessing.get_context("spawn")
    used = spawn.Value("d", 0.0)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log").mkdir()
        writing = spawn.Process(target=write, args=(Path(folder), rate, agents, seconds, used))
        writing.start()
        found: list[int] = []
        begun = cpu = 0.0
        for rows in Store(Path(folder)).watch(text, after="start").looks():
            now = time.time_ns() // 1000
            found += [now - row["told"] for row in rows]
            if not begun and rows:
                begun, cpu = time.perf_counter(), time.process_time()
            if not writing.is_alive():
                break
        share = (time.process_time() - cpu) / (time.perf_counter() - begun)
        if writing.exitcode:
            raise SystemExit("the simulation failed")
    half, most, worst = (np.percentile(found[len(found) // 5 :], [50, 99, 100]) / 1000).tolist()
    figures = {"rows": len(found), "p50_ms": half, "p99_ms": most, "max_ms": worst}
    return {**figures, "watcher_share": share, "writer_share": used.value}


def main() -> None:
    """Measure each watch at each rate, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two seconds of each rate")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--only", default=",".join(WATCHES), help=f"some of {','.join(WATCHES)}")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    seconds = 2 if options.quick else options.seconds
    print(f"Python {platform.python_version()}, {platform.machine()}; from emitted to told, {seconds:g} s each")
    measured(WATCHES["offers"], RATES[0], options.agents, 1)  # not told: what is imported the first time
    figures = []
    for rate in map(int, options.rates.split(",")):
        for name in options.only.split(","):
            found = measured(WATCHES[name], rate, options.agents, seconds)
            figures.append({"rate": rate, "watch": name, **found})
            print(
                f"{rate:>7,} events/s, {name:<10}{found['rows']:>9,.0f} rows: p50 {found['p50_ms']:6.1f} ms, "
                f"p99 {found['p99_ms']:6.1f} ms; CPU of the watcher {found['watcher_share']:4.0%}, "
                f"of the writer {found['writer_share']:4.0%}",
                flush=True,
            )
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
