"""The lines that are no questions: `:help` and its like, and parameters, `$name = value`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import click

from matrix.cli import values
from matrix.errors import UsageError
from matrix.query.engine.notation import duration_text
from matrix.query.language.suggest import nearest

if TYPE_CHECKING:
    from matrix.cli.prompt.session import Session

FORMATS = ("table", "json", "jsonl", "csv")
_PARAMETER = re.compile(r"\$([^\W\d]\w*)\s*(?:(=)\s*(.*?)\s*)?", re.DOTALL)


class Leave(Exception):
    """The user asked to leave."""


def run(session: Session, text: str) -> None:
    """Do what the line says; ``UsageError`` when it says nothing that is known."""
    line = text.strip()
    if line.startswith("$"):
        set_parameter(session, line)
        return
    name, _, argument = line[1:].partition(" ")
    command = COMMANDS.get(ALIASES.get(name, name))
    if command is None:
        _unknown(name)
    command[1](session, argument.strip())


def offers(session: Session, text: str) -> list[tuple[str, str]]:
    """The words that may end a line that begins like this, each with what it means.

    >>> offers(None, ":he")
    [(':help', 'what can be typed')]
    """
    name, has_argument, argument = text.partition(" ")
    if text.startswith("$"):
        return [] if has_argument else [(f"${p}", "") for p in session.params if p.startswith(text[1:])]
    if not has_argument:
        return [(f":{command}", about) for command, (about, _) in COMMANDS.items() if command.startswith(text[1:])]
    if name == ":format":
        return [(form, "") for form in FORMATS if form.startswith(argument)]
    return []


def set_parameter(session: Session, line: str) -> None:
    """`$name = value` sets, `$name =` forgets, `$name` shows."""
    match = _PARAMETER.fullmatch(line)
    if match is None:
        raise UsageError(f'"{line}" sets no parameter; write for example: $role = buyer')
    name, equals, value = match.groups()
    if equals and value:
        session.params[name] = values.query_value(value)
    elif equals:
        session.params.pop(name, None)
        return
    if name not in session.params:
        raise UsageError(f"${name} has no value; ${name} = buyer gives it one")
    click.echo(f"${name} = {_shown(session.params[name])}")


def _help(session: Session, argument: str) -> None:
    for command, (about, _) in COMMANDS.items():
        usage = f":{command} {_ARGUMENTS.get(command, '')}"
        click.echo(f"  {usage:<22} {about}")
    click.echo(f"  {'$role = buyer':<22} gives $role in a query a value; $role = forgets it")
    click.echo(f"\n{_KEYS}")


def _kinds(session: Session, argument: str) -> None:
    from matrix.cli.info import show_kinds

    found = [kind for kind in session.store.kinds() if kind.kind.startswith(argument.rstrip("*"))]
    if not found:
        raise UsageError(f'there is no kind of event that starts with "{argument}"' if argument else "no events yet")
    show_kinds(found)


def _info(session: Session, argument: str) -> None:
    from matrix.cli.info import show_simulation, show_store

    if argument:
        show_simulation(session.store, argument, as_json=False)
    else:
        show_store(session.store, as_json=False)


def _format(session: Session, argument: str) -> None:
    if argument and argument not in FORMATS:
        raise UsageError(f'there is no format "{argument}" here; one of {", ".join(FORMATS)}')
    session.form = argument or session.form
    click.echo(f"rows are shown as {session.form}")


def _params(session: Session, argument: str) -> None:
    if not session.params:
        raise UsageError("no parameter has a value; $role = buyer gives one")
    for name, value in session.params.items():
        click.echo(f"${name} = {_shown(value)}")


def _more(session: Session, argument: str) -> None:
    session.page()


def _save(session: Session, argument: str) -> None:
    if not argument:
        raise UsageError("write the rows where? for example: :save rows.csv")
    session.save(argument)


def _quit(session: Session, argument: str) -> NoReturn:
    raise Leave


def _unknown(name: str) -> NoReturn:
    like = nearest(name, COMMANDS)
    raise UsageError(f"there is no :{name}" + (f"; did you mean :{like}?" if like else "; :help shows what there is"))


#: Each command: what it does in a few words, and what does it.
COMMANDS: dict[str, tuple[str, Callable[[Session, str], None]]] = {
    "help": ("what can be typed", _help),
    "kinds": ("kinds of events, with what they carry", _kinds),
    "info": ("the store, or one simulation, at a glance", _info),
    "format": ("how rows are shown: table, json, jsonl, csv", _format),
    "params": ("the parameters that have a value", _params),
    "more": ("all rows of the last answer, page by page", _more),
    "save": ("write all its rows, as .csv, .parquet, .jsonl …", _save),
    "quit": ("leave, as does Ctrl-D", _quit),
}
ALIASES = {"q": "quit", "exit": "quit", "h": "help", "?": "help"}
_ARGUMENTS = {"kinds": "[tool.]", "info": "[SIMULATION]", "format": "json", "save": "FILE"}
_KEYS = """\
  Tab         completes; Enter takes the word that is chosen in the menu
  Enter       asks when the query is whole, else begins a new line
  Alt-Enter   begins a new line
  Ctrl-F      takes the correction that is offered
  Up, Ctrl-R  what was typed before
  Ctrl-C      clears the line, or stops the query or watch that runs
  Ctrl-D      leaves"""


def _shown(value: Any) -> str:
    """A parameter's value, as it would be typed."""
    if isinstance(value, timedelta):
        return duration_text(value // timedelta(microseconds=1))
    if isinstance(value, datetime):
        return f"@{value.isoformat()}"
    return json.dumps(value, ensure_ascii=False)
