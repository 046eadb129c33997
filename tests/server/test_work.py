"""What workers answer: each type of request, in both encodings, at the client's pace."""

import csv
import io
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
import trio
import trio.testing
from click.testing import CliRunner

import matrix
from matrix.cli.main import main
from matrix.query import rows as formats
from tests.server.working import QUICK, Client, ask, asked, refused, until, working

EVENTS = "events | select seq, kind, agent, time, .price as price"


@pytest.mark.parametrize("encoding", ["json", "cbor"])
async def test_a_query_has_its_columns_its_notices_its_rows_and_its_end(small_store, encoding):
    async with working(small_store) as workers:
        got = await ask(workers, asked("agents | count by role", id="ä"), encoding=encoding)
        schema, batch, done = got.replies
        assert schema == {
            "type": "schema",
            "id": "ä",
            "columns": [{"name": "role", "type": "text"}, {"name": "count", "type": "integer"}],
        }
        assert batch == {"type": "batch", "id": "ä", "count": 3, "rows": [["auditor", 3], ["buyer", 4], ["seller", 3]]}
        assert (done["type"], done["id"], done["rows"]) == ("done", "ä", 3)
        assert 0 < done["seconds"] < 20

        got = await ask(workers, asked("events no.such.kind | select seq"), encoding=encoding)
        assert [reply["type"] for reply in got.replies] == ["schema", "notice", "done"]
        assert "no.such.kind" in got.replies[1]["text"]
        assert got.replies[2]["rows"] == 0


async def test_parameters_may_have_any_name_and_are_values_never_text(small_store):
    async with working(small_store) as workers:
        params = {"text": "buyer", "self": timedelta(days=1), "store": datetime(2027, 1, 1, tzinfo=UTC), "list": [1, 2]}
        text = "agents where role = $text and duration < $self and simulation.start < $store and turns not in $list"
        assert len((await ask(workers, asked(text, params=params))).rows) == 4
        evil = asked("agents where role = $r | count", params={"r": 'x" or role = "buyer'})
        assert (await ask(workers, evil)).rows == [[0]]
        assert (await refused(workers, asked("agents where role = $r")))["code"] == "no-parameter"


async def test_a_wrong_query_is_refused_with_its_place_and_its_fix(small_store):
    async with working(small_store) as workers:
        error = await refused(workers, asked("agents\nwhere rolle = buyer"))
        assert (error["code"], error["line"], error["column"]) == ("unknown-field", 2, 7)
        assert (error["start"], error["end"], error["fix"]) == (13, 18, "agents\nwhere role = buyer")
        assert (await refused(workers, asked("watch agents")))["code"] == "not-one-answer"
        half = await refused(workers, asked('agents where role = "\ud800"'))
        assert half["code"] and workers.statistics().answered["query", half["code"]] == 1


async def test_a_query_sees_what_was_committed_before_it(tmp_path):
    store = tmp_path / "store"

    async def run_one(seed):
        await trio.to_thread.run_sync(lambda: matrix.run(empty, store=store, seed=seed))

    await run_one(1)
    async with working(store) as workers:
        for count in range(1, 5):
            assert (await ask(workers, asked("simulations | count"))).rows == [[count]]
            await run_one(count + 1)


async def empty(simulation):
    """A simulation in which nothing happens."""


async def test_explain_takes_a_text_with_or_without_the_word(small_store):
    async with working(small_store) as workers:
        one = await ask(workers, asked("agents where role = buyer", "explain"))
        other = await ask(workers, asked("explain agents where role = buyer", "explain"))
        assert [row[:3] for row in one.rows] == [row[:3] for row in other.rows]
        assert one.rows[1][:3] == ["  where role = buyer", 10, 4]
        assert (await refused(workers, asked("agents wher", "explain")))["column"] == 8


@pytest.mark.parametrize("encoding", ["json", "cbor"])
async def test_arrow_replies_are_one_stream(small_store, encoding):
    async with working(small_store) as workers:
        got = await ask(workers, asked(EVENTS, format="arrow", page=150), encoding=encoding)
        parts = [reply["data"] for reply in got.replies if reply["type"] in ("schema", "batch")]
        assert [batch["count"] for batch in got.of("batch")] == [150, 150, 150, 50]
        with matrix.open(small_store) as store:
            assert pa.ipc.open_stream(b"".join(parts)).read_all().equals(store.query(EVENTS).table)
        assert got.replies[-1]["rows"] == 500


async def test_check_complete_and_info_have_one_result(small_store):
    async with working(small_store) as workers:

        async def result(type, text="", **fields):
            (reply,) = (await ask(workers, asked(text, type, **fields))).replies
            assert reply["type"] == "done"
            return reply["result"]

        assert await result("check", "watch agents | select role, turns, .x as x") == {
            "watch": True,
            "columns": [
                {"name": "role", "type": "text"},
                {"name": "turns", "type": "number"},
                {"name": "x", "type": "json"},
            ],
        }
        assert (await result("check", "explain agents"))["columns"][1] == {"name": "rows_in", "type": "integer"}
        assert (await refused(workers, asked("agents where", "check")))["code"]
        assert (await result("complete", "agents whe"))["completions"] == [
            {"text": "where", "start": 7, "end": 10, "kind": "keyword", "detail": "word"}
        ]
        assert (await result("complete", "agents whe | count", cursor=10))["completions"][0]["text"] == "where"
        assert await result("info") == {**printed("info", small_store), "path": "store"}
        assert await result("info", simulation="1-1") == printed("info", small_store, "1-1")
        error = await refused(workers, asked(type="info", simulation="9-9"))
        assert (error["code"], error["message"]) == ("usage", "there is no simulation '9-9' among 1, but 1-1")


async def test_a_diff_is_what_the_command_prints(big_store):
    async with working(big_store) as workers:
        got = await ask(workers, asked(type="diff", one="1-1", other="1-2"))
        assert got.replies[-1]["result"] == printed("diff", big_store, "1-1", "1-2")


def printed(*arguments):
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "arrow", "parquet"])
async def test_an_export_is_the_file_that_the_command_writes_in_pieces(big_store, form):
    text = "events | select seq, kind, agent, wall | limit 100000"
    async with working(big_store) as workers:
        for encoding, credit in (("json", 1000), ("cbor", 0)):
            got = Client(encoding=encoding, credit=credit)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(workers.answer, asked(text, "export", format=form), "ann", got)
                while got.ends[-1:] != [True]:  # one piece after the other
                    got.grant(1)
                    await trio.sleep(0.002)
            pieces = [batch["data"] for batch in got.of("batch")]
            with matrix.open(big_store) as store:
                out = io.BytesIO()
                formats.WRITERS[form](store.query(text).table, out)
            assert b"".join(pieces) == out.getvalue()
            assert max(map(len, pieces)) <= 1024 * 1024
            assert set(map(len, pieces[:-1])) <= {1024 * 1024}
            assert got.replies[-1]["rows"] == 100_000
        assert workers.statistics().spilled_bytes == 0


async def test_a_csv_can_be_read_back(small_store):
    async with working(small_store) as workers:
        got = await ask(workers, asked("agents | count by role", "export", format="csv"))
        text = b"".join(batch["data"] for batch in got.of("batch")).decode()
        assert list(csv.reader(io.StringIO(text))) == [
            ["role", "count"], ["auditor", "3"], ["buyer", "4"], ["seller", "3"],
        ]  # fmt: skip


# -- at the client's pace -------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "credit"), [(1, 16), (7, 1), (100, 3), (10_000, 16)])
async def test_each_row_comes_once_and_in_order_whatever_the_credit(small_store, page, credit):
    async with working(small_store) as workers:
        got = Client(credit=credit)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.answer, asked("events | select seq", page=page), "ann", got)
            while got.ends[-1:] != [True]:
                assert len(got.of("batch")) <= credit
                await trio.testing.wait_all_tasks_blocked(0.01)
                if got.credit == 0:
                    got.grant(37)
                    credit += 37
        assert [seq for (seq,) in got.rows] == list(range(1, 501))
        assert [batch["count"] for batch in got.of("batch")][:-1] == [page] * ((500 - 1) // page)
        assert got.replies[-1]["rows"] == 500


async def test_no_process_waits_for_a_client(small_store):
    async with working(small_store, places=1, places_kept=0) as workers:
        async with trio.open_nursery() as nursery:
            stuck = [Client(credit=1) for _ in range(5)]
            for i, client in enumerate(stuck):
                nursery.start_soon(workers.answer, asked("events | select seq", id=i, page=10), "ann", client)
            for client in stuck:
                await client.wait_for("batch")
            assert (await ask(workers, asked(QUICK))).rows == [[10]]
            statistics = workers.statistics()
            assert statistics.running == statistics.waiting == 0
            assert statistics.spilled_bytes > 0
            nursery.cancel_scope.cancel()
        await until(lambda: workers.statistics().spilled_bytes == 0)


async def test_many_rows_come_in_pages(big_store):
    async with working(big_store) as workers:
        text = "events | select seq, kind, agent"
        got = await ask(workers, asked(text, format="arrow", page=10_000), credit=1_000)
        assert sum(batch["count"] for batch in got.of("batch")) == 300_000


async def test_a_batch_has_at_most_8_mib_and_fewer_rows_then(tmp_path):
    from matrix.testing.stores import write_history
    from tests.stories import offers

    events = list(offers([{"text": "ä" * 900_000} for _ in range(12)]))
    write_history(tmp_path / "store", {1: events})
    async with working(tmp_path / "store") as workers:
        got = await ask(workers, asked("events offer | select seq, .text as text"))
        assert max(batch["count"] for batch in got.of("batch")) == 4
        assert all(len(f if isinstance(f, bytes) else f.encode()) <= 8 * 1024 * 1024 for f in got.frames)
        assert len({seq for seq, _ in got.rows}) == 12
        assert {len(text) for _, text in got.rows} == {900_000}


async def test_a_row_that_is_larger_than_a_batch_can_only_be_exported(tmp_path):
    from matrix.testing.stores import write_history
    from tests.stories import offers

    write_history(tmp_path / "store", {1: list(offers([{"text": "x" * 3_000_000, "n": n} for n in range(4)]))})
    text = "events offer | limit 4 | select .text as a, .text as b, .text as c"
    async with working(tmp_path / "store") as workers:
        error = await refused(workers, asked(text))
        assert error["code"] == "memory" and "export" in error["hint"]
        got = await ask(workers, asked(text, "export", format="jsonl"), credit=1_000)
        data = b"".join(batch["data"] for batch in got.of("batch"))
        assert len(data.splitlines()) == 4


# -- replays --------------------------------------------------------------------------------------

PROGRAM = """
import os
from pathlib import Path

import matrix

HERE = Path(__file__).parent
print("a program prints when it is loaded")
EXTRA = 10 if (HERE / "changed").exists() else 0
if (HERE / "evil").exists():
    for number in range(3, 64):
        try:
            os.write(number, b"garbage " * 10)
        except OSError:
            pass

class Talker(matrix.Agent):
    lines: int

    async def run(self):
        print("and while it runs")
        for n in range(self.lines):
            self.emit("said", n=n + EXTRA)

async def chat(simulation, lines=3):
    simulation.spawn(Talker, "ann", lines=lines)
"""


@pytest.fixture
def recorded(tmp_path):
    """A store with three runs of a program in a file."""
    (tmp_path / "chat.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "matrix.cli.main", "run", "chat.py", "--store", "store", "--simulations", "3"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return tmp_path / "store"


async def test_replays_come_one_by_one_as_the_command_tells_them(recorded):
    async with working(recorded) as workers:
        got = Client(credit=1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(workers.answer, asked(type="replay", all=True), "ann", got)
            await got.wait_for("batch")
            await until(lambda: workers.statistics().running == 0)
            got.grant(2)
        assert [batch["count"] for batch in got.of("batch")] == [1, 1, 1]
        assert [(row["id"], row["status"], row["divergence"]) for row in got.rows] == [
            (id, "identical", None) for id in ("1-1", "1-2", "1-3")
        ]
        assert (got.replies[-1]["type"], got.replies[-1]["rows"]) == ("done", 3)
        row = (await ask(workers, asked(type="replay", simulation="1-2"))).rows[0]
        assert set(row) == {"id", "status", "events", "digest", "seconds", "notes", "divergence"}
        assert (await refused(workers, asked(type="replay", simulation="7")))["code"] == "usage"


async def test_a_replay_runs_the_program_as_it_is_now_and_says_nothing_of_the_machine(recorded):
    async with working(recorded) as workers:
        one = asked(type="replay", simulation="1-1")
        assert (await ask(workers, one)).rows[0]["status"] == "identical"
        (recorded.parent / "changed").touch()
        got = await ask(workers, one)
        (row,) = got.rows
        assert (row["status"], row["divergence"]["kind"]) == ("diverged", "event")
        assert "chat.py" in row["divergence"]["place"]
        assert str(recorded.parent) not in str(got.frames)
        (recorded.parent / "chat.py").unlink()
        error = await refused(workers, one)
        assert error["code"] == "usage" and "chat.py" in error["message"]
        assert str(recorded.parent) not in str(error)


async def test_a_program_that_writes_into_the_pipes_spoils_only_its_own_replay(recorded, caplog):
    async with working(recorded) as workers:
        (recorded.parent / "evil").touch()
        error = await refused(workers, asked(type="replay", all=True))
        assert (error["code"], error["message"]) == ("internal", "a mistake of the server's; it has noted it")
        assert "the process at work on a replay is lost" in caplog.text
        assert (await ask(workers, asked("simulations | count"))).rows == [[3]]
