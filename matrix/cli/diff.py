"""`matrix diff`: two simulations side by side; a shell over `Store.diff`."""

from __future__ import annotations

import json
import sys

import click

from matrix.cli import output, target


@click.command(
    "diff",
    epilog="\b\nExamples:\n  matrix diff runs 1-1 1-2\n  matrix diff runs 1-1 1-2 --json",
)
@click.argument("store")
@click.argument("one")
@click.argument("other")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object; durations in microseconds.")
@target.token_option
def command(store: str, one: str, other: str, as_json: bool, token: str | None) -> None:
    """Compare two simulations (ids) of STORE: where they first differ, and how they came out.

    The events that a fork shares with its parent are skipped. Where time and measured durations differ first, as
    between two live runs, the first event that differs in more is shown, too. Then what differs of outcome, goals by
    role, counts by kind and final state: as lines for people, in a pipe as one JSON object for each value.
    """
    from matrix.query.rows import json_default

    with target.opened(store, token) as opened:
        found = opened.diff(one, other)
    if as_json:
        click.echo(json.dumps(found.as_data(), ensure_ascii=False, indent=2, default=json_default))
    elif output.is_terminal(sys.stdout):
        click.echo(str(found), color=output.colour())
    else:
        for line in found.parting_lines():
            output.words(line)
        for what, before, after in found.rows():
            row = {"what": what, one: before, other: after}
            click.echo(json.dumps(row, ensure_ascii=False, default=json_default))
