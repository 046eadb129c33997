"""Negotiations forked at each offer: what becomes a pair, and what the example prints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import matrix
from examples.self_play_pairs import fork_at_each_offer, haggling
from matrix.testing.played import play

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "self_play_pairs.py"


def test_nobody_deals_at_a_price_that_is_worse_than_no_deal() -> None:
    for seed in range(20):
        played = play(haggling, seed=seed)
        assert played.outcome.status == "finished"
        started = {e.agent: e.data["parameters"]["reserve"] for e in played.of("agent.started")}
        for deal in played.of("goal.succeeded"):
            sign = 1 if played.names()[deal.agent] == "buyer" else -1
            assert sign * (started[deal.agent] - deal.data["price"]) >= 0
            assert deal.data["reward"] >= 0
        assert len(played.of("goal.succeeded")) in (0, 2)


def test_pairs_are_of_one_moment_with_two_answers(tmp_path: Path) -> None:
    games = [outcome.id for outcome in matrix.run(haggling, store=tmp_path / "runs", seed=11, simulations=2)]
    with matrix.open(tmp_path / "runs") as store:
        assert len(games) == 2
        assert len(fork_at_each_offer(store, games, 2)) >= 4
        done = store.export("agents", tmp_path / "pairs.jsonl", as_="pairs")
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(pairs) == done.rows > 0
    for pair in pairs:
        assert pair["prompt"][0]["role"] == "system"
        assert pair["prompt"][-1]["role"] != "assistant"
        assert pair["chosen"][0]["role"] == pair["rejected"][0]["role"] == "assistant"
        assert pair["chosen"][0]["content"] != pair["rejected"][0]["content"]
        better, worse = ((pair[f"{side}_reward"], pair[f"{side}_outcome"]) for side in ("chosen", "rejected"))
        assert better[0] > worse[0] or (better, worse) == ((0.0, "succeeded"), (0.0, "failed"))


def test_the_program_prints_a_pair(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLE, "--games", "4", "--branches", "2"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"4 negotiations, \d+ forks\n", done.stdout)
    assert "['prompt', 'chosen', 'rejected']" in done.stdout
    assert "\nchosen\n  assistant  " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs-1-1", "runs"]
