"""The events of the questions in this folder: one made-up society as a store, as Parquet and as JSON Lines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from matrix.log.compact import compact_log
from matrix.log.rows import Rows
from matrix.log.writer import Writer
from matrix.store import Store
from matrix.testing.society import society

ROW_GROUP_EVENTS = 122_880  # what DuckDB itself writes
EVENTS_PER_AGENT, EVENTS_PER_SIMULATION = 500, 200_000

#: The narrowest types that hold every event: what somebody who knows the data would choose.
FIXED = {
    "simulation": pa.int32(),
    "seq": pa.int64(),
    "time": pa.int64(),
    "wall": pa.int64(),
    "agent": pa.int32(),
    "turn": pa.int32(),
    "goal": pa.int64(),
    "state": pa.int64(),
    "cause": pa.int64(),
    "kind": pa.string(),
    "to": pa.int32(),
}
PAYLOAD = {
    "price": pa.float64(),
    "item": pa.string(),
    "model": pa.string(),
    "tokens": pa.int32(),
    "ms": pa.float64(),
    "tool": pa.string(),
    "text": pa.string(),
    "reason": pa.string(),
    "steps": pa.int32(),
    "turns": pa.int32(),
    "id": pa.string(),
    "role": pa.string(),
    "name": pa.string(),
    "limit": pa.int32(),
    "program": pa.string(),
    "seed": pa.int32(),
    "budget": pa.float64(),
}
SQL_TYPES = {pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.string(): "VARCHAR"}


def make(folder: Path, events: int, who: tuple[str, ...]) -> dict[str, int]:
    """Write what is not there yet for those who are asked; says how many bytes each reads."""
    folder.mkdir(parents=True, exist_ok=True)
    simulations = max(2, events // EVENTS_PER_SIMULATION)
    agents = simulations * max(10, events // simulations // EVENTS_PER_AGENT)
    shape = (agents, events, simulations)
    if "live" in who or "compacted" in who:
        _make_store(folder / "live", shape)
    if "compacted" in who and not (folder / "compacted").exists():
        shutil.copytree(folder / "live", folder / "compacted")
        compact_log(folder / "compacted" / "log")
        with Store(folder / "compacted") as store:
            store.refresh()
    if ("parquet" in who or "json" in who) and not (folder / "events.parquet").exists():
        _make_parquet(folder / "events.parquet", shape)
    if "json" in who and not (folder / "events.jsonl").exists():
        _make_json(folder)
    return {name: _size(folder, name) for name in who}


def _size(folder: Path, name: str) -> int:
    place = folder / {"parquet": "events.parquet", "json": "events.jsonl"}.get(name, name)
    return place.stat().st_size if place.is_file() else sum(f.stat().st_size for f in place.rglob("*") if f.is_file())


def _make_store(store: Path, shape: tuple[int, int, int]) -> None:
    if store.exists():
        return
    agents, events, simulations = shape
    segment = min(64 * 1024 * 1024, max(64 * 1024, events))  # several segments, most of them sealed, at every size
    with Writer.open(store / "log", segment_bytes_max=segment) as writer:
        for rows in society(agents, events, simulations=simulations):
            writer.append(rows)
    with Store(store) as opened:
        opened.refresh()


def _make_parquet(path: Path, shape: tuple[int, int, int]) -> None:
    agents, events, simulations = shape
    schema = pa.schema([*FIXED.items(), *PAYLOAD.items()])
    batches = (_batch(rows, schema) for rows in society(agents, events, simulations=simulations))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for table in _in_groups(batches):
            writer.write_table(table, row_group_size=ROW_GROUP_EVENTS)


def _in_groups(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables of whole row groups."""
    waiting: list[pa.Table] = []
    for batch in batches:
        waiting.append(batch)
        count = sum(table.num_rows for table in waiting)
        if count >= ROW_GROUP_EVENTS:
            table = pa.concat_tables(waiting)
            whole = count // ROW_GROUP_EVENTS * ROW_GROUP_EVENTS
            yield table.slice(0, whole)
            waiting = [table.slice(whole)]
    yield pa.concat_tables(waiting)


def _batch(rows: Rows, schema: pa.Schema) -> pa.Table:
    columns = {name: _fixed(rows, name).cast(kind) for name, kind in FIXED.items()}
    columns.update({name: _payload(rows, name, kind) for name, kind in PAYLOAD.items()})
    return pa.table(columns, schema=schema)


def _fixed(rows: Rows, name: str) -> pa.Array:
    values = np.broadcast_to(getattr(rows, name), rows.count).astype(np.int64)
    return pa.array(rows.kinds).take(pa.array(values)) if name == "kind" else pa.array(values)


def _payload(rows: Rows, name: str, kind: pa.DataType) -> pa.Array:
    places = np.full(rows.count, -1, np.int64)
    parts: list[Any] = []
    length = 0
    for of_kind in rows.data.values():
        values = (of_kind.columns or {}).get(name)
        if values is not None:
            part = values if isinstance(values, pa.Array) else pa.array(values)
            parts.append(part.cast(kind))
            places[np.asarray(of_kind.rows)] = np.arange(length, length + len(part))
            length += len(part)
    return pa.concat_arrays(parts).take(pa.array(places, mask=places < 0)) if parts else pa.nulls(rows.count, kind)


def _make_json(folder: Path) -> None:
    """One object a line, the payload nested with only the keys that the event has."""
    import duckdb

    fixed = ", ".join(f'"{name}"' for name in FIXED)
    payload = ", ".join(f'"{name}" := "{name}"' for name in PAYLOAD)
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = true")
    connection.execute(
        f"""COPY (SELECT {fixed}, json_merge_patch('{{}}'::JSON, to_json(struct_pack({payload}))) AS data
                  FROM read_parquet('{folder / "events.parquet"}'))
            TO '{folder / "events.jsonl"}' (FORMAT json)"""
    )


def view_of(who: str, path: Path, name: str = "events") -> str:
    """The events as a view with a column for every field, whatever the file."""
    if who == "parquet":
        return f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{path}')"
    fixed = ", ".join(f"'{column}': '{SQL_TYPES[kind]}'" for column, kind in FIXED.items())
    inner = ", ".join(f'"{column}" {SQL_TYPES[kind]}' for column, kind in PAYLOAD.items())
    names = ", ".join([*(f'"{column}"' for column in FIXED), *(f'data."{key}" AS "{key}"' for key in PAYLOAD)])
    return f"""CREATE VIEW {name} AS SELECT {names} FROM read_json('{path}', format = 'newline_delimited',
               columns = {{{fixed}, 'data': 'STRUCT({inner})'}})"""
