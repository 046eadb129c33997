"""Stand-ins: while runtimes with a guard are open, they take the place of what ``guarded.TABLE`` names.

A stand-in asks whether a turn is being taken in this thread, and then does what it stands for. The names in
their own modules are replaced; so are names that the program's modules bound before (``from time import
time``), where they are globals, class attributes or defaults of parameters there.

What always holds: the first simulation with a guard puts the stand-ins in place, the last runtime to close
takes them out, also those that modules loaded meanwhile have bound; whatever somebody else has put in the
place of a stand-in stays.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import inspect
import sys
import threading
from _thread import get_ident
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os.path import dirname
from types import FunctionType, ModuleType
from typing import Any

from matrix.runtime.guards.guard import NOT_THEIRS, Guard, Use, check, forget_reports, in_turn, is_own_module
from matrix.runtime.guards.guarded import TABLE, Harmless, Names


class StandIn:
    """In the place of one function of a module. Not a function itself: as a class attribute it must not bind."""

    def __init__(self, original: Callable[..., Any], use: Use, harmless: Harmless, home: tuple[str, str]) -> None:
        functools.update_wrapper(self, original)
        self.original, self._use, self._harmless, self._home = original, use, harmless, home

    def __call__(self, /, *arguments: Any, **named: Any) -> Any:
        recorder = in_turn.get(get_ident())
        if recorder is not None and recorder.agent is not None and not self._harmless(arguments, named):
            _check(self._use, recorder, sys._getframe(1), arguments)
        return self.original(*arguments, **named)

    def __repr__(self) -> str:
        return f"<guarded {self.original!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _thing_at, self._home


def _thing_at(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _check(use: Use, recorder: Any, frame: Any, arguments: tuple[Any, ...]) -> None:
    try:
        check(use, recorder, frame)
    except BaseException:
        for one in arguments:
            if inspect.iscoroutine(one):
                one.close()  # asyncio.run(main()): it would complain later that nobody awaited it
        raise


def _method(original: Any, use: Use, harmless: Harmless) -> Callable[..., Any]:
    """In the place of a method, which binds."""

    @functools.wraps(original)
    def stand_in(*arguments: Any, **named: Any) -> Any:
        recorder = in_turn.get(get_ident())
        if recorder is not None and recorder.agent is not None and not harmless(arguments, named):
            _check(use, recorder, sys._getframe(1), arguments)
        return original(*arguments, **named)

    return stand_in


def _class_method(original: Any, use: Use) -> Any:
    """In the place of a class method of a type in C."""

    def stand_in(cls: Any, *arguments: Any, **named: Any) -> Any:
        recorder = in_turn.get(get_ident())
        if recorder is not None and recorder.agent is not None:
            check(use, recorder, sys._getframe(1))
        return original.__get__(None, cls)(*arguments, **named)

    return classmethod(functools.update_wrapper(stand_in, original))


class _Late(importlib.abc.MetaPathFinder):
    """Modules of the table that are loaded only now get their stand-ins at once, also within a turn."""

    def __init__(self, loaded: Callable[[ModuleType], None]) -> None:
        self._loaded = loaded
        self._awaited = {row.module for row in TABLE} - set(sys.modules)

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if fullname not in self._awaited:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._loaded(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader
        return spec


class _Places:
    """The places where stand-ins stand, and how they are taken out again."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._of: dict[int, StandIn] = {}  # by identity of the original, which its stand-in keeps alive
        self._known = set(sys.modules)
        self._covered: dict[str, ModuleType] = {}
        self._seen: set[tuple[Any, int]] = set()
        for row in TABLE:
            module = sys.modules.get(row.module)
            if module is not None:
                self._guard(row, module)
        self._late = _Late(self._loaded)
        sys.meta_path.insert(0, self._late)

    def _loaded(self, module: ModuleType) -> None:
        for row in TABLE:
            if row.module == module.__name__:
                self._guard(row, module)

    def _guard(self, row: Names, module: ModuleType) -> None:
        owner = getattr(module, row.cls, None) if row.cls else module
        for name in row.names if owner is not None else ():
            original = getattr(owner, name, None)
            if original is None or isinstance(original, StandIn):
                continue
            home = row.module if not row.cls else f"{row.module}.{row.cls}"
            use = Use(row.said or f"{home}.{name}".removeprefix("builtins."), row.instead)
            if not isinstance(owner, type):
                stand_in = StandIn(original, use, row.harmless, (row.module, name))
                self._put(owner, name, stand_in)
                if owner is module:
                    self._of.setdefault(id(original), stand_in)
            elif owner.__flags__ & _IMMUTABLE:
                self._put_in_c(owner, name, _class_method(vars(owner)[name], use))
            else:
                self._put(owner, name, _method(original, use, row.harmless))

    def _put(self, owner: Any, name: str, new: Any) -> None:
        had, old = name in vars(owner), vars(owner).get(name)
        setattr(owner, name, new)

        def undo() -> None:
            if vars(owner).get(name) is new:
                if had:
                    setattr(owner, name, old)
                else:
                    delattr(owner, name)

        self._undo.append(undo)

    def _put_in_c(self, owner: type, name: str, new: Any) -> None:
        """Into the dict of a type in C, which has no other door: ``datetime.datetime`` is bound early everywhere."""
        (namespace,) = (one for one in gc.get_referents(owner.__dict__) if type(one) is dict)
        old = namespace[name]

        def put(value: Any) -> None:
            namespace[name] = value
            ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))  # attribute lookups are cached by type

        put(new)
        self._undo.append(lambda: put(old) if namespace[name] is new else None)

    # -- what the program bound before ---------------------------------------------------------

    def cover(self, program: Any) -> None:
        """Replace what the modules of the program, and of all classes of agents, have bound already."""
        mine = getattr(inspect.unwrap(program), "__module__", None)
        key = (mine, len(sys.modules))
        if key in self._seen:
            return
        self._seen.add(key)
        for name, module in _own_modules({mine, *_modules_of_agents()}):
            self._covered[name] = module
            _exchange(module, self._stand_in_of)

    def _stand_in_of(self, value: Any) -> Any:
        return self._of.get(id(value), value)

    def remove(self) -> None:
        """Put everything back as it was."""
        if sys.is_finalizing():
            return  # a runtime that was never closed: by now there is nothing to put back
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not self._late]
        for undo in reversed(self._undo):
            undo()
        new = {name: sys.modules.get(name) for name in set(sys.modules) - self._known}
        for module in {**new, **self._covered}.values():
            if isinstance(module, ModuleType):
                _exchange(module, _original_of)


def _original_of(value: Any) -> Any:
    return value.original if isinstance(value, StandIn) else value


_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE


def _modules_of_agents() -> Iterator[str]:
    from matrix.runtime.agent import Agent

    waiting = [Agent]
    while waiting:
        cls = waiting.pop()
        yield cls.__module__
        waiting.extend(cls.__subclasses__())


def _own_modules(names: set[str | None]) -> list[tuple[str, ModuleType]]:
    """These modules, and those beside them: from the same folder, or of the same package where that is installed."""
    mine = {name for name in names if name in sys.modules and is_own_module(name)}
    tops = {name.partition(".")[0] for name in mine}
    folders = {folder for top in tops if (folder := _folder_of(top)) and not f"{folder}/".startswith(NOT_THEIRS)}
    loaded = list(sys.modules.items())
    beside = tops | {top for top in {name.partition(".")[0] for name, _ in loaded} if _folder_of(top) in folders}
    beside.discard("matrix")  # of which only the examples are programs
    return [
        (name, module)
        for name, module in loaded
        if (name in mine or name.partition(".")[0] in beside) and isinstance(module, ModuleType) and is_own_module(name)
    ]


def _folder_of(top: str) -> str:
    """The folder from which a module that is in no package, or a whole package, was imported."""
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return dirname(dirname(file)) if hasattr(module, "__path__") else dirname(file)
    path = list(getattr(module, "__path__", ()))
    return dirname(path[0]) if path else ""


def _exchange(module: ModuleType, other: Callable[[Any], Any]) -> None:
    """Replace values in a module's globals, its classes and the defaults of its functions."""
    for name, value in list(vars(module).items()):
        new = other(value)
        if new is not value:
            vars(module)[name] = new
        elif getattr(value, "__module__", None) == module.__name__:
            if isinstance(value, type):
                _exchange_in_class(value, other)
            elif isinstance(value, FunctionType):
                _exchange_defaults(value, other)


def _exchange_in_class(cls: type, other: Callable[[Any], Any]) -> None:
    for name, value in list(vars(cls).items()):
        inner = value.__func__ if isinstance(value, staticmethod) else value
        new = other(inner)
        if new is not inner:
            type.__setattr__(cls, name, new)
        elif isinstance(inner, FunctionType):
            _exchange_defaults(inner, other)


def _exchange_defaults(function: FunctionType, other: Callable[[Any], Any]) -> None:
    if function.__defaults__:
        new = tuple(map(other, function.__defaults__))
        if any(a is not b for a, b in zip(new, function.__defaults__)):
            function.__defaults__ = new
    by_name: dict[str, Any] = function.__kwdefaults__ or {}
    for name, value in by_name.items():
        by_name[name] = other(value)  # the function's own dict, whose keys stay


# -- while runtimes are open -----------------------------------------------------------------------

_lock = threading.RLock()
_open = 0
_places: _Places | None = None


@contextmanager
def guarding() -> Iterator[None]:
    """A runtime, or a replay, is open: the stand-ins that ``cover`` puts in place stay until the last one closes."""
    global _open, _places
    with _lock:
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open and _places is not None:
                _places.remove()
                _places = None
                forget_reports()


def cover(program: Any, guard: Guard) -> None:
    """A simulation of ``program`` begins: see to it that what its code may reach is guarded."""
    global _places
    if guard == "off":
        return
    with _lock:
        assert _open, "simulations begin within guarding()"
        if _places is None:
            _places = _Places()
        _places.cover(program)
