"""A simulation: one execution of a program, with a seed.

The program holds it to spawn agents and to steer; whoever started it holds it to wait for the end.
What it does in the society (emit, send, sleep, call, goals) it does as agent 0, through ``Host``,
in turns that are scheduled like those of every other agent.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import trio

from matrix.errors import LogWriteError, ProgramError, UnknownAgent
from matrix.event import MESSAGE_SENT, SIMULATION_PATCHED, SIMULATION_STARTED, STATE_CHANGED
from matrix.prefixes import Prefixes
from matrix.runtime.agent import Agent, mailbox_full, unknown_agent
from matrix.runtime.goal import Goal
from matrix.runtime.inputs import Stream
from matrix.runtime.mailbox import Message
from matrix.runtime.options import Options
from matrix.runtime.outcome import Outcome
from matrix.runtime.program import Program, check_program, describe
from matrix.runtime.recorder import Recorder, check_kind
from matrix.runtime.scheduling.activity import PROCESS, Activity
from matrix.runtime.scheduling.arrival import AgentCancelled, Injected
from matrix.runtime.scheduling.scheduler import Scheduler
from matrix.runtime.state import State
from matrix.runtime.statistics import SimulationStatistics, statistics_of
from matrix.runtime.values import check_text, snapshot_payload

if TYPE_CHECKING:
    import uuid

    import numpy as np

    from matrix.endpoint.reply import Reply
    from matrix.runtime.again.playback import Playback
    from matrix.runtime.calls.policy import CallPolicy
    from matrix.runtime.runtime import Runtime


class Host(Agent):
    """The program as agent 0."""

    role = "program"

    def __init__(self, simulation: Simulation, program: Program, parameters: dict[str, Any]) -> None:
        self._the_simulation, self._program, self._parameters = simulation, program, parameters

    async def run(self) -> None:
        await self._program(self._the_simulation, **self._parameters)


class Simulation:
    """One execution of a program.

    async def negotiation(simulation: matrix.Simulation, buyers: int = 10) -> None:
        simulation.spawn(Seller, "seller", stock=5)
        for n in range(buyers):
            simulation.spawn(Buyer, f"buyer-{n}", limit=simulation.random.randint(30, 90))
    """

    def __init__(
        self,
        runtime: Runtime,
        program: Program,
        parameters: dict[str, Any],
        *,
        ordinal: int,
        seed: int,
        id: str = "",
        options: Options = Options(),  # noqa: B008  # frozen
        recorder: Recorder | None = None,
    ) -> None:
        if not isinstance(seed, int):
            raise ProgramError(f"a seed is a whole number, not {seed!r}")
        check_program(program)
        self.runtime, self.program, self.options = runtime, program, options
        self.parameters = snapshot_payload(parameters, "the parameters of a program")
        self.id, self.seed, self.pace = id or f"{runtime.shard}-{ordinal}", seed, options.pace
        self.policies = runtime.policies.with_repeatable(options.repeatable or {})
        self._prefixes: Prefixes | None = None
        self._ordinal = ordinal
        self._started = {"id": self.id, **describe(program, parameters), "seed": seed}
        if told := options.recorded():
            self._started["options"] = told
        scheduler = runtime.engine(self, recorder or runtime.recorder, runtime.leases, seed=seed, ordinal=ordinal)
        scheduler.configure(options)
        self._scheduler = scheduler
        self._host = self._make_host()
        self._state = State(self._record_state)
        self._done = trio.Event()
        self._outcome: Outcome | None = None
        self._when_done: Callable[[Any], None] | None = None

    def _make_host(self) -> Host:
        scheduler = self._scheduler
        host = Host(self, self.program, self.parameters)
        scheduler.equip(host, 0, PROCESS)
        host._id, host._lane = "", scheduler.lane(0)
        host._main = Activity(host, None, None, 1)
        host._lane.append((host._main, None))
        scheduler.host = host
        scheduler.open_count = 1
        return host

    @property
    def scheduler(self) -> Scheduler:
        """Its scheduler: for the runtime's own rooms."""
        return self._scheduler

    @property
    def host(self) -> Host:
        """The program as agent 0: for the runtime's own rooms."""
        return self._host

    @property
    def prefixes(self) -> Prefixes:
        """What its model calls have said already: for the runtime's own rooms."""
        if self._prefixes is None:
            self._prefixes = Prefixes()
        return self._prefixes

    def feed(self, playback: Playback, started: Mapping[str, Any]) -> None:
        """Take inputs from a history, which began with ``started``, and not from outside."""
        self._scheduler.playback, self._scheduler.stop_at = playback, playback.next_step
        self._started = dict(started)

    # -- for the program -----------------------------------------------------------------------

    def spawn(self, cls: type[Agent], id: str | None = None, /, **parameters: Any) -> Agent:
        """Start an agent: ``simulation.spawn(Buyer, "buyer-1", limit=40)``; parameters become its attributes.

        Belongs to the turn it is called in, the program's or an agent's.
        """
        if self._scheduler.recorder.owner is not self._scheduler or self._scheduler.recorder.agent is None:
            raise ProgramError(f"agents of {self.id} are started in its turns: by the program or by an agent")
        return self._scheduler.spawn(cls, id, parameters)

    @property
    def agents(self) -> Iterable[Agent]:
        """All agents ever started, in that order."""
        return tuple(self._scheduler.agents)

    def agent(self, id: str) -> Agent:
        """The agent with this id."""
        found = self._scheduler.names.get(id)
        if found is None:
            raise unknown_agent(id, self._scheduler.names)
        return found

    @property
    def now(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._host.now

    @property
    def random(self) -> Stream:
        """The simulation's own stream of chance, beside those of the agents."""
        return self._host.random

    def stream(self, purpose: str) -> Stream:
        """A stream of chance for one purpose."""
        return self._host.stream(purpose)

    def numpy_stream(self, purpose: str = "") -> np.random.Generator:
        """A numpy generator for one purpose."""
        return self._host.numpy_stream(purpose)

    def uuid(self) -> uuid.UUID:
        """A UUID that the same seed gives again."""
        return self._host.uuid()

    @property
    def state(self) -> State:
        """The small state map of the whole simulation: ``simulation.state["phase"] = "bargaining"``."""
        return self._state

    def _record_state(self, whole: dict[str, Any]) -> None:
        scheduler, recorder = self._scheduler, self._scheduler.recorder
        if recorder.owner is not scheduler or recorder.agent is None:
            raise ProgramError(f"the state of {self.id} is changed in its turns: by the program or by an agent")
        # By agent 0, whoever set it: the state is the simulation's. Its cause tells what led to it.
        host = self._host
        scheduler.state_seq = recorder.next_seq()
        recorder.place()
        recorder.add_for(STATE_CHANGED, whole, agent=0, turn=host._turns, cause=recorder.cause, goal=host._goal_seq)

    def patched(self, name: str) -> bool:
        """Whether a changed program goes its new way here: ``if simulation.patched("fair-prices"): ... else: ...``.

        True in every run of the changed program, and recorded the first time. In a replay of a history, or of the part
        before a resume, it is what it was then: False where the old program ran. So long simulations survive a change
        of their program; when no history of the old one is left, the old way can go.
        """
        scheduler = self._scheduler
        recorder = scheduler.recorder
        if recorder.owner is not scheduler or recorder.agent is None:
            raise ProgramError(f"patched({name!r}) is asked in a turn of {self.id}: by the program or by an agent")
        if name in scheduler.patches:
            return True
        playback = scheduler.playback
        if playback is not None and not playback.is_patched(name, recorder.next_seq()):
            return False
        scheduler.patches.add(check_text(name, "the name of a patch"))
        recorder.add_for(SIMULATION_PATCHED, {"name": name}, agent=0, turn=self._host._turns, cause=recorder.cause)
        return True

    def emit(self, kind: str, /, **data: Any) -> None:
        """Record that something happened, as the simulation itself."""
        self._host.emit(kind, **data)

    def emit_batch(self, kind: str, columns: Any, /) -> int:
        """Record one event per row of columns, as the simulation itself."""
        return self._host.emit_batch(kind, columns)

    def note(self, text: str | None = None, /, **data: Any) -> None:
        """Record a remark, as the simulation itself."""
        self._host.note(text, **data)

    def send(self, to: str | Agent | Iterable[str | Agent], /, kind: str = MESSAGE_SENT, **data: Any) -> Message:
        """Send a message from the program (nobody can reply to it)."""
        return self._host.send(to, kind, **data)

    def goal(self, name: str, /, **parameters: Any) -> Goal:
        """A goal of the program."""
        return self._host.goal(name, **parameters)

    async def sleep(self, duration: float | timedelta) -> None:
        """Let virtual time pass, in the program."""
        await self._host.sleep(duration)

    async def join(self, *others: Agent | str) -> None:
        """Wait, in the program, until those agents have ended."""
        await self._host.join(*others)

    async def call(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        """Ask the outside, in the program; recorded as a call of agent 0."""
        return await self._host.call(function, *arguments, **options)

    async def model(self, messages: str | Sequence[Mapping[str, Any]], /, **options: Any) -> Reply:
        """Ask a model, in the program; recorded as a call of agent 0."""
        return await self._host.model(messages, **options)

    async def use(self, tool: Any, policy: CallPolicy | None = None, /, **arguments: Any) -> Any:
        """Use a tool, in the program; recorded as used by agent 0."""
        return await self._host.use(tool, policy, **arguments)

    def start(self, child: Callable[..., Coroutine[Any, Any, Any]], /, *arguments: Any) -> Any:
        """Start a child task of the program."""
        return self._host.start(child, *arguments)

    def cancel(self, agent: str | Agent) -> None:
        """Cancel one agent: at once from a turn of this simulation, from outside when the loop sees it."""
        found = self._own(agent)
        scheduler = self._scheduler
        if scheduler.recorder.owner is scheduler and scheduler.recorder.agent is not None:
            scheduler.cancel_agent(found)
        else:
            scheduler.arrive(AgentCancelled(found._id))

    # -- for whoever started it ----------------------------------------------------------------

    def inject(self, to: str | Agent, /, kind: str = MESSAGE_SENT, **data: Any) -> None:
        """A message from outside: from a person, or another program. Recorded, as from the simulation itself.

        May be called at any time in the runtime's Trio program; it takes its place in the order when the loop sees it.
        Raises ``UnknownAgent`` and ``MailboxFull``; a mailbox that is filled meanwhile refuses it, which is recorded.
        """
        agent = self._own(to)
        if kind != MESSAGE_SENT:
            check_kind(kind)
        if agent._is_full():
            raise mailbox_full(agent)
        self._scheduler.arrive(Injected(agent._id, kind, snapshot_payload(data, kind)))

    def _own(self, agent: str | Agent) -> Agent:
        """The agent of this simulation that is named, or given as such: not one of another simulation."""
        if not isinstance(agent, Agent):
            return self.agent(agent)
        if self._scheduler.names.get(getattr(agent, "_id", "")) is not agent:
            raise UnknownAgent(f"{agent!r} is not an agent of {self.id}")
        return agent

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the simulation from ending while nothing happens in it: ``with simulation.hold(): ...inject...``."""
        self._scheduler.holds += 1
        try:
            yield
        finally:
            self._scheduler.holds -= 1
            self._scheduler.attention = True
            self._scheduler.wake()

    def stop(self, reason: str = "stopped") -> None:
        """End it: agents are cancelled in the order they were started, and it is recorded as stopped."""
        self._scheduler.stop(reason)

    async def wait(self) -> Outcome:
        """Wait for the end; the log is synced by then."""
        await self._done.wait()
        if self._outcome is None:
            raise self.runtime.recorder.error or LogWriteError(f"{self.id} was not recorded to its end")
        return self._outcome

    async def commit(self) -> None:
        """Wait until everything recorded so far is durable. Not for agents: their turns do not wait for the disk."""
        await self.runtime.commit()

    @property
    def outcome(self) -> Outcome | None:
        """The outcome, once it has ended."""
        return self._outcome

    def statistics(self) -> SimulationStatistics:
        """Where it stands, as a frozen value; may be taken at any time, and looks at every agent once.

        >>> simulation.statistics().waiting                                      # doctest: +SKIP
        {'message': 98, 'sleep': 3, 'ask': 1}
        """
        return statistics_of(self._scheduler, events=self.events)

    @property
    def alive(self) -> int:
        """Agents that have not ended."""
        return self._scheduler.alive if self._outcome is None else 0

    # -- the runtime's side --------------------------------------------------------------------

    async def run(self) -> None:
        """The simulation's life, in a task of the runtime's nursery."""
        scheduler, recorder = self._scheduler, self._scheduler.recorder
        try:
            recorder.enter(scheduler)
            recorder.add_for(SIMULATION_STARTED, self._started, agent=0)
            await scheduler.run()
            if scheduler.is_halted:
                await self.runtime.leases.refill()
                await scheduler.abandon()
            if recorder.is_checking:
                recorder.commit()
        except LogWriteError:
            await scheduler.abandon()  # the runtime's own failure: it is told to everybody who waits
        except trio.Cancelled:
            raise
        except BaseException:
            await scheduler.abandon()
            raise
        finally:
            with trio.CancelScope(shield=True):
                await self._finish()

    async def _finish(self) -> None:
        try:
            await self.runtime.commit()
            self._outcome = self._make_outcome()
        except LogWriteError as failure:
            self.runtime.log_failed(failure)
        finally:  # whatever happened, nobody waits for ever
            self.runtime.ended(self)
            self._done.set()
            if self._when_done is not None:
                self._when_done(self._outcome or self.runtime.recorder.error)

    def _make_outcome(self) -> Outcome:
        scheduler = self._scheduler
        return Outcome(
            id=self.id,
            status=scheduler.ending or "stopped",
            reason=scheduler.reason,
            seed=self.seed,
            events=scheduler.next_seq - 1,
            agents=len(scheduler.agents),
            turns=scheduler.turns,
            duration=scheduler.now,
            goals=dict(sorted(scheduler.goal_counts.items())),
            error=scheduler.error,
            store=self.runtime.store,
            shard=self.runtime.shard,
            ordinal=self._ordinal,
        )

    @property
    def ordinal(self) -> int:
        """Its number in the shard."""
        return self._ordinal

    @property
    def events(self) -> int:
        """Events recorded so far."""
        scheduler = self._scheduler
        recorder = scheduler.recorder
        return (recorder.next_seq() if recorder.owner is scheduler else scheduler.next_seq) - 1

    def when_done(self, tell: Callable[[Any], None]) -> None:
        """Have the outcome, or the log's failure, told when it has ended."""
        self._when_done = tell

    def __repr__(self) -> str:
        return f"<Simulation {self.id} of {self.program.__name__}, seed {self.seed}>"
