"""JSON Lines: a row as one line of JSON, and files of such lines, compressed if their name says so.

What always holds: a line is UTF-8 and plain JSON that every reader takes: what JSON has no form for is null (numbers
that are not finite) or text (bytes, in hexadecimal digits). The same lines make the same bytes, compressed or not:
no moment and no name of a file is in them.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from matrix.query.rows import json_default

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=json_default)


def line_of(data: Mapping[str, Any]) -> bytes:
    """A row as its line, without the newline.

    >>> line_of({"agent": "Zoë", "reward": float("nan"), "key": b"?!"}).decode()
    '{"agent": "Zoë", "reward": null, "key": "3f21"}'
    """
    try:
        text = _ENCODER.encode(data)
    except ValueError:  # the exception, literally: looking for such numbers in every row would cost more
        text = _ENCODER.encode(_finite(data))
    return text.encode("utf-8", "replace")  # half a surrogate pair is no character


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return value


def write(path: Path, lines: Iterable[bytes]) -> None:
    """Write lines to a file; ``.gz`` and ``.zst`` at the end of its name compress it."""
    with path.open("wb") as file, _compressed(file, path.suffix) as out:
        for line in lines:
            out.write(line)
            out.write(b"\n")


@contextlib.contextmanager
def _compressed(file: BinaryIO, suffix: str) -> Iterator[BinaryIO]:
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as zipped, io.BufferedWriter(zipped) as out:
            yield out
    elif suffix == ".zst":
        with pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd") as stream:
            yield stream
    else:
        yield file
