"""`matrix reindex`: make the index again from the log; a shell over `Store.reindex`."""

from __future__ import annotations

import time

import click

from matrix.cli import output


@click.command("reindex", epilog="\b\nExample:\n  matrix reindex runs")
@click.argument("store")
def command(store: str) -> None:
    """Make the index of STORE again from its log.

    Never needed in normal life: the index is followed, checked and remade by itself. It is also the way
    to accept a log that has lost events (after "the index knows events that the log no longer has").
    """
    import matrix

    begun = time.perf_counter()
    with matrix.open(store) as opened:
        done = opened.reindex()
    took = time.perf_counter() - begun
    output.words(f"{store}: index made again from {output.count(done.events, 'event')} in {took:.1f} s", style="green")
