"""An agent: an identity, a mailbox and a behaviour.

Three ways to behave, one face. ``async def run(self)``: a coroutine with a life of its own.
``def on_message(self, message)``: called for each message, no coroutine at all, for populations of
a million. ``async def on_message``: a coroutine only while a message is handled.

What cannot wait is a plain ``def``. ``emit`` and ``send`` are the hottest functions of the runtime:
they are longer than they would be otherwise, and each line of them was measured.
"""

from __future__ import annotations

import difflib
import inspect
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from matrix.errors import AskFailed, MailboxFull, ProgramError, UnknownAgent
from matrix.event import MESSAGE_SENT, NOTE, STATE_CHANGED
from matrix.limits import MAILBOX_MESSAGES_MAX
from matrix.runtime.goal import Goal
from matrix.runtime.inputs import Stream, numpy_stream, stream, uuid_from
from matrix.runtime.mailbox import Message, Timer
from matrix.runtime.scheduling.activity import ENDED, HANDLER, PROCESS, REACTIVE, Activity
from matrix.runtime.state import State
from matrix.runtime.values import SCALARS, check_text, snapshot_payload

if TYPE_CHECKING:
    import uuid
    from contextlib import AbstractContextManager
    from datetime import timedelta

    import numpy as np

    from matrix.endpoint.reply import Reply
    from matrix.runtime.calls.policy import CallPolicy
    from matrix.runtime.recorder import Recorder
    from matrix.runtime.scheduling.restart import Policy
    from matrix.runtime.scheduling.scheduler import Scheduler
    from matrix.runtime.simulation import Simulation

_new_message: Any = tuple.__new__  # a named tuple's own constructor costs twice as much
_CODE_BITS: Final = 16  # see recorder.py


class Agent:
    """Derive from it and say how the agent behaves.

        class Buyer(matrix.Agent):
            role = "buyer"

            async def run(self):
                self.send("seller", "offer", price=40)
                async for message in self.messages():
                    ...

    Keyword parameters given to ``spawn`` become attributes (``self.limit``), unless the class defines
    ``__init__(self, **parameters)`` itself.
    """

    role: str = ""  #: what the agent is in the society; the class's name in lower case when empty
    priority: int = 0  #: among those ready at one virtual time, lower numbers go first
    mailbox_max: int = MAILBOX_MESSAGES_MAX  #: messages that may wait for it
    policy: Policy | None = None  #: when it fails: "propagate", "isolate", matrix.Restart(...); None: the simulation's

    is_context_of_tools: ClassVar[bool] = (
        True  #: a tool's parameter of this type is no argument: it is who uses the tool
    )
    _behaviour: ClassVar[int | None] = None

    # The runtime's own fields are slots, so that an idle agent of a class without attributes has no dict.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "_asks",
        "_calls",
        "_goal",
        "_goal_seq",
        "_id",
        "_lane",
        "_mailbox",
        "_main",
        "_mode",
        "_number",
        "_receiver",
        "_recorder",
        "_scheduler",
        "_streams",
        "_turns",
        "_waiting",
    )
    _asks: dict[int, Activity] | None
    _calls: int
    _goal: Goal | None
    _goal_seq: int
    _id: str
    _lane: deque[Any]
    _mailbox: deque[Any] | None
    _main: Any
    _mode: int
    _number: int
    _receiver: Activity | None
    _recorder: Recorder
    _scheduler: Scheduler
    _streams: dict[str, Any] | None
    _turns: int
    _waiting: int

    # What the agent's class may define. Not defined here, so that a class's behaviour is what it has.
    if TYPE_CHECKING:

        def on_start(self) -> Any: ...
        def on_message(self, message: Message) -> Any: ...
        def on_timer(self, timer: Timer) -> Any: ...
        def on_restart(self, error: Exception) -> None: ...

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._behaviour = _behaviour_of(cls)
        if "role" not in cls.__dict__ and cls.role in ("", *(base.__name__.lower() for base in cls.__mro__[1:])):
            cls.role = cls.__name__.lower()

    # -- who and when --------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """Its name, unique in the simulation."""
        return self._id

    @property
    def simulation(self) -> Simulation:
        """The simulation it lives in."""
        return self._scheduler.simulation

    @property
    def now(self) -> float:
        """Virtual seconds since the simulation began; stands still during a turn."""
        return self._scheduler.now / 1_000_000

    @property
    def random(self) -> Stream:
        """Its own stream of chance, a ``random.Random``: named by the seed and the agent's id."""
        return self.stream("")

    def stream(self, purpose: str) -> Stream:
        """A stream of chance for one purpose, so that a draw for another does not move it."""
        streams = self._streams
        if streams is None:
            streams = self._streams = {}
        found: Stream | None = streams.get(purpose)
        if found is None:
            found = streams[purpose] = stream(self._scheduler.seed, self._id, purpose)
        return found

    def numpy_stream(self, purpose: str = "") -> np.random.Generator:
        """A numpy generator, named by the seed, the agent's id and the purpose."""
        key = f"numpy/{purpose}"
        streams = self._streams
        if streams is None:
            streams = self._streams = {}
        found: np.random.Generator | None = streams.get(key)
        if found is None:
            found = streams[key] = numpy_stream(self._scheduler.seed, self._id, purpose)
        return found

    def uuid(self) -> uuid.UUID:
        """A UUID that the same seed gives again."""
        return uuid_from(self.stream("uuid"))

    @property
    def state(self) -> State:
        """The agent's own small state map; setting a key records ``state.changed``."""
        streams = self._streams
        if streams is None:
            streams = self._streams = {}
        found: State | None = streams.get(_STATE)
        if found is None:
            found = streams[_STATE] = State(self._record_state)
        return found

    def _record_state(self, whole: dict[str, Any]) -> None:
        self._own_turn().add(STATE_CHANGED, whole)

    # -- saying things -------------------------------------------------------------------------

    def emit(self, kind: str, /, **data: Any) -> None:
        """Record that something happened: ``self.emit("inspected", lot=7)``."""
        recorder = self._recorder
        if recorder.agent is not self:
            raise self._not_its_turn()
        code = recorder.emit_codes.get(kind) or recorder.admit_emit(kind)
        for value in data.values():
            if type(value) is str:
                if not value.isascii():
                    check_text(value, kind)
            elif type(value) not in SCALARS:
                data = snapshot_payload(data, kind)
                break
        goal = self._goal
        if goal is not None:
            goal.steps += 1
        codes = recorder.codes
        codes.append(code)
        recorder.payloads.append(data)
        if len(codes) >= recorder.full_at:
            recorder.commit()

    def emit_batch(self, kind: str, columns: Mapping[str, Any], /) -> int:
        """Record one event per row of numpy, Arrow or list columns of equal length; returns how many.

        self.emit_batch("moved", {"x": positions[:, 0], "y": positions[:, 1]})
        """
        count = self._own_turn().add_batch(kind, columns)
        if self._goal is not None:
            self._goal.steps += count
        return count

    def note(self, text: str | None = None, /, **data: Any) -> None:
        """Record a remark, which is not an action: ``self.note("changed my mind", price=40)``."""
        recorder = self._own_turn()
        if text is not None:
            data = {"text": text, **data}
        recorder.add(NOTE, snapshot_payload(data, NOTE))

    def send(self, to: str | Agent | Iterable[str | Agent], /, kind: str = MESSAGE_SENT, **data: Any) -> Message:
        """Send a message; never waits: ``self.send("seller", "offer", price=40)``.

        ``to`` is an agent's id, an agent, or a list of them. Raises ``UnknownAgent`` and ``MailboxFull``.
        """
        recorder = self._recorder
        if recorder.agent is not self:
            raise self._not_its_turn()
        try:
            receiver = recorder.names[to]  # type: ignore[index]  # an id, nearly always
        except (KeyError, TypeError):
            return self._send_otherwise(to, kind, data)
        code = recorder.send_codes.get(kind) or recorder.admit_send(kind)
        payload = data
        for value in data.values():
            if type(value) is str:
                if not value.isascii():
                    check_text(value, kind)
            elif type(value) not in SCALARS:
                payload = snapshot_payload(data, kind)
                data = snapshot_payload(payload, kind)  # the receiver may change its own without changing history
                break
        codes = recorder.codes
        message: Message = _new_message(Message, (recorder.base + len(codes), kind, self._id, data, recorder.now))
        if receiver._mode == REACTIVE:
            waiting = receiver._waiting
            if waiting >= receiver.mailbox_max:
                raise mailbox_full(receiver)
            receiver._waiting = waiting + 1
            receiver._lane.append((receiver, message))
        elif receiver._receiver is not None and not receiver._asks:  # a coroutine that waits in receive()
            activity, receiver._receiver = receiver._receiver, None
            activity.waiting = False
            receiver._lane.append((activity, message))
        elif not receiver._deliver(message, recorder):
            payload = {**payload, "undelivered": True}
        goal = self._goal
        if goal is not None:
            goal.steps += 1
        codes.append(code | receiver._number << _CODE_BITS)
        recorder.payloads.append(payload)
        if len(codes) >= recorder.full_at:
            recorder.commit()
        return message

    def _send_otherwise(self, to: Any, kind: str, data: dict[str, Any]) -> Message:
        """To an agent given as such, to several, or to nobody known."""
        if isinstance(to, Agent):
            if self._recorder.names.get(to._id) is not to:
                raise UnknownAgent(f"{to!r} is not an agent of {self.simulation.id}")
            return self.send(to._id, kind, **data)
        if isinstance(to, str):
            raise unknown_agent(to, self._recorder.names)
        if isinstance(to, (set, frozenset)):
            raise ProgramError(
                "the receivers are a set, whose order differs between processes; give sorted(...) instead"
            )
        if not isinstance(to, Iterable):
            raise ProgramError(f"{to!r} cannot receive a message; give an agent's id, an agent, or a list of them")
        ids = [one._id if isinstance(one, Agent) else one for one in to]
        receivers = [self._known(one) for one in dict.fromkeys(ids)]
        if not receivers:
            raise ProgramError(f"{kind!r} is sent to an empty list; give at least one receiver")
        return self._send_many(receivers, kind, data)

    def _known(self, name: Any) -> Agent:
        names = self._recorder.names
        if name not in names:
            raise unknown_agent(name, names)
        return names[name]

    def _send_many(self, receivers: list[Agent], kind: str, data: dict[str, Any]) -> Message:
        """One event, a delivery to each; refused for all when one of the mailboxes is full."""
        recorder = self._recorder
        recorder.admit_send(kind)
        payload = snapshot_payload(data, kind)
        for receiver in receivers:
            if receiver._is_full():
                raise mailbox_full(receiver)
        message: Message = _new_message(
            Message, (recorder.next_seq(), kind, self._id, snapshot_payload(payload, kind), recorder.now)
        )
        missed = [receiver._id for receiver in receivers if not receiver._deliver(message, recorder)]
        if missed:
            payload = {**payload, "undelivered": True if len(missed) == len(receivers) else missed}
        if self._goal is not None:
            self._goal.steps += 1
        if len(receivers) > 1:
            recorder.to_many[len(recorder.codes)] = tuple(receiver._number for receiver in receivers)
        recorder.add(kind, payload, receivers[0]._number)
        return message

    def reply(self, message: Message, /, kind: str = MESSAGE_SENT, **data: Any) -> Message:
        """Answer a message: sent to its sender, with that message as its cause."""
        recorder = self._own_turn()
        if message.sender is None:
            raise ProgramError(f"{message!r} comes from the simulation itself, which has no mailbox to reply to")
        before, recorder.cause = recorder.cause, message.seq
        recorder.context()
        try:
            return self.send(message.sender, kind, **data)
        finally:
            recorder.cause = before
            recorder.context()

    # -- goals ---------------------------------------------------------------------------------

    def goal(self, name: str, /, **parameters: Any) -> Goal:
        """A goal for a ``with`` or ``async with`` block: ``with self.goal("close_deal", limit=60) as goal:``."""
        return Goal(self, name, parameters)

    def begin_goal(self, name: str, /, **parameters: Any) -> Goal:
        """A goal that begins now and ends with ``goal.succeed()``, ``goal.fail(reason)`` or ``goal.cancel()``."""
        return Goal(self, name, parameters).begin()

    # -- waiting (coroutines only) -------------------------------------------------------------

    @types.coroutine
    def receive(self) -> Generator[Any, Any, Message]:
        """The next message; ends the turn even when mail is waiting."""
        activity = self._recorder.activity
        if activity is None or activity.agent is not self:
            raise self._not_its_turn()
        activity.message = 0
        mailbox = self._mailbox
        if mailbox:
            self._lane.append((activity, mailbox.popleft()))
        elif self._receiver is not None:
            raise ProgramError(
                f"another task of {self._id} already waits in receive(); a mailbox has one reader at a time"
            )
        else:
            self._receiver = activity
            activity.waiting = True
        message: Message = yield activity
        activity.message = message.seq
        return message

    def messages(self) -> AsyncIterator[Message]:
        """All messages as they come: ``async for message in self.messages():``. Never ends by itself."""
        return self

    # The agent itself is that iterator: an async generator would leave something behind to be closed when the loop
    # is left early, and an object between the loop and receive() would cost every message a call.
    __anext__ = receive

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    @types.coroutine
    def sleep(self, duration: float | timedelta) -> Generator[Any, Any, None]:
        """Wait for ``duration`` virtual seconds."""
        activity = self._own_activity()
        self._scheduler.at(self._scheduler.after(duration), activity, activity.token)
        activity.waiting = True
        activity.waits_for = "sleep"
        yield activity
        activity.waits_for = None

    @types.coroutine
    def ask(self, to: str | Agent, /, kind: str = MESSAGE_SENT, **data: Any) -> Generator[Any, Any, Message]:
        """Send a message and wait for the reply, which is the message to this agent that it caused.

        Raises ``AskFailed`` when the agent that was asked ends, or is restarted, and will not answer any more.
        """
        activity = self._own_activity()
        if not isinstance(to, (str, Agent)):
            raise ProgramError(f"ask asks one agent, not {to!r}")
        message = self.send(to, kind, **data)
        asked = to if isinstance(to, Agent) else self._recorder.names[to]
        if self._asks is None:
            self._asks = {}
        self._asks[message.seq] = activity
        questions = self._wait_for_answer(activity, asked, message)
        try:
            reply: Message | AskFailed = yield activity
            if isinstance(reply, AskFailed):
                # Cancelled too, and that is the reason to tell; not by a scope that was left while a message waited.
                while (lease := activity.lease) is not None and lease.raise_cancel is not None and lease.is_cancelled:
                    activity.waiting = True
                    yield activity
                raise reply
        finally:
            activity.waits_for = None
            if self._asks is not None:
                self._asks.pop(message.seq, None)
            questions.pop(message.seq, None)
        return reply

    def _wait_for_answer(self, activity: Activity, asked: Agent, message: Message) -> dict[int, Activity]:
        """Let the end of who was asked be told to who asks; returns where that is noted."""
        scheduler = self._scheduler
        activity.waits_for = ("ask", asked)
        if asked._mode == ENDED:
            self._lane.append((activity, scheduler.no_answer(asked, message.seq)))
            return {}
        activity.waiting = True
        questions = scheduler.asked.get(asked._number)
        if questions is None:
            questions = scheduler.asked[asked._number] = {}
        questions[message.seq] = activity
        return questions

    async def join(self, *others: Agent | Any) -> None:
        """Wait until those agents, or child tasks, have ended."""
        for other in others:
            await self._scheduler.join(self._own_activity(), other)

    async def call(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,
        name: str = "",
        kind: str = "call",
        timeout: float | timedelta | None = None,
        latency: float | timedelta | None = None,
        repeatable: bool | None = None,
        policy: CallPolicy | None = None,
    ) -> Any:
        """Ask the outside: run ``function(*arguments)`` beside the simulation, and record the request and the answer.

        An async function runs as a Trio task, a plain one in a worker thread. ``latency`` fixes the call's virtual
        duration; without it the answer comes as it comes. ``timeout`` is in seconds of real time, of each attempt.
        ``repeatable`` says that a request whose answer a crash has cut off may be sent again; all else a ``policy``
        says, see ``CallPolicy``. Raises ``CallFailed``.
        """
        return await self._scheduler.call(
            self,
            function,
            arguments,
            name=name,
            kind=kind,
            timeout=timeout,
            latency=latency,
            repeatable=repeatable,
            policy=policy,
        )

    async def model(
        self,
        messages: str | Sequence[Mapping[str, Any]],
        /,
        *,
        model: str,
        tools: Sequence[Any] | None = None,
        stream: bool = False,
        cache: bool = False,
        on_text: Callable[[str], Any] | None = None,
        timeout: float | timedelta | None = None,
        latency: float | timedelta | None = None,
        repeatable: bool | None = None,
        policy: CallPolicy | None = None,
        **options: Any,
    ) -> Reply:
        """Ask a model: ``reply = await self.model("What now?", model="small", temperature=0)``; recorded like any call.

        ``messages`` is a text, or a list of messages in OpenAI form; ``tools`` are ``matrix.tools.Tool``s, or schemas.
        Which server is asked the runtime's ``models=`` says. ``options`` go to it as they are (None: not at all).
        With ``stream`` the answer comes in pieces, and ``on_text`` is given those of its text as they come, outside
        of any turn, and never in a replay; of an attempt that breaks off too. With ``cache`` an identical request that
        was answered in this store before is answered from the log. A crash between request and answer sends it again,
        unless ``repeatable=False``. The others are those of ``call``. Raises ``CallFailed``.
        """
        return await self._scheduler.model(
            self,
            messages,
            model=model,
            tools=tools,
            stream=stream,
            cache=cache,
            on_text=on_text,
            timeout=timeout,
            latency=latency,
            repeatable=repeatable,
            policy=policy,
            options=options,
        )

    async def use(self, tool: Any, policy: CallPolicy | None = None, /, **arguments: Any) -> Any:
        """Use a tool: ``await self.use(self.shop.find_order, order_id="W1")``; returns its result as plain data.

        ``tool`` is a ``matrix.tools.Tool``, the name of one of this agent's own, or a model's call of one of them,
        which brings its arguments. A tool runs outside, recorded like any call, with policies by its name; one that is
        ``inside`` runs within this turn. Wrong arguments and exceptions raise ``ToolFailed`` with a text for the model.
        """
        return await self._scheduler.use(self, tool, policy, arguments)

    def start(self, child: Callable[..., Coroutine[Any, Any, Any]], /, *arguments: Any) -> Any:
        """Start a child task of this agent: ``self.start(self.watch, "door")``.

        The agent ends when its tasks have; an exception in one cancels the others, as in a Trio nursery.
        """
        return self._scheduler.start_child(self, self._own_activity(), child, arguments)

    def move_on_after(self, duration: float | timedelta) -> AbstractContextManager[Any]:
        """A Trio cancel scope with a virtual timeout: ``with self.move_on_after(5) as scope: ...``."""
        from matrix.runtime.scheduling.timeout import move_on_after

        return move_on_after(self, duration)

    def fail_after(self, duration: float | timedelta) -> AbstractContextManager[Any]:
        """Likewise, and raises ``trio.TooSlowError`` when the time is over."""
        from matrix.runtime.scheduling.timeout import fail_after

        return fail_after(self, duration)

    # -- timers and others ---------------------------------------------------------------------

    def set_timer(self, delay: float | timedelta, name: str = "", /, **data: Any) -> Timer:
        """Ring after ``delay`` virtual seconds: ``on_timer(timer)`` is called."""
        recorder = self._own_turn()
        if not hasattr(self, "on_timer"):
            raise ProgramError(f"{type(self).__name__} sets a timer but has no on_timer(self, timer)")
        timer = Timer(name, data, recorder.cause)
        scheduler = self._scheduler
        instant = scheduler.after(delay)
        if scheduler.restarts and self._number in scheduler.restarts:
            scheduler.restarts[self._number].keep_timer(timer, instant, scheduler.now)
        scheduler.at(instant, self, timer)
        return timer

    def spawn(self, cls: type[Agent], id: str | None = None, /, **parameters: Any) -> Agent:
        """Start another agent, caused by what this one handles: ``self.spawn(Worker, "worker-1", speed=3)``."""
        self._own_turn()
        return self._scheduler.spawn(cls, id, parameters)

    def finish(self) -> None:
        """End this agent after this turn (an agent with ``run`` ends by returning)."""
        self._own_turn()
        if self._mode == PROCESS:
            raise ProgramError(f"{self._id} has a run() and ends by returning from it")
        self._scheduler.finish_now(self)

    # -- the runtime's side --------------------------------------------------------------------

    def _own_turn(self) -> Recorder:
        recorder = self._recorder
        if recorder.agent is not self:
            raise self._not_its_turn()
        return recorder

    def _own_activity(self) -> Activity:
        activity = self._recorder.activity
        if activity is None or activity.agent is not self:
            raise self._not_its_turn()
        return activity

    def _not_its_turn(self) -> ProgramError:
        whose = self._recorder.agent
        during = f"during a turn of {whose._id or 'the program'}" if whose is not None else "outside any turn"
        return ProgramError(f"{self!r} was used {during}; an agent acts only in its own turns, send it a message")

    def _is_full(self) -> bool:
        """Whether its mailbox takes no more: sending to it would raise ``MailboxFull``."""
        waiting = self._waiting if self._mode == REACTIVE else len(self._mailbox or ())
        return waiting >= self.mailbox_max

    def _deliver(self, message: Message, recorder: Recorder) -> bool:
        """Hand over a message, now or through the mailbox; False when the agent has ended."""
        if self._mode == ENDED:
            return False
        if self._mode == REACTIVE:
            self._waiting += 1
            self._lane.append((self, message))
            return True
        if self._asks:
            asking = self._asks.pop(recorder.cause, None)
            if asking is not None and asking.waiting:
                asking.waiting = False
                self._lane.append((asking, message))
                return True
        if self._mode == HANDLER and not self._waiting:
            self._waiting = 1  # busy from here until the coroutine of this message ends
            self._lane.append((self, message))
            return True
        receiver = self._receiver
        if receiver is not None:
            self._receiver = None
            receiver.waiting = False
            self._lane.append((receiver, message))
            return True
        self._keep(message)
        return True

    def _keep(self, item: Message | Timer) -> None:
        if self._mailbox is None:
            self._mailbox = deque()  # an empty deque is 760 bytes: only those who keep mail have one
        elif len(self._mailbox) >= self.mailbox_max and type(item) is Message:  # its own timers have no sender to tell
            raise mailbox_full(self)
        self._mailbox.append(item)

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} {self._id or 'the program'}>"
        except AttributeError:
            return f"<{type(self).__name__} not spawned>"


_STATE = "state of the agent"  # in the map of streams: few agents have either


def _behaviour_of(cls: type[Agent]) -> int | None:
    """How agents of a class are run; None for one that is only a base."""
    handlers = [name for name in ("on_start", "on_message", "on_timer") if hasattr(cls, name)]
    if inspect.iscoroutinefunction(getattr(cls, "on_restart", None)):
        raise ProgramError(f"{cls.__name__}.on_restart must be a plain def: it cannot wait")
    if hasattr(cls, "run"):
        if handlers:
            raise ProgramError(f"{cls.__name__} has run() and {handlers[0]}(); an agent has one or the other")
        if not inspect.iscoroutinefunction(cls.run):
            raise ProgramError(f"{cls.__name__}.run must be async def; a plain def takes messages in on_message")
        return PROCESS
    if not handlers:
        return None
    is_async = any(inspect.iscoroutinefunction(getattr(cls, name)) for name in handlers)
    return HANDLER if is_async else REACTIVE


def unknown_agent(name: Any, names: Mapping[str, Agent]) -> UnknownAgent:
    """The error for an id that no agent has, with the likely one."""
    close = difflib.get_close_matches(str(name), list(names)[:10_000], n=1)
    hint = f"did you mean {close[0]!r}?" if close else "spawn it first"
    return UnknownAgent(f"there is no agent {name!r} in this simulation; {hint}")


def mailbox_full(agent: Agent) -> MailboxFull:
    """The error for a mailbox that takes no more: whose, how many it holds, and what to do."""
    return MailboxFull(
        f"the mailbox of {agent.id} holds {agent.mailbox_max} messages already; "
        f"let it handle some before sending more, or set mailbox_max on {type(agent).__name__}"
    )
