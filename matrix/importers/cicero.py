"""Cicero's Diplomacy games: seven powers that talk in private, order their units at once, and win or are eliminated.

    matrix import cicero games/game_*.json --store runs

A file is one game, ``{id, map, phases[{name, messages[], orders{}, results{}, state{}}]}``, as ``pydipcc`` saves it.
What becomes of it:

* **simulation**: id ``cicero-<id>`` (``_`` and ``-`` for ``/`` and ``+``), name ``diplomacy``, status finished. Data:
  ``.game_id .map .scoring_system`` and what else stands beside the phases, ``.file .file_digest .format``; of a name
  ``game_<number>_<POWER>_<initials>`` also ``.game`` (that name), ``.game_number``, ``.cicero`` (the power that Cicero
  played) and ``.consenting`` (powers whose dialogue is in the file); from its end ``.phases .last_phase .centers
  .scores .leaders .reason``.
* **agents**: the powers that have a unit, a centre, an order or a message, role ``power``. Parameters, and with the
  centres and units that they have at the moment their state: ``.player`` is ``cicero`` or ``human``, where known.
* **phases**: ``state.changed`` of the simulation as each begins: the recorded state, ``.centers .units .homes …``, with
  ``.phase`` (``S1901M``), ``.year``, ``.season`` and ``.stage`` (``movement``, ``retreats``, ``adjustments``). So every
  event knows its own: ``state.data.stage``. What it is after the orders is the state of the next phase.
* **messages**: ``message.sent`` with ``.text .phase .time_sent``, one turn each; to ``ALL`` is to every other power,
  and says ``.broadcast``.
* **orders**: one turn of each power and phase, an ``order`` each: ``.order`` as written, ``.type`` and what it is about
  (``matrix.importers.orders``: ``.unit .province .target .against .helped .helped_power``), ``.phase``, and its
  ``.result`` where results are recorded: ``["bounce"]``.
* **eliminated**: an event of a power in the first phase that leaves it no centre, if it ever had one; ``.phase``.
* **goal** ``win`` of each: succeeded with the most centres at the end, alone or not, else failed, at its elimination or
  at the end; cancelled where no centres are recorded. At its end ``.centers`` and ``.score``: its share of the sum of
  the squares of all centres, or 1 and 0 where somebody has 18; in a game of ``draw_size`` the survivors share alike.
  That is its ``.reward``, too.
* **time**: ``time_sent`` since the first message, as virtual time; orders happen with the last message before them. Its
  unit is not recorded, and differs: it is the power of ten of a second that puts the first message between 2000 and
  2100 (that is ``wall``), else hundredths. Without messages each phase takes one virtual second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from matrix.event import STATE_CHANGED
from matrix.importers.fields import Record, joined
from matrix.importers.history import History
from matrix.importers.orders import board, read_order
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream
from matrix.limits import INT64_MAX

_POWERS = ("AUSTRIA", "ENGLAND", "FRANCE", "GERMANY", "ITALY", "RUSSIA", "TURKEY")
_NAME = re.compile(r"game_(?P<number>\d+)_(?P<cicero>[A-Z]+)_(?P<initials>[A-Z]*)(?=\.|$)")
_PHASE = re.compile(r"([SFW])(\d+)([MRA])")
_SEASONS = {"S": "spring", "F": "fall", "W": "winter"}
_STAGES = {"M": "movement", "R": "retreats", "A": "adjustments"}
_BROADCASTS = ("ALL", "GLOBAL")
_SOLO_CENTERS = 18
#: Ids are Base64, of which two signs mean something in paths and in the ids of conversations.
_PLAIN_SIGNS = str.maketrans("/+", "_-")
_PHASE_US = 1_000_000
#: 2000 and 2100, in seconds since 1970: less than a power of ten apart, so one unit at most fits a moment.
_FIRST_S, _LAST_S = 946_684_800, 4_102_444_800


def read(source: Source) -> Iterator[History]:
    """The one game of a file."""
    stream = JsonStream(source)
    if not stream.starts_with("{"):
        raise Refusal("line 1", "not a Diplomacy game: expected an object with phases")
    game = Record({key: stream.value(key) for key in stream.fields()}, "")
    stream.end()
    if not game.has("phases"):
        raise Refusal("phases", "not a Diplomacy game: it has no list of phases")
    yield _Game(source, game).told()


class _Phase:
    """One recorded phase, its parts of the types that the format says."""

    def __init__(self, recorded: Record) -> None:
        self.recorded = recorded
        self.name = recorded.text("name")
        self.messages = list(recorded.records("messages"))
        self.state = recorded.optional_record("state")
        self.centers = _lists(self.state.optional_record("centers")) if self.state.has("centers") else None
        self.units = _lists(self.state.optional_record("units"))
        self.orders = _lists(recorded.optional_record("orders"))
        self.results = dict(recorded.optional_record("results").value)
        for results in self.results.values():
            if type(results) is not list:
                raise Refusal(recorded.at("results"), "expected a list for each unit")

    def things(self) -> Iterator[tuple[str, list[str]]]:
        """What each power has or does in this phase, as the board and the orders say."""
        for of_power in (self.centers or {}, self.units, self.orders):
            yield from of_power.items()

    def talkers(self) -> Iterator[tuple[Record, str, str]]:
        """Who speaks, and to whom: each message, the field, and the power it names."""
        for message in self.messages:
            yield message, "sender", message.text("sender")
            if message.text("recipient") not in _BROADCASTS:
                yield message, "recipient", message.text("recipient")

    def described(self) -> dict[str, Any]:
        """The state of the board, with what the phase's name says."""
        said: dict[str, Any] = {"phase": self.name}
        if found := _PHASE.fullmatch(self.name):
            said |= {"year": int(found[2]), "season": _SEASONS[found[1]], "stage": _STAGES[found[3]]}
        board = {key: value for key, value in self.state.value.items() if value is not None}
        if board.get("name") == self.name:
            del board["name"]
        return said | {f"recorded_{key}" if key in said else key: value for key, value in board.items()}


class _Game:
    """The recorded game while it is told as a history."""

    def __init__(self, source: Source, recorded: Record) -> None:
        self.recorded = recorded
        self.phases = [_Phase(phase) for phase in recorded.records("phases")]
        if not self.phases:
            raise Refusal("phases", "the game has no phase")
        if recorded.has("id") and type(recorded.value["id"]) is not int:
            recorded.text("id")
        found = _NAME.match(source.name)
        self.named = found.groupdict() if found and found["cicero"] in _POWERS else {}
        self.clock = _Clock(source.wall, self.phases)
        self.history = self._history(source)
        self.agents: dict[str, int] = {}
        self.goals: dict[str, int] = {}
        self.holdings: dict[str, dict[str, Any]] = {}  # the newest state of each power
        self.had_centers: set[str] = set()

    def told(self) -> History:
        self._start_agents()
        for index, phase in enumerate(self.phases):
            self._begin_phase(index, phase)
            for message in phase.messages:
                self._tell_message(phase, message)
            self._tell_orders(phase)
            self._tell_rest(phase)
        self._tell_end()
        return self.history

    def _history(self, source: Source) -> History:
        recorded = self.recorded
        about: dict[str, Any] = {"format": "cicero", "file": source.name, "file_digest": source.digest}
        if self.named:
            about |= {
                "game": source.name.partition(".")[0],
                "game_number": int(self.named["number"]),
                "cicero": self.named["cicero"],
                "consenting": [power for power in _POWERS if power[0] in self.named["initials"]],
            }
        self.scoring = recorded.optional_text("scoring_system")
        about |= {} if self.scoring is None else {"scoring_system": self.scoring}
        about |= {"game_id": recorded.value["id"]} if recorded.has("id") else {}
        id = str(recorded.value["id"]).translate(_PLAIN_SIGNS) if recorded.has("id") else source.digest[:12]
        return History(f"cicero-{id}", name="diplomacy", wall=self.clock.wall, data=joined(about, recorded.rest()))

    def _start_agents(self) -> None:
        for power in self._powers():
            self.agents[power] = self.history.agent(power, role="power", parameters=self._player(power))
        for power, agent in self.agents.items():
            self.goals[power] = self.history.start_goal(agent, "win", self._player(power))

    def _powers(self) -> list[str]:
        """Those who have, do or say something; only one that the board or the orders know may say it."""
        things = [one for phase in self.phases for one in phase.things()]
        known = {power for power, _ in things} or set(_POWERS)
        there = {power for power, has in things if has}
        for message, name, power in chain.from_iterable(phase.talkers() for phase in self.phases):
            if power not in known:
                raise Refusal(message.at(name), f"{power[:40]!r} is none of the powers: {', '.join(sorted(known))}")
            there.add(power)
        return [*(power for power in _POWERS if power in there), *sorted(there.difference(_POWERS))]

    def _player(self, power: str) -> dict[str, Any]:
        if not self.named:
            return {}
        is_cicero = power == self.named["cicero"]
        consented = is_cicero or power[0] in self.named["initials"]
        return {"player": "cicero" if is_cicero else "human", "consented": consented}

    def _begin_phase(self, index: int, phase: _Phase) -> None:
        time, wall = self.clock.at_phase(index, phase) or (self.history.time, self.history.wall)
        self.history.move_to(time=time, wall=wall)
        seq = self.history.change_state(phase.described())
        for power, agent in self.agents.items():
            self._tell_holdings(phase, power, agent, seq)

    def _tell_holdings(self, phase: _Phase, power: str, agent: int, cause: int) -> None:
        """What a power has now, where that has changed; that it has lost its last centre is its elimination."""
        if phase.centers is None:
            return
        centers = len(phase.centers.get(power, []))
        had = self._player(power) | {"centers": centers, "units": len(phase.units.get(power, []))}
        if had != self.holdings.get(power):
            self.holdings[power] = had
            self.history.emit(agent, STATE_CHANGED, had, cause=cause)
        if centers:
            self.had_centers.add(power)
        elif power in self.had_centers and power in self.goals:
            seq = self.history.emit(agent, "eliminated", {"phase": phase.name}, cause=cause)
            outcome = {"centers": 0, "score": 0.0, "reward": 0.0}
            self.history.end_goal(self.goals.pop(power), "failed", reason="eliminated", cause=seq, data=outcome)

    def _tell_message(self, phase: _Phase, message: Record) -> None:
        sender, recipient = message.text("sender"), message.text("recipient")
        said: dict[str, Any] = {"text": message.text("message"), "phase": phase.name}
        moment = message.optional_integer("time_sent")
        said |= {} if moment is None else {"time_sent": moment}
        if message.optional_text("phase") not in (None, phase.name):
            said["recorded_phase"] = message.text("phase")
        to = [self.agents[recipient]] if recipient not in _BROADCASTS else self._others(sender)
        said |= {"broadcast": True} if recipient in _BROADCASTS else {}
        time, wall = self.clock.at(message) if moment is not None else (self.history.time, self.history.wall)
        self.history.begin_turn(self.agents[sender], time=time, wall=wall)
        self.history.emit(self.agents[sender], "message.sent", joined(said, message.rest()), to=to)

    def _others(self, sender: str) -> list[int]:
        return [agent for power, agent in self.agents.items() if power != sender]

    def _tell_orders(self, phase: _Phase) -> None:
        """Every power's orders before the next one knows of them: none is the cause of another."""
        on = board(phase.units)
        for power, agent in self.agents.items():
            if phase.orders.get(power):
                self.history.begin_turn(agent, time=self.history.time, wall=self.history.wall)
            for order in phase.orders.get(power, []):
                said = {"order": order, "phase": phase.name} | read_order(order, on)
                unit = said.get("unit", "")
                if unit in phase.results:
                    said["result"] = phase.results.pop(unit)
                self.history.emit(agent, "order", said)

    def _tell_rest(self, phase: _Phase) -> None:
        """What else stands in a phase: results that belong to no order, logs, and any field unknown here."""
        rest = {name: value for name, value in phase.recorded.rest().items() if value != []}
        rest |= {"results": phase.results} if phase.results else {}
        if rest:
            self.history.note(joined({"subject": "phase", "phase": phase.name}, rest))

    def _tell_end(self) -> None:
        last, history = self.phases[-1], self.history
        counted = {} if last.centers is None else {power: len(last.centers.get(power, [])) for power in self.agents}
        scores, most = _scores(counted, self.scoring), max(counted.values(), default=0)
        leaders = [power for power, centers in counted.items() if centers == most and most]
        reason = "solo" if most >= _SOLO_CENTERS else "draw" if leaders else "no centers recorded"
        for power, goal in self.goals.items():
            status = "cancelled" if not leaders else "succeeded" if power in leaders else "failed"
            outcome: dict[str, Any] = {"centers": counted[power], "score": scores[power]} if leaders else {}
            outcome |= {"reward": scores[power]} if leaders else {}
            history.end_goal(goal, status, reason=reason, cause=len(history.events), data=outcome)
        about: dict[str, Any] = {"reason": reason, "phases": len(self.phases), "last_phase": last.name}
        about |= {"centers": counted, "scores": scores, "leaders": leaders} if leaders else {}
        history.finish(time=history.time, wall=history.wall, data=about)


class _Clock:
    """When things were said: as recorded, in a unit that is not."""

    def __init__(self, imported: int, phases: list[_Phase]) -> None:
        times = [m.integer("time_sent") for phase in phases for m in phase.messages if m.has("time_sent")]
        self._start = times[0] if times else None
        self._unit = next((10**n for n in range(19) if _FIRST_S * 10**n <= (self._start or 0) < _LAST_S * 10**n), 0)
        # A clock that does not say its day is one of the game: 0 and the like, or hundredths since it began.
        self.wall = self._start * 1_000_000 // self._unit if self._start and self._unit else imported

    def at(self, message: Record) -> tuple[int, int]:
        """The moment of a message: virtual time, and wall."""
        assert self._start is not None, "a message with a time is among those that the clock was made of"
        time = (message.integer("time_sent") - self._start) * 1_000_000 // (self._unit or 100)
        if not -INT64_MAX < self.wall + time < INT64_MAX:
            raise Refusal(message.at("time_sent"), "the moment does not fit into 64 bits of microseconds")
        return max(0, time), self.wall + time

    def at_phase(self, index: int, phase: _Phase) -> tuple[int, int] | None:
        """When a phase begins: with its first message; in a game without any, one second after the one before."""
        if self._start is None:
            return index * _PHASE_US, self.wall + index * _PHASE_US
        first = next((message for message in phase.messages if message.has("time_sent")), None)
        return None if first is None else self.at(first)


def _lists(things: Record) -> dict[str, list[str]]:
    """Texts by power; a power that has null has none."""
    found: dict[str, list[str]] = {}
    for power, listed in things.value.items():
        if listed is None:
            continue
        if type(listed) is not list or any(type(one) is not str for one in listed):
            raise Refusal(things.at(power), "expected a list of texts")
        found[power] = listed
    return found


def _scores(centers: dict[str, int], system: str | None) -> dict[str, float]:
    """What each power's centres are worth at the end."""
    if any(count >= _SOLO_CENTERS for count in centers.values()):
        return {power: float(count >= _SOLO_CENTERS) for power, count in centers.items()}
    squares = {power: (count > 0) if system == "draw_size" else count**2 for power, count in centers.items()}
    total = sum(squares.values())
    return {power: square / total for power, square in squares.items()} if total else {}
