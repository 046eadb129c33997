"""CaSiNo dialogues: two people negotiate over packages of food, water and firewood.

    matrix import casino casino_train.json.gz --store runs

A file is a list of ``{dialogue_id, chat_logs[], participant_info{}, annotations[]}``. What becomes of it:

* **simulation**: id ``casino-<dialogue_id>``, name ``casino``, status finished with the outcome as ``.reason``
  (``deal accepted``, ``walked away``, or ``no outcome recorded``); data ``.dialogue_id .file .file_digest .format``.
* **agents**: the two participants under their recorded ids, role ``negotiator``, in the order of
  ``participant_info``; priorities and reasons are their parameters (``value2issue``, ``value2reason``, and the rest).
* **entries**: one turn of the speaker each, sent to the other: ``message.sent`` with ``.text``; the actions
  ``Submit-Deal``, ``Accept-Deal``, ``Reject-Deal`` and ``Walk-Away`` are ``offer``, ``accept``, ``reject`` and
  ``walk_away``. An offer's data is the split, ``.issue2youget.Food`` and ``.issue2theyget.Food`` (numbers; a count
  that is not digits stays as recorded); what else stands in ``task_data`` is kept by name.
* **annotations**: the strategies of an utterance as a list, ``.annotations`` of its message (joined with commas they
  are the recorded text). Those whose utterance is not in the dialogue are ``.annotations`` of the simulation.
* **goal** ``negotiate`` of each, with ``.priorities`` (``.priorities.High = "Water"``): succeeded when a deal was
  accepted, failed when somebody walked away, cancelled when neither is recorded; at its end ``.points``,
  ``.satisfaction``, ``.opponent_likeness`` and whatever else the outcomes say.
* **time**: none is recorded, so each entry takes one virtual second: the first is said at 1 s. ``wall`` is the
  moment of the import.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matrix.event import MESSAGE_SENT
from matrix.importers.fields import Record, joined, named
from matrix.importers.history import History
from matrix.importers.source import Refusal, Source
from matrix.importers.stream import JsonStream

ACTIONS = {"Submit-Deal": "offer", "Accept-Deal": "accept", "Reject-Deal": "reject", "Walk-Away": "walk_away"}
_ENTRY_US = 1_000_000
#: What the last action says about the goals of both: their status, and why.
_OUTCOMES = {"accept": ("succeeded", "deal accepted"), "walk_away": ("failed", "walked away")}


def read(source: Source) -> Iterator[History]:
    """The dialogues of a CaSiNo file, one by one."""
    stream = JsonStream(source)
    if not stream.starts_with("["):
        raise Refusal("line 1", "not a CaSiNo file: expected a list of dialogues")
    for path, value in stream.elements():
        yield _Dialogue(source, Record(value, path)).told()
    stream.end()


class _Dialogue:
    """One recorded dialogue while it is told as a history."""

    def __init__(self, source: Source, recorded: Record) -> None:
        self.recorded = recorded
        self.entries = _entries(recorded)
        self.participants = _participants(recorded)
        self.annotations, unplaced = _annotations(recorded, [entry.text("text") for entry in self.entries])
        dialogue = recorded.integer("dialogue_id")
        about: dict[str, Any] = {"format": "casino", "file": source.name, "file_digest": source.digest}
        about |= {"dialogue_id": dialogue} | ({"annotations": unplaced} if unplaced else {})
        self.history = History(
            f"casino-{dialogue}", name="casino", wall=source.wall, data=joined(about, recorded.rest())
        )

    def told(self) -> History:
        agents = {id: self._start_agent(id, person) for id, person in self.participants.items()}
        goals = {id: self._start_goal(agents[id], person) for id, person in self.participants.items()}
        outcome = "", ""
        for index, entry in enumerate(self.entries):
            kind = self._tell(entry, agents, index)
            outcome = _OUTCOMES.get(kind, outcome)
        status, reason = outcome if outcome[0] else ("cancelled", "no outcome recorded")
        last = len(self.history.events)
        for id, goal in goals.items():
            self.history.end_goal(goal, status, reason=reason, cause=last, data=_result(self.participants[id]))
        self.history.finish(time=len(self.entries) * _ENTRY_US, data={"reason": reason})
        return self.history

    def _start_agent(self, id: str, person: Record) -> int:
        person.map("outcomes")  # told at the goal's end
        priorities = {"value2issue": person.map("value2issue")}
        return self.history.agent(id, role="negotiator", parameters=priorities | person.rest())

    def _start_goal(self, agent: int, person: Record) -> int:
        return self.history.start_goal(agent, "negotiate", {"priorities": person.map("value2issue")})

    def _tell(self, entry: Record, agents: dict[str, int], index: int) -> str:
        speaker, text = entry.text("id"), entry.text("text")
        if speaker not in agents:
            raise Refusal(entry.at("id"), f"{speaker[:40]!r} is none of the participants")
        other = next(number for id, number in agents.items() if id != speaker)
        kind = ACTIONS.get(text, MESSAGE_SENT)
        said: dict[str, Any] = {} if kind != MESSAGE_SENT else {"text": text}
        if index in self.annotations:
            said["annotations"] = self.annotations[index]
        details = entry.optional_record("task_data")
        said = joined(said, _split(details) if kind == "offer" else details.rest())
        self.history.begin_turn(agents[speaker], time=(index + 1) * _ENTRY_US)
        self.history.emit(agents[speaker], kind, joined(said, entry.rest()), to=other)
        return kind


def _entries(recorded: Record) -> list[Record]:
    if not recorded.has("chat_logs"):
        raise Refusal(recorded.at("chat_logs"), "expected a list, found none")
    return list(recorded.records("chat_logs"))


def _participants(recorded: Record) -> dict[str, Record]:
    people = recorded.record("participant_info")
    if len(people.value) != 2:
        raise Refusal(people.path, f"expected two participants, found {len(people.value)}")
    return {id: people.record(id) for id in people.value}


def _split(details: Record) -> dict[str, Any]:
    """Who gets how much, in numbers: the file has them as text."""
    sides = {side: details.map(side) for side in ("issue2youget", "issue2theyget")}
    counted = {side: {issue: _count(value) for issue, value in split.items()} for side, split in sides.items()}
    return counted | details.rest()


def _count(value: Any) -> Any:
    is_count = type(value) is str and value.isascii() and value.isdigit() and len(value) < 10
    return int(value) if is_count and str(int(value)) == value else value


def _result(person: Record) -> dict[str, Any]:
    outcomes = person.record("outcomes")
    points = outcomes.optional_number("points_scored")
    return joined({} if points is None else {"points": points}, outcomes.rest())


def _annotations(recorded: Record, texts: list[str]) -> tuple[dict[int, list[str]], list[Any]]:
    """The strategies by entry, and the annotations that belong to no entry.

    They stand in the order of the utterances, but an utterance here and there has none.
    """
    placed: dict[int, list[str]] = {}
    unplaced: list[Any] = []
    start = 0
    for utterance, labels in _annotation_pairs(recorded):
        at = next((index for index in range(start, len(texts)) if texts[index] == utterance), None)
        if at is None:
            unplaced.append([utterance, labels])
        else:
            placed[at], start = labels.split(","), at + 1
    return placed, unplaced


def _annotation_pairs(recorded: Record) -> Iterator[tuple[str, str]]:
    pairs = recorded.value.get("annotations") if recorded.has("annotations") else []
    if type(pairs) is not list:
        raise Refusal(recorded.at("annotations"), f"expected a list, found {named(pairs)}")
    for index, pair in enumerate(pairs):
        if type(pair) is not list or [type(part) for part in pair] != [str, str]:
            raise Refusal(
                f"{recorded.at('annotations')}[{index}]", "expected an utterance and its strategies, two texts"
            )
        yield pair[0], pair[1]
