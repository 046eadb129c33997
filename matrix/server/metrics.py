"""What a server has done and is doing, in Prometheus' text format 0.0.4."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from matrix.server.session import Traffic

TYPE = "text/plain; version=0.0.4; charset=utf-8"


Labels: TypeAlias = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its values by their labels."""

    name: str
    help: str
    values: Mapping[Labels, float]
    is_counter: bool = False

    def lines(self) -> Iterable[str]:
        """The metric as it is read."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {'counter' if self.is_counter else 'gauge'}"
        for labels, value in self.values.items():
            inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels)
            yield f"{self.name}{{{inner}}} {value:g}" if inner else f"{self.name} {_number(value)}"


def gauge(name: str, help: str, value: float) -> Metric:
    """A metric that goes up and down, without labels."""
    return Metric(name, help, {(): value})


def counter(name: str, help: str, value: float) -> Metric:
    """A metric that only grows, without labels."""
    return Metric(name, help, {(): value}, is_counter=True)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@dataclass
class Metrics:
    """Counts that connections keep."""

    accepted: int = 0
    sockets: int = 0  # open now
    sessions: int = 0  # of them, those that have said who they are
    refused: Counter[str] = field(default_factory=Counter)  # by the rule that was broken
    answers: Counter[int] = field(default_factory=Counter)  # to plain requests, by status
    traffic: Traffic = field(default_factory=Traffic)

    def refuse(self, rule: str) -> None:
        """A client broke a rule."""
        self.refused[rule] += 1

    def text(self, more: Iterable[Metric] = ()) -> bytes:
        """All of it, and what others have to say."""
        lines = [line for metric in (*self._own(), *more) for line in metric.lines()]
        return ("\n".join(lines) + "\n").encode()

    def _own(self) -> Iterable[Metric]:
        traffic = self.traffic
        now: dict[Labels, float] = {
            (("state", "handshake"),): self.sockets - self.sessions,
            (("state", "session"),): self.sessions,
        }
        yield Metric("matrix_connections", "Connections that are open.", now)
        yield counter("matrix_connections_accepted_total", "Connections that were accepted.", self.accepted)
        refused: dict[Labels, float] = {(("rule", rule),): count for rule, count in sorted(self.refused.items())}
        yield Metric("matrix_refused_total", "What was refused, by the rule that was broken.", refused, True)
        answers: dict[Labels, float] = {
            (("status", str(status)),): count for status, count in sorted(self.answers.items())
        }
        yield Metric("matrix_http_answers_total", "Answers to plain requests.", answers, True)
        requests: dict[Labels, float] = {
            (("type", kind), ("outcome", outcome)): count for (kind, outcome), count in sorted(traffic.requests.items())
        }
        yield Metric("matrix_requests_total", "Requests that have ended, by type and outcome.", requests, True)
        yield counter("matrix_batches_total", "Batches that were sent.", traffic.batches)
        yield counter("matrix_received_messages_total", "Messages from clients.", traffic.messages_in)
        yield counter("matrix_received_bytes_total", "Bytes of messages from clients.", traffic.bytes_in)
        yield counter("matrix_sent_messages_total", "Messages to clients.", traffic.messages_out)
        yield counter("matrix_sent_bytes_total", "Bytes of messages to clients.", traffic.bytes_out)
        yield counter("matrix_cut_off_total", "Clients that were cut off because they did not read.", traffic.cut_off)
