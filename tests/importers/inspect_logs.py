"""Logs for the tests, made by Inspect itself with a model that says what it is told to.

    python tests/importers/inspect_logs.py FOLDER

Run in a process of its own: the library takes a second to import, and an event loop.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inspect_ai import Task, eval
from inspect_ai.agent import agent, as_tool, react
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log, transcript, write_eval_log
from inspect_ai.model import ChatMessageUser, ContentImage, ContentText, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes, match, model_graded_qa
from inspect_ai.solver import generate, solver, system_message, use_tools
from inspect_ai.tool import ToolError, tool

MODEL = "mockllm/model"
PIXEL = "data:image/png;base64," + "A" * 200  # long enough to be attached, not written in its place


@tool
def add() -> Any:
    async def execute(x: int, y: int) -> int:
        """Add two numbers.

        Args:
          x: The first.
          y: The second.
        """
        if x > 90:
            raise ToolError("x is too large")
        return x + y

    return execute


def said(text: str) -> ModelOutput:
    output = ModelOutput.from_content(MODEL, text)
    output.usage = ModelUsage(input_tokens=10, output_tokens=2, total_tokens=12, reasoning_tokens=1)
    return output


def called(name: str, text: str = "", **arguments: Any) -> ModelOutput:
    return ModelOutput.for_tool_call(MODEL, name, arguments, content=text)


def run(folder: Path, name: str, outputs: Iterator[ModelOutput], task: Task, **options: Any) -> None:
    model = get_model(MODEL, custom_outputs=outputs, memoize=False)
    (log,) = eval(task, model=model, log_dir=str(folder / "made"), display="none", max_samples=1, **options)
    Path(log.location.removeprefix("file://")).rename(folder / f"{name}.eval")


def sums(folder: Path) -> None:
    """Two samples in two epochs: a tool that adds, and one that refuses."""
    outputs = [called("add", "Let me add.", x=1, y=2), said("The answer is 3"), called("add", x=92, y=2), said("?")]
    samples = [
        Sample(input="1+2?", target="3", id="a", metadata={"level": 1}),
        Sample(
            input=[ChatMessageUser(content=[ContentText(text="92+2?"), ContentImage(image=PIXEL)])], target="94", id=2
        ),
    ]
    solvers = [system_message("You add."), use_tools(add()), generate()]
    task = Task(dataset=samples, solver=solvers, scorer=[includes(), match()], epochs=2, name="sums")
    run(folder, "sums", iter(outputs * 2), task, temperature=0.5)
    write_eval_log(read_eval_log(str(folder / "sums.eval")), str(folder / "sums.json"))


@solver
def troubled() -> Any:
    async def solve(state: Any, generate: Any) -> Any:
        transcript().info({"mood": "tense"}, source="test")
        state = await generate(state)
        if state.sample_id == 1:
            raise RuntimeError("out of luck")
        while True:
            state.messages.append(ChatMessageUser(content="Go on."))
            state = await generate(state)

    return solve


def trouble(folder: Path) -> None:
    """A sample that an error halts, and one that a limit ends; nothing scored."""
    task = Task(dataset=[Sample(input="Hi"), Sample(input="Ho")], solver=troubled(), message_limit=4, name="trouble")
    run(folder, "trouble", iter([said(text) for text in "abcdefgh"]), task, fail_on_error=False)


@agent
def helper() -> Any:
    return react(name="helper", description="Helps.", prompt="You help.", tools=[add()])


def team(folder: Path) -> None:
    """An agent that has another as a tool, judged by a model."""
    outputs = [
        called("helper", "I ask.", input="What is 1+2?"), called("add", x=1, y=2), called("submit", answer="3"),
        called("submit", answer="It is 3"), said("GRADE: C"),
    ]  # fmt: skip
    judge = model_graded_qa(model=get_model(MODEL, custom_outputs=[said("GRADE: P")], memoize=False))
    boss = react(name="boss", prompt="You lead.", tools=[as_tool(helper())])
    run(
        folder,
        "team",
        iter(outputs),
        Task(dataset=[Sample(input="1+2?", target="3")], solver=boss, scorer=judge, name="team"),
    )


if __name__ == "__main__":
    for make in (sums, trouble, team):
        make(Path(sys.argv[1]))
