"""A served store answers as the same store does in its folder, in both encodings."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas
import pyarrow as pa
import pytest
import trio
from pyarrow import parquet

import matrix
from matrix.client.remote import Remote
from matrix.errors import MatrixError, QueryError, Unauthorized, UsageError
from tests.client.served import Served

QUERIES = [
    "events",
    "agents | count by role",
    "goals | count(succeeded) / count as rate by role, name",
    "events offer | select id, time, wall, data, .price, cause | sort by time",
    "events | select kind, data | limit 7",
    "simulations | select id, seed, data, start, duration",
    "messages | where .price >= 40 | limit 5",
    "conversations | limit 3",
    "agents where role = nobody",
    "agents where .nothing exists",
    "events nothing",
    "agents where goal succeeded | conversations | limit 4 | as chat",
    "goals | limit 3 | as timeline",
    "events goal.failed | causes | count by kind",
    "events | count by kind, simulation | sort by count desc",
]
WITHOUT_ROWS = ["agents where role = nobody", "agents where .nothing exists", "events nothing"]


@pytest.fixture(params=["cbor", "json"])
async def remote(request: pytest.FixtureRequest, served: Served) -> AsyncIterator[Remote]:
    async with matrix.connect(served.url, token=served.token, encoding=request.param) as remote:
        yield remote


async def outcome(call: Any) -> Any:
    """What a call returns, or the error it raises."""
    try:
        found = call()
        return await found if hasattr(found, "__await__") else found
    except MatrixError as error:
        return error


def told(error: MatrixError) -> tuple[type, str, Any]:
    return type(error), str(error), error.as_data() if isinstance(error, QueryError) else None


@pytest.mark.parametrize("text", QUERIES)
async def test_a_query_gives_the_same_table_the_same_rows_and_the_same_remarks(
    remote: Remote, local: matrix.Store, text: str
) -> None:
    found, right = await outcome(lambda: remote.query(text)), await outcome(lambda: local.query(text))
    if isinstance(right, MatrixError):
        assert told(found) == told(right)
        return
    assert found.table.schema.equals(right.table.schema, check_metadata=True)
    assert found.table.equals(right.table)
    assert found.rows() == right.rows()
    assert found.notices == right.notices
    assert repr(found) == repr(right)


async def test_the_queries_of_these_tests_are_right_and_have_rows(local: matrix.Store) -> None:
    found = [await outcome(lambda text=text: local.query(text)) for text in QUERIES]
    assert [text for text, result in zip(QUERIES, found) if isinstance(result, MatrixError)] == []
    assert [text for text, result in zip(QUERIES, found) if not len(result)] == WITHOUT_ROWS


async def test_data_are_dicts_in_pandas_too(remote: Remote, local: matrix.Store) -> None:
    text = "events offer | select id, data, time"
    pandas.testing.assert_frame_equal((await remote.query(text)).to_pandas(), local.query(text).to_pandas())


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("goals where duration <= $longest | count", {"longest": timedelta(seconds=90)}),
        ("events where wall < $now | count", {"now": datetime(2100, 1, 1, tzinfo=UTC)}),
        ("events where wall < $now | count", {"now": datetime(2100, 1, 1)}),
        ("events where kind in $kinds | count", {"kinds": ["offer", "accept"]}),
        ("events where .price = $price | count", {"price": 40}),
        ("events where .price = $price | count", {"price": 40.0}),
        ("agents where role = $role | count", {"role": 'buyer" or role = "seller'}),
        ("agents where role = $role | count", {"role": None}),
        ("agents where role = $role | count", {}),
        ("agents where role = $role | count", {"role": {"no": "value"}}),
        ("agents where role = $role | count", {"role": "half \ud83d"}),
        ("agents where role = $roel | count", {"role": "buyer"}),
    ],
)
async def test_parameters_mean_the_same(
    remote: Remote, local: matrix.Store, text: str, parameters: dict[str, Any]
) -> None:
    found = await outcome(lambda: remote.query(text, **parameters))
    right = await outcome(lambda: local.query(text, **parameters))
    if isinstance(right, MatrixError):
        assert told(found) == told(right)
    else:
        assert found.rows() == right.rows()


@pytest.mark.parametrize(
    "text",
    [
        "agents where rol = x",
        "",
        "watch events",
        "agents | frobnicate",
        "agents where role =",
        "agents | select",
        "ä 'x",
        "agents where role = '" + "x" * 70_000 + "'",
        "half \ud83d",
    ],
)
async def test_a_wrong_query_is_the_same_error_with_place_hint_and_fix(
    remote: Remote, local: matrix.Store, text: str
) -> None:
    found, right = await outcome(lambda: remote.query(text)), await outcome(lambda: local.query(text))
    assert told(found) == told(right)
    assert isinstance(found, QueryError)


async def test_the_store_and_its_simulations_are_the_same_at_a_glance(remote: Remote, local: matrix.Store) -> None:
    assert await remote.info() == local.info()
    assert await remote.kinds() == local.kinds()
    assert await remote.simulation("1-1") == local.simulation("1-1")
    assert await remote.digest("1-1") == local.digest("1-1")
    assert await remote.complete("agents whe") == local.complete("agents whe")
    assert await remote.complete("events offer | where .pr", 12) == local.complete("events offer | where .pr", 12)
    assert await remote.complete("half \ud83d") == []


async def test_two_simulations_side_by_side_are_the_same(remote: Remote, local: matrix.Store) -> None:
    for one, other in (
        ("1-2", "1-3"),
        ("1-1", "1-3"),
        ("1-1", "1-1"),
        ("1-1", local.query("simulations where parent = '1-1'").rows()[0]["id"]),
    ):
        found, right = await remote.diff(one, other), local.diff(one, other)
        assert str(found) == str(right)
        assert found == right


async def test_an_unknown_simulation_is_named_with_those_there_are(remote: Remote) -> None:
    with pytest.raises(UsageError, match=r"there is no simulation '1-9' among 4, but 1-"):
        await remote.simulation("1-9")
    with pytest.raises(UsageError, match="the id of a simulation is a text such as '1-1', not 7"):
        await remote.simulation(7)  # type: ignore[arg-type]  # what the test is about


async def test_explain_says_the_same_steps(remote: Remote, local: matrix.Store) -> None:
    found, right = await remote.explain("agents | count by role"), local.explain("agents | count by role")
    assert found.table.column("step").to_pylist() == right.table.column("step").to_pylist()
    assert found.table.schema.equals(right.table.schema, check_metadata=True)


async def test_many_calls_at_once_each_get_their_own_answer(remote: Remote, local: matrix.Store) -> None:
    right = [local.query("events where seq > $n | count", n=n).rows() for n in range(40)]
    found: dict[int, Any] = {}

    async def ask(n: int) -> None:
        found[n] = (await remote.query("events where seq > $n | count", n=n)).rows()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for n in range(40):
                nursery.start_soon(ask, n)
    assert [found[n] for n in range(40)] == right


async def test_both_sides_say_goodbye_and_nobody_waits_for_it(served: Served) -> None:
    async with matrix.connect(served.url, token=served.token) as remote:
        await remote.query("agents | count")
        begun = trio.current_time()
    assert trio.current_time() - begun < 0.5


async def test_a_stream_gives_all_rows_page_by_page(remote: Remote, local: matrix.Store) -> None:
    right = local.query("events").rows()
    async with remote.stream("events", page=50) as batches:
        pages = [batch.rows() async for batch in batches]
    assert {len(page) for page in pages[:-1]} == {50}
    assert [row for page in pages for row in page] == right
    with pytest.raises(UsageError, match="page is a number of rows from 1 to 10,000, not 0"):
        remote.stream("events", page=0)


async def test_an_export_is_the_file_that_the_command_line_writes(
    remote: Remote, local: matrix.Store, tmp_path: Path
) -> None:
    table = local.query("events offer | select id, time, data").table
    for form in ("jsonl", "json", "csv", "arrow", "parquet"):
        file = tmp_path / f"rows.{form}"
        assert await remote.export("events offer | select id, time, data", form, file) == table.num_rows
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])["id"] == table.column("id")[0].as_py()
    assert len(json.loads((tmp_path / "rows.json").read_text())) == table.num_rows
    assert (tmp_path / "rows.csv").read_text().splitlines()[0] == "id,time,data"
    assert pa.ipc.open_stream((tmp_path / "rows.arrow").read_bytes()).read_all().equals(table)
    assert parquet.read_table(tmp_path / "rows.parquet").equals(table)
    out = io.BytesIO()
    assert await remote.export("agents | count", "csv", out) == 1
    assert out.getvalue().startswith(b"count\n")


async def test_an_export_into_a_pipe_leaves_it_a_pipe(remote: Remote, tmp_path: Path) -> None:
    pipe = tmp_path / "rows"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert await remote.export("agents | count", "csv", pipe) == 1
        assert os.read(reading, 100).startswith(b"count\n")
    finally:
        os.close(reading)
    assert pipe.is_fifo()


async def test_an_export_that_fails_leaves_no_file(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(QueryError):
        await remote.export("agents where rol = x", "csv", tmp_path / "rows.csv")
    with pytest.raises(UsageError, match="there is no folder"):
        await remote.export("agents", "csv", tmp_path / "nowhere" / "rows.csv")
    assert list(tmp_path.iterdir()) == []


async def test_a_replay_needs_the_other_token_and_finds_the_same(served: Served, local: matrix.Store) -> None:
    async with matrix.connect(served.url, token=served.token) as remote:
        with pytest.raises(Unauthorized, match='needs a token with the scope "control"; this one has read'):
            await remote.replay("1-1")
    async with matrix.connect(served.url, token=served.control_token) as allowed:
        found = await allowed.replay("1-1")
        assert (found.status, found.id) == ("identical", "1-1")
        assert found.digest == local.digest("1-1")
        every = [replay async for replay in allowed.replay_all()]
    assert [(replay.id, replay.status) for replay in every][:3] == [
        ("1-1", "identical"),
        ("1-2", "identical"),
        ("1-3", "identical"),
    ]


async def test_on_the_servers_machine_its_user_needs_no_token(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unauthorized):
        async with matrix.connect(served.url):
            pass
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(served.runtime))
    async with matrix.connect(served.url) as remote:
        assert remote.scopes == ["read"]
        assert (await remote.replay("1-3")).status == "identical"  # by the other token, which is used for nothing else
        assert remote.scopes == ["read"]
    with pytest.raises(Unauthorized):  # what is given counts, right or wrong
        async with matrix.connect(served.url, token="another"):
            pass


async def test_a_token_comes_from_the_link_or_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async with matrix.connect(served.link) as remote:
        assert (await remote.query("agents where role = seller | count")).rows() == [{"count": 3}]
    monkeypatch.setenv("MATRIX_TOKEN", served.token)
    async with matrix.connect(served.url) as remote:
        assert remote.name == "runs"
        assert repr(remote) == f"matrix.connect('{served.url}')"
        assert served.token not in repr(remote)
