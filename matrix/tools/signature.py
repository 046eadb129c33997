"""Signatures: the JSON schema of a function's parameters, and the check of arguments by it.

Types are read by pydantic, which is imported when a schema or a check is first asked for. What always holds: the schema
that a model is shown and the check of what it sends are made from one description; what is wrong is a text for
the model, with the path and the reason of each mistake.

Under "strict" the schema is what OpenAI asks for there (https://platform.openai.com/docs/guides/structured-outputs):
every property is required, no other is allowed, and null stands for an argument that is left out.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import FrameType
from typing import Annotated, Any, NamedTuple, get_type_hints

from matrix.errors import MatrixError, ProgramError
from matrix.tools.docstring import described

_SHOWN_CHARS_MAX = 80  # of a value that is wrong


class ToolArgumentsWrong(MatrixError):
    """Arguments that a tool does not take; the text says path and reason of each mistake, for the model to mend."""


class Argument(NamedTuple):
    """One parameter of a tool: its name, its type with whatever is annotated, and what the docstring says."""

    name: str
    kind: Any
    default: Any
    text: str


class Signature:
    """The parameters of one function, less the object it is a method of.

    >>> def find(name: str, *, limit: int = 10) -> list[str]: ...
    >>> found = Signature(find, is_bound=False)
    >>> found.schema["required"], found.check({"name": "lamp", "limit": "3"})
    (['name'], {'name': 'lamp', 'limit': 3})
    """

    def __init__(self, function: Callable[..., Any], *, is_bound: bool, strict: bool = False, name: str = "") -> None:
        self.function, self.strict = function, strict
        self.name = name or function.__name__
        parameters = list(inspect.signature(function).parameters.values())
        if is_bound or (parameters and parameters[0].name in ("self", "cls")):
            del parameters[:1]
        for parameter in parameters:
            is_open = parameter.kind is inspect.Parameter.VAR_KEYWORD
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL or (is_open and strict):
                raise ProgramError(
                    f"the tool {self.name} takes any number of arguments as {parameter}; its schema names each of "
                    "them: give it a list or a map instead"
                )
        self.rest = next((p.name for p in parameters if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        self.parameters = [parameter for parameter in parameters if parameter.name != self.rest]
        self.description = described(function.__doc__)
        self._hints = _hints_now(function)

    @cached_property
    def hints(self) -> dict[str, Any]:
        """Types by parameter; those written as text are read in the place where the function stands."""
        if self._hints is not None:
            return self._hints
        try:
            return get_type_hints(self.function, include_extras=True)
        except NameError as error:
            raise ProgramError(f"the tool {self.name}: a type in its signature is not known: {error}") from error

    @cached_property
    def context(self) -> str:
        """The parameter that gets the agent who uses the tool, and is no argument; "" for none."""
        names = [p.name for p in self.parameters if getattr(self.hints.get(p.name), "is_context_of_tools", False)]
        if len(names) > 1:
            raise ProgramError(f"the tool {self.name} takes the agent twice, as {' and '.join(names)}")
        return names[0] if names else ""

    @cached_property
    def arguments(self) -> list[Argument]:
        """What a model may give."""
        found = []
        for parameter in self.parameters:
            if parameter.name != self.context:
                kind = self.hints.get(parameter.name, Any)
                text = self.description.arguments.get(parameter.name, "") or _annotated_text(kind)
                found.append(Argument(parameter.name, kind, parameter.default, text))
        return found

    @cached_property
    def _model(self) -> Any:
        """A pydantic model of the arguments. Its fields are numbered: no name of theirs can be in its way."""
        pydantic = _pydantic()
        fields: dict[str, Any] = {}
        for number, argument in enumerate(self.arguments):
            kind, default = argument.kind, argument.default
            if isinstance(default, pydantic.fields.FieldInfo):
                kind, default = Annotated[kind, default], default.default
            default = ... if default is inspect.Parameter.empty else default
            told = {"description": argument.text} if argument.text else {}
            fields[f"argument_{number}"] = (kind, pydantic.Field(default, alias=argument.name, **told))
        about: dict[str, Any] = {"__module__": __name__, "model_config": pydantic.ConfigDict(extra="forbid")}
        if self.rest is not None:  # **rest: arguments of any other name, of the type that it says
            about["__annotations__"] = {"__pydantic_extra__": dict[str, self.hints.get(self.rest, Any)]}  # type: ignore[misc]  # a type that is made here
            about["model_config"] = pydantic.ConfigDict(extra="allow")
        try:
            return pydantic.create_model(self.name, __base__=type("Base", (pydantic.BaseModel,), about), **fields)
        except (pydantic.errors.PydanticUserError, pydantic.errors.PydanticUndefinedAnnotation) as error:
            raise ProgramError(f"the tool {self.name}: {_first_line(error)}") from error

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the arguments, as an object."""
        pydantic = _pydantic()
        try:
            made = self._model.model_json_schema(mode="validation")
        except pydantic.errors.PydanticUserError as error:
            raise ProgramError(f"the tool {self.name} has no JSON schema: {_first_line(error)}") from error
        schema = {"type": "object", "properties": {}, "required": [], **_without_titles(made)}
        schema.pop("description", None)
        return _made_strict(schema) if self.strict else schema

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them; ``ToolArgumentsWrong`` for what it cannot take."""
        if not isinstance(arguments, Mapping):
            raise ToolArgumentsWrong(f"the arguments of {self.name} are an object, not {_shown(arguments)}")
        given = dict(arguments)
        if self.strict:  # null stands for what is left out
            optional = {a.name for a in self.arguments if a.default is not inspect.Parameter.empty}
            given = {name: value for name, value in given.items() if not (value is None and name in optional)}
        try:
            checked = self._model.model_validate(given)
        except _pydantic().ValidationError as error:
            lines = "\n".join(self._mistakes(error))
            raise ToolArgumentsWrong(f"the arguments of {self.name} are wrong:\n{lines}") from None
        named = {
            argument.name: getattr(checked, f"argument_{number}")
            for number, argument in enumerate(self.arguments)
            if f"argument_{number}" in checked.model_fields_set or type(argument.default).__name__ == "FieldInfo"
        }
        return {**(checked.model_extra or {}), **named}

    def _mistakes(self, error: Any) -> Iterator[str]:
        known = [argument.name for argument in self.arguments]
        for mistake in error.errors(include_url=False):
            path, reason = _path(mistake["loc"]), mistake["msg"]
            if mistake["type"] == "extra_forbidden":
                close = difflib.get_close_matches(str(mistake["loc"][-1]), known, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(known) or 'none'}"
                yield (
                    f"- {path}: there is no such argument; {hint}"
                    if len(mistake["loc"]) == 1
                    else f"- {path}: {reason}"
                )
            elif mistake["type"] == "missing":
                yield f"- {path}: is missing"
            else:
                yield f"- {path}: {reason}, not {_shown(mistake['input'])}"


def _pydantic() -> Any:
    try:
        import pydantic
        import pydantic.errors
        import pydantic.fields
    except ImportError:
        raise MatrixError("this needs pydantic: pip install 'matrix-runtime[models]'") from None
    return pydantic


def _hints_now(function: Callable[..., Any]) -> dict[str, Any] | None:
    """The types of a function while what is local to where it is defined can be seen; None: later, then."""
    frame: FrameType | None = sys._getframe(1)
    names: dict[str, Any] = {}
    module = getattr(function, "__globals__", None)
    while frame is not None:
        if frame.f_globals is module and frame.f_code.co_name != "<module>":
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    with contextlib.suppress(Exception):  # whatever the text of a type raises, it is raised again when it is needed
        return get_type_hints(function, localns=names, include_extras=True)
    return None


def _annotated_text(kind: Any) -> str:
    """``Annotated[str, "such as W1"]``: a bare text, or typing's ``Doc``, describes the argument."""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, str):
            return note
        if isinstance(text := getattr(note, "documentation", None), str):
            return text
    return ""


def _path(places: tuple[Any, ...]) -> str:
    """Where in the arguments: ``passengers[0].dob``."""
    text = ""
    for place in places:
        text += f"[{place}]" if isinstance(place, int) else f".{place}" if text else str(place)
    return text or "arguments"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARS_MAX else f"{text[:_SHOWN_CHARS_MAX]}..."


def _first_line(error: Exception) -> str:
    return re.split(r"\n| Set `arbitrary_types_allowed", str(error))[0].rstrip(".")


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without the titles that pydantic makes of names: they repeat what the property is called."""
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("properties", "$defs", "patternProperties"):
            kept[key] = {name: _without_titles(inner) for name, inner in value.items()}
        elif isinstance(value, dict) and key not in ("default", "const"):
            kept[key] = _without_titles(value)
        elif isinstance(value, list) and key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            kept[key] = [_without_titles(inner) for inner in value]
        elif key != "title":
            kept[key] = value
    return kept


def _made_strict(schema: dict[str, Any]) -> dict[str, Any]:
    """All properties required, and no others; an argument that has a default may be null instead."""
    made: dict[str, Any] = _all_required(schema, schema.get("$defs", {}))
    required = schema["required"]
    made["properties"] = {n: v if n in required else _nullable(v) for n, v in made["properties"].items()}
    return made


def _all_required(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_all_required(inner, definitions) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and len(schema) > 1:  # nothing may stand beside a reference
        whole = definitions[schema["$ref"].rpartition("/")[2]]
        schema = {**whole, **{key: value for key, value in schema.items() if key not in ("$ref", "default")}}
    made = {
        key: value if key in ("enum", "const") else _all_required(value, definitions)
        for key, value in schema.items()
        if key != "default" or isinstance(value, dict)  # a property may be named like that
    }
    if made.get("type") == "object" and isinstance(made.get("properties"), dict):
        made["required"], made["additionalProperties"] = list(made["properties"]), False
    return made


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key != "description"}
    told = {"description": schema["description"]} if "description" in schema else {}
    choices = kept.get("anyOf", [kept])
    has_null = any(choice.get("type") == "null" for choice in choices)
    return {"anyOf": choices if has_null else [*choices, {"type": "null"}], **told}
