"""Killed at a random moment and resumed: nothing twice, nothing lost, and a history that could have been.

``MATRIX_KILLS=200`` kills as many runs; `make reliability` does. A failure prints the seed that draws the moments.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import matrix
from matrix.runtime.scheduling import scheduler
from tests.reliability import payers

KILLS = int(os.environ.get("MATRIX_KILLS", "8"))
SEED = int(os.environ.get("MATRIX_SEED", "0")) or random.SystemRandom().randrange(2**32)
BILLS, PAYERS, SIMULATIONS = 10, 8, 3


def killed(folder: Path, wait: float, seed: int) -> Path:
    """A store whose writer was killed ``wait`` seconds after its log was there."""
    store, effects = folder / "store", folder / "effects"
    command = [sys.executable, payers.__file__, str(store), str(effects), str(seed)]
    process = subprocess.Popen(command)
    limit = time.monotonic() + 60
    while not list(store.glob("log/*/*.seg")) and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return store


def check(store_path: Path, effects: Path) -> Counter[str]:
    """Resume, and look at everything; returns what was found."""
    found: Counter[str] = Counter()
    with matrix.open(store_path) as store:
        for done in store.resume():
            assert done.outcome is not None, done.refusal
            assert done.outcome.status == "finished", done.outcome
            found["resumed"] += 1
        for replay in store.replay_all():
            assert replay.status == "identical", str(replay)
            found["simulations"] += 1
            _check_history(store, replay.id, found)
    lines = Counter(effects.read_text().split()) if effects.exists() else Counter()
    assert not [key for key, times in lines.items() if times > 1]
    return found


def _check_history(store: matrix.Store, id: str, found: Counter[str]) -> None:
    events = list(store.events(id))
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    asked = Counter(event.data["call_id"] for event in events if event.kind == "call.called")
    ended = Counter(event.data["call_id"] for event in events if event.kind in ("call.completed", "call.failed"))
    assert len(asked) == PAYERS * BILLS * 2 and set(asked.values()) == {1} and asked == ended
    booked = [event.data for event in events if event.kind == "booked"]
    assert len(booked) == PAYERS * BILLS
    unclear = [event for event in events if event.data.get("unknown")]
    assert booked[-1]["unclear"] == len(unclear) == sum(event.kind == "goal.failed" for event in events)
    found["unclear"] += len(unclear)


def test_killed_at_random_moments_and_resumed(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    found: Counter[str] = Counter()
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        try:
            found += check(killed(folder, chance.random() * 0.6, kill * 10), folder / "effects")
        except BaseException:
            print(f"MATRIX_SEED={SEED}, kill {kill}")
            raise
    print(f"{KILLS} kills: {dict(found)}")
    assert found["resumed"] > 0


def test_the_control_sending_again_what_was_in_flight_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def send_again(self: scheduler.Scheduler, call: object) -> None:
        if self.playback is not None:
            self.playback.begin(call)
        else:
            self.simulation.runtime.outside.start(call)

    monkeypatch.setattr(scheduler.Scheduler, "begin", send_again)
    for kill in range(12):
        folder = tmp_path / str(kill)
        folder.mkdir()
        try:
            check(killed(folder, 0.05 * kill, kill * 10), folder / "effects")
        except AssertionError:
            return
    raise AssertionError("requests were sent twice, and nobody noticed")
