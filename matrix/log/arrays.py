"""Arrays: payload fields that come as numpy or Arrow arrays, made into columns without touching single values.

What always holds: a null of Arrow is None; types are kept as near as the log has them (every integer type is an
integer, every float type a float of 64 bits, text text).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from matrix.log.columns import (
    BINARY,
    DICTIONARY,
    DICTIONARY_SIZE_MAX,
    TEXT,
    bitmap,
    constant,
    constant_text,
    encode_bools,
    encode_floats,
    encode_integers,
    encode_plain,
    encode_values,
    form,
    optional,
    strings,
)
from matrix.log.items import integer

if TYPE_CHECKING:
    from matrix.log.repeats import Repeats


def encode_array(values: Any, repeats: Repeats | None = None) -> bytes:
    """A payload field given as a numpy array, an Arrow array (nulls are None) or a list."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.Array):
        return _encode_arrow(values, repeats)
    if isinstance(values, np.ndarray):
        return _encode_numpy(values, repeats)
    return encode_values(list(values), repeats)


def _encode_numpy(values: np.ndarray, repeats: Repeats | None) -> bytes:
    if values.ndim == 1 and values.dtype.kind in "iu":
        return encode_integers(values)
    if values.ndim == 1 and values.dtype.kind == "f" and values.dtype.itemsize <= 8:
        return encode_floats(values.astype(np.float64, copy=False))
    if values.ndim == 1 and values.dtype.kind == "b":
        return encode_bools(values)
    return encode_values(values.tolist(), repeats)


def _encode_arrow(values: Any, repeats: Repeats | None) -> bytes:
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if not len(values):
        return encode_plain([])
    nulls = bitmap(values.is_null().to_numpy(zero_copy_only=False)) if values.null_count else None
    dense = values.drop_null() if nulls is not None else values
    if not len(dense):
        return constant(None)
    encoded = _encode_arrow_dense(dense, kind, repeats)
    return encoded if nulls is None else optional(present=None, nulls=nulls, values=encoded)


def _encode_arrow_dense(values: Any, kind: Any, repeats: Repeats | None) -> bytes:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return _encode_numpy(values.to_numpy(zero_copy_only=False), repeats)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        values, kind = values.cast(pa.string()), pa.string()
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        _, offset_buffer, data = values.buffers()
        offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
        text = bytes(memoryview(data)[offsets[0] : offsets[-1]]) if data is not None else b""
        return strings(TEXT if pa.types.is_string(kind) else BINARY, np.diff(offsets), text, repeats)
    return encode_values(values.to_pylist(), repeats)


def encode_text_array(values: Any, repeats: Repeats | None = None) -> bytes:
    """An Arrow string array, through a dictionary where few values recur; slower than ``encode_array``."""
    if not len(values):
        return encode_plain([])
    found = values.dictionary_encode()
    distinct = found.dictionary
    if len(distinct) == 1:
        return constant_text(distinct[0].as_py(), repeats)
    if len(distinct) * 4 > len(values) or len(distinct) > DICTIONARY_SIZE_MAX:
        return _encode_arrow_dense(values, values.type, repeats)
    codes = encode_integers(found.indices.to_numpy())
    return form(DICTIONARY, integer(len(distinct)), _encode_arrow_dense(distinct, distinct.type, repeats), codes)
