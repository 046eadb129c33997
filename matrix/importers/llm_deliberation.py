"""Sessions of llm-deliberation: parties, each a language model, negotiate one deal over several issues.

    matrix import llm-deliberation logs/all_coop/history*.json sessions.jsonl --store runs

A file is one session, ``{slot_assignment[], rounds[{agent, prompt, full_answer, public_answer}], plan{},
finished_rounds}``, or many, a line each: ``{file, log: {…}}``. The setup is read where it lies beside: ``config.txt``
and ``scores_files/`` in the file's folder, or in one called like the file without its endings
(``matrix.importers.deals`` has the form). Without it a session is imported all the same; of what is worth what and who
agrees nothing can be said then. (What is there already is not looked at again, also when a setup has come to lie beside
it.) What becomes of a session:

* **simulation**: id ``deliberation-<12 signs of a digest of the session>``, name ``deliberation``; finished, or stopped
  where it was interrupted: it has fewer than a turn for each slot, the opening and the final deal. Data: ``.session``
  (the recorded file's name), ``.complete .issues .p1 .p2 .slot_assignment .finished_rounds .file .file_digest
  .format``; from its end ``.reason``, and with scores ``.final_deal .agreed .unanimous`` (p1's last deal) and
  ``.agreed_any_round`` (any of p1's).
* **agents**: the parties under their names; role ``p1`` (who opens and decides; without a setup who speaks first),
  ``p2`` (who has a veto too), ``player``, or as the setup calls it; parameters ``.incentive .model .scores .minimum``.
* **turns**, one of each round, all with ``.round``: ``model.called`` with the prompt (the instructions that went before
  it are not recorded) and ``model.completed`` with the full answer, private scratchpad and plan included: it is what
  the model said, and what would train it. The others hear the public answer, ``message.sent`` to all of them. The plan
  for the next turn is the agent's state, ``.plan``.
* **deals**: of a public answer that names options ``.deal`` (``.deal.A = 2``); of a whole deal ``.deal_text``
  (``A2,B2,C3,D1,E3``) and, with scores, ``.scores .agrees`` by party, ``.passes .unanimous``, and for who proposes it
  ``.score .below_minimum``.
* **goal** ``agree`` of each: succeeded where p1's last deal passes and the party agrees with it, else failed; cancelled
  in an interrupted session and without scores. At its end ``.score .agrees .deal``.
* **time**: none is recorded, so each turn takes one virtual second. ``wall`` is the moment of the import.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matrix.event import MESSAGE_SENT, STATE_CHANGED
from matrix.importers.deals import Game, Party, issues_in, named_in, read_game
from matrix.importers.fields import Record, joined
from matrix.importers.history import History
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream

_TURN_US = 1_000_000
_ROUNDS_PER_PARTY = 4


def read(source: Source) -> Iterator[History]:
    """The sessions of a file, one by one."""
    game = read_game(_folders(source.path))
    stream = JsonStream(source)
    if not stream.starts_with("{"):
        raise Refusal(
            "line 1", "not a session of llm-deliberation: expected an object with rounds, or lines with a log"
        )
    for line, value in stream.documents():
        if type(value) is dict and "log" in value:
            recorded = Record(value, line)
            name = recorded.optional_text("file")
            yield _Session(source, game, recorded.record("log"), name, recorded.rest()).told()
        else:
            yield _Session(source, game, Record(value, "" if line == "line 1" else line), source.name, {}).told()


def _folders(path: Path) -> list[Path]:
    """Where the setup may lie: beside the file, or in a folder of its name."""
    return [path.parent, path.parent / path.name.partition(".")[0]]


class _Session:
    """One recorded session while it is told as a history."""

    def __init__(self, source: Source, game: Game, recorded: Record, name: str | None, rest: dict[str, Any]) -> None:
        if not recorded.has("rounds"):
            raise Refusal(recorded.at("rounds"), "not a session of llm-deliberation: it has no list of rounds")
        self.rounds = list(recorded.records("rounds"))
        self.slots = _texts(recorded, "slot_assignment")
        self.game = self._parties(game)
        self.issues = self.game.issues or self._opening_issues()
        self.plans = self._plans(recorded)
        self.is_complete = len(self.rounds) >= 2 + (len(self.slots) or _ROUNDS_PER_PARTY * len(self.game.parties))
        self.history = self._history(source, recorded, name, rest)
        self.final: dict[str, Any] = {}  # of p1's last whole deal
        self.passed_once = False

    def told(self) -> History:
        agents = {name: self._start_agent(party) for name, party in self.game.parties.items()}
        goals = {name: self._start_goal(agents[name], party) for name, party in self.game.parties.items()}
        for index, turn in enumerate(self.rounds):
            self._tell_turn(index, turn, agents)
        last = len(self.history.events)
        for name, goal in goals.items():
            status, reason, data = self._outcome(name)
            self.history.end_goal(goal, status, reason=reason, cause=last, data=data)
        self.history.finish(
            time=self.history.time, status="finished" if self.is_complete else "stopped", data=self._result()
        )
        return self.history

    def _parties(self, game: Game) -> Game:
        """Those of the setup, of whom the session must be; without one whoever speaks, or should have."""
        speakers = [turn.text("agent") for turn in self.rounds]
        if not game.parties:
            names = dict.fromkeys([*speakers[:1], *self.slots, *speakers])
            roles = dict.fromkeys(speakers[:1], "p1")
            return Game({name: Party(name, roles.get(name, "player")) for name in names}, [])
        for turn, speaker in zip(self.rounds, speakers, strict=True):
            if speaker not in game.parties:
                raise Refusal(turn.at("agent"), f"{speaker[:60]!r} is none of the parties that config.txt names")
        return game

    def _opening_issues(self) -> list[str]:
        opening = self.rounds[0] if self.rounds else None
        return issues_in(_public(opening) or opening.optional_text("prompt") or "") if opening else []

    def _plans(self, recorded: Record) -> dict[int, str]:
        """The plan that each turn left, by its round; a plan that no answer holds stays as it is recorded."""
        plans = recorded.optional_record("plan")
        all_plans = {speaker: _texts(plans, speaker) for speaker in plans.value}
        left = {speaker: deque(texts) for speaker, texts in all_plans.items()}
        found: dict[int, str] = {}
        for index, turn in enumerate(self.rounds):
            waiting = left.get(turn.text("agent"))
            if waiting and waiting[0] in (turn.optional_text("full_answer") or ""):
                found[index] = waiting.popleft()
        self.unplaced = {speaker: all_plans[speaker] for speaker, waiting in left.items() if waiting}
        return found

    def _history(self, source: Source, recorded: Record, name: str | None, rest: dict[str, Any]) -> History:
        about: dict[str, Any] = {"format": "llm-deliberation", "file": source.name, "file_digest": source.digest}
        about |= {"session": name, "complete": self.is_complete, "issues": self.issues, "plan": self.unplaced or None}
        about |= {"p1": self.game.holder("p1"), "p2": self.game.holder("p2"), "slot_assignment": self.slots or None}
        about["finished_rounds"] = recorded.optional_integer("finished_rounds")
        known = {key: value for key, value in about.items() if value is not None}
        content = json.dumps(recorded.value, sort_keys=True).encode()
        id = f"deliberation-{hashlib.sha256(content).hexdigest()[:12]}"
        return History(id, name="deliberation", wall=source.wall, data=joined(joined(known, recorded.rest()), rest))

    def _start_agent(self, party: Party) -> int:
        scored = {"scores": party.scores, "minimum": party.minimum} if party.scores else {}
        return self.history.agent(party.name, role=party.role, parameters=party.settings | scored)

    def _start_goal(self, agent: int, party: Party) -> int:
        return self.history.start_goal(agent, "agree", {"minimum": party.minimum} if party.scores else {})

    def _tell_turn(self, index: int, turn: Record, agents: dict[str, int]) -> None:
        name, history = turn.text("agent"), self.history
        agent, place = agents[name], {"round": index}
        history.begin_turn(agent, time=(index + 1) * _TURN_US)
        cause = self._tell_model(turn, agent, place)
        if self.plans.get(index):
            history.emit(agent, STATE_CHANGED, {"plan": self.plans[index]}, cause=cause)
        text = _public(turn)
        if text is None:
            raise Refusal(turn.at("public_answer"), "expected text, found nothing, and no full answer either")
        deal = named_in(text, self.issues)
        said = {"text": text} | place | ({"deal": deal} if deal else {})
        if deal and len(deal) == len(self.issues):
            said |= {"deal_text": _written(deal)} | self.game.judged(deal, name)
            if name == self.game.holder("p1"):
                self.final, self.passed_once = said, self.passed_once or said.get("passes") is True
        others = [number for party, number in agents.items() if party != name]
        history.emit(agent, MESSAGE_SENT, joined(said, turn.rest()), to=others, cause=cause)

    def _tell_model(self, turn: Record, agent: int, place: dict[str, Any]) -> int | None:
        """What the model was shown and wrote, where it is recorded; the seq of its answer."""
        prompt, answer = turn.optional_text("prompt"), turn.optional_text("full_answer")
        if answer is None:
            return None if prompt is None else self.history.emit(agent, "note", {"prompt": prompt} | place)
        name = turn.text("agent")
        model = self.game.parties[name].settings.get("model")
        said: dict[str, Any] = place | {"call_id": f"{name}#{place['round']}"} | ({"model": model} if model else {})
        shown = {} if prompt is None else {"messages": [{"role": "user", "content": prompt}]}
        called = self.history.emit(agent, "model.called", said | shown)
        message = {"role": "assistant", "content": answer}
        return self.history.emit(agent, "model.completed", said | {"message": message}, cause=called)

    def _outcome(self, name: str) -> tuple[str, str, dict[str, Any]]:
        if not self.is_complete or not self.game.has_scores:
            return "cancelled", "interrupted" if not self.is_complete else "no scores beside the file", {}
        if "passes" not in self.final:
            return "failed", "no whole deal of p1", {}
        agrees = self.final["agrees"][name]
        data = {"score": self.final["scores"][name], "agrees": agrees, "deal": self.final["deal_text"]}
        if not self.final["passes"]:
            return "failed", "no agreement", data
        return ("succeeded", "agreed", data) if agrees else ("failed", "outvoted", data)

    def _result(self) -> dict[str, Any]:
        if not self.is_complete:
            return {"reason": "interrupted"}
        deal = {"final_deal": self.final["deal_text"]} if self.final else {}
        if not self.game.has_scores:
            return {"reason": "finished"} | deal
        agreed = self.final.get("passes", False)
        said = {"agreed": agreed, "unanimous": self.final.get("unanimous", False), "agreed_any_round": self.passed_once}
        return {"reason": "agreed" if agreed else "no agreement"} | deal | said


def _public(turn: Record) -> str | None:
    """What the others heard; where only the full answer is recorded, that part of it."""
    public, full = turn.optional_text("public_answer"), turn.optional_text("full_answer")
    if public is not None or full is None:
        return public
    return full.split("<ANSWER>")[-1].split("</ANSWER>")[0]


def _written(deal: dict[str, int]) -> str:
    return ",".join(f"{issue}{option}" for issue, option in deal.items())


def _texts(recorded: Record, name: str) -> list[str]:
    """A list of texts; a missing or null one is empty."""
    values = recorded.value[name] if recorded.has(name) else []
    if type(values) is not list or any(type(value) is not str for value in values):
        raise Refusal(recorded.at(name), "expected a list of texts")
    return list(values)
