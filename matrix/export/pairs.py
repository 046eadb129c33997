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
from dataclasses import replace
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from matrix.errors import UsageError
from matrix.export.branches import Branch, Key, Place, Side, places, unrelated
from matrix.export.chat import chats_of
from matrix.export.contract import Counts, Options, Reading, Row
from matrix.export.simulation import simulations
from matrix.limits import EXPORT_PAIRS_PER_PLACE
from matrix.report.texts import compared

if TYPE_CHECKING:
    from matrix.export.selection import Selected, Selection
    from matrix.export.simulation import Simulation

Message = dict[str, Any]

ALONE: Final = "simulations without another branch among those chosen"
UNRELATED: Final = "pairs of branches of which each is compared with others between them"
ALIKE: Final = "pairs that came out alike, or nobody can tell which did better"
SAME: Final = "pairs in which the agent's conversation is the same"
OTHERS: Final = "pairs in which others said something else first"
SILENT: Final = "pairs of which in one the agent said no more"
NO_PROMPT: Final = "pairs without a prompt: the agent spoke first, and nothing told it what it is"
TOO_MANY: Final = "pairs beyond the most of one agent at one place"
MISSING: Final = "conversations that are in one of two branches only"
_BOTH: Final = ("store", "agent", "role", "program", "family")
_SIDE: Final = ("simulation", "first_seq", "last_seq", "outcome", "reward", "seed", "code", "model")


def rows(store: Reading, selection: Selection, options: Options) -> Iterator[Row]:
    """The pairs of each family, in the order of the store; memory is that of one family's conversations."""
    most = EXPORT_PAIRS_PER_PLACE if options.pairs_max is None else options.pairs_max
    if type(most) is not int or most < 1:
        raise UsageError(f"pairs_max is a whole number from 1 on, not {most!r}")
    counts = options.counts
    read = simulations(store, _with_relatives(selection, counts), counts)
    for _, members in groupby(read, key=lambda simulation: simulation.selected.family):
        branches = [_branch(store, simulation, options) for simulation in members]
        counts.left_out[UNRELATED] += unrelated(branches)
        for place, parted in places(branches):
            for pair in _at(place, parted, options, most):
                counts.taken["pairs"] += 1
                yield _row(store, place, pair)


def _with_relatives(selection: Iterable[Selected], counts: Counts) -> list[Selected]:
    """What was chosen together with another of its family, one family after the other."""
    families: dict[str, list[Selected]] = {}
    for one in selection:
        families.setdefault(one.family, []).append(one)
    counts.left_out[ALONE] += sum(1 for members in families.values() if len(members) == 1)
    return [one for members in families.values() if len(members) > 1 for one in members]


def _branch(store: Reading, simulation: Simulation, options: Options) -> Branch:
    found = Branch.of(simulation, store.connection)
    inner = replace(options, counts=Counts())
    for chat in chats_of(simulation, inner):
        who = chat.conversation.removeprefix(f"{simulation.id}/")
        number = sum(1 for key in found.sides if key[:2] == (chat.actor.number, who))
        found.sides[chat.actor.number, who, number] = Side(chat.data(options), chat.seqs)
    for name in ("cut", "left_out", "kept"):
        getattr(options.counts, name).update(getattr(inner.counts, name))
    return found


class Pair(NamedTuple):
    """Two sides of one conversation, the better one first, and how many messages their prompt has."""

    who: str
    chosen: Side
    rejected: Side
    shared: int
    is_reply_only: bool

    @property
    def margin(self) -> float | None:
        """How far rewards are apart; None where one has none."""
        one, other = self.chosen.data["reward"], self.rejected.data["reward"]
        return None if one is None or other is None else round(one - other, 12)


def _at(place: Place, branches: Sequence[Branch], options: Options, most: int) -> Iterator[Pair]:
    """The pairs of the branches that part at one place."""
    counts = options.counts
    found: dict[Key, list[Pair]] = {}
    for one, other in combinations(branches, 2):
        counts.left_out[MISSING] += len(one.sides.keys() ^ other.sides.keys())
        for key in one.sides:
            if key in other.sides:
                pair = _pair(key[1], one.sides[key], other.sides[key], options)
                found.setdefault(key, []).extend([pair] if isinstance(pair, Pair) else [])
                if not isinstance(pair, Pair):
                    counts.left_out[pair] += 1
    for pairs in found.values():
        pairs.sort(key=lambda pair: -(pair.margin or 0.0))
        counts.left_out[TOO_MANY] += max(0, len(pairs) - most)
        yield from pairs[:most]


def _pair(who: str, one: Side, other: Side, options: Options) -> Pair | str:
    """The pair that two sides make, or why they make none."""
    part = parted(one.data["messages"], other.data["messages"])
    if part.problem:
        return part.problem
    order = better(one.data, other.data)
    if not order:
        return ALIKE
    return Pair(who, *((one, other) if order > 0 else (other, one)), part.shared, options.is_reply_only)


def _row(store: Reading, place: Place, pair: Pair) -> Row:
    (fork_of,) = store.connection.execute("SELECT id FROM simulations WHERE gid = ?", (place.gid,)).fetchone()
    chosen = pair.chosen.data
    prompt = chosen["messages"][: pair.shared]
    sides = [_after(side, pair) for side in (pair.chosen, pair.rejected)]
    data = {"prompt": prompt, "chosen": sides[0]["messages"], "rejected": sides[1]["messages"]}
    data |= {name: chosen[name] for name in ("tools", "parallel_tool_calls") if name in chosen}
    data |= {name: chosen[name] for name in _BOTH}
    data |= {"conversation": pair.who, "margin": pair.margin, "fork_of": fork_of, "fork_at": place.at}
    for name, side in zip(("chosen", "rejected"), sides, strict=True):
        data |= {f"{name}_{of}": side[of] for of in _SIDE}
    text = "\n".join(compared(messages) for messages in (prompt, data["chosen"], data["rejected"]))
    return Row(data, chosen["family"], text)


def _after(side: Side, pair: Pair) -> dict[str, Any]:
    """What follows the prompt in one branch, and which events it is."""
    messages, seqs = side.data["messages"][pair.shared :], side.seqs[pair.shared :]
    found = {**side.data, "messages": messages, "first_seq": seqs[0]}
    if pair.is_reply_only:
        count = next((place for place, message in enumerate(messages) if not _is_own(message)), len(messages))
        if count < len(messages):
            found |= {"messages": messages[:count], "last_seq": seqs[count - 1]}
    return found


class Part(NamedTuple):
    """What two branches of an agent's conversation share, as a number of messages, or why they make no pair."""

    shared: int = 0
    problem: str = ""


def parted(one: Sequence[Message], other: Sequence[Message]) -> Part:
    """Where two conversations part by the agent's own choice.

    >>> ask, yes = {"role": "user", "content": "Sold?"}, {"role": "assistant", "content": "Yes."}
    >>> parted([ask, yes], [ask, yes | {"content": "No."}]), parted([ask, yes], [ask])
    (Part(shared=1, problem=''), Part(shared=0, problem='pairs of which in one the agent said no more'))
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
    mine, theirs = one.get("reward"), other.get("reward")
    if mine is not None and theirs is not None and mine != theirs:
        return 1 if mine > theirs else -1
    succeeded = [side.get("outcome") == "succeeded" for side in (one, other)]
    return succeeded[0] - succeeded[1]
