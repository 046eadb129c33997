"""``--as pairs``: branches of one simulation that came out differently become prompt, chosen, rejected.

    1-1  |---- shared ----|---- as it was ---------- reward 0.2
    1-9                   |---- forked there ------- reward 0.7     prompt: shared; chosen: 1-9's; rejected: 1-1's

This is TRL's conversational preference format with an explicit prompt (its documents on dataset formats, "Preference"),
which its trainers for DPO, CPO, ORPO and rewards read; ``tools`` stands beside it as in chat. A side ends with the last
message of the agent's own; with ``reply_only`` before others speak, so that it is an answer and no conversation.

The rules:

- Both branches must be chosen by the query, and the agent in both. Which two are compared ``branches`` says.
- The branch with the higher reward is chosen, and where rewards do not tell, the one that succeeded; two that came out
  alike, or whose rewards cannot be compared, make no pair. ``margin`` is how far rewards are apart.
- The prompt goes up to the first message that differs, which may be long behind the place of the fork. It must be the
  agent's own in both: where others said something else first, or one of the two said no more, it was not the agent's
  choice that made the difference.
- Of more than ``pairs_max`` pairs of one agent at one place, those with the largest margins are taken.

Whatever makes no pair for one of these reasons is counted with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matrix.errors import UsageError
from matrix.export.branches import Branch, Place, places, unrelated
from matrix.export.contract import Counts, Options, Reading, Row
from matrix.limits import EXPORT_PAIRS_PER_PLACE
from matrix.report.texts import compared

if TYPE_CHECKING:
    from matrix.export.selection import Selected, Selection

Message = dict[str, Any]

ALONE: Final = "simulations without another branch among those chosen"
UNRELATED: Final = "pairs of branches that are compared with others between them"
ALIKE: Final = "pairs of branches that came out alike, or nobody knows how"
SAME: Final = "pairs of branches in which the agent's conversation is the same"
OTHERS: Final = "pairs of branches in which others said something else first"
SILENT: Final = "pairs of branches in one of which the agent said no more"
NO_PROMPT: Final = "pairs without a prompt, since the agent spoke first and nothing told it what it is"
TOO_MANY: Final = "pairs beyond the most of one agent at one place"
MISSING: Final = "conversations that only one of two branches has"


def rows(store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
    """The pairs of each family, in the order of the store; memory is that of one family."""
    most = EXPORT_PAIRS_PER_PLACE if options.pairs_max is None else options.pairs_max
    if type(most) is not int or most < 1:
        raise UsageError(f"pairs_max is a whole number from 1 on, not {most!r}")
    for family, members in _families(selection).items():
        if len(members) == 1:
            options.counts.left_out[ALONE] += 1
            continue
        ...


def _families(selection: Iterable[Selected]) -> dict[str, list[Selected]]:
    found: dict[str, list[Selected]] = {}
    for one in selection:
        found.setdefault(one.family, []).append(one)
    return found


class Part(NamedTuple):
    """What two branches of an agent's conversation share, as a number of messages, or why they make no pair."""

    shared: int = 0
    problem: str = ""


def parted(one: Sequence[Message], other: Sequence[Message]) -> Part:
    """Where two conversations part by the agent's own choice.

    >>> ask, yes, no = ({"role": role, "content": text} for role, text in (("user", "?"), ("assistant", "y"), ("assistant", "n")))
    >>> parted([ask, yes], [ask, no]), parted([ask, yes], [ask]).problem == SILENT
    (Part(shared=1, problem=''), True)
    """
    shared = 0
    for mine, theirs in zip(one, other):
        if _said(mine) != _said(theirs):
            break
        shared += 1
    if shared == len(one) == len(other):
        return Part(problem=SAME)
    if shared in (len(one), len(other)):
        return Part(problem=SILENT)
    if not (_is_own(one[shared]) and _is_own(other[shared])):
        return Part(problem=OTHERS)
    while shared and _is_own(one[shared - 1]):
        shared -= 1  # a prompt ends where the agent's turn to speak begins
    return Part(shared) if shared else Part(problem=NO_PROMPT)


def _said(message: Message) -> Message:
    """A message without the ids of calls, which two runs make up anew."""
    found = {name: value for name, value in message.items() if name not in ("tool_calls", "tool_call_id")}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        found["tool_calls"] = [
            {name: value for name, value in call.items() if name != "id"} if isinstance(call, Mapping) else call
            for call in calls
        ]
    return found


def _is_own(message: Message) -> bool:
    return message.get("role") == "assistant"


def better(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """1 when the first came out better, -1 when the second did, 0 when that cannot be told.

    >>> better({"reward": 0.2, "outcome": "succeeded"}, {"reward": 0.7, "outcome": "succeeded"})
    -1
    """
    rewards = one.get("reward"), other.get("reward")
    if None not in rewards and rewards[0] != rewards[1]:
        return 1 if rewards[0] > rewards[1] else -1
    succeeded = [side.get("outcome") == "succeeded" for side in (one, other)]
    return succeeded[0] - succeeded[1]
