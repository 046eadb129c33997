"""Episodes: one row for each agent and goal, as steps of observation, action and reward; without goals its whole life.

    {"steps": [{"observation": [{"role": "user", "content": "40?"}], "action": {"role": "assistant", "content": "45."},
                "reward": 0.0, "terminated": false, "truncated": false, "seq": 12, "time": 1500000}, …],
     "reward": 1.0, "terminated": true, "truncated": false, "goal": 6, "name": "sell", "outcome": "succeeded", …}

An **action** is what the agent did: a message of its own with the calls in it, an event of its own that it sent to
nobody (a vote, an order), or the answer of a model that it asked. The **observation** is what reached it since its
action before, in any conversation: messages, answers of tools, and for a model what it was shown anew. What came
after the last action is the row's ``final_observation``.

The **reward** of a goal (see ``goals``) stands at the last step that was done when it ended, 0.0 at all others. Goals
inside a goal bring theirs at their own ends, so the steps' rewards add up to the goal's own and those inside it.
The signals are those of Gymnasium's ``Env.step`` (gymnasium.farama.org/api/env): ``terminated`` when the goal came to
an end of its own, ``truncated`` when something outside ended it: a time limit, a cancellation, the recording's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from matrix.event import Event
from matrix.export import goals as judged
from matrix.export.chains import Asked
from matrix.export.chat import SILENT, provenance
from matrix.export.contract import Row
from matrix.export.conversation import conversations
from matrix.export.message import json_text
from matrix.export.simulation import simulations
from matrix.report.texts import compared

if TYPE_CHECKING:
    from matrix.export.contract import Options, Reading
    from matrix.export.selection import Selection
    from matrix.export.simulation import Actor, Simulation

OTHER_GOALS: Final = "goals during which the agent did nothing"


@dataclass(slots=True)
class Step:
    """One action of an agent, and what it saw before."""

    seq: int
    time: int
    observation: list[dict[str, Any]]
    action: dict[str, Any]


@dataclass(slots=True)
class _Happened:
    """A message that an agent saw or said, at its place in the history."""

    seq: int
    time: int
    message: dict[str, Any]
    is_own: bool


@dataclass(slots=True)
class Course:
    """All steps of an agent's life, and what reached it: ``happened`` in order."""

    happened: list[_Happened] = field(default_factory=list)

    def steps(self, first_seq: int, last_seq: int) -> tuple[list[Step], list[dict[str, Any]]]:
        """The steps whose actions lie between two events, and what was seen behind the last of them.

        What had reached the agent since its last action before the first event belongs to its first observation.
        """
        steps: list[Step] = []
        seen: list[dict[str, Any]] = []
        for one in self.happened:
            if one.seq > last_seq:
                break
            if not one.is_own:
                seen.append(one.message)
                continue
            if one.seq >= first_seq:
                steps.append(Step(one.seq, one.time, seen, one.message))
            seen = []
        return steps, seen


def rows(store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
    """A row for each agent and goal of a selection, simulation by simulation."""
    for simulation in simulations(store, selection, options.counts):
        asked = Asked(options.counts)
        for event in simulation.asked:
            asked.feed(event)
        for actor in simulation.chosen():
            course = _asked(actor, asked) if asked.has_asked(actor.number) else _lived(simulation, actor, options)
            yield from _rows_of(simulation, actor, course, options)


def _rows_of(simulation: Simulation, actor: Actor, course: Course, options: Options) -> Iterator[Row]:
    counts, chosen = options.counts, simulation.selected.goals
    some = [goal for goal in actor.goals if chosen is None or goal.seq in chosen]
    found: list[judged.Goal | None] = [*some] if some else [] if chosen is not None else [None]
    for goal in found:
        row = _row(simulation, actor, course, goal, options)
        if row is None:
            counts.left_out[SILENT if goal is None else OTHER_GOALS] += 1
        else:
            counts.taken["episodes"] += 1
            counts.taken["steps"] += len(row.data["steps"])
            yield row


def _row(
    simulation: Simulation, actor: Actor, course: Course, goal: judged.Goal | None, options: Options
) -> Row | None:
    first_seq = 1 if goal is None else goal.seq
    last_seq = (0 if goal is None else goal.end_seq) or simulation.last_seq
    steps, behind = course.steps(first_seq, last_seq)
    if not steps:
        return None
    inside = _inside(actor, goal)
    rewards = _rewards(steps, inside)
    is_truncated = actor.status not in ("finished", "failed") if goal is None else goal.is_cut_short
    last = len(steps) - 1
    told = [
        {
            "observation": step.observation,
            "action": step.action,
            "reward": rewards[place],
            "terminated": place == last and not is_truncated,
            "truncated": place == last and is_truncated,
            "seq": step.seq,
            "time": step.time,
        }
        for place, step in enumerate(steps)
    ]
    data = {
        "steps": told,
        "final_observation": behind,
        "reward": sum(rewards),
        "terminated": not is_truncated,
        "truncated": is_truncated,
        **provenance(simulation, actor, options),
        "goal": None if goal is None else goal.seq,
        "name": None if goal is None else goal.name,
        "parent_goal": None if goal is None else goal.parent or None,
        "outcome": "none" if goal is None else goal.status,
        "reason": None if goal is None else goal.reason,
        "first_seq": first_seq,
        "last_seq": last_seq,
    }
    said = [message for step in steps for message in (*step.observation, step.action)]
    return Row(data, simulation.selected.family, compared(said))


def _inside(actor: Actor, goal: judged.Goal | None) -> list[judged.Goal]:
    """A goal, and those of the same agent that are inside it, at any depth."""
    if goal is None:
        return []
    found = {goal.seq}
    for other in actor.goals:  # in order of their starts, so parents come first
        if other.parent in found:
            found.add(other.seq)
    return [other for other in actor.goals if other.seq in found]


def _rewards(steps: list[Step], goals: list[judged.Goal]) -> list[float]:
    """By step, what the goals brought that ended before the next one."""
    rewards = [0.0] * len(steps)
    for goal in goals:
        if goal.reward is None:
            continue
        done = [place for place, step in enumerate(steps) if step.seq <= goal.end_seq]
        rewards[done[-1] if done else 0] += goal.reward
    return rewards


# -- what an agent saw and did ----------------------------------------------------------------------


def _asked(actor: Actor, asked: Asked) -> Course:
    """Of an agent that asked models: what each was shown anew, and answered."""
    course = Course()
    answered = [one for chain in asked.chains(actor.number) for one in chain.answered]
    for one in sorted(answered, key=lambda one: one.answer.seq):
        for message in one.shown():
            course.happened.append(_Happened(one.answer.seq, one.answer.time, message, is_own=False))
        course.happened.append(_Happened(one.answer.seq, one.answer.time, one.message, is_own=True))
    return course


def _lived(simulation: Simulation, actor: Actor, options: Options) -> Course:
    """Of an agent that speaks by messages and tools: its conversations in one, and what it did without words."""
    course = Course()
    for one in conversations(simulation, actor, options.counts):
        for said in one.said:
            course.happened.append(_Happened(said.first.seq, said.first.time, said.message, said.is_own))
    course.happened += [_Happened(event.seq, event.time, _done(event), is_own=True) for event in actor.deeds()]
    order = {event.seq: place for place, event in enumerate(actor.events)}
    course.happened.sort(key=lambda one: order[one.seq])
    return course


def _done(event: Event) -> dict[str, Any]:
    return {"role": "assistant", "content": json_text({"kind": event.kind, "data": dict(event.data)})}
