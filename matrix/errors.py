"""Every error Matrix raises on purpose, drawn as a tree; catch at the depth that suits.

    MatrixError
    +-- UsageError            the caller asked for something that cannot be (a value, a bound, a name)
    |   +-- ProgramError      a program or agent used the runtime wrongly
    |   |   +-- UnknownAgent      a message to an agent that was never started
    |   |   +-- MailboxFull       the receiver's mailbox holds all it may
    |   |   +-- Deadlock          nothing can happen any more, and agents wait for each other
    |   |   +-- Livelock          turn follows turn, and virtual time does not move
    |   |   +-- UnrecordedInput   a turn reached past the agent for clock, chance or the outside
    |   +-- QueryError        a query that cannot be read or checked: has place, hint and fix
    |   +-- ReplayRefused     a recorded simulation that cannot be run again here, or not in that way
    |   +-- NotAStore         the folder is missing, or is something else
    |   +-- ImportRefused     a file that is not of the format, is cut off, or is already there
    +-- AskFailed             whoever was asked ended, or was restarted, before it answered
    +-- EndpointError         a model server that did not answer as it should
    |   +-- EndpointRefused       it does not want this request: asking again would change nothing
    |   +-- EndpointBusy          it cannot just now: too many requests, or trouble of its own
    |   +-- EndpointLost          it was not reached, the connection broke, or the answer was cut off
    |   +-- EndpointGarbled       what it said is no answer of the protocol
    +-- SimulationFailed      the group of what the agents of a simulation raised
    +-- ServerError           a server that was asked for its store: not there, not willing, or not right
    |   +-- ConnectionLost        nobody answers there, or the connection broke
    |   +-- Unauthorized          no token, a wrong one, or one that does not allow this
    |   +-- ServerBusy            it has as much to do, or as many connections, as it takes
    |   +-- ServerFailed          it said what the protocol does not have, or met a mistake of its own
    +-- StoreError            the world's fault: disk, other processes, damaged bytes
        +-- LogWriteError     the log could not be written; what was acknowledged stays readable
        +-- ShardBusy         another process writes this shard
        +-- LogCorrupt        bytes that were once durable are damaged: file, offset, expectation
        +-- FormatError       bytes that are not ours, or of a format this version does not know
        +-- IndexAhead        the index knows events that the log no longer has: data was lost

Broken invariants of our own are plain ``AssertionError`` and are never caught.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class MatrixError(Exception):
    """The root: everything below says what is wrong, where, and what to do."""


class UsageError(MatrixError):
    """The caller's mistake; the message holds the value and the likely fix."""


class ProgramError(UsageError):
    """A program or an agent used the runtime in a way that cannot work."""


class UnknownAgent(ProgramError):
    """A message was addressed to an agent that this simulation never started."""


class MailboxFull(ProgramError):
    """The receiver's mailbox is full; the send is refused, nothing was recorded."""


class UnrecordedInput(ProgramError):
    """A turn used the wall clock, chance, or the outside past the agent: no log has it, no replay could repeat it."""


class ReplayRefused(UsageError):
    """A recorded simulation cannot be replayed, resumed or forked here, or not in that way; nothing was changed."""


class AskFailed(MatrixError):
    """Raised in ``ask``: the agent that was asked ended, or was restarted, before it answered.

    ``agent`` is its id.
    """

    def __init__(self, message: str, agent: str = "") -> None:
        super().__init__(message)
        self.agent = agent


class QueryError(UsageError):
    """A query that cannot be read, checked or executed.

    ``line`` and ``column`` count from 1; ``start`` and ``end`` are offsets into ``text``
    (``end`` exclusive); ``hint`` and ``fix`` may be empty; ``fix`` is a whole query that
    itself passes the checker.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        text: str,
        start: int,
        end: int,
        hint: str = "",
        fix: str = "",
    ) -> None:
        self.code, self.message, self.text = code, message, text
        self.start, self.end = start, max(end, start)
        self.hint, self.fix = hint, fix
        before = text[:start]
        self.line = before.count("\n") + 1
        self.column = start - (before.rfind("\n") + 1) + 1
        super().__init__(self.render())

    def render(self) -> str:
        """The error as a person reads it: place, line underlined, hint, fix."""
        line_start = self.text.rfind("\n", 0, self.start) + 1
        line_end = self.text.find("\n", self.start)
        line = self.text[line_start : line_end if line_end >= 0 else len(self.text)]
        width = max(1, min(self.end, line_start + len(line)) - self.start)
        lines = [
            f"{self.line}:{self.column}: {self.message}",
            f"  {line}",
            "  " + " " * (self.start - line_start) + "^" * width,
        ]
        if self.hint:
            lines.append(f"  {self.hint}")
        if self.fix:
            lines.append(f"  try: {self.fix}")
        return "\n".join(lines)

    def as_data(self) -> dict[str, Any]:
        """The error as data: code message line column start end hint fix."""
        return {
            "code": self.code,
            "message": self.message,
            "line": self.line,
            "column": self.column,
            "start": self.start,
            "end": self.end,
            "hint": self.hint,
            "fix": self.fix,
        }


class NotAStore(UsageError):
    """The folder does not exist, or holds something that is not a store."""


class ImportRefused(UsageError):
    """A file was not imported, and nothing of it is in the store."""


class EndpointError(MatrixError):
    """A model server did not answer as it should; ``status`` is that of HTTP, None where there was none.

    ``retry_after`` is how many seconds it asks to be left alone, None where it does not say.
    """

    is_temporary = True  #: whether another attempt may go better

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


class EndpointRefused(EndpointError):
    """The server does not want this request (a status of 300 to 499): its words are in the text."""

    is_temporary = False


class EndpointBusy(EndpointError):
    """The server cannot answer just now: 408, 409, 425, 429, or 500 and above."""


class EndpointLost(EndpointError):
    """The server was not reached, the connection broke, or the answer ended before its end."""


class EndpointGarbled(EndpointError):
    """The server answered, and it is no answer of the protocol."""


class ServerError(MatrixError):
    """A server did not answer for its store: ``matrix.connect`` or a call of what that returns."""


class ConnectionLost(ServerError):
    """Nobody answers at that address, or the connection broke; what was asked can be asked again."""


class Unauthorized(ServerError):
    """The server wants a token, another one, or one that allows more."""


class ServerBusy(ServerError):
    """The server has as much to do as it takes; ask again in a while."""


class ServerFailed(ServerError):
    """The server said something that the protocol does not have, or met a mistake of its own."""


class StoreError(MatrixError):
    """The world's fault: the disk, another process, or damaged bytes."""


class LogWriteError(StoreError):
    """The log could not be written or synced. What was acknowledged stays readable."""


class ShardBusy(StoreError):
    """Another process writes the shard that was asked for by number."""


class LogCorrupt(StoreError):
    """Durable bytes are damaged: ``path``, ``offset`` and what was expected there."""

    def __init__(self, path: Path | str, offset: int, expected: str) -> None:
        self.path, self.offset, self.expected = Path(path), offset, expected
        super().__init__(f"{path}: at byte {offset}: {expected}")


class FormatError(StoreError):
    """Bytes that are not of this format, or of a version this one cannot read."""


class IndexAhead(StoreError):
    """The index has seen events that the log no longer holds: data was lost."""
