"""The open data of things, as the index keeps it: CBOR of a map, NULL when it is empty."""

from __future__ import annotations

from typing import Any

import cbor2


def decode_data(blob: bytes | None) -> dict[str, Any]:
    """The map that a ``data`` column holds.

    >>> decode_data(b"\\xa1\\x63lot\\x07"), decode_data(None)
    ({'lot': 7}, {})
    """
    data: dict[str, Any] = {} if blob is None else cbor2.loads(blob)
    return data
