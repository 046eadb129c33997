"""`matrix export`: what a query finds as training data; a shell over `Store.export`."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from matrix.cli import output, values

FORMS = ("chat", "pairs", "episodes", "events")
FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")
Show = Callable[[int], None]


@click.command(
    "export",
    epilog="\b\nExamples:\n  matrix export runs 'agents where goal succeeded' --as chat -o chats.jsonl\n"
    "  matrix export runs 'agents where role = $role' --param role=buyer --as episodes -o episodes --test 0.1\n"
    "  matrix export runs 'simulations' --as events | head -3",
)
@click.argument("store")
@click.argument("query")
@click.option("--as", "form", type=click.Choice(FORMS), required=True, help="What a row is; see below.")
@click.option("-o", "--output", "to", metavar="FILE|FOLDER", help="Where to; - is stdout, as JSON Lines.")
@click.option("--format", "format", type=click.Choice(FORMATS), help="Default: as the file's name says; else parquet.")
@click.option("--test", type=float, default=0.0, metavar="SHARE", help="Share of the families to test with: 0.1.")
@click.option("--validation", type=float, default=0.0, metavar="SHARE", help="Share of them to validate with.")
@click.option("--split-seed", type=int, default=0, metavar="SEED", help="Says which families these are. Default: 0.")
@click.option("--shards", type=int, metavar="N", help="Files of each split.")
@click.option("--shard-rows", type=int, metavar="N", help="Rows in each file at most.")
@click.option("--columns", metavar="NAME,…", help="Only these: messages,tools,parallel_tool_calls.")
@click.option("--drop-duplicates", is_flag=True, help="Leave out rows that say, or nearly, what an earlier one said.")
@click.option("--pairs-max", type=int, metavar="N", help="Pairs made of the branches at one place. Default: 16.")
@click.option("--reply-only", is_flag=True, help="Of both sides of a pair only what is said before others speak again.")
@click.option("--tools", "tools_file", metavar="FILE", help="Schemas (JSON) in place of the tools that were told of.")
@click.option("--system", "system_file", metavar="FILE", help="A system prompt in place of what the agents were told.")
@click.option("--maps", is_flag=True, help="Arguments of tools as maps (as TRL has them), not as JSON text (OpenAI).")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
def command(
    store: str,
    query: str,
    form: str,
    to: str | None,
    format: str | None,
    tools_file: str | None,
    system_file: str | None,
    params: tuple[str, ...],
    columns: str | None,
    **options: Any,
) -> None:
    """Write what a QUERY finds in STORE as training data, with a data card that says what was taken and left out.

    \b
    chat      a conversation as one agent knew it: messages in OpenAI's form, tools, where it is from, how it ended
    pairs     prompt, chosen, rejected: branches of one simulation (matrix fork) that came out differently
    episodes  steps of one agent with observation, action and reward
    events    events as they are

    A query of agents chooses these; one of goals, events, conversations or simulations the agents in them. QUERY may
    be - for stdin. A FOLDER gets files named by split, as datasets.load_dataset(FOLDER) finds them, with README.md and
    card.json; a FILE (.jsonl, .jsonl.gz, .jsonl.zst, .parquet) gets FILE.card.md beside it.

    A simulation and all its forks are one family, and in one split. {.task.ticket} in a system prompt stands for the
    simulation's own .task.ticket.
    """
    import matrix

    text = sys.stdin.read() if query == "-" else query
    bound = values.pairs(params, option="--param", of_query=True)
    options["columns"] = None if columns is None else [name.strip() for name in columns.split(",")]
    options |= {"tools": _tools(tools_file), "system": _text(system_file, "--system"), "parameters": bound}
    where: Any = to
    if to in (None, "-"):
        if to is None and output.is_terminal(sys.stdout):
            raise click.UsageError("where to? -o FILE or -o FOLDER; or -o - for JSON Lines on this terminal")
        where = sys.stdout.buffer
    with matrix.open(_local(store)) as opened, _progress(is_shown=where is to) as show:
        done = opened.export(text, where, as_=form, format=format, progress=show, **options)
    sys.stdout.flush()
    for line in done.lines():
        output.words(line)


def _local(store: str) -> str:
    if "://" in store:
        raise click.UsageError(f"an export reads the log itself: give the store's folder in place of {store}")
    return store


def _text(file: str | None, option: str) -> str | None:
    if file is None:
        return None
    try:
        data = Path(file).read_bytes()
        return (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise click.UsageError(f"{option} {file}: the gzip is damaged: {error}") from None
    except OSError as error:
        raise click.UsageError(f"{option} {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{option} {file}: not UTF-8 at byte {error.start}") from None


def _tools(file: str | None) -> list[dict[str, Any]] | None:
    """Schemas from a file: a list of them, a map with the list under "tools", or JSON Lines whose first row has one."""
    text = _text(file, "--tools")
    if text is None:
        return None
    lines = text.lstrip("\ufeff \t\r\n")
    try:
        found, end = json.JSONDecoder().raw_decode(lines)
        if not (isinstance(found, dict) and lines[end:].lstrip(" \t\r").startswith("\n")):
            found = json.loads(lines)  # which refuses what stands behind the first value
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--tools {file}: not JSON: {error}") from None
    if isinstance(found, dict):
        found = found.get("tools")
    if not isinstance(found, list) or not all(isinstance(tool, dict) and "function" in tool for tool in found):
        form = '[{"type": "function", "function": {"name": …, "parameters": …}}, …]'
        raise click.UsageError(f"--tools {file}: schemas in OpenAI's form are wanted: {form}")
    return found


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Show | None]:
    """Rows so far, on a terminal; gone when all are written."""
    if not is_shown or not output.is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=None)

        def show(rows: int) -> None:
            bar.update(task, description=output.count(rows, "row"))

        yield show
