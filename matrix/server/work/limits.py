"""The limits of a server's work, for whoever starts one with others than those of ``matrix.limits``."""

from __future__ import annotations

from dataclasses import dataclass

from matrix import limits


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """What queries may take.

    >>> WorkLimits(seconds=5.0).places
    4
    """

    places: int = limits.WORK_PLACES_MAX
    places_kept: int = limits.WORK_PLACES_KEPT
    per_client: int = limits.WORK_PLACES_PER_CLIENT_MAX
    waiting: int = limits.WORK_WAITING_MAX
    seconds: float = limits.WORK_SECONDS_MAX
    long_after: float = limits.WORK_LONG_AFTER_S
    lowers_priority: bool = True  # of long queries, while others are at work or wait
    memory_bytes: int = limits.WORK_MEMORY_BYTES_MAX
    small_places: int = limits.WORK_SMALL_PLACES_MAX
    small_seconds: float = limits.WORK_SMALL_SECONDS_MAX
    starting_seconds: float = limits.WORK_STARTING_SECONDS_MAX
    cancel_seconds: float = limits.WORK_CANCEL_SECONDS
    progress_interval: float = limits.WORK_PROGRESS_INTERVAL_S
    pages_ahead: int = limits.WORK_PAGES_AHEAD_MAX
    held_bytes: int = limits.WORK_HELD_BYTES_MAX
    held_per_client_bytes: int = limits.WORK_HELD_PER_CLIENT_BYTES_MAX
    spill_bytes: int = limits.WORK_SPILL_BYTES_MAX
    spill_per_client_bytes: int = limits.WORK_SPILL_PER_CLIENT_BYTES_MAX
