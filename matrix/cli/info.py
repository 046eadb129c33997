"""`matrix info`: a store, or one simulation of it, at a glance; a shell over `Store.info`, `kinds` and `simulation`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from matrix.cli import output, target
from matrix.query.engine.notation import time_text

if TYPE_CHECKING:
    from matrix.cli.target import Target
    from matrix.index.lookup import KindEntry, SimulationSummary, StoreSummary

PATHS_SHOWN_MAX = 8
PAIRS_SHOWN_MAX = 8
_OF_RUNS = (
    "code",
    "hash_seed",
    "program",
    "reason",
    "file",
    "file_digest",
)  # what the runtime and importers note for themselves


@click.command(
    "info",
    epilog="\b\nExamples:\n  matrix info runs\n  matrix info runs 1-1\n  matrix info runs 1-1 --json",
)
@click.argument("store")
@click.argument("simulation", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object; durations in microseconds.")
@target.token_option
def command(store: str, simulation: str | None, as_json: bool, token: str | None) -> None:
    """Show what is in STORE, a folder or a server's address: simulations, agents, goals, kinds, what events carry.

    With SIMULATION (an id): how that one went, and its digest, which is the same for every run of
    one program with one seed and the same parameters.
    """
    with target.opened(store, token) as opened:
        if simulation is None:
            show_store(opened, as_json)
        else:
            show_simulation(opened, simulation, as_json)


def show_store(store: Target, as_json: bool) -> None:
    summary, kinds = store.info(), store.kinds()
    if as_json:
        from matrix.index.lookup import store_data

        _print_json(store_data(target.name_of(store), summary, kinds))
        return
    heading(target.name_of(store))
    facts(_store_facts(summary))
    if kinds:
        click.echo()
        show_kinds(kinds)


def _store_facts(summary: StoreSummary) -> dict[str, str]:
    where = f"{output.count(summary.shards, 'shard')}, {output.count(summary.segments, 'segment')}"
    return {
        "log": f"{where}, {output.size(summary.size_bytes)}",
        "simulations": _total(summary.simulations),
        "agents": f"{summary.agents:,}",
        "goals": _total(summary.goals),
        "events": _events(summary),
    }


def show_kinds(kinds: Iterable[KindEntry]) -> None:
    import shutil
    import sys

    import pyarrow as pa

    from matrix.cli.table import write_table

    columns: dict[str, list[Any]] = {"kind": [], "events": [], "data": []}
    for entry in kinds:
        names = [path for path in entry.paths if not any(other.startswith(f"{path}.") for other in entry.paths)]
        more = f", and {len(names) - PATHS_SHOWN_MAX} more" if len(names) > PATHS_SHOWN_MAX else ""
        columns["kind"].append(entry.kind)
        columns["events"].append(entry.events)
        columns["data"].append(", ".join(f".{name}" for name in names[:PATHS_SHOWN_MAX]) + more)
    is_terminal = output.is_terminal(sys.stdout)
    write_table(pa.table(columns), sys.stdout, width=shutil.get_terminal_size().columns if is_terminal else None)


def show_simulation(store: Target, id: str, as_json: bool) -> None:
    summary = store.simulation(id)
    digest = store.digest(id) if summary.end is not None else None
    if as_json:
        _print_json({**summary.as_data(), "digest": digest})
        return
    heading(f"{summary.id}  {summary.name or ''}")
    facts(_simulation_facts(summary) | ({"digest": digest} if digest else {}))


def _simulation_facts(summary: SimulationSummary) -> dict[str, str]:
    reason = summary.data.get("reason")
    took = f", took {output.rough_duration(summary.end - summary.start)}" if summary.end is not None else ""
    found = {
        "status": f"{summary.status} ({reason})" if reason else summary.status,
        "seed": "" if summary.seed is None else str(summary.seed),
        "parent": summary.parent or "",
        "began": time_text(summary.start) + took,
        "lasted": f"{output.rough_duration(summary.duration)} of its own time",
        "with": _pairs(summary.data),
        "agents": f"{summary.agent_count:,}   {_grouped(summary.agents)}",
        "goals": _grouped(summary.goals),
        "events": _events(summary),
    }
    return {name: text for name, text in found.items() if text.strip()}


def _events(summary: StoreSummary | SimulationSummary) -> str:
    shared = f"   {summary.shared_events:,} of them shared with a parent" if summary.shared_events else ""
    return f"{summary.events:,}{shared}"


def heading(text: str) -> None:
    """The line that says what follows."""
    click.secho(text.rstrip(), bold=True, color=output.colour())


def facts(found: Mapping[str, str]) -> None:
    """Names and what they are, in two columns."""
    width = max(map(len, found))
    for name, text in found.items():
        click.echo(f"  {click.style(name.ljust(width), dim=True)}  {text.rstrip()}", color=output.colour())


def _total(counts: Mapping[str, int]) -> str:
    parts = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    return f"{sum(counts.values()):,}" + (f"   {parts}" if parts else "")


def _grouped(counts: Mapping[tuple[str | None, str], int]) -> str:
    """Counts by name and status as one line: ``buyer: 800 finished; seller: 200 cancelled``."""
    by_name: dict[str, list[str]] = {}
    for (name, status), count in counts.items():
        by_name.setdefault(name or "(none)", []).append(f"{count:,} {status}")
    return "; ".join(f"{name}: {', '.join(parts)}" for name, parts in by_name.items())


def _pairs(data: Mapping[str, Any]) -> str:
    """What a simulation was run with: its parameters, or the plain facts that its file told."""
    parameters = data.get("parameters")
    if not isinstance(parameters, Mapping):
        parameters = {k: v for k, v in data.items() if k not in _OF_RUNS and isinstance(v, str | int | float)}
    shown = [f"{name}={json.dumps(v, ensure_ascii=False, default=str)}" for name, v in parameters.items()]
    more = f" and {len(shown) - PAIRS_SHOWN_MAX} more" if len(shown) > PAIRS_SHOWN_MAX else ""
    return " ".join(shown[:PAIRS_SHOWN_MAX]) + more


def _print_json(value: Mapping[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
