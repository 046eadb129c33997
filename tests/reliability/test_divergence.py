"""A program that was changed in one place diverges from its history exactly where two runs of it part.

The oracle: the changed program is also run by itself, and the two recorded histories are compared event by
event in plain Python. ``MATRIX_FUZZ_EXAMPLES`` says how many programs are changed.
"""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import matrix
from matrix.event import ENVIRONMENT_FIELDS, Event
from matrix.testing.plans import Act, Plan, plan_of
from matrix.testing.played import history
from matrix.testing.programs import generated

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "25"))
changed: dict[str, Plan] = {}


async def as_changed(simulation: matrix.Simulation, plan: Plan, is_ordered: bool = True) -> None:
    """What ``generated`` does with a plan that was changed meanwhile."""
    simulation.parameters["plan"] = changed["plan"]
    await generated(simulation, changed["plan"], is_ordered)


as_changed.__name__ = "generated"  # the first event says what a program is called


def acts_of(value: Any) -> Iterator[list[Act]]:
    """All lists of acts in a plan, the nested ones too."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("acts", "steering") and inner:
                yield inner
            yield from acts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from acts_of(inner)


def change(plan: Plan, chance: Random) -> Plan:
    """The plan with one act gone, twice there, exchanged with the next one, or with another value in it."""
    other = copy.deepcopy(plan)
    acts = chance.choice(list(acts_of(other)))
    place = chance.randrange(len(acts))
    how = chance.choice(["less", "more", "order", "value"])
    if how == "less":
        del acts[place]
    elif how == "more":
        acts.insert(place, copy.deepcopy(acts[place]))
    elif how == "order":
        acts[place], acts[place - 1] = acts[place - 1], acts[place]
    else:
        numbers = [name for name, value in acts[place].items() if type(value) in (int, float)]
        if numbers:
            acts[place][chance.choice(numbers)] += 1
    return other


def parting(one: list[Event], other: list[Event]) -> int | None:
    """The number of the first event that is not the same in two histories."""
    for mine, theirs in zip(one, other, strict=False):
        if said(mine) != said(theirs):
            return mine.seq
    return None if len(one) == len(other) else min(len(one), len(other)) + 1


def said(event: Event) -> str:
    data = {name: value for name, value in event.data.items() if name not in ENVIRONMENT_FIELDS}
    told = (event.seq, event.time, event.agent, event.turn, event.goal, event.state, event.cause, event.kind, event.to)
    return repr((told, sorted(data.items())))


def outcome_of(program: Any, store: Path, plan: Plan) -> matrix.Outcome:
    try:
        return matrix.run(program, store=store, seed=5, index=False, plan=plan, **plan["options"])
    except matrix.SimulationFailed as failed:
        return failed.outcome


def test_a_change_is_found_where_two_runs_part(tmp_path: Path) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(EXAMPLES):
        plan = plan_of(seed)
        if not list(acts_of(plan)):
            continue
        changed["plan"] = change(plan, Random(seed))
        recorded = outcome_of(generated, tmp_path / str(seed), plan)
        by_itself = outcome_of(as_changed, tmp_path / f"{seed} changed", plan)
        expected = parting(history(recorded), history(by_itself))
        with matrix.open(tmp_path / str(seed)) as store:
            replay = store.replay(recorded.id, program=as_changed)
        found = replay.divergence.seq if replay.divergence is not None else None
        assert found == expected, f"seed {seed}: {replay}"
        kinds[replay.divergence.kind if replay.divergence is not None else "no difference"] += 1
    print(dict(kinds))
    assert len(kinds) >= 3


def test_a_program_that_was_not_changed_does_not_diverge(tmp_path: Path) -> None:
    plan = plan_of(3)
    changed["plan"] = plan
    recorded = outcome_of(generated, tmp_path, plan)
    with matrix.open(tmp_path) as store:
        assert store.replay(recorded.id, program=as_changed).status == "identical"
