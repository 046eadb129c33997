"""`matrix verify`: read every byte of a store's log and check it; a shell over `Store.verify`."""

from __future__ import annotations

import time

import click

from matrix.cli import output


@click.command("verify", epilog="\b\nExample:\n  matrix verify runs")
@click.argument("store")
def command(store: str) -> None:
    """Read every byte of the log of STORE and check every checksum, count and link. Changes nothing.

    Exit code 1 when something is damaged or of a newer format, each with its file and place. An incomplete last
    block (a process was killed, or is writing just now) is said but is no damage: the next writer cuts it off.
    """
    import matrix

    begun = time.perf_counter()
    with matrix.open(store) as opened:
        shards = opened.verify()
    took = time.perf_counter() - begun
    findings = [finding for shard in shards for finding in shard.findings]
    damage = [finding for finding in findings if finding.trouble != "torn"]
    for finding in findings:
        if finding in damage:
            output.explain(str(finding))
        else:
            output.notice(str(finding))
    read = (
        f"{output.count(len(shards), 'shard')}, {output.count(sum(s.segments for s in shards), 'segment')}, "
        f"{output.count(sum(s.events for s in shards), 'event')}, {output.size(sum(s.size_bytes for s in shards))} "
        f"read in {took:.1f} s"
    )
    if damage:
        output.words(f"{store}: {output.count(len(damage), 'place')} damaged; {read}", style="red")
        raise click.exceptions.Exit(1)
    output.words(f"{store}: sound; {read}", style="green")
