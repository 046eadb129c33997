"""What a working process is given to do: a request, and what of it."""

from __future__ import annotations

from dataclasses import dataclass

from matrix.server.contract import Encoding, Request


@dataclass(frozen=True, slots=True)
class Order:
    """One piece of work.

    ``batches`` of at most ``batch_bytes`` together (the first may have more) may be sent at once; what is beyond goes
    to ``file``. With ``from_row`` the rows lie there already, and those from that row on are wanted.
    """

    request: Request
    encoding: Encoding
    batches: int
    batch_bytes: int
    file: str
    from_row: int | None = None
