"""PROTOCOL.md is enough: a client written from it alone (``plain.py``) asks, watches, cancels, and reads Arrow."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest

import matrix
from tests.client.plain import Closed, Plain
from tests.client.served import Served


@pytest.fixture
def plain(served: Served) -> Iterator[Plain]:
    with Plain("127.0.0.1", served.port, served.token) as plain:
        yield plain


def test_the_first_page_of_the_protocol_is_true(plain: Plain) -> None:
    assert plain.welcome["type"] == "welcome"
    assert (plain.welcome["protocol"], plain.welcome["store"], plain.welcome["scopes"]) == (
        "matrix.v1",
        "runs",
        ["read"],
    )
    assert set(plain.welcome["limits"]) >= {
        "message_bytes", "requests", "page_rows", "page_bytes", "query_seconds", "text_bytes", "messages_per_second",
    }  # fmt: skip
    id = plain.ask({"type": "query", "text": "agents | count by role"})
    schema, batch, done = [message for message, _ in plain.replies() if message["type"] != "progress"]
    assert schema == {
        "type": "schema",
        "id": id,
        "columns": [{"name": "role", "type": "text"}, {"name": "count", "type": "integer"}],
    }
    assert batch == {"type": "batch", "id": id, "count": 2, "rows": [["buyer", 120], ["seller", 3]]}
    assert (done["type"], done["id"], done["rows"]) == ("done", id, 2)


def test_values_are_those_of_the_table_of_types(plain: Plain, local: matrix.Store) -> None:
    text = "events offer | select id, seq, time, wall, data, .price, cause exists as has_cause | limit 3"
    found, right = plain.rows(text), local.query(text)
    assert [row["time"] for row in found] == [row["time"] for row in right.rows()]
    assert [row["data"] for row in found] == [row["data"] for row in right.rows()]
    assert found[0]["wall"].endswith("Z")
    assert len(found[0]["wall"]) == len("2026-01-31T12:00:00.000000Z")


def test_credit_is_kept_to(plain: Plain) -> None:
    id = plain.ask({"type": "query", "text": "events | limit 5", "page": 1, "credit": 2})
    said = [plain.hear()[0] for _ in range(3)]
    assert [message["type"] for message in said if message["type"] != "progress"][:3] == ["schema", "batch", "batch"]
    plain.say({"type": "grant", "id": id, "credit": 10})
    rest = [message["type"] for message, _ in plain.replies(grants=False) if message["type"] != "progress"]
    assert rest == ["batch", "batch", "batch", "done"]


def test_arrow_comes_in_the_frame_behind_and_pyarrow_reads_it_whole_or_in_parts(
    plain: Plain, local: matrix.Store
) -> None:
    plain.ask({"type": "query", "text": "events", "format": "arrow", "page": 100})
    pieces = [data for message, data in plain.replies() if message["type"] in ("schema", "batch")]
    right = local.query("events").table
    assert pa.ipc.open_stream(b"".join(pieces)).read_all().equals(right)
    assert pa.ipc.open_stream(pieces[0] + pieces[2]).read_all().equals(right.slice(100, 100))


def test_a_watch_tells_positions_and_goes_on_behind_any_row(plain: Plain, local: matrix.Store) -> None:
    right = [row["seq"] for row in local.query("events | select seq | limit 30").rows()]
    plain.ask({"type": "watch", "text": "events | select seq | limit 30", "after": "start"})
    batches = [message for message, _ in plain.replies() if message["type"] == "batch"]
    assert [row[0] for batch in batches for row in batch["rows"]] == right
    middle = f"{batches[0]['stem']}.{batches[0]['first'] + 4}"
    plain.ask({"type": "watch", "text": "events | select seq | limit 30", "after": middle})
    assert [row[0] for message, _ in plain.replies() if message["type"] == "batch" for row in message["rows"]] == right[
        5:
    ]


def test_what_is_cancelled_says_so(plain: Plain) -> None:
    id = plain.ask({"type": "watch", "text": "events never"})
    while plain.hear()[0]["type"] != "schema":
        pass
    plain.say({"type": "cancel", "id": id})
    *_, (last, _) = plain.replies()
    assert (last["type"], last["id"], last["code"]) == ("error", id, "cancelled")


def test_a_wrong_query_has_a_place_and_a_fix(plain: Plain) -> None:
    plain.ask({"type": "query", "text": "agents where rle = buyer"})
    *_, (error, _) = plain.replies()
    assert (error["code"], error["line"], error["column"], error["start"], error["end"]) == (
        "unknown-field",
        1,
        14,
        13,
        16,
    )
    assert error["fix"] == "agents where role = buyer"


def test_single_results(plain: Plain) -> None:
    def result(request: dict[str, object]) -> dict[str, object]:
        plain.ask(request)
        *_, (done, _) = plain.replies()
        found: dict[str, object] = done["result"]
        return found

    assert result({"type": "check", "text": "agents | count by role"}) == {
        "watch": False,
        "columns": [{"name": "role", "type": "text"}, {"name": "count", "type": "number"}],
    }
    completions = result({"type": "complete", "text": "agents whe"})["completions"]
    assert isinstance(completions, list)
    assert completions[0]["text"] == "where"
    assert result({"type": "info"})["events"] == 733
    assert result({"type": "info", "simulation": "1-1"})["status"] == "finished"
    assert result({"type": "diff", "one": "1-1", "other": "1-3"})["shared"] == 0


def test_an_export_is_pieces_of_a_file(plain: Plain) -> None:
    plain.ask({"type": "export", "text": "events", "format": "jsonl"})
    file = b"".join(data for message, data in plain.replies() if message["type"] == "batch")
    assert len([json.loads(line) for line in io.BytesIO(file)]) == 733


def test_a_token_may_come_with_the_upgrade(served: Served) -> None:
    with Plain("127.0.0.1", served.port, served.control_token, in_header=True) as plain:
        assert plain.welcome["scopes"] == ["read", "control"]
        plain.ask({"type": "replay", "simulation": "1-3"})
        (batch, _), (done, _) = [pair for pair in plain.replies() if pair[0]["type"] != "progress"]
        assert (batch["count"], batch["rows"][0]["status"], done["rows"]) == (1, "identical", 1)


def test_a_wrong_token_is_refused_and_the_connection_closed_with_1008(served: Served) -> None:
    with Plain("127.0.0.1", served.port, "wrong") as plain:
        assert (plain.welcome["type"], plain.welcome["code"]) == ("error", "unauthorized")
        with pytest.raises(Closed, match="1008"):
            plain.hear()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"type": "query", "text": "agents", "colour": "red"}, "bad-request"),
        ({"type": "query", "text": 7}, "bad-request"),
        ({"type": "replay", "simulation": "1-1"}, "forbidden"),
        ({"type": "query", "text": "watch events"}, "not-one-answer"),
        ({"type": "watch", "text": "events", "after": "nonsense"}, "usage"),
        ({"type": "info", "simulation": "no such"}, "usage"),
    ],
)
def test_refusals_have_their_code_and_the_connection_stays(
    plain: Plain, request_: dict[str, object], code: str
) -> None:
    plain.ask(request_)
    *_, (error, _) = plain.replies()
    assert (error["type"], error["code"]) == ("error", code)
    assert error["message"]
    assert plain.rows("agents | count") == [{"count": 123}]
