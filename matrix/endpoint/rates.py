"""Rates: how many requests, and how many tokens, one endpoint is sent in a minute.

The rule. In no minute, wherever it is laid, more than ``requests_per_minute`` requests begin, and the tokens of those
that began in it are at most ``tokens_per_minute``. What a request takes is guessed before it goes: a token for every
four bytes of its messages and tools, and for the answer ``max_tokens`` where it is given, else what answers of this
endpoint took on average so far (500 before the first), times ``n``. When the answer says its ``usage``, that takes the
guess's place; a request that failed took nothing. A request that is guessed above the whole limit goes when nothing
else is in the minute: it would never go otherwise.

What always holds: first come, first served; who waits holds no connection, and no time of its attempt passes.
"""

from __future__ import annotations

import math
from collections import deque

import trio

from matrix.limits import ENDPOINT_ANSWER_TOKENS, ENDPOINT_BYTES_PER_TOKEN, ENDPOINT_WINDOW_S


class Charge:
    """What one request takes of the minute it began in."""

    __slots__ = ("_rates", "began_at", "tokens")

    def __init__(self, tokens: int, began_at: float, rates: Rates) -> None:
        self.tokens, self.began_at, self._rates = tokens, began_at, rates

    def correct(self, tokens: int) -> None:
        """What it really took, as far as is known now."""
        self._rates.correct(self, tokens)


class Rates:
    """The limits of one endpoint, and who may go now."""

    def __init__(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        self._requests = math.inf if requests_per_minute is None else requests_per_minute
        self._tokens = math.inf if tokens_per_minute is None else tokens_per_minute
        self._begun: deque[Charge] = deque()  # in the last minute, oldest first
        self._taken = 0  # tokens of those
        self._turn = trio.Lock()  # fair: first come, first served
        self._change = trio.Event()
        self._answers = self._answer_tokens = 0

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to wait for."""
        return self._requests != math.inf or self._tokens != math.inf

    def estimate(self, request_bytes: int, max_tokens: int | None, n: int = 1) -> int:
        """The tokens that a request is guessed to take, its answer included."""
        answer = max_tokens
        if answer is None:
            answer = self._answer_tokens // self._answers if self._answers else ENDPOINT_ANSWER_TOKENS
        return math.ceil(request_bytes / ENDPOINT_BYTES_PER_TOKEN) + answer * n

    def learn(self, completion_tokens: int) -> None:
        """An answer took so many tokens."""
        self._answers += 1
        self._answer_tokens += completion_tokens

    async def admit(self, tokens: int) -> Charge:
        """Wait until a request that is guessed to take ``tokens`` may begin."""
        if not self.is_limited:
            return Charge(tokens, -math.inf, self)
        async with self._turn:
            while (wait := self._wait(tokens)) > 0:
                self._change = trio.Event()
                with trio.move_on_after(wait):
                    await self._change.wait()
            charge = Charge(tokens, trio.current_time(), self)
            self._begun.append(charge)
            self._taken += tokens
            return charge

    def correct(self, charge: Charge, tokens: int) -> None:
        """A charge was another: who waits looks again."""
        if charge.began_at + ENDPOINT_WINDOW_S > trio.current_time():
            self._forget_old()
            self._taken += tokens - charge.tokens
            self._change.set()
        charge.tokens = tokens

    def _wait(self, tokens: int) -> float:
        """Seconds until there is room, as far as is known now: 0 when there is."""
        self._forget_old()
        room_at = now = trio.current_time()
        count, taken = len(self._begun), self._taken
        for charge in self._begun:  # until enough of them have left the window; when all have, it may go in any case
            if count < self._requests and taken + tokens <= self._tokens:
                break
            room_at = charge.began_at + ENDPOINT_WINDOW_S
            count, taken = count - 1, taken - charge.tokens
        return room_at - now

    def _forget_old(self) -> None:
        oldest = trio.current_time() - ENDPOINT_WINDOW_S
        while self._begun and self._begun[0].began_at <= oldest:
            self._taken -= self._begun.popleft().tokens
