"""Playback: what came from outside is fed to a simulation from its history, at the steps at which it came.

The same program with the same seed does the same as long as the same inputs arrive at the same places.
A playback holds those of one history up to its newest event (or an earlier one: the cut), lands each at
its step, and answers calls without touching the outside. What always holds: inputs land in the order of
their steps; an answer goes to the request of the same ``call_id``; a call whose answer is not in the
history gets none.
"""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from matrix.event import (
    CALL_FAMILIES,
    MODEL_CALLED,
    SIMULATION_ENDS,
    SIMULATION_FINISHED,
    SIMULATION_INPUT,
    SIMULATION_PATCHED,
)
from matrix.limits import INT64_MAX
from matrix.runtime.scheduling.arrival import Arrival, Resumption, arrival_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matrix.event import Event
    from matrix.log.history import History
    from matrix.runtime.calls.call import Call
    from matrix.runtime.scheduling.scheduler import Scheduler

INPUT_KINDS = frozenset(
    {SIMULATION_INPUT, SIMULATION_PATCHED, MODEL_CALLED, *SIMULATION_ENDS}
    | {f"{family}.{end}" for family in CALL_FAMILIES for end in ("completed", "failed")}
)


_OUTSIDE = frozenset({"attempts", "unknown", "step"})  # one of them is in every answer that came from there

CallKey: TypeAlias = tuple[int, str]  # the number of the agent that asked, and the call_id


class Answer(NamedTuple):
    """What the outside answered: ``data`` is that of the call's ``completed`` or ``failed``."""

    key: CallKey
    data: dict[str, Any]


class Input(NamedTuple):
    """Something that came at a step: an answer, or another arrival, or (None) the end of a wait that comes again."""

    step: int
    arrival: int
    time: int
    what: Answer | Arrival | None
    agent: str = ""
    task: int = 0


class Playback:
    """The inputs of one history, and where in it a simulation stands."""

    def __init__(self, history: History, last_seq: int) -> None:
        self.last_seq = last_seq
        self.turns_max = INT64_MAX
        self.is_ended_by_time = False  # at its ``until``: what was waited for there may be in no event
        self.is_waiting = False  # the next input is the end of a wait that is really waited for again
        self._patches: dict[int, str] = {}
        # By agent and call_id: an agent may be named like the program, which has the number 0.
        self._answers: dict[CallKey, Answer] = {}
        self._endpoints: dict[CallKey, str] = {}
        self._queue: deque[Input] = deque()
        self._pending: dict[CallKey, Call] = {}  # requests whose answer has not landed, in the order they were made
        self._resumed: dict[tuple[str, int], Resumption] = {}
        self._read(history.events(last_seq=last_seq, kinds=INPUT_KINDS))

    def _read(self, events: Iterable[Event]) -> None:
        inputs: list[Input] = []
        for event in events:
            if event.kind == SIMULATION_PATCHED:
                self._patches[event.seq] = str(event.data.get("name"))
            elif event.kind == MODEL_CALLED:
                self._endpoints[event.agent, str(event.data["call_id"])] = sys.intern(
                    str(event.data.get("endpoint", ""))
                )
            elif event.kind in SIMULATION_ENDS:
                self.turns_max = event.data["counts"]["turns"]
                self.is_ended_by_time = event.kind == SIMULATION_FINISHED and event.data.get("reason") == "until"
            elif event.kind == SIMULATION_INPUT:
                data = event.data
                who = str(data.get("agent", "")), int(data.get("task", 0))
                inputs.append(Input(*_order(data), event.time, arrival_of(event), *who))
            elif event.kind.startswith("tool.") and _OUTSIDE.isdisjoint(event.data):
                continue  # of a tool that ran inside, or that could not be asked: it runs again
            elif event.data.get("cancelled"):
                if "step" in event.data:  # it had come, and was not taken any more
                    came = Answer((event.agent, str(event.data["call_id"])), dict(event.data))
                    inputs.append(Input(*_order(event.data), int(event.data["arrived"]), came))
            else:
                answer = Answer((event.agent, str(event.data["call_id"])), dict(event.data))
                self._answers[answer.key] = answer
                if "step" in event.data:  # else it has a place of its own in the schedule: a call of fixed latency
                    inputs.append(Input(*_order(event.data), event.time, answer))
        # Answers are recorded in the turns they lead to, which may be in another order than that of their arrival.
        self._queue.extend(sorted(inputs, key=lambda i: i.arrival))

    # -- for the scheduler ---------------------------------------------------------------------

    @property
    def next_step(self) -> int:
        """The step at which the next input is due."""
        return self._queue[0].step if self._queue else INT64_MAX

    def is_due(self, scheduler: Scheduler) -> bool:
        """Whether an input can land now."""
        return self.next_step <= scheduler.step

    def land_due(self, scheduler: Scheduler) -> None:
        """At the top of the loop: land all that came at this step."""
        self.is_waiting = False
        self._keep_resumptions(scheduler)
        while self._queue and self._queue[0].step == scheduler.step and not scheduler.is_halted:
            if not self._land(self._queue[0], scheduler):
                break
            self._queue.popleft()
            if scheduler.playback is not self:
                return  # the history ended within, and the simulation goes on without it
        scheduler.stop_at = self.next_step
        if self.next_step < scheduler.step or scheduler.turns > self.turns_max:
            scheduler.halt()  # what came then can come no more: it went another way

    def _land(self, due: Input, scheduler: Scheduler) -> bool:
        if not scheduler.is_anything_ready():
            scheduler.move_to(due.time)
        scheduler.landed = due.arrival
        if isinstance(due.what, Answer):
            request = self._pending.pop(due.what.key, None)
            if request is None:
                scheduler.halt()  # nobody asked
                return False
            request.land(scheduler)
        elif due.what is not None:
            if not due.what.can_land(scheduler):
                scheduler.halt()  # who it was for is not there
                return False
            due.what.land(scheduler)
        else:
            who = due.agent, due.task
            resumption = self._resumed.pop(who, None)
            if resumption is None:
                self.is_waiting = who in scheduler.foreign
                if not self.is_waiting:
                    scheduler.halt()  # nobody waits there
                return False
            resumption.land(scheduler)
        return True

    def _keep_resumptions(self, scheduler: Scheduler) -> None:
        for arrival in scheduler.arrivals:
            if isinstance(arrival, Resumption):
                self._resumed[arrival.activity.agent.id, arrival.activity.order] = arrival
        scheduler.arrivals.clear()

    # -- for calls and programs ----------------------------------------------------------------

    def begin(self, request: Call) -> None:
        """Give a request the answer that it got then; it lands, or has its place, as it did then."""
        key = _key(request)
        answer = self._answers.pop(key, None)
        self._pending[key] = request
        if answer is not None:
            request.answer(answer.data)
            if request.latency is not None:
                del self._pending[key]

    def drop(self, request: Call) -> None:
        """Nobody waits for the answer any more."""
        was_pending = self._pending.pop(_key(request), None) is not None  # else it has landed, and is in flight no more
        if was_pending and request.latency is None:
            request.scheduler.inflight -= 1

    def left(self) -> list[Resumption]:
        """Waits of Trio's own that have ended, and whose end is not in the history."""
        return list(self._resumed.values())

    def endpoint_of(self, agent: int, call_id: str) -> str:
        """The address that a model was asked at; empty where the history has no such call, or none that says."""
        return self._endpoints.get((agent, call_id), "")

    def pending(self) -> list[Call]:
        """Requests that have no answer in the history, in the order they were made."""
        return list(self._pending.values())

    def is_patched(self, name: str, seq: int) -> bool:
        """Whether the history says at ``seq`` that the program goes the new way of a patch from there on."""
        return self._patches.get(seq) == name


def _key(request: Call) -> CallKey:
    return request.activity.agent._number, request.call_id


def _order(data: Mapping[str, Any]) -> tuple[int, int]:
    return int(data["step"]), int(data["arrival"])
