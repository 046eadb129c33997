"""The guard: inside a turn, clock, chance and the outside are reached only through the agent.

``in_turn`` says, for each thread that runs simulations, whose recorder has a slice there: while its
``agent`` is set, a turn is being taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matrix.runtime.recorder import Recorder

in_turn: dict[int, Recorder | None] = {}
