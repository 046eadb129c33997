"""What stages mean: columns and their names, what rows are after each, what may follow what."""

from __future__ import annotations

import pytest

from matrix.errors import QueryError
from matrix.query.check import check
from matrix.query.syntax import Aggregate, AsOf, Field, Follow, Relation, Sample, Select, Sort, Type
from tests.query.written import written


def columns(query: str) -> list[str]:
    return [column.name for column in check(query).columns]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("agents | count", "count"),
        ("agents | count by role, goal.status", "role goal_status count"),
        ("events | sum(.tokens), p95(.ms), avg(.a.b) by .model", "model sum_tokens p95_ms avg_a_b"),
        ('events | count by .items[0]."odd key" per 1m', "items_0_odd key time count"),
        ("goals | count(succeeded), count(failed) by name", "name count_succeeded count_failed"),
        ("goals | count(succeeded) / count as rate", "rate"),
        ("agents | avg(count(tool.failed))", "avg_count_tool_failed"),
        ("agents | select id, agent_name", None),
        ("agents | select id, duration as d, .budget, .a.b, goal.id", "id d budget a_b goal_id"),
        ("agents | select *", "id simulation role status goal start end duration turns data"),
        ("agents | count by role | select *, count * 2 as twice", "role count twice"),
        ("agents", "id simulation role status goal start end duration turns data"),
        ("simulations", "id name status seed start end duration took parent data"),
        ("goals", "id name simulation agent role status start end duration turns steps reason parent data"),
        ("events", "id simulation seq time wall agent role goal state kind cause turn to peer data"),
        (
            "messages",
            "id simulation seq time wall agent role goal state kind cause turn to peer "
            "from text conversation reply_to data",
        ),
        (
            "agents | messages",
            "id simulation seq time wall agent role goal state kind cause turn to peer "
            "from text conversation reply_to sent received data",
        ),
        ("conversations", "id simulation agents start end duration turns messages"),
        (
            "agents | match offer as o then got accept",
            "id simulation role status goal start end duration turns data o",
        ),
        ("agents | funnel offer then accept by role", "role step event reached share median_time"),
        (
            "events | causes",
            "id simulation seq time wall agent role goal state kind cause turn to peer data depth origin",
        ),
        ("agents | select id | as table", "id"),
    ],
)
def test_columns_of_the_result(query: str, names: str | None) -> None:
    if names is None:
        with pytest.raises(QueryError):
            check(query)
    else:
        assert " ".join(columns(query)) == names


def test_aggregate_holds_keys_buckets_and_values() -> None:
    stage = check("events tool.failed | count as n, p95(.ms) by .tool, role per 1m").stages[0]
    assert isinstance(stage, Aggregate)
    assert [(c.name, written(c.expr)) for c in stage.keys] == [("tool", "data.tool"), ("role", "role")]
    assert [(c.name, written(c.expr)) for c in stage.values] == [
        ("n", "count()"),
        ("p95_ms", "percentile95.0(data.ms)"),
    ]
    assert stage.per is not None
    assert (written(stage.per.value), stage.per.width, stage.per.unit) == ("time", 60_000_000, "time")


@pytest.mark.parametrize(
    ("query", "value", "width", "unit"),
    [
        ("events | count per 1h of wall", "wall", 3_600_000_000, "wall"),
        ("events | count per 10 turns", "turn", 10, "turns"),
        ("goals | count per 1s", "start", 1_000_000, "time"),
        ("simulations | count per 1d of wall", "start", 86_400_000_000, "wall"),
        ("events | select time, .x | count per 1s", "column time", 1_000_000, "time"),
    ],
)
def test_per_cuts_what_the_rows_have(query: str, value: str, width: int, unit: str) -> None:
    stage = check(query).stages[-1]
    assert isinstance(stage, Aggregate)
    assert stage.per is not None
    assert (written(stage.per.value), stage.per.width, stage.per.unit) == (value, width, unit)


def test_types_of_columns() -> None:
    query = check("events | count, sum(.x), avg(time), min(wall), distinct(role), first(role) by .tool per 1m")
    assert [column.type for column in query.columns] == [
        Type.ANY, Type.DURATION, Type.NUMBER, Type.NUMBER, Type.DURATION, Type.TIME, Type.NUMBER, Type.TEXT,
    ]  # fmt: skip


def test_after_an_aggregate_fields_are_columns() -> None:
    query = check(
        "agents | count by role, status | where count > 5 and role = buyer and status = failed | sort count desc"
    )
    assert [written(stage.condition) for stage in query.stages[1:2]] == [  # type: ignore[union-attr]
        "((column count > 5) and (column role = 'buyer') and (column status = 'failed'))"
    ]
    assert query.relation is None


def test_closed_lists_hold_behind_columns_too() -> None:
    with pytest.raises(QueryError) as caught:
        check("agents | count by status | where status = faild")
    assert caught.value.fix == "agents | count by status | where status = failed"


def test_rows_reached_are_a_relation_again() -> None:
    query = check(
        "agents where goal succeeded | conversations where turns >= 4 | messages m as x".replace(" m as x", "")
    )
    follow = query.stages[0]
    assert isinstance(follow, Follow)
    assert (follow.source, follow.to.relation) == (Relation.AGENTS, Relation.CONVERSATIONS)
    assert query.relation is Relation.MESSAGES


def test_match_replaces_times_and_names_steps() -> None:
    query = check(
        "agents | match offer as o then got accept as a with same peer | select id, duration, a.time - o.time as wait"
    )
    select = query.stages[1]
    assert isinstance(select, Select)
    assert [written(c.expr) for c in select.columns] == ["id", "column duration", "(a:time - o:time)"]
    step = [c.expr for c in check("agents | match offer as o then accept").columns][-1]
    assert isinstance(step, Field)
    assert (step.step, step.name) == ("o", "id")


@pytest.mark.parametrize(
    ("query", "by", "value"),
    [
        ("agents as of 12.5s", "time", 12_500_000),
        ("agents as of @1970-01-02", "wall", 86_400_000_000),
        ("agents as of turn 12", "turn", 12),
        ("agents as of event 'r:7'", "event", "r:7"),
    ],
)
def test_moments(query: str, by: str, value: object) -> None:
    as_of = check(query).source.as_of
    assert isinstance(as_of, AsOf)
    assert (as_of.by, as_of.value) == (by, value)


def test_sort_and_sample() -> None:
    sort, sample = check("agents | sort by duration desc, id asc, role | sample 10 seed 7").stages
    assert isinstance(sort, Sort)
    assert [(written(key.expr), key.is_descending) for key in sort.keys] == [
        ("duration", True), ("id", False), ("role", False),
    ]  # fmt: skip
    assert isinstance(sample, Sample)
    assert (sample.count, sample.seed) == (10, 7)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("agents | count | messages", "columns-only"),
        ("agents | count by role | where any offer", "columns-only"),
        ("agents | count by role | where .x = 1", "columns-only"),
        ("agents | select id | where role = a", "unknown-column"),
        ("agents | count, count", "two-columns"),
        ("agents | select duration / 2", "needs-name"),
        ("agents | count + 1", "needs-name"),
        ("agents | count as failed", "name-taken"),
        ("agents | sum(role)", "wrong-arguments"),
        ("events | count(.tool)", "count-of-value"),
        ("goals | count per 10 turns", "no-buckets"),
        ("events | count per 0s", "empty-range"),
        ("agents | count by role | sample 3", "columns-only"),
        ("watch agents | sample 3", "not-in-watch"),
        ("watch agents as of 5s", "not-in-watch"),
        ("agents | as chat", "wrong-shape"),
        ("agents | as tree", "wrong-shape"),
        ("conversations | as chat | limit 3", "shape-last"),
        ("goals | causes", "needs-events"),
        ("events | match a then b", "no-stream"),
        ("goals | conversations", "not-reached"),
        ("agents as role", "name-taken"),
        ("agents | limit 2.5", "not-a-size"),
    ],
)
def test_stage_is_refused(query: str, code: str) -> None:
    with pytest.raises(QueryError) as caught:
        check(query)
    assert caught.value.code == code
