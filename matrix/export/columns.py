"""What each column of an export means, and its type where every row has null.

What always holds: a column has one meaning in all forms that have it; a column that is not here is told by name and
type alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import pyarrow as pa

from matrix.errors import UsageError
from matrix.export.shape import LIST, NESTED, TEXT, TEXT_TYPE, Shape


class Column(NamedTuple):
    """A column's meaning, and the type it has while nothing is known of its values."""

    meaning: str
    type: pa.DataType = TEXT_TYPE


_WHOLE, _NUMBER, _TRUTH = pa.int64(), pa.float64(), pa.bool_()
_TEXTS: Final = pa.list_(pa.field("element", TEXT_TYPE))
_MESSAGES: Final = pa.list_(pa.field("element", pa.struct([("role", TEXT_TYPE), ("content", TEXT_TYPE)])))
_STEPS: Final = pa.list_(
    pa.field(
        "element",
        pa.struct(
            [
                ("observation", TEXT_TYPE),
                ("action", TEXT_TYPE),
                ("reward", _NUMBER),
                ("terminated", _TRUTH),
                ("truncated", _TRUTH),
                ("seq", _WHOLE),
                ("time", _WHOLE),
            ]
        ),
    )
)

COLUMNS: Final[Mapping[str, Column]] = {
    "messages": Column(
        "the conversation as the agent knew it, in OpenAI's form; it ends with its own last message", _MESSAGES
    ),
    "prompt": Column(
        "what both branches share: the conversation as the agent knew it, up to where they part", _MESSAGES
    ),
    "chosen": Column("how it went on in the branch that came out better", _MESSAGES),
    "rejected": Column("how it went on in the branch that came out worse", _MESSAGES),
    "margin": Column("reward of the chosen branch less that of the rejected one; null where one has none", _NUMBER),
    "tools": Column("schemas of the tools that the agent had, in OpenAI's form; null for none"),
    "parallel_tool_calls": Column("whether the agent may call several tools at once", _TRUTH),
    "store": Column("the store it is from"),
    "simulation": Column("the simulation it is from"),
    "agent": Column("the agent whose view it is"),
    "role": Column("the agent's role"),
    "conversation": Column("the conversation, by its members"),
    "first_seq": Column("number of the first event in it, in its simulation", _WHOLE),
    "last_seq": Column("number of the last event in it", _WHOLE),
    "program": Column("the program that was run"),
    "code": Column("hash of the program's source"),
    "seed": Column("seed of the simulation", _WHOLE),
    "model": Column("the model that spoke for the agent, where a model did"),
    "outcome": Column("how the agent's goals came out"),
    "reward": Column("reward of the agent's goals", _NUMBER),
    "goals": Column("the agent's outermost goals, or those that were chosen, with what became of each"),
    "source": Column("the file that it was imported from"),
    "parent": Column("the simulation that its own was forked from"),
    "steps": Column("what the agent did: each action with what it saw before, and what it brought", _STEPS),
    "final_observation": Column("what reached the agent after its last action"),
    "terminated": Column("whether the goal came to an end of its own", _TRUTH),
    "truncated": Column("whether something outside ended it: a limit, a cancellation, the recording's end", _TRUTH),
    "goal": Column("number of the event that began the goal", _WHOLE),
    "name": Column("the goal's name"),
    "parent_goal": Column("number of the event that began the goal that it is part of", _WHOLE),
    "reason": Column("why the goal ended as it did"),
    "seq": Column("the event's number in its simulation", _WHOLE),
    "id": Column("the event's id"),
    "time": Column("virtual microseconds since the simulation began", _WHOLE),
    "wall": Column("microseconds since 1970", _WHOLE),
    "turn": Column("the agent's turn", _WHOLE),
    "state": Column("number of the event that made the state in which it happened", _WHOLE),
    "cause": Column("number of the event that led to it", _WHOLE),
    "kind": Column("the event's kind"),
    "to": Column("the agents that it was sent to", _TEXTS),
    "data": Column("the event's data, as JSON text"),
    "family": Column("the simulation at the root of its forks; a family is in one split"),
    "split": Column("train, validation or test"),
    "fork_of": Column("the simulation at which the branches part"),
    "fork_at": Column("number of the last event that both branches share in the log", _WHOLE),
} | {
    f"{side}_{name}": Column(f"{meaning} of the {side} branch", type)
    for side in ("chosen", "rejected")
    for name, meaning, type in (
        ("simulation", "simulation", TEXT_TYPE),
        ("first_seq", "number of the first event that is only in what follows, in the history", _WHOLE),
        ("last_seq", "number of the last event in what follows", _WHOLE),
        ("outcome", "outcome", TEXT_TYPE),
        ("reward", "reward", _NUMBER),
        ("seed", "seed", _WHOLE),
        ("code", "hash of the program's source", TEXT_TYPE),
        ("model", "model", TEXT_TYPE),
    )
}

_FROM: Final = ("store", "simulation", "agent", "role", "program", "code", "source", "seed", "parent", "family")
_SIDES: Final = tuple(name for name in COLUMNS if name.startswith(("chosen_", "rejected_")))

#: The columns that rows of each form may have, in their order; of tools only where an agent had some.
OF_FORM: Final[Mapping[str, Sequence[str]]] = {
    "chat": (
        *("messages", "tools", "parallel_tool_calls", *_FROM),
        *("conversation", "first_seq", "last_seq", "model", "outcome", "reward", "goals", "split"),
    ),
    "pairs": (
        *("prompt", "chosen", "rejected", "tools", "parallel_tool_calls", "store", "agent", "role", "program"),
        *("family", "conversation", "margin", "fork_of", "fork_at", *_SIDES, "split"),
    ),
    "episodes": (
        *("steps", "final_observation", "reward", "terminated", "truncated", *_FROM),
        *("goal", "name", "parent_goal", "outcome", "reason", "first_seq", "last_seq", "split"),
    ),
    "events": (
        *("store", "simulation", "seq", "id", "time", "wall", "turn", "agent", "role"),
        *("goal", "state", "cause", "kind", "to", "data", "family", "split"),
    ),
}


def check(names: Sequence[str], form: str) -> None:
    """Refuse columns that no row of a form has, whatever the history is."""
    known = OF_FORM[form]
    if not names:
        raise UsageError(f"no columns: give some of {', '.join(known)}")
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            raise UsageError(f'rows of {form} have no column "{name}"{hint or "."} They have {", ".join(known)}')


def schema(shape: Shape, expected: Sequence[str] = ()) -> pa.Schema:
    """The columns of Parquet for rows of this shape; where there are no rows, the columns that they would have."""
    if not shape.fields:
        return pa.schema([(name, COLUMNS[name].type) for name in expected])
    return pa.schema([(name, _type(name, of)) for name, of in shape.fields.items()])


def _type(name: str, shape: Shape) -> pa.DataType:
    if not shape.kinds and name in COLUMNS:
        return COLUMNS[name].type
    return shape.arrow(is_nested=name in NESTED)


def features(shape: Shape) -> list[dict[str, Any]]:
    """The columns of JSON Lines, as `datasets` reads them in the head of a card: each map stays as it is.

    >>> shape = Shape()
    >>> shape.learn_row({"agent": "ada", "messages": [{"role": "user"}], "reward": None})
    True
    >>> features(shape)
    [{'name': 'agent', 'dtype': 'string'}, {'name': 'messages', 'list': 'json'}, {'name': 'reward', 'dtype': 'float64'}]
    """
    return [{"name": name, **_feature(name, of)} for name, of in shape.fields.items()]


def _feature(name: str, shape: Shape) -> dict[str, str]:
    if not shape.kinds:
        return {"dtype": _NAMES.get(_type(name, shape), "json")}
    if shape.kinds == LIST and shape.item is not None:
        return {"list": _dtype(shape.item)}
    return {"dtype": _dtype(shape)}


def _dtype(shape: Shape) -> str:
    is_text = shape.kinds in (0, TEXT)
    type = shape.arrow()
    return "json" if type is TEXT_TYPE and not is_text else _NAMES.get(type, "json")


_NAMES: Final = {TEXT_TYPE: "string", _WHOLE: "int64", _NUMBER: "float64", _TRUTH: "bool"}
