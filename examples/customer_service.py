"""Customer service: a customer, an assistant, and the tools of a desk with a policy.

    python examples/customer_service.py                     a shop for lamps; asks nobody, needs nothing
    matrix run examples/customer_service.py --store runs
    matrix query runs 'events tool.failed | select agent, .tool, .error'

Both sides repeat what was recorded: they say the same, and every call of a tool is made again on a database of our own;
each result is compared with the recorded one, and what the conversation was worth is worked out anew. Recordings of
tau2-bench (https://github.com/sierra-research/tau2-bench) are repeated with the database they were made on:

    python examples/customer_service.py --domain retail --database retail/db.json --recorded results.json

Or models speak for both sides, over HTTP; the assistant uses the tools as it likes, the customer has a wish:

    python examples/customer_service.py --model qwen3 --endpoint http://127.0.0.1:8000/v1
    python examples/customer_service.py --domain airline --database airline/db.json --policy airline/policy.md \\
        --recorded results.json --model gpt-4.1        the wishes of the recorded customers; OPENAI_API_KEY is the key
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for the desks beside this file, wherever it is started from

try:
    from desks import lamps, recorded
    from desks.desk import Desk, read_bytes, read_json, result_text
except ModuleNotFoundError as error:
    sys.exit(f"customer_service needs {error.name}: pip install 'matrix-runtime[models]'")
from desks.recorded import Case

import matrix
from matrix.models import Endpoint, ToolAgent
from matrix.tools import tools_of

DESKS = {"lamps": "LampTools", "retail": "RetailTools", "airline": "AirlineTools"}
STOPS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
ASSISTANT = "You help customers. You keep to the policy, and you do nothing that your tools cannot do.\n\n{policy}"
CUSTOMER = (
    "You are a customer who writes to a service. Say in one or two sentences what you want, answer what you are asked, "
    f"and invent nothing. When your wish is settled, answer with {STOPS[0]} and nothing else.\n\nYour wish: {{wish}}"
)
GREETING = "Hello, what can I do for you?"

# -- as it was recorded --------------------------------------------------------------------------


class Speaker(matrix.Agent):
    """One side of a recorded conversation: says what was said, and makes every call again."""

    steps: list[dict[str, Any]]
    other: str
    desk: Desk

    async def run(self) -> None:
        for step in self.steps:
            if step["role"] == self.role:
                if step["text"]:
                    self.send(self.other, text=step["text"])
                for call in step["calls"]:
                    await self.call_again(call)
            elif step["text"]:
                await self.receive()

    async def call_again(self, call: dict[str, Any]) -> None:
        self.tools = [self.desk.tool(call["name"])]
        function = {"name": self.tools[0].name, "arguments": json.dumps(call.get("arguments") or {})}
        try:
            text = result_text(await self.use({"id": call["id"], "type": "function", "function": function}))
        except matrix.ToolFailed as failed:
            text = failed.text
        if call["answer"] is None:  # the recording ends here
            told: dict[str, Any] = {"result": "unanswered"}
        elif text == call["answer"]:
            told = {"result": "equal"}
        else:
            told = {"result": "different", "then": call["answer"], "now": text}
        self.emit("compared", tool=call["name"], tool_call_id=call["id"], **told)


class RecordedAssistant(Speaker):
    role = "assistant"
    system: str
    case: Case

    async def run(self) -> None:
        self.note(subject="briefing", system=self.system, tools=[tool.schema for tool in tools_of(self.desk)])
        with self.goal("resolve", task=self.case.task_id) as goal:
            await super().run()
            said = [step["text"] for step in self.steps if step["role"] == self.role]
            await settle(self, goal, said, ended=self.case.termination)


class RecordedCustomer(Speaker):
    role = "user"


async def settle(agent: RecordedAssistant | Assistant, goal: matrix.Goal, said: list[str], *, ended: str) -> None:
    """What the conversation was worth, and what it changed."""
    case = agent.case
    digest, expected = agent.desk.digest(), await agent.call(case.digest_expected, name="what should be")
    reward = case.reward(said, as_it_should_be=digest == expected, ended=ended)
    changed = agent.desk.changed_since(case.fresh_desk)
    agent.emit("settled", reward=reward, recorded_reward=case.reward_then, changed=changed, digest=digest)
    if reward == 0:
        goal.fail("not as it should be", reward=reward)
    else:
        goal.succeed(reward=reward)


# -- by models -----------------------------------------------------------------------------------


class Assistant(ToolAgent):
    """A model with the tools of the desk."""

    role = "assistant"
    model_name: str
    system: str
    desk: Desk
    case: Case

    async def run(self) -> None:
        self.tools, said = [self.desk], []
        with self.goal("resolve", task=self.case.task_id) as goal:
            async for message in self.messages():
                if any(stop in str(message.text) for stop in STOPS):
                    break
                said.append(await self.answer(message))
            await settle(self, goal, [reply.text for reply in said], ended="user_stop")


class Customer(ToolAgent):
    """A model that wants something, and knows when it has it."""

    role = "user"
    model_name: str
    system: str
    turns_max: int

    async def run(self) -> None:
        heard: list[dict[str, Any]] = [{"role": "user", "content": GREETING}]
        for _ in range(self.turns_max):
            said = (await self.converse(heard)).text
            if any(stop in said for stop in STOPS):
                self.send("assistant", text=said)
                return
            answer = await self.ask("assistant", text=said)
            heard.append({"role": "user", "content": answer.text or "..."})
        self.send("assistant", text=STOPS[0])  # enough of it


# -- the program ---------------------------------------------------------------------------------


def desk_kind(domain: str) -> type[Desk]:
    """The tools of a domain; only those that are asked for are loaded."""
    kind: type[Desk] = getattr(importlib.import_module(f"desks.{domain}"), DESKS[domain])
    return kind


async def customer_service(
    simulation: matrix.Simulation,
    domain: str = "lamps",
    database: str = "",
    policy_file: str = "",
    recording: str = "",
    conversation: str = "",
    model: str = "",
    turns_max: int = 20,
) -> None:
    """One conversation: a recorded one again (the first, if none is named), or with a model, by models."""
    data = read_bytes(database) if database else lamps.DATABASE
    simulation.note(subject="database", domain=domain, digest=hashlib.blake2b(data, digest_size=16).hexdigest())
    file = recording or lamps.RECORDED
    found = await simulation.call(recorded.conversation_of, file, conversation, name="recording")
    kind = desk_kind(domain)
    desk, case = kind(data), Case(found, kind(data))
    rules = read_bytes(policy_file).decode() if policy_file else lamps.POLICY if domain == "lamps" else ""
    system = ASSISTANT.format(policy=rules)
    # What an agent gets through vars() is in the log already, or no plain data; parameters are recorded.
    if model:
        assistant = simulation.spawn(Assistant, "assistant", model_name=model, system=system)
        vars(assistant).update(desk=desk, case=case)
        customer = CUSTOMER.format(wish=case.wish)
        simulation.spawn(Customer, "user", model_name=model, system=customer, turns_max=turns_max)
    else:
        steps = list(recorded.steps_of(found))
        assistant = simulation.spawn(RecordedAssistant, "assistant", other="user")
        vars(assistant).update(steps=steps, desk=desk, system=system, case=case)
        vars(simulation.spawn(RecordedCustomer, "user", other="assistant")).update(steps=steps, desk=desk)


QUESTIONS = {
    "How many calls were made again, and how many results are what they were, byte for byte?": """
        events compared where simulation in $all
        | count as calls, count(.result = "equal") as equal, count(.result = "different") as different by .tool""",
    "Which is the first that differs?": """
        events compared where simulation in $all and .result = "different"
        | limit 1 | select simulation, .tool, .tool_call_id, .then, .now""",
    "What were the conversations worth, when they were recorded and now?": """
        events settled where simulation in $all | count by .recorded_reward, .reward""",
    "What did assistants get wrong?": """
        events tool.failed where simulation in $all | count by .tool, .error | sort count desc | limit 10""",
}
QUESTIONS_TO_MODELS = {
    "What was said?": """
        messages where simulation in $all | select simulation, from, text""",
    "Which tools did assistants use?": """
        events tool.called where simulation in $all | count by .tool""",
    "What were the conversations worth?": """
        events settled where simulation in $all | count by .reward""",
    "What did assistants get wrong?": QUESTIONS["What did assistants get wrong?"],
}


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Customer service: recorded conversations again, or by models")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--domain", choices=DESKS, default="lamps")
    parser.add_argument("--database", default="", help="the domain's database, a JSON file, .gz or not")
    parser.add_argument("--policy", default="", help="the domain's policy, a text")
    parser.add_argument("--recorded", default="", help="a result file of tau2-bench for that domain")
    parser.add_argument("--conversations", type=int, default=0, help="so many at most; 0 for all")
    parser.add_argument("--model", default="", help="a model that speaks for both sides")
    parser.add_argument("--endpoint", default="", help="where it is served; otherwise OPENAI_BASE_URL says it")
    given = parser.parse_args()
    if given.domain != "lamps" and not (given.database and given.recorded):
        parser.error(f"the domain {given.domain} needs --database and --recorded")
    return given


def run_all(given: argparse.Namespace) -> list[str]:
    """All conversations of a file, one simulation each; returns their ids."""
    ids = recorded.ids_of(read_json(given.recorded) if given.recorded else lamps.RECORDED)
    settings: dict[str, Any] = {"domain": given.domain, "database": given.database, "policy_file": given.policy}
    settings |= {"recording": given.recorded, "model": given.model}
    if given.endpoint:
        settings["models"] = Endpoint(given.endpoint, key=os.environ.get("OPENAI_API_KEY", ""))
    ran = []
    for id in ids[: given.conversations or None]:
        try:
            outcome = matrix.run(customer_service, store=given.store, seed=given.seed, conversation=id, **settings)
        except matrix.SimulationFailed as failed:
            if not given.model:
                raise
            print(f"customer_service: {failed}", file=sys.stderr)  # what one server refuses ends one conversation
            outcome = failed.outcome
        ran.append(outcome.id)
    return ran


def main() -> None:
    given = options()
    try:
        ran = run_all(given)
    except (matrix.MatrixError, matrix.SimulationFailed, OSError, ValueError, TypeError, LookupError) as error:
        sys.exit(f"customer_service: {error}")
    print(f"{len(ran)} conversations")
    with matrix.open(given.store) as store:
        for question, query in (QUESTIONS_TO_MODELS if given.model else QUESTIONS).items():
            answer = store.query(query, all=ran)
            print(f"\n{question}{query}\n\n{answer if len(answer) else 'none'}")


if __name__ == "__main__":
    main()
