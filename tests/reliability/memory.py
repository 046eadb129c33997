"""A log in memory that keeps a hash of each simulation: what many short histories are compared by.

It knows nothing of blocks, columns and the log's own digest, so it is a second opinion on that as well; and
it is quick: a store pays for each block, and calls make blocks small.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from matrix.event import ENVIRONMENT_FIELDS, SIMULATION_STARTED
from matrix.log.rows import FIXED_COLUMNS, Rows, Runs
from matrix.runtime.recorder import Nowhere

_COMPARED = [name for name in FIXED_COLUMNS if name not in ("simulation", "wall")]


class MemoryLog(Nowhere):
    """What a runtime writes to; ``lines`` says an event as text, the same for the same event."""

    def __init__(self, *, is_kept: bool = False) -> None:
        self._hashes: dict[int, Any] = {}
        self._lines: dict[int, list[str]] | None = {} if is_kept else None

    def append(self, rows: Rows) -> int:
        """Take the events of a commit, which may be of several simulations."""
        columns = [_values(getattr(rows, name), rows.count) for name in _COMPARED]
        simulations = _values(rows.simulation, rows.count)
        kinds = [rows.kinds[code] for code in _values(rows.kind, rows.count)]
        receivers = [rows.to_many.get(row, to) for row, to in enumerate(_values(rows.to, rows.count))]
        payloads = _payloads(rows)
        for simulation, *event in zip(simulations, *columns, kinds, receivers, payloads, strict=True):
            self._add(simulation, event)
        return 0

    def _add(self, simulation: int, event: list[Any]) -> None:
        *_, kind, _, payload = event
        if kind == SIMULATION_STARTED:
            event[-1] = {name: value for name, value in payload.items() if name not in ENVIRONMENT_FIELDS}
        line = repr(event)
        if self._lines is not None:
            self._lines.setdefault(simulation, []).append(line)
        if simulation not in self._hashes:
            self._hashes[simulation] = blake2b(digest_size=16)
        self._hashes[simulation].update(line.encode())

    def digest(self, simulation: int) -> str:
        """The hash of a simulation's events."""
        return str(self._hashes[simulation].hexdigest())

    def lines(self, simulation: int) -> list[str]:
        """A simulation's events as text, where they are kept."""
        assert self._lines is not None, "made with is_kept=True"
        return self._lines[simulation]


def _values(column: Any, count: int) -> list[int]:
    if isinstance(column, Runs):
        return np.repeat(column.values, np.diff(np.asarray(column.starts), append=count)).tolist()
    return [column] * count if isinstance(column, int) else np.asarray(column).tolist()


def _payloads(rows: Rows) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{}] * rows.count
    for of_kind in rows.data.values():
        payloads = of_kind.payloads
        if payloads is None:
            columns = of_kind.columns or {}
            lists = [np.asarray(values).tolist() for values in columns.values()]
            payloads = [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
        for row, payload in zip(of_kind.rows, payloads, strict=True):
            found[row] = payload
    return found
