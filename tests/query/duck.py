"""The helper tables that the SQL of ``twenty_questions.md`` speaks of, made by SQL from plain events.

A second oracle beside the naive evaluator: it shares not even a language with the executor. ``text`` of a
message is what a chat shows of it: the text that was said, else the kind and the data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from matrix.event import Event

QUESTIONS = Path(__file__).with_name("twenty_questions.md")

HELPERS = """
create table simulations as
  select run as id, any_value(json_extract_string(data, '$.name')) as name
  from raw where kind = 'simulation.started' group by run;
create table agents as
  select run, number, json_extract_string(data, '$.id') as id, json_extract_string(data, '$.role') as role
  from raw where kind = 'agent.started';
create table goals as
  select s.run, s.seq, json_extract_string(s.data, '$.name') as name, a.id as agent, a.role,
         coalesce(replace(e.kind, 'goal.', ''), 'running') as status, e.time - s.time as duration,
         json_extract_string(e.data, '$.reason') as reason, (e.data->>'steps')::int as steps
  from raw s join agents a on a.run = s.run and a.number = s.number
  left join raw e on e.run = s.run and e.goal = s.seq
       and e.kind in ('goal.succeeded', 'goal.failed', 'goal.cancelled')
  where s.kind = 'goal.started';
create table events as
  select e.run, e.run || ':' || e.seq as id, e.seq, e.time, e.wall, a.id as agent, a.role, e.kind, e.turn, e.cause,
         t.id as "to", e.data, e.number, e.receiver
  from raw e left join agents a on a.run = e.run and a.number = e.number
  left join agents t on t.run = e.run and t.number = e.receiver;
create table messages as
  select *, agent as "from", coalesce(data->>'text', kind || ' ' || data) as text,
         run || '/' || if(number < receiver, agent || '+' || "to", "to" || '+' || agent) as conversation
  from events where "to" is not null;
create table stream as
  select run, agent as me, "to" as peer, seq, kind, 'did' as verb, role, time, turn as my_turn, data from events
  where agent is not null
  union all
  select m.run, m."to", m.agent, m.seq, m.kind, 'got', a.role, m.time,
         (select coalesce(max(o.turn), 0) from events o where o.run = m.run and o.agent = m."to" and o.seq <= m.seq),
         m.data
  from messages m join agents a on a.run = m.run and a.id = m."to";
"""

#: What the helper tables are made of; ``stream`` costs a self-join, so it is made only when asked for.
RAW = ("run", "seq", "time", "wall", "number", "turn", "goal", "cause", "kind", "receiver", "data")


def tables(runs: Mapping[str, Iterable[Event]], *, with_stream: bool = False) -> duckdb.DuckDBPyConnection:
    """A DuckDB that holds the helper tables of these simulations, by id."""
    rows = [
        (
            run,
            e.seq,
            e.time,
            e.wall,
            e.agent,
            e.turn,
            e.goal,
            e.cause,
            e.kind,
            e.to[0] if e.to else 0,
            json.dumps(e.data, separators=(",", ":")),
        )
        for run, events in runs.items()
        for e in events
    ]
    raw = pa.table({name: [row[i] for row in rows] for i, name in enumerate(RAW)})
    connection = duckdb.connect()
    connection.register("plain", raw)
    connection.execute("create table raw as select * replace (data::json as data) from plain")
    statements = HELPERS if with_stream else HELPERS.split("create table stream")[0]
    connection.execute(statements)
    return connection


def questions() -> dict[int, tuple[str, str]]:
    """Number of each question with its query and its SQL, as the page has them."""
    found: dict[int, tuple[str, str]] = {}
    for section in re.split(r"^## ", QUESTIONS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        query = re.search(r"^```\n(.*?)\n```", section, re.DOTALL | re.MULTILINE)
        sql = re.search(r"^```sql\n(.*?)\n```", section, re.DOTALL | re.MULTILINE)
        if query and sql:
            found[int(section.split(".")[0])] = (query[1], sql[1])
    return found
