"""Deals of llm-deliberation: what an answer proposes, what it is worth to whom, and whether it would pass.

The measures are those of the authors' evaluation (``evaluation/evaluate_deals.ipynb`` of S-Abdelnabi/LLM-Deliberation):
the first option named of each issue is the deal, a party agrees with what is worth more than its minimum, and p1, who
has a bonus for unanimity, also with up to ten points less where all others agree. A deal passes when all agree, or all
but one who is neither p1 nor p2.

The setup lies beside the sessions: ``config.txt``, a line for each party (``name, file, role, incentive, model``), and
``scores_files/<file>.txt``, for each issue a line with what each option is worth, and last the minimum.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matrix.importers.source import Refusal
from matrix.limits import IMPORT_SIDE_FILE_BYTES_MAX

_BONUS = 10
_ROLES = {"p1": "p1", "voting_moderator": "p1", "p2": "p2", "veto": "p2"}
_OPTION = re.compile(r"([A-Z])([1-9])")

Deal = dict[str, int]


@dataclass(frozen=True, slots=True)
class Party:
    """One who negotiates: ``scores`` by issue, in the order of the options; none where they are not known."""

    name: str
    role: str = "player"
    settings: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, list[int]] = field(default_factory=dict)
    minimum: int = 0

    def worth(self, deal: Deal) -> int:
        return sum(self.scores[issue][option - 1] for issue, option in deal.items())


def named_in(answer: str, issues: Iterable[str]) -> Deal:
    """The first option of each issue in a public answer.

    >>> named_in("<DEAL>A2, B1,\\nC4</DEAL> rather than A1", "ABCD")
    {'A': 2, 'B': 1, 'C': 4}
    """
    text, deal = answer.replace("\n", ""), {}
    for issue in issues:
        if found := re.search(f"{issue}([1-9])", text):
            deal[issue] = int(found[1])
    return deal


def issues_in(text: str) -> list[str]:
    """The issues of the game, from the text that opens it with a whole deal: those from A on without a gap.

    >>> issues_in("propose the following deal: A1,B1,C4,D1,E5,F4.")
    ['A', 'B', 'C', 'D', 'E', 'F']
    """
    named = {issue for issue, _ in _OPTION.findall(text)}
    letters = string.ascii_uppercase
    return list(letters[: next((n for n, letter in enumerate(letters) if letter not in named), len(letters))])


@dataclass(frozen=True, slots=True)
class Game:
    """The parties with their scores, by name; ``issues`` are known where scores are."""

    parties: dict[str, Party]
    issues: list[str]

    @property
    def has_scores(self) -> bool:
        return bool(self.issues)

    def holder(self, role: str) -> str | None:
        """The one party of this role."""
        return next((party.name for party in self.parties.values() if party.role == role), None)

    def judged(self, deal: Deal, proposer: str) -> dict[str, Any]:
        """What a whole deal is worth: ``scores`` and ``agrees`` by party, ``passes``, ``unanimous``; for who proposes
        it ``score`` and ``below_minimum``. Empty where that cannot be said.
        """
        if list(deal) != self.issues or not self._has_options(deal) or proposer not in self.parties:
            return {}
        scores = {name: party.worth(deal) for name, party in self.parties.items()}
        p1, p2 = self.holder("p1"), self.holder("p2")
        against = [name for name, party in self.parties.items() if scores[name] <= party.minimum]
        if p1 and against == [p1] and scores[p1] + _BONUS > self.parties[p1].minimum:
            against = []
        needed = self.parties[proposer].minimum - (_BONUS if proposer == p1 else 0)
        return {
            "scores": scores,
            "agrees": {name: name not in against for name in self.parties},
            "passes": not against or (len(against) == 1 and against[0] not in (p1, p2)),
            "unanimous": not against,
            "score": scores[proposer],
            "below_minimum": scores[proposer] < needed,
        }

    def _has_options(self, deal: Deal) -> bool:
        every = self.parties.values()
        return all(option <= len(party.scores[issue]) for party in every for issue, option in deal.items())


def read_game(folders: Iterable[Path]) -> Game:
    """The setup in the first of these folders that has both its parts; an empty one where none has.

    What is there must be right: a line that is not is refused with its file.
    """
    for folder in folders:
        config, scores = folder / "config.txt", folder / "scores_files"
        if config.is_file() and scores.is_dir():
            lines = _lines(config)
            parties = [_party(fields, place, scores) for place, fields in lines]
            return _game(parties, str(config))
    return Game({}, [])


def _game(parties: list[Party], config: str) -> Game:
    by_name = {party.name: party for party in parties}
    issues = {tuple(party.scores) for party in parties}
    if len(by_name) != len(parties):
        raise Refusal(config, "a party is named twice")
    if len(issues) != 1:
        raise Refusal(config, "expected parties that have scores for the same issues")
    for role in ("p1", "p2"):
        if sum(party.role == role for party in parties) > 1:
            raise Refusal(config, f"more than one party is {role}")
    return Game(by_name, list(issues.pop()))


def _party(fields: list[str], place: str, scores: Path) -> Party:
    if len(fields) < 3 or not all(fields[:3]):
        raise Refusal(place, "expected a party as: name, file, role, incentive, model")
    name, file, role, *settings = fields
    said = {key: value for key, value in zip(("incentive", "model"), settings, strict=False) if value}
    if Path(file).name != file:
        raise Refusal(place, f"expected the name of a file in scores_files, found {file[:60]!r}")
    *rows, (last, minimum) = _numbers(scores / f"{file}.txt")
    if len(minimum) != 1 or not rows or len(rows) > len(string.ascii_uppercase):
        raise Refusal(last, "expected a line of numbers for each issue, and last the minimum alone")
    by_issue = {letter: row for letter, (_, row) in zip(string.ascii_uppercase, rows, strict=False)}
    return Party(name, _ROLES.get(role, role), said, by_issue, minimum[0])


def _numbers(path: Path) -> list[tuple[str, list[int]]]:
    found = []
    for place, fields in _lines(path):
        if not all(re.fullmatch(r"-?\d{1,9}", one, re.ASCII) for one in fields):
            raise Refusal(place, "expected whole numbers with commas between")
        found.append((place, [int(one) for one in fields]))
    if not found:
        raise Refusal(str(path), "the file is empty")
    return found


def _lines(path: Path) -> list[tuple[str, list[str]]]:
    """The lines that are not blank, in fields at their commas, each with its place."""
    try:
        with path.open("rb") as file:
            content = file.read(IMPORT_SIDE_FILE_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        raise Refusal(str(path), f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise Refusal(str(path), "not UTF-8 text") from None
    if len(content) > IMPORT_SIDE_FILE_BYTES_MAX:
        raise Refusal(str(path), f"longer than {IMPORT_SIDE_FILE_BYTES_MAX:,} bytes")
    lines = [(f"{path}, line {number}", line) for number, line in enumerate(text.splitlines(), start=1)]
    return [(place, [part.strip() for part in line.split(",")]) for place, line in lines if line.strip()]
