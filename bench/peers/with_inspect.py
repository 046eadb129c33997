"""Inspect: samples of an evaluation, each a solver that asks a model, turn by turn.

The one peer that keeps every event of every sample, in a file of its own form. Its agents do not write to each
other; the order of samples is that of the event loop, and nothing is replayed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import anyio
from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver
from measure import Found, Meter, answer


def reply(*_: object) -> ModelOutput:
    """What the model says; with its usage, or Inspect would count tokens with a table that it downloads."""
    output = ModelOutput.from_content("mockllm/model", "so it is")
    output.usage = ModelUsage(input_tokens=20, output_tokens=3, total_tokens=23)
    return output


@solver
def twenty_turns() -> Solver:
    """Twenty calls of 20 ms to a model that is not there."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        for n in range(20):
            await anyio.sleep(0.02)
            state.messages.append(ChatMessageUser(content=f"turn {n}"))
            state = await generate(state)
        return state

    return solve


def simulations(count: int) -> Found:
    """Samples side by side, each of 20 turns with a call."""
    task = Task(dataset=[Sample(input="begin", target="end") for _ in range(count)], solver=twenty_turns())
    with tempfile.TemporaryDirectory() as folder:
        with Meter() as meter:
            (log,) = evaluate(
                task,
                model=get_model("mockllm/model", custom_outputs=reply),
                display="none",
                log_dir=folder,
                max_samples=count,
                max_connections=count,
            )
        assert log.status == "success", log.error
        return meter.found(count, log_bytes=sum(path.stat().st_size for path in Path(folder).iterdir()))


if __name__ == "__main__":
    answer({"simulations": simulations}, "inspect-ai")
