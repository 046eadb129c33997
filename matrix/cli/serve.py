"""`matrix serve`: a store on one port; a shell over `matrix.serve`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from matrix.cli import output
from matrix.limits import SERVE_PORT, WORK_SECONDS_MAX

if TYPE_CHECKING:
    from matrix.server.serving import Serving


@click.command(
    "serve",
    epilog="\b\nExamples:\n  matrix serve runs\n"
    "  matrix serve runs --port 0 --timeout 120\n"
    "  matrix serve runs --host 192.168.1.20 --origin http://localhost:5173\n"
    "  matrix query ws://127.0.0.1:8765 'agents | count by role'   # from another terminal of the same user",
)
@click.argument("store")
@click.option("--host", metavar="NAME", help="Listen there too, not only on this machine; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65_535), default=SERVE_PORT, show_default=True, help="0: any free one.")
@click.option("--token", envvar="MATRIX_TOKEN", help="For reading; made if it is not given here or in MATRIX_TOKEN.")
@click.option(
    "--control-token",
    envvar="MATRIX_CONTROL_TOKEN",
    help="For reading and running programs; made if it is not given here or in MATRIX_CONTROL_TOKEN.",
)
@click.option("--origin", "origins", multiple=True, metavar="URL", help="A web page that may ask too; may be repeated.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=WORK_SECONDS_MAX,
    show_default=True,
    help="Seconds that a query may take.",
)
def command(
    store: str,
    host: str | None,
    port: int,
    token: str | None,
    control_token: str | None,
    origins: tuple[str, ...],
    timeout: float,
) -> None:
    """Serve STORE on one port, to a browser and to programs, until Ctrl-C.

    It prints a link to a page that shows the store, live while simulations run. The token in it allows to read; a
    second one allows to run programs too (replay). Both are also in a file that only this user can read, where
    `matrix query ws://…` and its like find them.

    What goes over the wire is written in PROTOCOL.md; /health and /metrics (Prometheus) are at the same port.
    """
    from matrix.server.blocking import serve_until_stopped

    serve_until_stopped(
        store,
        begun=lambda serving: tell(serving, store),
        host=host,
        port=port,
        token=token,
        control_token=control_token,
        origins=origins,
        timeout=timeout,
    )


def tell(serving: Serving, store: str, *, view: str = "") -> None:
    """Say where it is, and what to do with that; a program that reads our stdout sees it at once.

    ``view`` is what the page opens with.
    """
    lines = (
        ("page", serving.link + (f"&view={view}" if view else ""), ""),
        ("control", serving.control_link, "this one may run programs too"),
        ("ask", f"matrix query {serving.url.rstrip('/')} 'simulations'", ""),
    )
    click.secho(f"{store} is served until Ctrl-C", bold=True, color=output.colour())
    for name, text, remark in lines:
        shown = click.style(f"   # {remark}", dim=True) if remark else ""
        click.echo(f"  {name.ljust(8)} {text}{shown}", color=output.colour())
    sys.stdout.flush()
