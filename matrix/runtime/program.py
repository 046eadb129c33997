"""Programs: what the log says about one, and how a replay finds it again.

A program is an async function ``async def program(simulation, **parameters)``. The log keeps its name,
where it came from, its parameters, and a hash of its code: enough to run it again, and to say what has
changed since.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import os
import platform
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from matrix.errors import ProgramError
from matrix.limits import SEED_MAX
from matrix.log.alike import same_value
from matrix.runtime.values import snapshot_payload

Program = Callable[..., Coroutine[Any, Any, Any]]


def check_program(program: Any) -> None:
    """Refuse what is not an async function that takes a simulation."""
    if not inspect.iscoroutinefunction(program):
        raise ProgramError(
            f"a program is an async function: async def program(simulation, **parameters), not {program!r}"
        )


def check_names(program: Program, options: Iterable[str]) -> None:
    """Refuse a program with a parameter that was meant for it, and was taken as an option of the simulation."""
    check_program(program)
    for name in sorted(options):
        if name in inspect.signature(program).parameters:
            raise ProgramError(
                f"{program.__name__} has a parameter {name!r}, which is also an option of every simulation and is "
                "taken as that; give the parameter another name"
            )


def check_seed(seed: Any) -> None:
    """Refuse a seed that the log and the index could not hold as a number."""
    if type(seed) is not int or not 0 <= seed <= SEED_MAX:
        raise ProgramError(f"the seed is a whole number from 0 to {SEED_MAX}, not {seed!r}")


# -- what the log says ---------------------------------------------------------------------------


def describe(program: Program, parameters: dict[str, Any]) -> dict[str, Any]:
    """What simulation.started says about a program: enough to run it again."""
    described: dict[str, Any] = {"name": _name(program), "program": origin_of(program)}
    given = snapshot_payload(parameters, f"parameters of {_name(program)}")
    if whole := _defaults(program) | given:
        described["parameters"] = whole
    return described | environment(program)


def origin_of(program: Program) -> str:
    """Where a program can be found: ``negotiation:negotiation``."""
    return f"{program.__module__}:{program.__qualname__}"


def environment(program: Program) -> dict[str, Any]:
    """Where and by what a program is run: its file, a hash of its code, versions, and Python's hash seed."""
    found: dict[str, Any] = {"versions": _versions(), "hash_seed": os.environ.get("PYTHONHASHSEED", "random")}
    if code := _code_hash(program):
        found["code"] = code
    with contextlib.suppress(TypeError, OSError):
        file = Path(inspect.getfile(program)).resolve()
        if file.is_file():  # not what was typed into a prompt or a notebook
            found["file"] = str(file)
    return found


def changes_since(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was when a simulation was recorded, one sentence for each."""
    notes = []
    before, after = then.get("versions", {}), now.get("versions", {})
    for name in sorted(set(before) | set(after)):
        if before.get(name) != after.get(name):
            notes.append(f"{name} was {before.get(name, 'not there')}, and is {after.get(name, 'not there')}")
    if then.get("code") != now.get("code"):
        notes.append("the program's code has changed since")
    if then.get("hash_seed") != now.get("hash_seed"):
        notes.append(f"PYTHONHASHSEED was {then.get('hash_seed', 'random')}, and is {now.get('hash_seed', 'random')}")
    return notes


def parameters_of(program: Program, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters to run a recorded simulation with.

    One that still has the default it had is left to the function: the log has only a plain copy of it.
    """
    defaults = _defaults(program)
    return {
        name: value
        for name, value in recorded.items()
        if name not in defaults or not same_value(defaults[name], value)  # 1, 1.0 and True are not the same
    }


def parameter_names(program: Program) -> set[str]:
    """The names of the parameters that a program takes, the simulation aside."""
    return {name for name, kind in list(_kinds(program).items())[1:] if kind is not inspect.Parameter.VAR_KEYWORD}


def _kinds(program: Program) -> dict[str, Any]:
    return {name: parameter.kind for name, parameter in inspect.signature(program).parameters.items()}


def _name(program: Program) -> str:
    return str(getattr(program, "__name__", type(program).__name__))


def _defaults(program: Program) -> dict[str, Any]:
    """The values of parameters that were not given, as far as the log can hold them; a class, say, it cannot."""
    found: dict[str, Any] = {}
    for parameter in list(inspect.signature(program).parameters.values())[1:]:  # the first is the simulation
        if parameter.default is not parameter.empty:
            with contextlib.suppress(ProgramError):
                found |= snapshot_payload({parameter.name: parameter.default}, "")
    return found


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "matrix": version("matrix-runtime")}
    return found | {name: version(name) for name in ("trio", "cbor2", "numpy")}


@cache
def _code_hash(program: Program) -> str:
    """A hash of the module that holds the program, where its source can be had."""
    module = sys.modules.get(program.__module__)
    try:
        source = inspect.getsource(module) if module is not None else inspect.getsource(program)
    except (OSError, TypeError):
        return ""
    return blake2b(source.encode("utf-8", "replace"), digest_size=16).hexdigest()


# -- finding it again ----------------------------------------------------------------------------


def find_program(recorded: Mapping[str, Any]) -> Program:
    """The program that a recorded simulation was made by: from its module, or else from its file.

    Raises ``ProgramError``, saying what was looked for, when it is in neither.
    """
    module_name, _, qualname = str(recorded.get("program", "")).partition(":")
    file = recorded.get("file")
    if not qualname:
        raise ProgramError("no program made this simulation (it was imported): there is nothing to run again")
    if "<locals>" in qualname:
        raise ProgramError(
            f"the simulation was made by {module_name}:{qualname}, a function inside another, which cannot be found by "
            "its name; say which program to run"
        )
    module = _loaded(module_name, file)
    found: Any = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
    if not inspect.iscoroutinefunction(found):
        raise ProgramError(
            f"{getattr(module, '__file__', module_name)} has no program {qualname} any more; say which program to run"
        )
    return found  # type: ignore[no-any-return]  # an attribute of a module just loaded; checked above


def _loaded(name: str, file: Any) -> ModuleType:
    known = sys.modules.get(name)
    if known is not None and (file is None or _is_file(known, Path(file))):
        return known
    try:
        if isinstance(file, str) and Path(file).is_file():
            return module_of_file(Path(file))
        if name not in ("", "__main__"):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):  # one that it imports is not there
            raise _not_importable(file or name, error) from error
    except (Exception, SystemExit) as error:
        raise _not_importable(file or name, error) from error
    where = f"its file {file} is not there" if file else f"there is no module {name}"
    raise ProgramError(f"the program of this simulation cannot be found: {where}; say which program to run")


def _not_importable(what: Any, error: BaseException) -> ProgramError:
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return ProgramError(f"the program of this simulation cannot be found: {what} cannot be imported: {said}")


def module_of_file(path: Path) -> ModuleType:
    """The module in a Python file, imported under the file's name; imported already, it is that one.

    The program may import its neighbours, as a script may; its name must not hide a module of that name. A script
    that runs simulations at its top level is read up to the first of them.
    """
    name = path.stem
    if name in sys.modules or name in sys.stdlib_module_names:
        if _is_file(sys.modules.get(name), path):
            return sys.modules[name]
        name = f"program_{path.stem}"
        if _is_file(sys.modules.get(name), path):
            return sys.modules[name]
    if (folder := str(path.parent.resolve())) not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file always has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _loading():
            spec.loader.exec_module(module)
    except BaseException as error:
        if not _is_start_of_a_run(error):
            del sys.modules[name]
            raise
    return module


class ScriptWouldRun(BaseException):
    """A script that is only loaded, to find its program, has come to where it would run a simulation itself."""


def stop_if_loading() -> None:
    """Called where simulations begin: what a script does when it is run must not happen when it is only loaded."""
    if _loads:
        raise ScriptWouldRun


_loads: list[bool] = []


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    _loads.append(True)
    try:
        yield
    finally:
        _loads.pop()


def _is_start_of_a_run(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return error.subgroup(ScriptWouldRun) is not None
    return isinstance(error, ScriptWouldRun)


def _is_file(module: ModuleType | None, path: Path) -> bool:
    found = getattr(module, "__file__", None)
    return found is not None and Path(found).resolve() == path.resolve()
