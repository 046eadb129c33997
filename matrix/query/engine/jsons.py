"""Data as JSON text, and beside it what the text does not hold.

What always holds: ``python_values`` gives the very values that ``json_texts`` was given, to the type. A text holds most
of them: numbers keep every digit, keys their order. What JSON has no form for (bytes, NaN, infinities) is kept as CBOR
beside the text of its row. Both are Arrow's, a fraction of what Python's maps take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from matrix.log.items import decode_value, encode_value
from matrix.query.engine.functions import as_json

_AT_ONCE: Final = 4_096  # values that the encoder is called for together: one call each takes half as long again
_CHUNK_BYTES: Final = 1 << 30  # of text; Arrow's plain strings hold less than 2 GiB together
_MARK: Final = "\0next\0"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False)
_BETWEEN: Final = f", {_ENCODER.encode(_MARK)}, "


class Texts(NamedTuple):
    """A text for each value, null where there is none; ``exact`` the CBOR of those that the texts do not hold."""

    texts: pa.Array  # large strings
    exact: pa.Array | None  # large binaries, null where the text is all; None: everywhere


def json_texts(values: Iterable[Any]) -> Texts:
    """The texts of values as the log and the engine have them: lists, and maps with text keys.

    >>> json_texts([{"price": 40.0}, None, [b"?"]]).texts.to_pylist()
    ['{"price": 40.0}', None, '["Pw=="]']
    """
    parts, exact, rest = [], [], iter(values)
    while some := list(islice(rest, _AT_ONCE)):
        texts = _together(some)
        kept = None if texts is not None else [_exact(value) for value in some]
        if texts is None:
            texts = [None if value is None else as_json(value) for value in some]
        parts.append(pa.array(texts, pa.large_string()))
        exact.append(pa.nulls(len(some), pa.large_binary()) if kept is None else pa.array(kept, pa.large_binary()))
    is_all = all(part.null_count == len(part) for part in exact)
    text = pa.concat_arrays(parts) if parts else pa.array([], pa.large_string())
    return Texts(text, None if is_all else pa.concat_arrays(exact))


def _together(values: list[Any]) -> list[str | None] | None:
    """The texts of all of these by one call; None when one of them has what JSON lacks, or the mark, in it."""
    marked: list[Any] = [_MARK] * (2 * len(values) - 1)
    marked[::2] = values
    try:
        texts: list[str | None] = [*_ENCODER.encode(marked)[1:-1].split(_BETWEEN)]
    except (ValueError, TypeError):
        return None
    if len(texts) != len(values):
        return None
    if None in values:
        return [None if value is None else text for value, text in zip(values, texts, strict=True)]
    return texts


def _exact(value: Any) -> bytes | None:
    """What is to be kept of a value beside its text."""
    try:
        _ENCODER.encode(value)
    except (ValueError, TypeError):
        return encode_value(value)
    return None


def plain_strings(texts: pa.Array) -> pa.ChunkedArray:
    """Large strings as plain ones, in as many chunks as they need."""
    lengths = pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths, dtype=np.int64)
    cuts = np.searchsorted(ends, np.arange(_CHUNK_BYTES, int(ends[-1]) if len(ends) else 0, _CHUNK_BYTES))
    edges = [0, *np.unique(cuts).tolist(), len(texts)]
    chunks = [texts.slice(begin, end - begin).cast(pa.string()) for begin, end in pairwise(edges)]
    return pa.chunked_array(chunks, pa.string())


def python_values(texts: pa.Array | pa.ChunkedArray, exact: pa.Array | pa.ChunkedArray | None) -> list[Any]:
    """The values that texts, and CBOR beside them, stand for."""
    values = [value for some in _slices(texts.to_pylist()) for value in _parsed(some)]
    if exact is not None:
        for row in np.flatnonzero(np.asarray(exact.is_valid())).tolist():
            values[row] = decode_value(exact[row].as_py())
    return values


def _slices(texts: list[str | None]) -> Iterator[Sequence[str | None]]:
    return (texts[begin : begin + _AT_ONCE] for begin in range(0, len(texts), _AT_ONCE))


def _parsed(texts: Sequence[str | None]) -> list[Any]:
    """Parsed by one call; one by one where something among texts from elsewhere is not one value."""
    try:
        values: list[Any] = json.loads(f"[{','.join('null' if text is None else text for text in texts)}]")
    except ValueError:
        values = []
    if len(values) == len(texts):
        return values
    return [None if text is None else json.loads(text) for text in texts]
