"""`matrix compact`: rewrite sealed segments smaller and faster to read; a shell over `Store.compact`."""

from __future__ import annotations

import click

from matrix.cli import output


@click.command("compact", epilog="\b\nExample:\n  matrix compact runs")
@click.argument("store")
def command(store: str) -> None:
    """Rewrite the sealed segments of STORE: events clustered by simulation, compressed.

    Safe while others read and write. Segments that are being written, and those compacted before, are left alone.
    """
    import matrix

    with matrix.open(store) as opened:
        report = opened.compact()
    for shard in report.busy_shards:
        output.notice(f"shard {shard} is being compacted by another process")
    if report.segments:
        events, before, after = report.events, report.bytes_before, report.bytes_after
        output.words(
            f"{store}: {output.count(report.segments, 'segment')} with {output.count(events, 'event')}"
            f" rewritten, {output.size(before)} became {output.size(after)}",
            style="green",
        )
    elif not report.damaged:
        output.words(f"{store}: nothing to compact; only sealed segments are, and each once")
    for damage in report.damaged:
        output.explain(damage)
    if report.damaged:
        raise click.exceptions.Exit(1)
