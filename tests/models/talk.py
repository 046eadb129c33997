"""Programs that talk to models, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import matrix
from matrix.endpoint.endpoint import Endpoint
from matrix.testing.played import Played, play
from tests.models.service import Service

KEY = "sk-test-0123456789"


def talking(body: Callable[[Any], Awaitable[None]], agents: int = 1) -> Callable[..., Awaitable[None]]:
    """A program of agents that all do ``body``."""

    class Talker(matrix.Agent):
        async def run(self) -> None:
            await body(self)

    async def program(simulation: matrix.Simulation) -> None:
        for n in range(agents):
            simulation.spawn(Talker, f"talker-{n}")

    return program


def endpoint(service: Service, **options: Any) -> Endpoint:
    """The endpoint of a service."""
    return Endpoint(service.url, **{"key": KEY, **options})


def talk(
    service: Service,
    body: Callable[[Any], Awaitable[None]],
    *,
    agents: int = 1,
    store: Path | None = None,
    **options: Any,
) -> Played:
    """Run agents that do ``body`` against a service; what fails is retried at once."""
    options.setdefault("models", endpoint(service))
    options.setdefault("calls", {"*": matrix.CallPolicy()})
    return play(talking(body, agents), store=store, **options)


#: Retries without long pauses, for tests.
QUICK = matrix.CallPolicy(backoff=0.001)


def holds(folder: Path, text: str) -> bool:
    """Whether any file in a folder has these bytes."""
    return any(text.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())
