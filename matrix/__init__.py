"""Matrix: a deterministic runtime for societies of agents, with a complete log and a query language.

>>> import matrix
>>> outcome = matrix.run(negotiation, store="runs", seed=7, buyers=100)         # doctest: +SKIP
>>> matrix.open("runs").query("agents where goal succeeded | count by role")    # doctest: +SKIP

Names are loaded when they are first used, so that importing this package costs nearly nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matrix import models as models
    from matrix import tools as tools
    from matrix.client.connect import connect as connect
    from matrix.errors import AskFailed as AskFailed
    from matrix.errors import MatrixError as MatrixError
    from matrix.errors import QueryError as QueryError
    from matrix.event import Event as Event
    from matrix.query.result import Result as Result
    from matrix.runtime.agent import Agent as Agent
    from matrix.runtime.blocking import run as run
    from matrix.runtime.calls.call import CallFailed as CallFailed
    from matrix.runtime.calls.call import UnknownOutcome as UnknownOutcome
    from matrix.runtime.calls.policy import CallPolicy as CallPolicy
    from matrix.runtime.calls.policy import call_policy as call_policy
    from matrix.runtime.calls.tool import ToolFailed as ToolFailed
    from matrix.runtime.goal import Goal as Goal
    from matrix.runtime.goal import GoalFailed as GoalFailed
    from matrix.runtime.mailbox import Message as Message
    from matrix.runtime.mailbox import Timer as Timer
    from matrix.runtime.outcome import Outcome as Outcome
    from matrix.runtime.outcome import SimulationFailed as SimulationFailed
    from matrix.runtime.runtime import Runtime as Runtime
    from matrix.runtime.runtime import open_runtime as open_runtime
    from matrix.runtime.scheduling.restart import Restart as Restart
    from matrix.runtime.scheduling.waits import Deadlock as Deadlock
    from matrix.runtime.scheduling.waits import Livelock as Livelock
    from matrix.runtime.simulation import Simulation as Simulation
    from matrix.runtime.statistics import SimulationStatistics as SimulationStatistics
    from matrix.server.serving import serve as serve
    from matrix.store import Store as Store
    from matrix.store import import_files as import_files
    from matrix.store import open as open
    from matrix.tools.tool import tool as tool

#: Public name -> where it lives, and what it is called there.
_HOMES = {
    "Agent": ("matrix.runtime.agent", "Agent"),
    "AskFailed": ("matrix.errors", "AskFailed"),
    "CallFailed": ("matrix.runtime.calls.call", "CallFailed"),
    "CallPolicy": ("matrix.runtime.calls.policy", "CallPolicy"),
    "Deadlock": ("matrix.runtime.scheduling.waits", "Deadlock"),
    "Event": ("matrix.event", "Event"),
    "Goal": ("matrix.runtime.goal", "Goal"),
    "GoalFailed": ("matrix.runtime.goal", "GoalFailed"),
    "Livelock": ("matrix.runtime.scheduling.waits", "Livelock"),
    "MatrixError": ("matrix.errors", "MatrixError"),
    "Message": ("matrix.runtime.mailbox", "Message"),
    "Outcome": ("matrix.runtime.outcome", "Outcome"),
    "QueryError": ("matrix.errors", "QueryError"),
    "Restart": ("matrix.runtime.scheduling.restart", "Restart"),
    "Result": ("matrix.query.result", "Result"),
    "Runtime": ("matrix.runtime.runtime", "Runtime"),
    "Simulation": ("matrix.runtime.simulation", "Simulation"),
    "SimulationFailed": ("matrix.runtime.outcome", "SimulationFailed"),
    "SimulationStatistics": ("matrix.runtime.statistics", "SimulationStatistics"),
    "Store": ("matrix.store", "Store"),
    "Timer": ("matrix.runtime.mailbox", "Timer"),
    "ToolFailed": ("matrix.runtime.calls.tool", "ToolFailed"),
    "UnknownOutcome": ("matrix.runtime.calls.call", "UnknownOutcome"),
    "call_policy": ("matrix.runtime.calls.policy", "call_policy"),
    "connect": ("matrix.client.connect", "connect"),
    "import_files": ("matrix.store", "import_files"),
    "open": ("matrix.store", "open"),
    "open_runtime": ("matrix.runtime.runtime", "open_runtime"),
    "run": ("matrix.runtime.blocking", "run"),
    "serve": ("matrix.server.serving", "serve"),
    "tool": ("matrix.tools.tool", "tool"),
}

__all__ = sorted(_HOMES)  # computed: no name is listed that has no home
__version__ = "0.1.0"


#: Rooms that programs use by name: ``matrix.models.ToolAgent`` needs no import of its own.
_ROOMS = ("models", "tools")


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"matrix.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'matrix' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
