"""The market of lamps, small: its rules, and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.negotiation import negotiation
from matrix.testing.played import play

ROOT = Path(__file__).parent.parent.parent


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 8))
def test_nobody_pays_more_than_their_limit_and_no_seller_sells_what_it_has_not(
    seed: int, buyers: int, sellers: int
) -> None:
    played = play(negotiation, seed=seed, buyers=buyers, sellers=sellers)
    assert played.outcome.status == "finished"
    started = {e.agent: e.data["parameters"] for e in played.of("agent.started") if "parameters" in e.data}
    sold = [(e.agent, e.to[0], e.data["price"]) for e in played.of("accept")]
    for seller, buyer, price in sold:
        assert price <= started[buyer]["limit"]
        assert price >= started[seller]["floor"]
    assert len({buyer for _, buyer, _ in sold}) == len(sold)  # one lamp each
    for seller in {seller for seller, _, _ in sold}:
        assert [s for s, _, _ in sold].count(seller) <= started[seller]["stock"]
    deals = [e for e in played.of("goal.succeeded") if "saved" in e.data]
    assert sorted(e.data["price"] for e in deals) == sorted(price for _, _, price in sold)


def test_the_program_prints_its_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "negotiation.py", "--buyers", "40", "--store", tmp_path / "runs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("240 agents, ")
    assert done.stdout.count("rows\n") == 3
