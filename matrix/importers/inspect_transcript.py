"""The transcript of an Inspect sample in the order of its moments, each event with whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from matrix.importers.fields import Record

ASSISTANT = "assistant"
#: Events that only say where others belong, or repeat the conversation.
_FRAME = frozenset({"span_begin", "span_end", "step", "sample_init"})
#: Parts of a state that stand elsewhere in the log.
_REPEATED = ("/messages", "/output", "/tools", "/tool_choice")
_ENVELOPE = frozenset({"uuid", "span_id", "timestamp", "working_start", "pending", "event", "events", "completed"})


class Moment(NamedTuple):
    """Something that happened: an event, or its end where it took a while."""

    at: int  # microseconds since 1970
    kind: str  # the event's type: model, tool, info and so on
    is_end: bool
    agent: str
    role: str  # "assistant", or "scorer"
    event: Record


def moments(sample: Record) -> list[Moment]:
    """All of a transcript that is told, in order."""
    found = []
    owners = _Owners()
    for event in sample.records("events"):
        kind = event.text("event")
        owners.feed(kind, event)
        if kind in _FRAME or (kind == "score" and not event.flag("intermediate")):
            continue
        if kind == "state" and not state_changes(event):
            continue
        start = event.time("timestamp")
        agent, role = owners.of(event)
        found.append(Moment(start, kind, False, agent, role, event))
        if kind in ("model", "tool"):
            end = event.optional_time("completed")
            found.append(Moment(max(start, start if end is None else end), kind, True, agent, role, event))
    return sorted(found, key=lambda moment: moment.at)  # a stable sort: what is of one moment keeps its order


def state_changes(event: Record) -> list[dict[str, Any]]:
    """The changes of a state that are nowhere else in the log."""
    changes = (change.value for change in event.records("changes"))
    return [change for change in changes if not str(change.get("path")).startswith(_REPEATED)]


def details(event: Record, *told: str) -> dict[str, Any]:
    """What an event says beside its envelope and the fields that are told."""
    return {key: value for key, value in event.value.items() if key not in _ENVELOPE and key not in told}


class _Owners:
    """Whose an event is: of the innermost agent or scorer around it, by its spans or, in older logs, by steps."""

    def __init__(self) -> None:
        self._spans: dict[str, tuple[str, str, str]] = {}  # id -> parent, type, name
        self._steps: list[tuple[str, str]] = []  # type and name of those under way

    def feed(self, kind: str, event: Record) -> None:
        if kind == "span_begin":
            parent = event.optional_text("parent_id") or ""
            self._spans[event.text("id")] = (parent, event.optional_text("type") or "", event.text("name"))
        elif kind == "step" and event.text("action") == "begin":
            self._steps.append((event.optional_text("type") or "", event.text("name")))
        elif kind == "step" and self._steps:
            self._steps.pop()

    def of(self, event: Record) -> tuple[str, str]:
        """The id and the role of the agent."""
        for type, name in self._around(event):
            if type in ("agent", "scorer"):
                return name, ASSISTANT if type == "agent" else type
        return ASSISTANT, ASSISTANT

    def _around(self, event: Record) -> Iterator[tuple[str, str]]:
        span, seen = event.optional_text("span_id") or "", set[str]()
        while span in self._spans and span not in seen:  # a hostile log may have spans in a ring
            seen.add(span)
            span, type, name = self._spans[span]
            yield type, name
        yield from reversed(self._steps)
