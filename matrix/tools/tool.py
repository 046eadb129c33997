"""A tool: a typed function that a model may call.

    @matrix.tool
    def weather(city: str, days: int = 1) -> str:
        \"\"\"The forecast for a city.

        Args:
            city: Its name, in English.
        \"\"\"

What always holds: a tool is called like the function it was made of, with its own types; schema and check belong to
what a model says. A tool among an object's methods is that object's: read from the object it is bound to it.

A tool runs outside, as a recorded call whose answer a replay takes from the log, or inside, where its world is the
simulation's own: then it runs within the agent's turn, and again whenever the simulation does.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

from matrix.errors import MatrixError, ProgramError
from matrix.tools.signature import Signature

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")  # what OpenAI's protocol allows
_Function = TypeVar("_Function", bound=Callable[..., Any])


class Tool:
    """A function with a name, a JSON schema and a check of arguments; ``@matrix.tool`` makes one.

    ``schema`` is in OpenAI's form: ``{"type": "function", "function": {"name", "description", "parameters"}}``.
    """

    name: str

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str = "",
        description: str = "",
        inside: bool = False,
        strict: bool = False,
        check: bool = True,
        error_text: Callable[[Exception], str] | None = None,
    ) -> None:
        if isinstance(function, Tool):
            raise ProgramError(f"{function!r} is one already")
        is_static, is_of_class = isinstance(function, staticmethod), isinstance(function, classmethod)
        made_of: Any = function.__func__ if isinstance(function, (staticmethod, classmethod)) else function
        if not inspect.isroutine(made_of):  # a class, or an object that can be called, says no types of its own
            raise ProgramError(f"@matrix.tool decorates a function, not {function!r}")
        functools.update_wrapper(self, made_of)  # also what other decorators left on it, such as a call policy
        self.function = made_of
        self.name = name or getattr(made_of, "__name__", "")
        if not _NAME.fullmatch(self.name):
            raise ProgramError(
                f"a tool may not be called {self.name!r}: letters, digits, _ and -, at most 64 of them; "
                "use @matrix.tool(name=...)"
            )
        self.inside, self.strict, self.checks, self.error_text = inside, strict, check, error_text
        self.owner: Any = None  # the object whose method it is, when read from one
        self._is_bound, self._is_static, self._is_of_class = False, is_static, is_of_class
        self._signatures = {False: Signature(made_of, is_bound=is_of_class, strict=strict, name=self.name)}
        self._description = description

    # -- as a function, and as a method --------------------------------------------------------

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run the function itself: no check, no record."""
        return self.function(self.owner, *arguments, **named) if self._is_bound else self.function(*arguments, **named)

    def __get__(self, instance: Any, owner: type | None = None) -> Tool:
        if self._is_bound or self._is_static or (instance is None and not self._is_of_class):
            return self
        bound: Tool = Tool.__new__(type(self))
        bound.__dict__.update(self.__dict__)
        bound.owner, bound._is_bound = (
            (type(instance) if owner is None else owner) if self._is_of_class else instance,
            True,
        )
        return bound

    # -- for models ----------------------------------------------------------------------------

    @property
    def signature(self) -> Signature:
        """Its parameters, less the object whose method it is."""
        found = self._signatures.get(self._is_bound)
        if found is None:
            found = Signature(self.function, is_bound=True, strict=self.strict, name=self.name)
            self._signatures[self._is_bound] = found
        return found

    @property
    def description(self) -> str:
        """What it does, as a model is told: the docstring without its sections."""
        return self._description or self.signature.description.text

    @property
    def schema(self) -> dict[str, Any]:
        """Its schema in OpenAI's form."""
        told: dict[str, Any] = {"name": self.name}
        if self.description:
            told["description"] = self.description
        told["parameters"] = self.signature.schema
        if self.strict:
            told["strict"] = True
        return {"type": "function", "function": told}

    def check(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments as the function takes them, or ``ToolArgumentsWrong`` with a text for the model."""
        return self.signature.check(arguments) if self.checks else dict(arguments)

    def run(self, arguments: Mapping[str, Any], context: Any = None) -> Any:
        """Call it with checked arguments; ``context`` is the agent, for a tool with a parameter for it."""
        given = dict(arguments)
        signature = self.signature
        if signature.context:
            given[signature.context] = context
        positional = []
        for parameter in signature.parameters:
            if parameter.kind is parameter.POSITIONAL_ONLY and parameter.name in given:
                positional.append(given.pop(parameter.name))
        return self(*positional, **given)

    def told(self, error: Exception) -> str:
        """What a model is told of an error."""
        if self.error_text is not None:
            return self.error_text(error)
        return str(error) if isinstance(error, MatrixError) else f"{type(error).__name__}: {error}"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tool):
            return NotImplemented
        return self.function is other.function and self.owner is other.owner and self.name == other.name

    def __hash__(self) -> int:
        return hash((self.function, id(self.owner), self.name))

    def __repr__(self) -> str:
        of = f" of {self.owner!r}" if self._is_bound else ""
        return f"<Tool {self.name}{of}>"


@overload
def tool(function: _Function, /) -> Tool: ...
@overload
def tool(
    *,
    name: str = "",
    description: str = "",
    inside: bool = False,
    strict: bool = False,
    check: bool = True,
    error_text: Callable[[Exception], str] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a function, or a method, a tool: ``@matrix.tool`` or ``@matrix.tool(name="find", inside=True)``.

    ``inside`` runs it within the turn, for tools whose world is the simulation's own. ``strict`` makes the schema
    one of OpenAI's strict ones. ``check=False`` hands arguments over as they came. ``error_text`` says what the
    model is told of an exception; without it ``ValueError: sold out``.
    """
    return Tool(function, **options) if function is not None else functools.partial(Tool, **options)


def tools_of(owner: Any) -> list[Tool]:
    """The tools among an object's methods, in the order in which they are defined, those of base classes first.

    >>> class Shop:
    ...     @tool
    ...     def price(self, item: str) -> int:
    ...         return 40
    >>> tools_of(Shop())[0].schema["function"]["parameters"]["required"]
    ['item']
    """
    kinds = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
    names = dict.fromkeys(name for kind in reversed(kinds) for name, value in vars(kind).items() if _is_tool(value))
    found = (getattr(owner, name, None) for name in names)
    return [one for one in found if isinstance(one, Tool)]


def _is_tool(value: Any) -> bool:
    return isinstance(value, Tool) or (
        isinstance(value, staticmethod | classmethod) and isinstance(value.__func__, Tool)
    )


def gather(given: Iterable[Any]) -> dict[str, Tool]:
    """Tools by name, from tools and from objects that have some.

    >>> gather([tool(len)])
    {'len': <Tool len>}
    """
    found: dict[str, Tool] = {}
    for one in given:
        some = [one] if isinstance(one, Tool) else tools_of(one)
        if not some:
            raise ProgramError(f"{one!r} is no tool, and has none; decorate a function with @matrix.tool")
        for each in some:
            if each.name in found and found[each.name] != each:
                raise ProgramError(f"two tools are called {each.name}; give one of them another name")
            found[each.name] = each
    return found
