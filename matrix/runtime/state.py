"""A small state map, of a simulation or of an agent: each change is recorded whole as ``state.changed``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from matrix.errors import ProgramError
from matrix.runtime.values import check_text, snapshot


class State(MutableMapping[str, Any]):
    """A map with text keys: ``simulation.state["phase"] = "bargaining"`` records the whole map.

    Values are copied when they are set, and lists and maps are copied when they are read: a change
    that no event tells of cannot happen. ``state.update(phase="closing", round=3)`` is one event.
    """

    __slots__ = ("_record", "_values")

    def __init__(self, record: Callable[[dict[str, Any]], None]) -> None:
        self._values: dict[str, Any] = {}
        self._record = record

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        return snapshot(value, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._change({**self._values, _text(key): snapshot(value, f"state.{key}")})

    def __delitem__(self, key: str) -> None:
        if key not in self._values:
            raise KeyError(key)
        self._change({k: v for k, v in self._values.items() if k != key})

    def update(self, *maps: Any, **values: Any) -> None:  # as one event
        """Set several keys as one change."""
        new = dict(*maps, **values)
        self._change({**self._values, **{_text(k): snapshot(v, f"state.{k}") for k, v in new.items()}})

    def _change(self, values: dict[str, Any]) -> None:
        recorded = {check_text(k, "a key of the state"): snapshot(v, k) for k, v in values.items()}
        before, self._values = self._values, values  # before it is recorded: a fork may begin at that event
        try:
            self._record(recorded)
        except BaseException:
            self._values = before
            raise

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"State({self._values!r})"


def _text(key: Any) -> str:
    if type(key) is not str:
        raise ProgramError(f"the key {key!r} of a state map is not text")
    return key
