"""A program that does what a plan says (see plans.py): any kind of society, for tests that compare histories.

What always holds: it ends. Whatever an agent does costs one of its energy, so each does a bounded number
of things, and what cannot happen any more ends the simulation. What it does depends on its plan, its seed
and the answers of its calls alone; how long those take is drawn anew each time, and in arrival mode
(``is_ordered`` false) it is an input like any other.
"""

from __future__ import annotations

import random
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np
import trio

from matrix.errors import MailboxFull, MatrixError
from matrix.runtime.agent import Agent
from matrix.runtime.goal import Goal, GoalFailed
from matrix.runtime.mailbox import Message, Timer
from matrix.runtime.scheduling.restart import Restart
from matrix.runtime.simulation import Simulation
from matrix.testing.plans import Act, Plan

AGENTS_MAX = 24
CALL_SECONDS_MAX = 0.002
POLICIES = {"restart": Restart(times=2), "restart within": Restart(times=1, within=3)}

_latency = random.Random()  # differs from run to run on purpose: nothing but arrivals may depend on it


async def generated(simulation: Simulation, plan: Plan, is_ordered: bool = True) -> None:
    """The program: agents of each cast, and what the program itself does meanwhile."""
    for number, cast in enumerate(plan["casts"]):
        for _ in range(cast["count"]):
            _spawn(simulation, number)
    for act in plan["steering"]:
        with suppress(MatrixError):
            await _steer(simulation, act)


def _spawn(simulation: Simulation, number: int) -> None:
    casts = simulation.parameters["plan"]["casts"]
    cast = casts[number % len(casts)]
    if len(tuple(simulation.agents)) < AGENTS_MAX:
        simulation.spawn(
            KINDS[cast["kind"]],
            f"{cast['kind']}-{len(tuple(simulation.agents))}",
            cast=number % len(casts),
            policy=POLICIES.get(cast["policy"], cast["policy"]),
            priority=cast["priority"],
            mailbox_max=cast["mailbox_max"],
        )


async def _steer(simulation: Simulation, act: Act) -> None:
    what = act["do"]
    if what == "sleep":
        await simulation.sleep(act["for"])
    elif what == "emit":
        simulation.emit("steered", luck=simulation.random.random())
    elif what == "send":
        simulation.send(_whom(simulation, act["to"]), act["kind"], hops=1)
    elif what == "cancel":
        simulation.cancel(_whom(simulation, act["whom"]))
    elif what == "call":
        await _ask_outside(simulation, simulation, act)
    elif what == "spawn":
        _spawn(simulation, act["cast"])
    elif what == "state":
        simulation.state[act["key"]] = simulation.random.below(9)
    elif what == "child":
        simulation.start(_steered_child, simulation)
    elif what == "goal":
        with simulation.goal(act["name"]):
            await simulation.sleep(0.5)
    elif what == "join":
        await simulation.join(_whom(simulation, act["whom"]))
    elif simulation.stream("stop").below(4) == 0:
        simulation.stop("steered so")


async def _steered_child(simulation: Simulation) -> None:
    for _ in range(3):
        await simulation.sleep(0.75)
        simulation.note("beat", at=simulation.now)


def _whom(simulation: Simulation, number: int) -> Any:
    agents = tuple(simulation.agents)
    return agents[number % len(agents)]


class Trouble(Exception):
    """What an agent of a plan fails with."""


# -- the outside -----------------------------------------------------------------------------------


async def fetch(number: int) -> dict[str, Any]:
    """An async function outside the simulation; what it answers depends on its argument, how fast on nothing."""
    await trio.sleep(_latency.random() * CALL_SECONDS_MAX)
    if number % 4 == 3:
        raise ValueError(f"there is no {number}")
    return {"square": number * number, "of": [number]}


def look_up(number: int) -> str:
    """A blocking one, in a thread."""
    time.sleep(_latency.random() * CALL_SECONDS_MAX)
    return f"found {1 // (number % 5)}"


async def hang(number: int) -> None:
    """One that answers only by its timeout."""
    await trio.sleep_forever()


async def _ask_outside(actor: Any, simulation: Simulation, act: Act) -> Any:
    function = {"fetch": fetch, "look_up": look_up, "hang": hang}[act["function"]]
    latency = act["latency"] if simulation.parameters.get("is_ordered", True) else None
    timeout = 0.001 if function is hang else None
    return await actor.call(function, act["number"], kind=act["kind"], latency=latency, timeout=timeout)


# -- agents ----------------------------------------------------------------------------------------


class Acting(Agent):
    """What all three kinds of agents can do: each ``do_...`` is an act of a plan."""

    cast: int

    def __init__(self, **parameters: Any) -> None:
        for name, value in parameters.items():
            setattr(self, name, value)
        self.script: list[Act] = []
        self.energy = self.done = 0
        self.heard: Message | None = None
        self.goals: list[Goal] = []
        self.scopes: list[trio.CancelScope] = []
        self.children: list[Any] = []

    def next_act(self) -> Act | None:
        """What to do next by the script, which begins again at its end; None without energy."""
        if not self.script:
            cast = self.simulation.parameters["plan"]["casts"][self.cast]
            self.script = cast["acts"] or [{"do": "emit", "size": 0}]
            self.energy = cast["energy"] - int(
                self.now
            )  # who is begun anew late has less: even restarts come to an end
        self.done += 1
        return self.script[(self.done - 1) % len(self.script)] if self.energy > 0 else None

    def hear(self, message: Message) -> None:
        """What every agent does with a message first."""
        self.heard = message
        self.emit("heard", kind=message.kind, n=message.get("n", -1))
        answers = self.simulation.parameters["plan"]["casts"][self.cast]["answers"]
        if message.kind == "question" and message.sender is not None and answers:
            with suppress(MailboxFull):
                self.reply(message, "answer", n=self.random.below(100))

    def act(self, act: Act) -> None:
        """An act that needs no wait. What the runtime refuses is recorded; trouble of its own is not caught."""
        if self.energy > 0:
            self.energy -= 1
            try:
                getattr(self, f"do_{act['do']}")(act)
            except MatrixError as error:
                self.emit("refused", what=f"{type(error).__name__}: {error}")

    def whom(self, number: int) -> Any:
        """The agent with this number, more or less."""
        return _whom(self.simulation, number)

    def drawn(self, source: str, bound: int) -> int:
        """A number below ``bound``, from one of the sources of chance."""
        if source == "numpy":
            return int(self.numpy_stream().integers(bound))
        if source == "uuid":
            return self.uuid().int % bound
        return (self.random if source == "random" else self.stream("other")).below(bound)

    def do_emit(self, act: Act) -> None:
        self.emit("did", at=self.now, sizes=list(range(act["size"])))

    def do_note(self, act: Act) -> None:
        self.note("tired" if self.energy < 5 else "awake", luck=self.random.random())

    def do_batch(self, act: Act) -> None:
        self.emit_batch("moved", {"x": np.arange(act["rows"]), "y": self.numpy_stream("y").random(act["rows"])})

    def do_send(self, act: Act) -> None:
        for n in range(act["times"]):
            self.send(self.whom(act["to"]), act["kind"], n=n, from_energy=self.energy)

    def do_send_many(self, act: Act) -> None:
        self.send([self.whom(number) for number in act["to"]], act["kind"], text="to you all", n=self.random.below(5))

    def do_reply(self, act: Act) -> None:
        if self.heard is not None and self.heard.sender is not None:
            self.reply(self.heard, "answer", n=self.energy)

    def do_state(self, act: Act) -> None:
        state = self.state if act["whose"] == "own" else self.simulation.state
        state[act["key"]] = state.get(act["key"], 0) + 1

    def do_draw(self, act: Act) -> None:
        self.emit("drew", number=self.drawn(act["from"], 1000), name=str(self.uuid()), share=self.random.gauss())

    def do_choose(self, act: Act) -> None:
        self.act(act["acts"][self.drawn(act["from"], len(act["acts"]))])

    def do_cancel(self, act: Act) -> None:
        self.simulation.cancel(self.whom(act["whom"]))

    def do_cut(self, act: Act) -> None:
        """Cancel a scope in which another agent may be waiting."""
        for scope in self.whom(act["whom"]).scopes[:1]:
            scope.cancel()

    def do_spawn(self, act: Act) -> None:
        _spawn(self.simulation, act["cast"])

    def do_timer(self, act: Act) -> None:
        timer = self.set_timer(act["after"], "later", n=self.energy)
        if act["is_cancelled"]:
            timer.cancel()

    def do_begin_goal(self, act: Act) -> None:
        self.goals.append(self.begin_goal("open", n=len(self.goals)))

    def do_end_goal(self, act: Act) -> None:
        if self.goals:
            getattr(self.goals.pop(), act["way"])()

    def do_fail(self, act: Act) -> None:
        if act["is_serious"]:
            raise Trouble(f"{self.id} has had enough with {self.energy}")

    def do_finish(self, act: Act) -> None:
        if self.energy % 4 == 0:
            self.finish()

    def do_alien(self, act: Act) -> None:
        """Use another agent in one's own turn, which the runtime refuses."""
        self.whom(self.energy).emit("never")


class Crowd(Acting):
    """Is called, and waits for nothing."""

    def on_start(self) -> None:
        self._once()

    def on_message(self, message: Message) -> None:
        self.hear(message)
        self._once()

    def on_timer(self, timer: Timer) -> None:
        self.emit("rang", n=timer["n"])
        self._once()

    def _once(self) -> None:
        act = self.next_act()
        if act is not None:
            self.act(act)


class Waiting(Acting):
    """What the kinds with coroutines can do besides: wait."""

    async def wait(self, act: Act) -> None:
        """Any act, in a coroutine."""
        if not hasattr(self, f"wait_{act['do']}"):
            self.act(act)
        elif self.energy > 0:
            self.energy -= 1
            try:
                await getattr(self, f"wait_{act['do']}")(act)
            except (MatrixError, trio.TooSlowError) as error:
                self.emit("refused", what=f"{type(error).__name__}: {error}")

    async def wait_all(self, acts: list[Act]) -> None:
        """One act after the other."""
        for act in acts:
            await self.wait(act)

    def patience(self, seconds: float) -> AbstractContextManager[Any]:
        """How long a wait may take; 0 is for ever."""
        return self.move_on_after(seconds) if seconds else nullcontext()

    async def wait_sleep(self, act: Act) -> None:
        await self.sleep(act["for"])

    async def wait_receive(self, act: Act) -> None:
        with self.patience(act["within"]):
            for _ in range(act["times"]):
                self.hear(await self.receive())

    async def wait_ask(self, act: Act) -> None:
        with self.patience(act["within"]) as scope:
            answer = await self.ask(self.whom(act["to"]), "question", n=self.energy)
            self.emit("told", kind=answer.kind, n=answer.get("n"))
        if scope is not None:
            self.emit("asked", in_time=not scope.cancelled_caught)

    async def wait_join(self, act: Act) -> None:
        with self.patience(act["within"]):
            await self.join(self.whom(act["whom"]))
            self.emit("joined", at=self.now)

    async def wait_join_child(self, act: Act) -> None:
        if self.children:
            with self.patience(act["within"]):
                await self.join(self.children[act["which"] % len(self.children)])

    async def wait_call(self, act: Act) -> None:
        answer = await _ask_outside(self, self.simulation, act)
        self.emit("answered", answer=answer)

    async def wait_goal(self, act: Act) -> None:
        with suppress(Trouble):
            async with self.goal(act["name"], limit=self.random.below(50)) as goal:
                await self.wait_all(act["acts"])
                if act["way"] == "raise":
                    raise GoalFailed("not today", luck=self.random.random())
                if act["way"] == "error":
                    raise Trouble("a goal with an error in it")
                if act["way"] in ("fail", "cancel") and goal.is_open:
                    getattr(goal, act["way"])("said so")

    async def wait_scope(self, act: Act) -> None:
        with self._scope_of(act) as scope:
            self.scopes.append(scope)
            try:
                await self.wait_all(act["acts"])
            finally:
                self.scopes.remove(scope)
        self.emit("left", how=act["how"], caught=scope.cancelled_caught)

    def _scope_of(self, act: Act) -> AbstractContextManager[trio.CancelScope]:
        if act["how"] in ("move_on", "fail"):
            return (self.move_on_after if act["how"] == "move_on" else self.fail_after)(act["within"])
        scope = trio.CancelScope(shield=act["how"] == "shield")
        if act["how"] == "cut":
            scope.cancel()
        return scope

    async def wait_choose_wait(self, act: Act) -> None:
        await self.wait(act["acts"][self.drawn(act["from"], len(act["acts"]))])

    async def wait_stubborn(self, act: Act) -> None:
        """A wait whose cancellation is met with more waits before it goes on."""
        try:
            await self.sleep(2)
        except trio.Cancelled:
            for n in range(act["again"]):
                with suppress(trio.Cancelled):
                    await self.sleep(n)
            if act["cleanup"]:
                with trio.CancelScope(shield=True):
                    await self.sleep(act["cleanup"])
            self.emit("cleaned", again=act["again"], at=self.now)
            raise

    async def wait_yield(self, act: Act) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_foreign(self, act: Act) -> None:
        """A wait of Trio's own, which the runtime refuses."""
        await trio.sleep(3600)


class Clerk(Waiting):
    """A coroutine while a message is handled."""

    async def on_start(self) -> None:
        await self._once()

    async def on_message(self, message: Message) -> None:
        self.hear(message)
        await self._once()

    async def on_timer(self, timer: Timer) -> None:
        self.emit("rang", n=timer["n"])
        await self._once()

    async def _once(self) -> None:
        act = self.next_act()
        if act is not None:
            await self.wait(act)


class Walker(Waiting):
    """A life of its own, with child tasks."""

    async def run(self) -> None:
        while (act := self.next_act()) is not None:
            await self.wait(act)
            if self.done % len(self.script) == 0:
                await self.wait({"do": "receive", "within": 0.5, "times": 1})

    async def wait_child(self, act: Act) -> None:
        self.children.append(self.start(self.wait_all, act["acts"]))


KINDS: dict[str, type[Acting]] = {"walker": Walker, "clerk": Clerk, "crowd": Crowd}
