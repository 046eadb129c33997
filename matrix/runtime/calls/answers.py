"""Answers that a runtime has already: for requests with ``cache=True``.

A request that is identical to one that was answered in this store before, by any simulation of any run, gets that
answer and asks nobody. What was answered before this runtime began is found by one walk over the log, when the first
such request is made; what is answered from then on is remembered. What other processes answer meanwhile is not seen.
Identical requests that are under way at once are one: the first leads, the others wait for what it gets, failures
included, and take over when it is given up.

What always holds: who leads is decided in the turn that asks, so it follows from the order of turns; in a replay none
of this is used, the answer is in the history like any other.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

import trio

from matrix.errors import EndpointError
from matrix.limits import CACHED_ANSWERS_KEPT_MAX
from matrix.log.answers import AnswerFound, AnswerPlace, LoggedAnswers
from matrix.log.reader import LogReader

if TYPE_CHECKING:
    from matrix.runtime.calls.model import ModelCall
    from matrix.runtime.runtime import Runtime

#: What an answer says that is not of the one call that got it.
FIELDS: Final = (
    "message",
    "finish_reason",
    "tokens",
    "prompt_tokens",
    "completion_tokens",
    "usage",
    "response_id",
    "response_model",
    "logprobs",
    "choices",
    "extra",
)


class Flight:
    """A request under way that others may wait for."""

    def __init__(self, leader: ModelCall) -> None:
        self.leader = leader
        self.over = trio.Event()  # it has an answer, or failed, or was given up
        self.fields: dict[str, Any] | None = None
        self.error: EndpointError | None = None
        self._source: dict[str, Any] | None = None

    def answer(self, fields: dict[str, Any], source: dict[str, Any] | None = None) -> None:
        """The leader has the answer; ``source`` says where it was taken from, None for the endpoint."""
        self.fields, self._source = fields, source
        self.over.set()

    def fail(self, error: EndpointError | None = None) -> None:
        """The leader failed, or (None) was given up."""
        self.error = error
        self.over.set()

    def recorded(self, seq: int) -> None:
        """The leader's answer is the event ``seq``."""
        if self._source is None:
            self._source = {"simulation": self.leader.simulation_id, "seq": seq}

    @property
    def source(self) -> dict[str, Any]:
        """Where who waited has its answer from: an event, or of one that is not recorded yet, the request's."""
        return self._source or {"simulation": self.leader.simulation_id, "called": self.leader.seq}


class Answers:
    """The answers of one runtime."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._is_used = False
        self._logged: LoggedAnswers | None = None
        self._places: dict[str, AnswerPlace] = {}
        self._kept: OrderedDict[str, AnswerFound] = OrderedDict()  # oldest first
        self._flights: dict[str, Flight] = {}
        self._reading = trio.Lock()

    # -- in turns ------------------------------------------------------------------------------

    def join(self, call: ModelCall) -> Flight:
        """Wait with whoever makes this request already, or lead."""
        self._is_used = True
        flight = self._flights.get(call.request_hash)
        if flight is None:
            flight = self._flights[call.request_hash] = Flight(call)
        return flight

    def recorded(self, call: ModelCall, seq: int, told: dict[str, Any]) -> None:
        """A live answer is the event ``seq``: the next identical request will find it."""
        if call.flight is not None and call.flight.leader is call:
            call.flight.recorded(seq)
        if self._is_used and "cached" not in told and "endpoint" not in told:
            place = AnswerPlace(self._runtime.shard, call.scheduler.ordinal, seq)
            self._keep(call.request_hash, AnswerFound(call.simulation_id, seq, told), place)

    def leave(self, call: ModelCall) -> None:
        """The call is over, one way or another."""
        flight = call.flight
        if flight is not None and flight.leader is call:
            if not flight.over.is_set():
                flight.fail()
            self.end(call.request_hash, flight)

    def end(self, request_hash: str, flight: Flight) -> None:
        """Nobody joins this any more."""
        if self._flights.get(request_hash) is flight:
            del self._flights[request_hash]

    # -- beside them ---------------------------------------------------------------------------

    async def find(self, request_hash: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The answer to a request, and where it is from; None when there is none yet."""
        async with self._reading:
            if self._logged is None:
                await self._look()
            found = self._kept.get(request_hash)
            if found is None and request_hash in self._places:
                found = await self._read(self._places[request_hash])
        if found is None:
            return None
        fields: dict[str, Any] = {name: found.data[name] for name in FIELDS if name in found.data}
        return fields, {"simulation": found.simulation, "seq": found.seq}

    async def _look(self) -> None:
        """Walk over the log once: what was recorded before the first request is in there by now."""
        await self._runtime.before_outside()
        logged = LoggedAnswers(LogReader(self._runtime.store / "log"))
        for request_hash, place in (await trio.to_thread.run_sync(logged.places)).items():
            self._places.setdefault(request_hash, place)
        self._logged = logged

    async def _read(self, place: AnswerPlace) -> AnswerFound:
        assert self._logged is not None, "it was looked through"
        if place.shard == self._runtime.shard:
            await self._runtime.before_outside()  # it may be so new that it is in no file
        logged = self._logged
        return await trio.to_thread.run_sync(lambda: logged.read(place))

    def _keep(self, request_hash: str, found: AnswerFound, place: AnswerPlace) -> None:
        if request_hash in self._places or request_hash in self._kept:
            return
        self._places[request_hash] = place
        self._kept[request_hash] = found
        if len(self._kept) > CACHED_ANSWERS_KEPT_MAX:
            self._kept.popitem(last=False)  # the log has it
