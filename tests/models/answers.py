"""What the test server's model says: a function of the request, nothing else.

- it answers a text with ``heard "<last text>" (message <number>, <digest of all messages>)``
- ``call NAME {"argument": 1}`` in the newest user message, one a line, makes it call those tools; so does
  ``tool_choice`` that is "required" or names a function, with arguments made from the schema
- behind results of tools it says ``the tools said: <result>; <result>``
- ``max_tokens`` cuts its words, ``n`` has it answer several times, ``logprobs`` gives each word one
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

_CALL = re.compile(r"^call (\w+)(?: (\{.*\}))?$", re.M)


def answers_to(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices for a request, as a whole answer has them."""
    return [_choice(body, index) for index in range(body.get("n") or 1)]


def usage_of(body: dict[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
    """Words are its tokens."""
    prompt = sum(len(text_of(message).split()) for message in body["messages"])
    said = sum(len(json.dumps(choice["message"]).split()) for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def text_of(message: dict[str, Any]) -> str:
    """The text of a message, whose content may come in parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _choice(body: dict[str, Any], index: int) -> dict[str, Any]:
    calls = _calls(body)
    if calls:
        message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": calls}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": "tool_calls"}
    words = re.findall(r"\S+\s*", _text(body, index))
    bound = body.get("max_completion_tokens") or body.get("max_tokens") or len(words)
    kept = words[:bound]
    return {
        "index": index,
        "message": {"role": "assistant", "content": "".join(kept), "refusal": None},
        "logprobs": _logprobs(kept, body) if body.get("logprobs") else None,
        "finish_reason": "stop" if len(kept) == len(words) else "length",
    }


def _text(body: dict[str, Any], index: int) -> str:
    messages = body["messages"]
    results = []
    for message in reversed(messages):
        if message["role"] != "tool":
            break
        results.append(text_of(message))
    if results:
        return "the tools said: " + "; ".join(reversed(results))
    digest = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).hexdigest()[:8]
    last = text_of(messages[-1]) if messages else ""
    return f'heard "{last}" (message {len(messages)}, {digest})' + (f" once more, {index}" if index else "")


def _calls(body: dict[str, Any]) -> list[dict[str, Any]]:
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    choice, messages = body.get("tool_choice", "auto"), body["messages"]
    if not tools or choice == "none" or not messages or messages[-1]["role"] == "tool":
        return []
    if isinstance(choice, dict):
        asked = [(choice["function"]["name"], None)]
    elif choice == "required":
        asked = [(next(iter(tools)), None)]
    else:
        asked = [(name, given or "{}") for name, given in _CALL.findall(text_of(messages[-1]))]
    calls = []
    for number, (name, given) in enumerate(asked):
        arguments = json.dumps(_made_up(tools[name].get("parameters", {}))) if given is None else given
        seed = hashlib.sha256(f"{len(messages)} {number} {name} {arguments}".encode()).hexdigest()[:12]
        calls.append({"id": f"call_{seed}", "type": "function", "function": {"name": name, "arguments": arguments}})
    return calls


def _made_up(schema: dict[str, Any]) -> Any:
    """A value that fits a schema: the first of an enum, required properties only."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object")
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _made_up(properties[name]) for name in schema.get("required", ()) if name in properties}
    return {"integer": 1, "number": 1.5, "boolean": True, "array": [], "null": None}.get(kind, "something")


def _logprobs(words: list[str], body: dict[str, Any]) -> dict[str, Any]:
    top = body.get("top_logprobs") or 0
    content = []
    for place, word in enumerate(words):
        entry: dict[str, Any] = {"token": word, "logprob": -0.25 * (place % 4), "bytes": list(word.encode())}
        entry["top_logprobs"] = [
            {"token": word if k == 0 else f"{word.strip()}{k}", "logprob": -0.25 * (place % 4) - k, "bytes": None}
            for k in range(top)
        ]
        content.append(entry)
    return {"content": content, "refusal": None}
