"""Virtual time of one simulation: ready lanes, timers, and how far the wall clock lets it go.

Time is whole microseconds and never runs back. It stands still during turns; timers wait in one list
per instant, in the order in which they were set, and all of an instant become ready together, when
nothing else is (a delta cycle). While calls are in flight time follows the wall clock from where it
stood ("pace"), stands ("freeze"), or goes on to the next timer ("free").
"""

from __future__ import annotations

import heapq
from collections import deque
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from matrix.errors import ProgramError
from matrix.limits import INT64_MAX, TURNS_WITHOUT_TIME_MAX
from matrix.runtime.durations import US_PER_SECOND, microseconds
from matrix.runtime.inputs import monotonic_ns, stream
from matrix.runtime.scheduling.activity import ACTION, ACTIVITY, ENDED, REACTIVE
from matrix.runtime.scheduling.life import Life
from matrix.runtime.scheduling.shuffle import Chance, ShuffledLane

if TYPE_CHECKING:
    from matrix.runtime.again.playback import Playback
    from matrix.runtime.options import Options
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.simulation import Simulation


class Clock(Life):
    """What is ready now, what becomes ready later, and when now is."""

    def __init__(self, simulation: Simulation, recorder: Recorder, *, seed: int, ordinal: int) -> None:
        super().__init__(simulation, recorder, seed=seed, ordinal=ordinal)
        self.lanes: list[deque[Any]] = []  # what is ready, by priority
        self._lane_of: dict[int, deque[Any]] = {}
        self.timers: dict[int, list[tuple[Any, Any]]] = {}
        self.instants: list[int] = []  # a heap of the keys of timers
        self.inflight = 0  # calls whose answer comes as it comes
        self.turns = self.turns_at_move = 0
        self.moves = 0  # times that time moved to a timer, and actions that fired
        self.stop_at = INT64_MAX  # the step at which a recorded input is due, in a replay
        self.playback: Playback | None = None  # feeds recorded inputs; None when they come from outside
        self.turns_without_time_max = TURNS_WITHOUT_TIME_MAX
        self.chance: Chance | None = None  # who goes first among those ready; None: who came first
        self.is_real = False  # virtual time follows the wall clock throughout
        self.speed = 1.0  # virtual seconds in a second of the wall clock, where it does
        self._pace = (0, 0)  # virtual and monotonic instant from which virtual time follows the wall clock

    def configure(self, options: Options) -> None:
        """Before anything is ready: the limits, and how time and order go."""
        self.until, self.turns_max, self.events_max = options.until_us, options.turns_max, options.events_max
        self.policy, self.turns_without_time_max = options.policy, options.turns_without_time_max
        self.is_real, self.speed = options.time == "real", options.speed
        self.chance = Chance(stream(self.seed, "", "shuffle")) if options.shuffle else None

    @property
    def step(self) -> int:
        """The place in the schedule at which inputs take effect: turns taken, moves of time, actions fired so far.

        Turns alone would not do: an answer before a timeout fires and one after it make different histories.
        """
        return self.turns + self.moves

    def lane(self, priority: int) -> deque[Any]:
        """The ready queue of a priority."""
        lane = self._lane_of.get(priority)
        if lane is None:
            new: Any = deque() if self.chance is None else ShuffledLane(self.chance)
            lane = self._lane_of[priority] = cast("deque[Any]", new)
            self.lanes[:] = [self._lane_of[p] for p in sorted(self._lane_of)]
        return lane

    def after(self, duration: float | timedelta) -> int:
        """The instant ``duration`` seconds from now, in microseconds."""
        instant = self.now + microseconds(duration)
        if instant > INT64_MAX:
            raise ProgramError(f"{duration!r} seconds from now is later than virtual time goes, which is 292,000 years")
        return instant

    def at(self, instant: int, target: Any, item: Any) -> None:
        """Let ``target`` become ready at an instant."""
        entries = self.timers.get(instant)
        if entries is None:
            self.timers[instant] = [(target, item)]
            heapq.heappush(self.instants, instant)
        else:
            entries.append((target, item))

    def _advance(self) -> bool:
        """Move to the next instant at which something becomes ready; False when there is none to move to now."""
        instants = self.instants
        if self.turns + self.moves >= self.stop_at:
            return False
        while instants:
            instant = instants[0]
            if self.until is not None and instant > self.until:
                break
            if instant > self.now and not self._may_pass_to(instant):
                return False
            heapq.heappop(instants)
            if self._ripen(instant):
                return True
        return False

    def _ripen(self, instant: int) -> bool:
        """Make the timers of an instant ready, all of them, in the order in which they were set."""
        moved = False
        for target, item in self.timers.pop(instant):
            mode = target._mode
            if mode == ACTIVITY:
                if not target.waiting or target.token != item:
                    continue  # that wait was ended by a cancellation
                target.waiting = False
                target.agent._lane.append((target, None))
            elif mode == ACTION:
                if target.is_stale:
                    continue
                self.lane(0).append((target, None))
            elif mode == ENDED or item.is_cancelled:
                continue
            elif mode == REACTIVE:
                target._waiting += 1
                target._lane.append((target, item))
            else:
                self.queue(target, item)
            moved = True
        if moved:
            self.moves += 1
            self.move_to(instant)
        return moved

    def _may_pass_to(self, instant: int) -> bool:
        """Whether the wall clock lets time move to an instant; in a replay the recorded inputs say when it did."""
        if self.playback is not None:
            return True
        follows = self.is_real and self.ending is None  # cleanup may sleep, and nobody watches it
        if not follows and (not self.inflight or self.simulation.pace == "free"):
            return True
        return instant <= self._wall_instant()

    def move_to(self, instant: int) -> None:
        """Virtual time moves; never back."""
        if instant > self.now:
            self.now = instant
            self.turns_at_move = self.turns
            if self.recorder.owner is self:
                self.recorder.now = instant
                self.recorder.place()

    def begin_call(self) -> None:
        """A call is in flight whose answer comes as it comes: virtual time follows the wall clock from here."""
        if self.inflight == 0 and not self.is_real:
            self.pace_from_here()
        self.inflight += 1

    def pace_from_here(self) -> None:
        """Virtual time stands where it stands now, and the wall clock goes on from there."""
        self._pace = (self.now, monotonic_ns())

    def _wall_instant(self) -> int:
        """How far virtual time may have come: where it is real, or while calls are in flight."""
        if self.simulation.pace != "pace" and not self.is_real:
            return self.now
        began, wall = self._pace
        return max(self.now, began + int((monotonic_ns() - wall) * self.speed) // 1000)

    def next_instant(self) -> int | None:
        """The next instant at which anything becomes ready; those that nobody waits for any more are dropped."""
        while self.instants and (self.until is None or self.instants[0] <= self.until):
            if any(not is_stale(target, item) for target, item in self.timers[self.instants[0]]):
                break
            del self.timers[heapq.heappop(self.instants)]
        return self.instants[0] if self.instants else None

    def wall_seconds_to(self, instant: int) -> float:
        """How long the wall clock takes to let virtual time come to an instant."""
        return max(0, instant + 1 - self._wall_instant()) / (US_PER_SECOND * self.speed)

    def _follow_wall(self) -> None:
        """Inputs arrive at the instant that the wall clock says, but never past the next timer."""
        if self.is_real or (self.inflight and self.simulation.pace == "pace"):
            instant = self._wall_instant()
            bounds = [b for b in (self.instants[0] if self.instants else None, self.until) if b is not None]
            self.move_to(min([instant, *bounds]))


def is_stale(target: Any, item: Any) -> bool:
    """Whether nobody waits any more for something that was to become ready."""
    mode = target._mode
    if mode == ACTIVITY:
        return not target.waiting or target.token != item
    return bool(target.is_stale) if mode == ACTION else mode == ENDED or bool(item.is_cancelled)
