"""``as chat``: conversations as training examples, one for each agent whose side it is told from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.limits import QUERY_CHAT_BYTES_MAX
from matrix.query import syntax as q
from matrix.query.engine.bounds import portions
from matrix.query.engine.conversations import Conversations
from matrix.query.engine.events import EventTable, Part
from matrix.query.engine.frame import Frame, NoTable, expand
from matrix.query.engine.functions import compact_jsons
from matrix.query.engine.value import Array, Nested, Type, plain, text_array

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator
    from matrix.query.engine.world import World

_ESCAPED = r'["\\\x00-\x1f]'  # what JSON cannot hold as it is
ROLES = ("assistant", "user", "system")
_ASSISTANT, _USER, _SYSTEM = range(3)
MESSAGES = pa.list_(pa.struct([(name, pa.string()) for name in ("role", "name", "content")]))


class Shaped(NoTable):
    """Rows that are lines of a shape."""


def as_chat(evaluator: Evaluator, stage: q.Shape, frame: Frame) -> Frame:
    """A row for each conversation, in the order of the rows, and each of its agents on the left, by number."""
    world, table = evaluator.world, frame.table
    assert isinstance(table, Conversations), "a chat is made of conversations"
    threads = _first_places(frame.index())
    place = np.full(table.count, -1)
    place[threads] = np.arange(len(threads))
    agents, of = table.members()
    is_told = place[of] >= 0
    if frame.agents is not None:
        is_told &= np.isin(agents, frame.agents)
    agents, places = agents[is_told], place[of[is_told]]
    order = np.lexsort((agents, places))
    agents, places = agents[order], places[order]
    told = threads[places]
    columns = {
        "simulation": world.simulations.field("id").take(table.simulation_rows()[told]),
        "conversation": table.field("id").take(told),
        "agent": world.agents.field("id").take(agents),
        "messages": Nested.column(_messages(world, place, len(threads), agents, places)),
    }
    return Frame(Shaped(len(told)), columns=columns)


def _first_places(rows: Array) -> Array:
    """Each row once, where it comes first."""
    found, firsts = np.unique(rows, return_index=True)
    return found[np.argsort(firsts, kind="stable")]


def _messages(world: World, place: Array, count: int, agents: Array, places: Array) -> pa.ChunkedArray:
    """For each (agent, place of a conversation) its messages; ``place`` is by conversation, -1 where it is not told."""
    everything = world.messages
    at = place[everything.link("conversation").rows]
    messages = everything.narrow(np.flatnonzero(at >= 0))
    at = at[at >= 0]
    order = np.lexsort((messages.raw("seq"), at))
    counts = np.bincount(at, minlength=count)
    starts = np.cumsum(counts) - counts
    contents = _contents(messages).take(pa.array(order))
    senders = messages.link("agent").rows[order]
    pieces = []
    lengths = np.concatenate(([0], np.cumsum(pc.binary_length(contents).to_numpy())))
    sizes = lengths[(starts + counts)[places]] - lengths[starts[places]]
    for some in portions(sizes, QUERY_CHAT_BYTES_MAX):  # an Arrow array holds no more
        owners, found = expand(starts[places[some]], counts[places[some]])
        is_own = senders[found] == agents[some][owners]
        roles = np.where(senders[found] < 0, _SYSTEM, np.where(is_own, _ASSISTANT, _USER))
        columns = [
            pa.array(ROLES, pa.string()).take(pa.array(roles)),
            _ids(world, senders[found]),
            contents.take(pa.array(found)),
        ]
        offsets = np.concatenate(([0], np.cumsum(counts[places[some]]))).astype(np.int32)
        structs = pa.StructArray.from_arrays(columns, names=[field.name for field in MESSAGES.value_type])
        pieces.append(pa.ListArray.from_arrays(pa.array(offsets), structs))
    return pa.chunked_array(pieces, MESSAGES)


def _ids(world: World, agents: Array) -> pa.Array:
    """The ids of agents, null for -1."""
    lane = world.agents.field("id").take(agents).only
    return pa.nulls(len(agents), pa.string()) if lane is None else plain(lane.spread(len(agents)).values)


def _contents(messages: EventTable) -> pa.Array:
    """What each message says: its text, or else its kind and its data."""
    lane = messages.payload("text").lane(Type.TEXT)
    if lane is None:
        return _said(messages)
    texts = plain(lane.spread(messages.count).values)
    other = np.asarray(texts.is_null())
    if not other.any():
        return texts
    return pc.replace_with_mask(texts, pa.array(other), _said(messages.narrow(np.flatnonzero(other))))


def _said(messages: EventTable) -> pa.Array:
    pieces = [_by_columns(messages.world, part) or _one_by_one(messages.world, part) for part in messages.parts]
    return pa.concat_arrays(pieces) if pieces else pa.array([], pa.string())


def _one_by_one(world: World, part: Part) -> pa.Array:
    """What the messages of a part say, from their payloads."""
    payloads = part.open(world).payloads(part.kind)
    chosen = payloads if part.places is None else [payloads[place] for place in part.places.tolist()]
    return text_array([part.kind if data == "{}" else f"{part.kind} {data}" for data in compact_jsons(list(chosen))])


def _by_columns(world: World, part: Part) -> pa.Array | None:
    """The same put together column by column; None where a field is nested, mixed or not in every message."""
    block = part.open(world)
    written: list[pa.Array | pa.Scalar] = []
    for name in block.fields(part.kind):
        cells, field = block.cells(part.kind, name), block.field(part.kind, name)
        if cells is None or field is None or cells.present is not None or isinstance(field.values, list):
            return None
        values = _as_json(field.values if part.places is None else field.values.take(pa.array(part.places)))
        if values is None:
            return None
        written += [
            text_array([("," if written else f"{part.kind} {{") + json.dumps(name, ensure_ascii=False) + ":"])[0]
        ]
        written += values
    if not written:
        return pa.array([part.kind] * part.count, pa.string())
    return pc.binary_join_element_wise(*written, pa.scalar("}"), pa.scalar(""))


def _as_json(values: pa.Array) -> list[pa.Array | pa.Scalar] | None:
    """Whole numbers, truths and texts that need no escapes as JSON, in parts to be joined; None for any others."""
    if values.null_count:
        return None
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        return [values.cast(pa.string())]
    if not pa.types.is_string(values.type) or pc.any(pc.match_substring_regex(values, _ESCAPED)).as_py():
        return None
    return [pa.scalar('"'), values, pa.scalar('"')]
