"""An answer: the JSON of a server becomes the fields of ``model.completed``.

What always holds: what is not known is kept (in ``extra``), what is null is left out; whatever a server sends, the
result is values that the log can hold, or ``EndpointGarbled``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matrix.errors import EndpointGarbled
from matrix.limits import ENDPOINT_DEPTH_MAX, ENDPOINT_SHOWN_CHARS_MAX, INT64_MAX, INT64_MIN

#: Fields of an answer that have a place of their own, or say nothing that the event does not.
_KNOWN: Final = frozenset({"id", "object", "created", "model", "choices", "usage"})
_KNOWN_OF_CHOICE: Final = frozenset({"index", "message", "finish_reason", "logprobs"})
_COUNTS: Final = ("total_tokens", "prompt_tokens", "completion_tokens")


def fields_of(answer: Any, model: str) -> dict[str, Any]:
    """What ``model.completed`` says of an answer to a request for ``model``.

    >>> message = {"role": "assistant", "content": "Hi", "refusal": None}
    >>> answer = {"id": "c1", "model": "small", "choices": [{"message": message, "finish_reason": "stop"}]}
    >>> fields_of(answer, "small")
    {'message': {'role': 'assistant', 'content': 'Hi'}, 'finish_reason': 'stop', 'response_id': 'c1'}
    """
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or not choices:
        raise EndpointGarbled(f"the answer has no choices: {shown(answer)}")
    first, *others = [_choice(choice) for choice in choices]
    found = first | _usage(answer.get("usage"))
    if isinstance(answer.get("id"), str) and answer["id"]:
        found["response_id"] = answer["id"]
    if isinstance(answer.get("model"), str) and answer["model"] not in ("", model):
        found["response_model"] = answer["model"]
    if others:
        found["choices"] = others
    extra = {name: value for name, value in answer.items() if name not in _KNOWN and value is not None}
    if extra:
        found["extra"] = {**extra, **found.get("extra", {})}
    storable: dict[str, Any] = _storable(found)
    return storable


def _choice(choice: Any) -> dict[str, Any]:
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise EndpointGarbled(f"a choice has no message: {shown(choice)}")
    found: dict[str, Any] = {"message": {name: value for name, value in message.items() if value is not None}}
    found["message"].setdefault("role", "assistant")
    if isinstance(choice.get("finish_reason"), str):
        found["finish_reason"] = choice["finish_reason"]
    if logprobs := _logprobs(choice.get("logprobs")):
        found["logprobs"] = logprobs
    extra = {name: value for name, value in choice.items() if name not in _KNOWN_OF_CHOICE and value is not None}
    if extra:
        found["extra"] = extra
    return found


def _usage(usage: Any) -> dict[str, Any]:
    if not isinstance(usage, Mapping):
        return {}
    total, prompt, completion = (_count(usage.get(name)) for name in _COUNTS)
    if total is None and prompt is not None and completion is not None:
        total = prompt + completion
    counts = {"tokens": total, "prompt_tokens": prompt, "completion_tokens": completion}
    found: dict[str, Any] = {name: value for name, value in counts.items() if value is not None}
    rest = {name: value for name, value in usage.items() if name not in _COUNTS and value is not None}
    return found | {"usage": rest} if rest else found


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= INT64_MAX else None


def _logprobs(given: Any) -> dict[str, Any] | None:
    """A list of maps becomes a map of lists; another form than that of chats is kept as it is."""
    if not isinstance(given, Mapping):
        return None
    content = given.get("content")
    rest = {name: value for name, value in given.items() if name != "content" and value is not None}
    if not isinstance(content, list):
        return rest or None
    try:
        found: dict[str, Any] = _columns(content)
        if any(entry.get("top_logprobs") for entry in content):
            found["top"] = [_columns(entry.get("top_logprobs") or []) for entry in content]
    except (AttributeError, KeyError, TypeError):
        return {"content": content, **rest}
    return found | rest


def _columns(entries: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tokens": [entry["token"] for entry in entries],
        "logprobs": [entry["logprob"] for entry in entries],
    }
    odd = {str(place): entry["bytes"] for place, entry in enumerate(entries) if _is_part_of_a_letter(entry)}
    return found | {"bytes": odd} if odd else found


def _is_part_of_a_letter(entry: Mapping[str, Any]) -> bool:
    """Whether the bytes of a token are not those of its text: then the text alone would lose them."""
    data = entry.get("bytes")
    return isinstance(data, list) and data != list(str(entry["token"]).encode("utf-8", "replace"))


def _storable(value: Any, depth: int = 0) -> Any:
    """Texts whole, and numbers that a column can hold.

    Half letters that belong together (a server may cut a stream between them) are joined, lone ones become a
    question mark; whole numbers beyond 64 bits become floats.
    """
    if depth > ENDPOINT_DEPTH_MAX:
        raise EndpointGarbled(f"the answer is nested deeper than {ENDPOINT_DEPTH_MAX} levels")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {_storable(name): _storable(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [_storable(inner, depth + 1) for inner in value]
    if type(value) is int and not INT64_MIN <= value <= INT64_MAX:
        return float(value) if abs(value) < 10**300 else str(value)
    return value


def shown(value: Any) -> str:
    """The beginning of something that was not expected."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= ENDPOINT_SHOWN_CHARS_MAX else f"{text[:ENDPOINT_SHOWN_CHARS_MAX]}…"
