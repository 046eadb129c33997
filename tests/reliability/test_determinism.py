"""One program, one set of parameters and one seed have one history, whatever the process, the machine and Trio do.

Generated programs are run in worker processes under conditions that must not matter, and their histories
compared by hash. ``make test`` runs a thousand in two processes and some under each other condition;
MATRIX_FUZZ_EXAMPLES=1000 runs as many under each. MATRIX_PYTHONS names further interpreters to compare
with (``make reliability`` sets both). Programs that are not deterministic are the controls.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from matrix.testing.plans import Plan
from matrix.testing.strategies import plans
from tests.reliability import worker
from tests.reliability.crew import Answers, Worker, differing, side_by_side, where_they_part

PROGRAMS = 1_000
EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "60"))
PYTHONS = [path for path in os.environ.get("MATRIX_PYTHONS", "").split(":") if path]

# Programs that once had two histories, ended the runtime, or diverged from it; RESULTS.md tells what was wrong.
FOUND = (0, 22, 23, 34, 131, 223, 232, 270, 671)


@pytest.fixture(scope="module")
def plain() -> Iterator[Worker]:
    """A process under usual conditions."""
    with Worker(hash_seed="0") as found:
        yield found


@pytest.fixture(scope="module")
def other() -> Iterator[Worker]:
    """Another one, whose sets have another order."""
    with Worker(hash_seed="4242") as found:
        yield found


def assert_alike(one: Worker, two: Worker, seeds: range, order: dict[str, Any], **changed: Any) -> Answers:
    """The programs have the same histories under an order and under a changed one."""
    orders = [order, {**order, **changed}]
    histories, others = side_by_side(
        lambda: one.ask(seeds, **orders[0]),
        lambda: two.ask(seeds, **orders[1]),
    )
    if different := differing(histories, others):
        told = where_they_part((one, two), different[0], orders)
        pytest.fail(f"{len(different)} of {len(seeds)} programs have two histories, {different[:20]}\n{told}")
    return histories


def test_a_thousand_programs_have_one_history_each_in_two_processes(plain: Worker, other: Worker) -> None:
    histories = assert_alike(plain, other, range(PROGRAMS), {}, coin=1.0, collector="10")
    assert len({told[0] for told in histories.values()}) == PROGRAMS  # and no two are the same program
    turns = sorted(told[2] for told in histories.values())
    assert turns[PROGRAMS // 2] > 50  # they are programs that do something


CONDITIONS = {
    "Trio's coin fell the other way": {"coin": 0.0},
    "nothing is collected": {"collector": "off", "coin": 1.0},
    "the second engine": {"engine": "handoff"},
    "the second engine, and a coin": {"engine": "handoff", "coin": 1.0, "collector": "10"},
}


@pytest.mark.parametrize("changed", CONDITIONS.values(), ids=CONDITIONS.keys())
def test_a_history_does_not_depend_on(changed: dict[str, Any], plain: Worker, other: Worker) -> None:
    assert_alike(plain, other, range(EXAMPLES), {}, **changed)


def test_a_history_does_not_depend_on_the_load_of_the_machine(plain: Worker, other: Worker) -> None:
    with busy(2):
        assert_alike(plain, other, range(EXAMPLES // 2), {})


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that take what time they get."""
    siblings = [subprocess.Popen([sys.executable, "-c", "while True: sum(range(1000))"]) for _ in range(count)]
    try:
        yield
    finally:
        for sibling in siblings:
            sibling.kill()
            sibling.wait()


@pytest.mark.skipif(shutil.which("setarch") is None, reason="setarch (util-linux) starts a process without ASLR")
def test_a_history_does_not_depend_on_where_memory_lies(plain: Worker) -> None:
    with Worker(hash_seed="1", before=("setarch", "-R")) as fixed:
        assert_alike(plain, fixed, range(EXAMPLES // 2), {})


@pytest.mark.skipif(not PYTHONS, reason="MATRIX_PYTHONS names no other Python; `make reliability` does")
@pytest.mark.parametrize("python", PYTHONS)
def test_a_history_does_not_depend_on_the_version_of_python(python: str, plain: Worker) -> None:
    with Worker(hash_seed="random", python=python) as newer:
        assert_alike(plain, newer, range(EXAMPLES), {}, coin=0.0)


def test_ordered_delivery_needs_no_log_to_be_repeated(plain: Worker, other: Worker) -> None:
    assert_alike(plain, other, range(EXAMPLES), {"delivery": "ordered"}, coin=1.0, collector="10")


def test_the_digest_of_the_log_says_the_same(plain: Worker, other: Worker) -> None:
    assert_alike(plain, other, range(EXAMPLES // 4), {"what": "stored"}, coin=1.0)


@pytest.mark.parametrize("engine", ["auto", "handoff"])
def test_what_came_in_any_order_is_replayed_in_that_order(engine: str, plain: Worker, other: Worker) -> None:
    half = max(1, EXAMPLES // (2 if engine == "auto" else 4))
    order = {"what": "replayed", "delivery": "arrival", "coin": 0.0, "engine": engine}
    answers = side_by_side(
        lambda: plain.ask(range(half), **order),
        lambda: other.ask(range(half, 2 * half), **{**order, "coin": 1.0}),
    )
    replays = {seed: told for some in answers for seed, told in some.items()}
    diverged = {seed: told[2] for seed, told in replays.items() if told[0] != "identical"}
    assert not diverged, f"{sorted(diverged)}\n{next(iter(diverged.values()))}"
    assert len(replays) == 2 * half


def test_what_was_found_once_stays_found(plain: Worker, other: Worker) -> None:
    for seed in FOUND:
        assert_alike(plain, other, range(seed, seed + 1), {}, coin=0.0, engine="handoff")
    told = [plain.ask(range(seed - 2, seed + 2), what="replayed", delivery="arrival", coin=0.0) for seed in (22, 131)]
    assert {status for some in told for status, *_ in some.values()} == {"identical"}


# -- the same, for hypothesis to make a failing program smaller ---------------------------------


@given(plan=plans())
@settings(max_examples=max(15, EXAMPLES // 5), deadline=None, suppress_health_check=list(HealthCheck))
def test_trios_coin_changes_no_history(plan: Plan) -> None:
    one, other = (worker.history_of(plan, coin=coin) for coin in (0.0, 1.0))
    assert one == other


# -- controls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["by_set_order", "by_identity", "by_clock", "by_module_random"])
def test_programs_that_are_not_deterministic_turn_this_red(program: str, plain: Worker, other: Worker) -> None:
    with pytest.raises(pytest.fail.Exception, match="programs have two histories"):
        assert_alike(plain, other, range(4), {"program": program})


@pytest.mark.parametrize("program", ["by_clock", "by_module_random"])
def test_a_replay_finds_what_is_not_recorded(program: str, plain: Worker) -> None:
    told = plain.ask(range(2), what="replayed", program=program)
    assert {status for status, *_ in told.values()} == {"diverged"}
