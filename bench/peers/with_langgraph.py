"""LangGraph: agents are nodes of a graph that pass one state on, step by step.

Its checkpointer keeps the whole state after every step in SQLite: a run can go on from there, or branch, by running
the later nodes again, their calls included. It keeps no events, no virtual time, and compares nothing.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from measure import Found, Meter, answer


class Game(TypedDict):
    """What the nodes pass on."""

    left: int


def throw(state: Game) -> Game:
    """An agent's turn."""
    return {"left": state["left"] - 1}


async def ask(state: Game) -> Game:
    """An agent's turn with a call of 20 ms."""
    await asyncio.sleep(0.02)
    return {"left": state["left"] - 1}


def graph(node: Any, saver: Any) -> Any:
    """Two nodes that take turns until nothing is left."""
    builder = StateGraph(Game)
    builder.add_node("ping", node)
    builder.add_node("pong", node)
    builder.add_edge(START, "ping")
    builder.add_conditional_edges("ping", lambda state: "pong" if state["left"] else END)
    builder.add_conditional_edges("pong", lambda state: "ping" if state["left"] else END)
    return builder.compile(checkpointer=saver)


def config(thread: int, steps: int) -> Any:
    return {"recursion_limit": steps + 10, "configurable": {"thread_id": str(thread)}}


def turns(count: int) -> Found:
    """One graph whose two nodes take turns, nothing kept."""
    compiled = graph(throw, None)
    with Meter() as meter:
        compiled.invoke({"left": count}, config(1, count))
    return meter.found(count)


def turns_logged(count: int) -> Found:
    """The same, every step kept in SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "steps.sqlite"
        with SqliteSaver.from_conn_string(str(path)) as saver:
            compiled = graph(throw, saver)
            with Meter() as meter:
                compiled.invoke({"left": count}, config(1, count))
        return meter.found(count, log_bytes=path.stat().st_size)


def simulations(count: int) -> Found:
    """Threads of a graph, side by side, each of 20 steps with a call, every step kept in SQLite."""

    async def main(path: str) -> Found:
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            compiled = graph(ask, saver)
            with Meter() as meter:
                await asyncio.gather(*(compiled.ainvoke({"left": 20}, config(n, 20)) for n in range(count)))
        return meter.found(count)

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(main(str(Path(folder) / "steps.sqlite")))


if __name__ == "__main__":
    answer(
        {"turns": turns, "turns_logged": turns_logged, "simulations": simulations},
        "langgraph",
        "langgraph-checkpoint-sqlite",
    )
