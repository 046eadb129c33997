"""Model calls of a recorded history: ``model.called``, ``model.completed`` and ``model.failed``, as a run records them.

What always holds: each message and each list of tools stands once in a simulation; a request that goes on from an
earlier one says where that is (``after`` and ``kept``, see ``matrix.prefixes``), so a long conversation is told in as
many bytes as it has. What a file does not say, an endpoint or a hash, is not made up.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from matrix.event import MODEL_CALLED, MODEL_COMPLETED, MODEL_FAILED
from matrix.importers.history import History
from matrix.prefixes import Prefixes, rolling

_canonical = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


class Asked(NamedTuple):
    """A request that was told, whose answer is to come."""

    seq: int
    agent: int
    told: dict[str, Any]  # model and call_id, which its answer repeats
    hashes: list[bytes]


class ModelCalls:
    """The model calls of one history.

    >>> history = History("chat-1", name="chats")
    >>> bot, calls = history.agent("bot", role="assistant"), ModelCalls(history)
    >>> hello = [{"role": "user", "content": "Hi"}]
    >>> answer = {"role": "assistant", "content": "Hello."}
    >>> calls.answer(calls.ask(bot, "bot", "small", hello), {"message": answer})
    4
    >>> asked = calls.ask(bot, "bot", "small", [*hello, answer, {"role": "user", "content": "Bye"}])
    >>> dict(history.events[asked.seq - 1].data)  # doctest: +NORMALIZE_WHITESPACE
    {'model': 'small', 'call_id': 'bot#2', 'after': 4, 'messages': [{'role': 'user', 'content': 'Bye'}]}
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._prefixes = Prefixes()
        self._counts: Counter[int] = Counter()

    def ask(
        self,
        agent: int,
        id: str,
        model: str,
        messages: Sequence[dict[str, Any]],
        *,
        tools: Sequence[dict[str, Any]] = (),
        data: dict[str, Any] | None = None,
    ) -> Asked:
        """A request of an agent, whose id names the call; ``data`` is what else is said of it, such as ``options``."""
        self._counts[agent] += 1
        told = {"model": model, "call_id": f"{id}#{self._counts[agent]}"}
        hashes, seq = rolling([_canonical(message) for message in messages]), len(self._history.events) + 1
        known, said = self._prefixes.references(hashes)
        said["messages"] = list(messages[known:])
        said |= self._prefixes.tools(seq, _canonical(list(tools)), list(tools))
        self._prefixes.add(seq, hashes)
        self._history.emit(agent, MODEL_CALLED, told | (data or {}) | said)
        return Asked(seq, agent, told, hashes)

    def answer(self, asked: Asked, data: dict[str, Any]) -> int:
        """What the model said: at least ``message``, in OpenAI's form; returns the event's seq."""
        seq = self._history.emit(asked.agent, MODEL_COMPLETED, asked.told | data, cause=asked.seq)
        self._prefixes.add_answer(seq, asked.hashes, _canonical(data["message"]))
        return seq

    def fail(self, asked: Asked, data: dict[str, Any]) -> None:
        """The model gave no answer: at least ``error``."""
        self._history.emit(asked.agent, MODEL_FAILED, asked.told | data, cause=asked.seq)
