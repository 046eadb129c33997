"""Find the program that `matrix run` is asked for: `module:function`, or `file.py[:function]`."""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from matrix.cli import output

Program = Callable[..., Any]


def load_program(text: str) -> Program:
    """The async function that PROGRAM names; what cannot be found or imported is a usage error."""
    place, _, function = text.partition(":")
    if place.endswith(".py"):
        return _function(_module_of_file(Path(place)), place, function)
    if not function:
        raise click.UsageError(f'PROGRAM is module:function or file.py[:function], not "{text}"')
    return _function(_module(place), place, function)


def check_parameters(program: Program, given: Mapping[str, Any]) -> None:
    """Refuse a parameter the program does not take, and the lack of one it needs, before anything is recorded."""
    taken = list(inspect.signature(program).parameters.values())[1:]  # the first is the simulation
    if any(p.kind is p.VAR_KEYWORD for p in taken):
        return
    names = [p.name for p in taken]
    for name in given:
        if name not in names:
            raise click.UsageError(f'{program.__name__} takes no parameter "{name}"{_instead(name, names)}')
    missing = [p.name for p in taken if p.default is p.empty and p.name not in given and p.kind is not p.VAR_POSITIONAL]
    if missing:
        raise click.UsageError(f"{program.__name__} needs " + ", ".join(f"--set {name}=…" for name in missing))


def _instead(name: str, names: list[str]) -> str:
    if close := difflib.get_close_matches(name, names, n=1):
        return f'; did you mean "{close[0]}"?'
    return "; it takes " + ", ".join(names) if names else "; it takes none"


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise click.UsageError(f"there is no file {path}")
    from matrix.runtime.program import module_of_file

    try:
        return module_of_file(path)
    except Exception as error:
        raise click.ClickException(f"{path} cannot be imported: {output.one_line(error)}") from error


def _module(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise click.UsageError(f"there is no module {name} here") from None
        raise click.ClickException(f"{name} cannot be imported: {output.one_line(error)}") from error
    except Exception as error:
        raise click.ClickException(f"{name} cannot be imported: {output.one_line(error)}") from error


def _function(module: ModuleType, place: str, name: str) -> Program:
    programs = _programs(module)
    if name:
        found = getattr(module, name, None)
        if found is None:
            close = difflib.get_close_matches(name, programs, n=1)
            raise click.UsageError(f'{place} has no "{name}"' + (f'; did you mean "{close[0]}"?' if close else ""))
        if not inspect.iscoroutinefunction(found):
            raise click.UsageError(f"{place}:{name} is not a program: a program is an async function of a simulation")
        return found  # type: ignore[no-any-return]  # a name of a module just imported; checked above
    if not programs:
        raise click.UsageError(f"{place} has no program: an async function whose first parameter is the simulation")
    if len(programs) > 1 and module.__name__.removeprefix("program_") not in programs:
        raise click.UsageError(f"{place} has several programs: say which, {place}:" + f" or {place}:".join(programs))
    only = programs[0] if len(programs) == 1 else module.__name__.removeprefix("program_")
    return getattr(module, only)  # type: ignore[no-any-return]  # as above


def _programs(module: ModuleType) -> list[str]:
    """Names of the module's own public async functions that take something first: the simulation."""
    return [
        name
        for name, thing in vars(module).items()
        if inspect.iscoroutinefunction(thing)
        and thing.__module__ == module.__name__
        and not name.startswith("_")
        and inspect.signature(thing).parameters
    ]
