"""A sitting at the prompt: the store, the parameters, the format, the last answer; and what each line does.

What always holds: whatever a line does, the next can be typed. A query that was stopped leaves nothing half read
behind, since the store is opened anew.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from matrix.cli import output, query, target
from matrix.cli.prompt import commands
from matrix.cli.prompt.completer import PromptCompleter
from matrix.cli.prompt.draft import Draft, is_command
from matrix.cli.prompt.editor import Editor
from matrix.cli.prompt.history import history_file, open_history
from matrix.cli.table import safe, write_table
from matrix.cli.watch import watch_rows
from matrix.errors import MatrixError, QueryError, UsageError
from matrix.limits import RESULT_ROWS_SHOWN
from matrix.query import rows
from matrix.query.check import check
from matrix.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from matrix.query.complete import Completion


def open_prompt(path: str, params: Mapping[str, Any], form: str, *, token: str | None, keeps_history: bool) -> None:
    """Ask a store one question after the other, until the user leaves."""
    session = Session(path, params, form, token)
    history, trouble = open_history(history_file() if keeps_history else None)
    completer = PromptCompleter(session.complete, lambda text: commands.offers(session, text))
    editor = Editor(session.name, draft=Draft(session.mistake), completer=completer, history=history)
    session.greet()
    if trouble:
        output.notice(trouble)
    try:
        while True:
            editor.kinds = session.kinds()
            session.do(editor.read())
    except (EOFError, commands.Leave):
        return
    finally:
        session.store.close()


class Session:
    """What is remembered from one line to the next."""

    def __init__(self, path: str, params: Mapping[str, Any], form: str, token: str | None = None) -> None:
        self._path, self._token = path, token
        self.form = form
        self.store = target.open_target(path, token)
        self.params: dict[str, Any] = dict(params)
        self.last: pa.Table | None = None

    @property
    def name(self) -> str:
        """The store's folder, as the prompt shows it; of a server, what that calls its store."""
        if isinstance(self.store, Store):
            return self.store.path.resolve().name or "matrix"
        return safe(self.store.name) or "matrix"

    def greet(self) -> None:
        """What is asked, and how to find out more."""
        info = self.store.info()
        runs = output.count(sum(info.simulations.values()), "simulation")
        held = f"{runs}, {output.count(info.events, 'event')}" if info.events else "empty so far"
        output.words(f"{target.name_of(self.store)}: {held}. :help helps, Ctrl-D leaves.", style="bright_black")

    def kinds(self) -> frozenset[str]:
        """The kinds of events there are."""
        try:
            return frozenset(entry.kind for entry in self.store.kinds())
        except MatrixError:  # the next question says what is wrong with the store
            return frozenset()

    def complete(self, text: str, cursor: int) -> list[Completion]:
        """What may stand at the cursor."""
        return self.store.complete(text, cursor)

    def mistake(self, text: str) -> QueryError | None:
        """What is wrong with a query, before it is asked."""
        try:
            check(text, self.params)
        except QueryError as error:
            if error.code == "no-parameter":
                name = text[error.start : error.end]
                error.hint = f"{name} = value, on a line of its own, gives it one"
            return error
        return None

    # -- one line -----------------------------------------------------------------------------------

    def do(self, text: str) -> None:
        """What a line says: a question, a command, a parameter. Every trouble is told, and is the line's alone."""
        text = text.encode(errors="replace").decode().strip()  # bytes that were no UTF-8 are typed as half letters
        try:
            if is_command(text):
                commands.run(self, text)
            elif text in ("quit", "exit"):
                raise commands.Leave
            elif text:
                self.ask(text)
        except KeyboardInterrupt:
            if isinstance(self.store, Store):  # a server stops by itself what was asked
                self.store.close()
                self.store = target.open_target(self._path, self._token)
            output.words("stopped", style="yellow")
        except MatrixError as error:
            output.explain(str(error))
        except click.ClickException as error:
            output.explain(error.format_message())
        except commands.Leave:
            raise
        except Exception as error:
            output.explain_unexpected(error)

    def ask(self, text: str) -> None:
        """Ask the store, and show the answer with the time it took; of a watch, rows as they come."""
        if self._is_watch(text):
            self._watch(text)
            return
        begun = time.perf_counter()
        result = self.store.query(text, **self.params)
        took = time.perf_counter() - begun
        self.last = result.table
        shown = result.table.slice(0, RESULT_ROWS_SHOWN)
        left_out = query.write_rows(shown, self.form, None)
        sys.stdout.flush()
        for line in result.notices:
            output.notice(line)
        output.words(_counted(result.table.num_rows, took), style="bright_black")
        query.tell_left_out(left_out, all_of_them=":format json")

    def _is_watch(self, text: str) -> bool:
        asked = check(text, self.params)
        return asked.is_watch and not asked.is_explain

    def _watch(self, text: str) -> None:
        """Rows until a limit is reached or Ctrl-C; they are no answer that `:more` or `:save` could show again."""
        output.words("watching; Ctrl-C stops it", style="bright_black")
        watch_rows(self.store, text, self.params, form="table" if self.form == "table" else "jsonl", after=None)

    def page(self) -> None:
        """All rows of the last answer, in the user's pager."""
        if self.last is None:
            raise UsageError("nothing was asked yet")
        os.environ.setdefault("LESS", "FRX")  # as git does: what fits the screen is only printed
        click.echo_via_pager(_as_text(self.last, self.form))

    def save(self, file: str) -> None:
        """Write all rows of the last answer to a file."""
        if self.last is None:
            raise UsageError("nothing was asked yet")
        query.write_rows(self.last, query.format_of(None, file), file)
        output.words(f"{output.count(self.last.num_rows, 'row')} in {file}", style="bright_black")


def _as_text(table: pa.Table, form: str) -> str:
    """The rows as they are shown here, all of them."""
    if form == "table":
        lines = io.StringIO()
        write_table(table, lines, width=shutil.get_terminal_size().columns)
        return lines.getvalue()
    written = io.BytesIO()
    rows.WRITERS[form](table, written)
    return written.getvalue().decode()


def _counted(count: int, took: float) -> str:
    """How many rows, and how long it took.

    >>> _counted(12, 0.0031), _counted(1_200, 1.5)
    ('12 rows · 3 ms', '1,200 rows, the first 40 shown; :more shows all, | limit fewer · 1.50 s')
    """
    told = output.count(count, "row") if count else "no rows"
    if count > RESULT_ROWS_SHOWN:
        told += f", the first {RESULT_ROWS_SHOWN} shown; :more shows all, | limit fewer"
    return f"{told} · {took:.2f} s" if took >= 0.1 else f"{told} · {took * 1000:.0f} ms"
