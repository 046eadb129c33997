"""Keys of things that a simulation numbers: pairs of (simulation, seq) as rows, and as ids in text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.engine.value import Array, Type, Value

_MISSING = -1


def pair_rows(simulations: Array, seqs: Array, wanted_simulations: Array, wanted_seqs: Array) -> Array:
    """The row of each wanted (simulation, seq) among ascending pairs; -1 where it is not."""
    if not len(seqs) or not len(wanted_seqs):
        return np.full(len(wanted_seqs), _MISSING, np.int64)
    span = int(max(seqs.max(), wanted_seqs.max())) + 1
    top = int(max(simulations.max(), wanted_simulations.max())) + 1
    assert span * top < 2**63, "more simulations times events than an int64 can number"
    keys = simulations.astype(np.int64) * span + seqs
    wanted = wanted_simulations.astype(np.int64) * span + wanted_seqs
    rows = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[rows] == wanted, rows, _MISSING)


def joined_ids(ids: Value, seqs: Array) -> Value:
    """Event and goal ids: the simulation's id, a colon, the seq."""
    lane = ids.only
    if lane is None:
        return Value.missing(len(seqs))
    words = lane.spread(len(seqs)).values
    words = words.cast(pa.string()) if pa.types.is_dictionary(words.type) else words
    numbers = pa.array(seqs.astype(np.int64, copy=False)).cast(pa.string())
    return Value.of(Type.TEXT, pc.binary_join_element_wise(words, numbers, ":"))
