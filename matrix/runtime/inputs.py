"""The one door for clock and chance: no other file of the runtime imports time, random or uuid.

Each stream of chance is named by the simulation's seed, the agent's id and a purpose, so one more
draw in one place changes no other. A stream uses only ``random()`` and ``getrandbits()`` of
``random.Random``, the two that are the same in every version of Python; what is built on them is here.
"""

from __future__ import annotations

import math
import random
import time
import uuid
from collections.abc import MutableSequence, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from matrix.errors import ProgramError

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")

wall_ns = time.time_ns  # recorded beside events, never read by agents
monotonic_ns = time.monotonic_ns


def stream_key(seed: int, agent: str, purpose: str) -> int:
    """The 128-bit key of one stream of chance.

    >>> hex(stream_key(7, "buyer-1", ""))
    '0x109e831df3eccfe573185d454fe49e5d'
    """
    text = f"{seed}\x00{agent}\x00{purpose}"
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


class Stream(random.Random):
    """A ``random.Random`` whose every method gives the same numbers in every version of Python."""

    def below(self, bound: int) -> int:
        """A whole number from 0 to ``bound - 1``."""
        if bound <= 0:
            raise ProgramError(f"a random number below {bound} does not exist")
        bits = bound.bit_length()
        draw = self.getrandbits(bits)
        while draw >= bound:
            draw = self.getrandbits(bits)
        return draw

    _randbelow = below  # what inherited methods of random.Random ask

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        choices = range(start) if stop is None else range(start, stop, step)
        return choices[self.below(len(choices))]

    def randint(self, a: int, b: int) -> int:
        return a + self.below(b - a + 1)

    def choice(self, seq: Any) -> Any:
        return seq[self.below(len(seq))]

    def shuffle(self, x: MutableSequence[Any]) -> None:
        for i in range(len(x) - 1, 0, -1):
            j = self.below(i + 1)
            x[i], x[j] = x[j], x[i]

    def sample(self, population: Sequence[T], k: int, *, counts: Any = None) -> list[T]:
        pool = list(population) if counts is None else [v for v, n in zip(population, counts) for _ in range(n)]
        if not 0 <= k <= len(pool):
            raise ProgramError(f"a sample of {k} from {len(pool)} does not exist")
        for i in range(k):
            j = i + self.below(len(pool) - i)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:k]

    def choices(self, population: Any, weights: Any = None, *, cum_weights: Any = None, k: int = 1) -> list[Any]:
        if weights is None and cum_weights is None:
            return [self.choice(population) for _ in range(k)]
        sums = list(cum_weights) if cum_weights is not None else _sums(weights or ())
        if len(sums) != len(population) or not sums or sums[-1] <= 0:
            raise ProgramError(f"{len(population)} choices need as many weights, with a sum above 0")
        return [population[_first_above(sums, self.random() * sums[-1])] for _ in range(k)]

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.random()

    def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        # Box and Muller without the kept second value: no state beside the generator's own.
        radius = math.sqrt(-2.0 * math.log(1.0 - self.random()))
        return mu + sigma * radius * math.cos(2.0 * math.pi * self.random())

    def normalvariate(self, mu: float = 0.0, sigma: float = 1.0) -> float:
        return self.gauss(mu, sigma)

    def expovariate(self, lambd: float = 1.0) -> float:
        return -math.log(1.0 - self.random()) / lambd


def stream(seed: int, agent: str, purpose: str = "") -> Stream:
    """The stream of ``agent`` for ``purpose`` in a simulation with ``seed``."""
    return Stream(stream_key(seed, agent, purpose))


def numpy_stream(seed: int, agent: str, purpose: str = "") -> np.random.Generator:
    """The same as a numpy generator (PCG64, whose raw output numpy promises to keep)."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(stream_key(seed, agent, f"numpy/{purpose}")))


def uuid_from(source: random.Random) -> uuid.UUID:
    """A version-4 UUID drawn from a recorded stream."""
    return uuid.UUID(int=source.getrandbits(128), version=4)


def _sums(weights: Sequence[float]) -> list[float]:
    total, sums = 0.0, []
    for weight in weights:
        total += weight
        sums.append(total)
    return sums


def _first_above(sums: list[float], value: float) -> int:
    for i, total in enumerate(sums):
        if value < total:
            return i
    return len(sums) - 1
