"""What tau2's own agents are told before they begin, which its result files leave out or say in another form.

The texts in capitals are tau2-bench's (https://github.com/sierra-research/tau2-bench, ``src/tau2/agent/llm_agent.py``
of its branch for training, Copyright (c) 2025 Sierra Research, MIT License), quoted as they are: with them its own
converter makes training data of result files. A file does not say by which version it was written, and other
versions word the instructions a little otherwise.

An agent is known by ``info.agent_info.implementation``:

* ``llm_agent``: instructions and the policy of the file.
* ``llm_agent_solo``, who works on a ticket without a user: instructions, policy and the task's ticket. Here the file's
  policy is that of the domain with a user, whichever the agent had: tau2 records no other. Who has the right one says
  so when the conversations are exported.
* any other: the policy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_INSTRUCTION: Final = """
You are a customer service agent that helps the user according to the <policy> provided below.
During each turn you can either:
- Send a message to the user.
- Make a tool call.
IMPORTANT: You cannot do both at the same time!!
If you send text content while making a tool call, the agent will raise an error.
Text content will be sent to the user. Do not use this field for your own reasoning.

Try to be helpful and always follow the policy. Always make sure you generate valid JSON only.
""".strip()

_INSTRUCTION_SOLO: Final = """
You are a customer service agent that helps the user according to the <policy> provided below.
You will be provided with a <ticket> that contains the user's request.
You will need to plan and call the appropriate tools to solve the ticket.

You cannot communicate with the user, only make tool calls.
Only tool calls are allowed, do not output anything else.

Stop when you consider that you have solved the ticket.
To do so, send a message containing a single tool call to the `done` tool. Do not include any other tool calls in this last message.

Always follow the policy. Always make sure you generate valid JSON only.
""".strip()  # noqa: E501 - quoted as it is


def system_prompt(implementation: str | None, policy: str, task: Mapping[str, Any] | None) -> str:
    """What an agent was told before it began, as far as the file and tau2's source say.

    >>> system_prompt("my_agent", "Be kind.", None)
    'Be kind.'
    >>> system_prompt("llm_agent", "Be kind.", None).splitlines()[-3:]
    ['<policy>', 'Be kind.', '</policy>']
    """
    if implementation == "llm_agent":
        return f"<instructions>\n{_INSTRUCTION}\n</instructions>\n<policy>\n{policy}\n</policy>"
    ticket = (task or {}).get("ticket")
    if implementation == "llm_agent_solo" and type(ticket) is str:
        prompt = f"<instructions>\n{_INSTRUCTION_SOLO}\n</instructions>\n<policy>\n{policy}\n</policy>"
        return f"{prompt}\n<ticket>\n{ticket}\n</ticket>"
    return policy


def tool_schemas(definitions: Any) -> list[dict[str, Any]]:
    """The tools of a file in OpenAI's form; tau2 writes signatures by name, ``{name, doc, params, returns}``.

    >>> tool_schemas({"find": {"name": "find", "doc": "Find it.", "params": {"type": "object"}, "returns": None}})
    [{'type': 'function', 'function': {'name': 'find', 'description': 'Find it.', 'parameters': {'type': 'object'}}}]
    """
    if type(definitions) is dict:
        return [_schema(name, one) for name, one in definitions.items() if type(one) is dict]
    some = definitions if type(definitions) is list else []
    return [one for one in some if type(one) is dict and one.get("type") == "function"]


def _schema(name: str, signature: Mapping[str, Any]) -> dict[str, Any]:
    said = {"description": signature.get("doc"), "parameters": signature.get("params")}
    function = {"name": name} | {key: value for key, value in said.items() if value is not None}
    return {"type": "function", "function": function}
