"""`matrix check`: read and check a query without a store; a shell over `matrix.query.check`."""

from __future__ import annotations

import json
import sys

import click

from matrix.cli import output, values
from matrix.errors import QueryError


@click.command(
    "check",
    epilog="\b\nExamples:\n  matrix check 'agents where goal succeeded | count by role'\n"
    "  matrix check --json 'agents where goal succeeded'",
)
@click.argument("query", nargs=-1, required=True, metavar="QUERY")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print a mistake as data: code message line column start end …")
def command(query: tuple[str, ...], params: tuple[str, ...], as_json: bool) -> None:
    """Read and check QUERY (- is stdin) without a store.

    Prints "ok", or the mistake with its place, its cause, and what to write instead; then the exit code is 1.
    With --json the mistake is one JSON object on stdout: code message line column start end hint fix; ok is {}.
    """
    if len(query) > 1:
        raise click.UsageError(f"the query is one argument; put it in quotes: matrix check '{' '.join(query)}'")
    bound = values.pairs(params, option="--param", of_query=True)
    text = sys.stdin.read() if query[0] == "-" else query[0]

    from matrix.query.check import check

    try:
        check(text, bound)
    except QueryError as error:
        if not as_json:
            raise
        click.echo(json.dumps(error.as_data(), ensure_ascii=False))
        raise click.exceptions.Exit(1) from None
    if as_json:
        click.echo("{}")
    else:
        output.words("ok", style="green")
