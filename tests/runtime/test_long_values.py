"""Runs whose events have long values in common: replayed, forked and compacted, they are what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matrix
from matrix.log.compact import compact_log
from matrix.log.writer import Writer

POLICY = " ".join(f"Rule {n}: at most {n * 7 % 91} coins may be given back without asking." for n in range(150))
TOOLS = [{"name": f"tool_{n}", "description": f"What tool {n} does, and when to use it. " * 8} for n in range(12)]


async def look_up(n: int) -> dict[str, Any]:
    return {"tools": [dict(tool) for tool in TOOLS], "policy": POLICY, "n": n}


class Clerk(matrix.Agent):
    async def run(self) -> None:
        for n in range(4):
            found = await self.call(look_up, n)
            self.emit("learnt", system=POLICY, tools=found["tools"], seen=len(found["tools"]))
            found["tools"].pop()  # what a clerk does to an answer is no other answer's business
            found["tools"][0]["name"] += "!"
            self.emit("thought", note={"left": found["tools"], "n": n})
            await self.sleep(1)


async def office(simulation: matrix.Simulation, clerks: int = 3) -> None:
    for n in range(clerks):
        simulation.spawn(Clerk, f"clerk-{n}")


def test_runs_with_long_values_replay_fork_and_compact(tmp_path: Path) -> None:
    outcomes = [matrix.run(office, store=tmp_path, seed=seed) for seed in range(3)]
    data = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*.seg")))
    assert data.count(POLICY.encode()) == 1
    with matrix.open(tmp_path) as store:
        assert [replay.status for replay in store.replay_all()] == ["identical"] * 3
        assert [replay.digest for replay in store.replay_all()] == [outcome.digest for outcome in outcomes]
        asked = "events learnt where .tools[3].name = 'tool_3' and .system contains 'Rule 77' | select .seen"
        assert [list(row.values()) for row in store.query(asked).rows()] == [[12]] * 36
        (fork,) = store.fork(outcomes[0].id, at=20)
        assert store.replay(fork.id).status == "identical"
    with Writer.open(tmp_path / "log", shard=1, segment_bytes_max=1) as writer, writer.transaction():
        pass
    assert compact_log(tmp_path / "log").damaged == []
    with matrix.open(tmp_path) as store:
        assert [replay.status for replay in store.replay_all()] == ["identical"] * 4
        assert len(store.query(asked).rows()) >= 36
