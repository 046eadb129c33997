"""How much a server takes from its clients: what ``matrix.limits`` says, unless it is said otherwise.

Tests switch off one protection at a time, to see that it is this one which protects.
"""

from __future__ import annotations

from dataclasses import dataclass

from matrix.limits import (
    SERVE_ANSWER_S,
    SERVE_CLOSE_S,
    SERVE_CONNECTIONS_MAX,
    SERVE_CONNECTIONS_PER_TOKEN_MAX,
    SERVE_FAILURE_DELAY_S,
    SERVE_FAILURES_MAX,
    SERVE_FRAGMENTS_MAX,
    SERVE_FRAGMENTS_PER_MESSAGE,
    SERVE_HANDSHAKE_S,
    SERVE_HEAD_BYTES_MAX,
    SERVE_KEEP_ALIVE_S,
    SERVE_LINGER_S,
    SERVE_MESSAGE_BYTES_MAX,
    SERVE_MESSAGE_S,
    SERVE_MESSAGES_PER_S,
    SERVE_PING_S,
    SERVE_RATE_S,
    SERVE_SILENCE_S,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The bounds of one server; seconds end in ``_s``."""

    connections_max: int = SERVE_CONNECTIONS_MAX
    connections_per_token_max: int = SERVE_CONNECTIONS_PER_TOKEN_MAX
    head_bytes_max: int = SERVE_HEAD_BYTES_MAX
    handshake_s: float = SERVE_HANDSHAKE_S
    keep_alive_s: float = SERVE_KEEP_ALIVE_S
    answer_s: float = SERVE_ANSWER_S
    message_bytes_max: int = SERVE_MESSAGE_BYTES_MAX
    fragments_max: int = SERVE_FRAGMENTS_MAX
    fragments_per_message: int = SERVE_FRAGMENTS_PER_MESSAGE
    message_s: float = SERVE_MESSAGE_S
    messages_per_s: float = SERVE_MESSAGES_PER_S
    rate_s: float = SERVE_RATE_S
    ping_s: float = SERVE_PING_S
    silence_s: float = SERVE_SILENCE_S
    failures_max: int = SERVE_FAILURES_MAX
    failure_delay_s: float = SERVE_FAILURE_DELAY_S
    linger_s: float = SERVE_LINGER_S
    close_s: float = SERVE_CLOSE_S
