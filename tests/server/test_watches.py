"""What a served watch tells: each row once, in every form, wherever it begins and whatever is written."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import trio

from matrix.event import Event
from matrix.log.compact import compact_log
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from tests.query.asking import store_of
from tests.server.watched import Reading, serving, writing
from tests.stories import deal

OFFERS = "events offer | select .n as n, kind"


async def test_rows_come_as_they_are_written_with_the_place_behind_each_batch(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(1)
        reading = served.watch(OFFERS, id="mine")
        await reading.until(lambda: reading.of("position"))
        writer.offers(2)
        await reading.until_rows(2)
        writer.offers(1)
        await reading.until_rows(3)
    schema, place, *batches = reading.replies
    columns = [{"name": "n", "type": "json"}, {"name": "kind", "type": "text"}]
    assert schema == {"type": "schema", "id": "mine", "columns": columns}
    assert place == {"type": "position", "id": "mine", "position": place["position"]}
    assert [(batch["id"], batch["count"], batch["rows"]) for batch in batches] == [
        ("mine", 2, [[1, "offer"], [2, "offer"]]),
        ("mine", 1, [[3, "offer"]]),
    ]
    assert set(batches[0]) == {"type", "id", "count", "rows", "position", "stem", "first"}


async def test_from_now_on_leaves_out_what_is_written_and_its_first_position_goes_on_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(3)
        first = served.watch(OFFERS)
        await first.until(lambda: first.of("position"))
        first.scope.cancel()
        writer.offers(2)
        second = served.watch(OFFERS, after=first.position)
        await second.until_rows(2)
    assert first.rows == []
    assert second.values == [3, 4]


async def test_a_watch_goes_on_right_behind_any_row(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(4)
        writer.offers(5)
        whole = served.watch(OFFERS, after="start", page=4)
        await whole.until_rows(9)
        places = [
            f"{batch['stem']}.{batch['first'] + k}" if k < batch["count"] - 1 else batch["position"]
            for batch in whole.of("batch")
            for k in range(batch["count"])
        ]
        writer.offers(1)
        for row, place in enumerate(places):
            reading = served.watch(OFFERS, after=place)
            await reading.until_rows(9 - row)
            assert reading.values == list(range(row + 1, 10))
            reading.scope.cancel()
    assert [batch["count"] for batch in whole.of("batch")][:3] == [4, 4, 1]


async def test_json_cbor_and_arrow_tell_the_same_rows_whatever_is_in_them(tmp_path: Path) -> None:
    texts = ["plain", 'quo"te\\ \n\x07', "Zürich 東京 🦊", "", "\u2028"]
    query = "events say | select .text as text, .number as number, seq, wall"
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        forms = [(encoding, format) for encoding in ("json", "cbor") for format in ("rows", "arrow")]
        readings = {
            (encoding, format): served.watch(query, after="start", format=format, reading=Reading(encoding=encoding))
            for encoding, format in forms
        }
        writer.events(*[("say", {"text": text, "number": n}) for n, text in enumerate(texts)])
        for reading in readings.values():
            await reading.until(lambda reading=reading: sum(batch["count"] for batch in reading.of("batch")) == 5)
        writer.events(("say", {"text": None, "number": 1.5}), ("say", {"number": [1, "a"]}))
        for reading in readings.values():
            await reading.until(lambda reading=reading: sum(batch["count"] for batch in reading.of("batch")) == 7)
    at = "1970-01-01T00:00:00.001000Z"
    expected = [[text, n, n + 2, at] for n, text in enumerate(texts)] + [[None, 1.5, 7, at], [None, [1, "a"], 8, at]]
    assert readings["json", "rows"].rows == expected
    assert readings["cbor", "rows"].rows == expected
    for encoding in ("json", "cbor"):
        replies = readings[encoding, "arrow"].replies
        stream = b"".join(reply["data"] for reply in replies if reply["type"] in ("schema", "batch"))
        table = pa.ipc.open_stream(io.BytesIO(stream)).read_all()
        assert table.column("seq").to_pylist() == [2, 3, 4, 5, 6, 7, 8]
        as_json = table.column("number").to_pylist()
        assert [json.loads(text) for text in as_json] == [row[1] for row in expected]
        assert table.schema.field("wall").type == pa.timestamp("us", tz="UTC")


async def test_agents_goals_and_sequences_are_told_when_they_come_to_hold(tmp_path: Path) -> None:
    events = deal()
    store_of(tmp_path, events[:6])
    async with serving(tmp_path) as served:
        goals = served.watch("goals where succeeded | select name", after="start")
        told = served.watch("agents where did offer then got counter | select id", after="start")
        for reading in (goals, told):
            await reading.until_begun()
        _write_more(tmp_path, events[6:])
        await goals.until_rows(1)
        await told.until_rows(1)
    assert goals.rows == [["ask"]]
    assert told.rows == [["alice"]]


async def test_a_limit_ends_the_watch_with_done_and_counts_on_across_a_resume(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        reading = served.watch(f"{OFFERS} | limit 3", page=2)
        await reading.until_begun()
        writer.offers(5)
        await reading.until_ended()
        again = served.watch(f"{OFFERS} | limit 3", after=reading.of("batch")[0]["position"])
        await again.until_ended()
    assert reading.values == [0, 1, 2]
    assert reading.error is None
    assert (reading.replies[-1]["type"], reading.replies[-1]["rows"]) == ("done", 3)
    assert again.values == [2]


async def test_a_parameter_may_have_any_name_and_a_duration_as_its_value(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        text = "events offer where .n > $after and time > $text | select .n"
        reading = served.watch(text, params={"after": 1, "text": timedelta(microseconds=3)}, after="start")
        writer.offers(5)
        await reading.until_rows(3)
    assert reading.values == [2, 3, 4]


async def test_an_empty_store_is_watched_from_its_first_event_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reading = served.watch("simulations | select id")
        await reading.until_begun()
        async with writing(tmp_path):
            await reading.until_rows(1)
    assert reading.rows == [["r1"]]


async def test_nothing_is_lost_when_segments_roll_over_and_are_compacted_meanwhile(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reading = served.watch("events offer | select .n", page=7)
        late = served.watch("events offer | select .n", after="start", reading=Reading(credit=3), page=7)
        await reading.until_begun()
        async with writing(tmp_path, segment_bytes_max=1 << 14) as writer:
            for _ in range(20):
                writer.offers(40, note="x" * 20)
                await trio.sleep(0.005)
        compacted = await trio.to_thread.run_sync(lambda: compact_log(tmp_path / "log"))
        async with writing(tmp_path) as writer:
            await reading.until_rows(800)
            await late.grant(1_000)
            await late.until_rows(800)
    assert compacted
    assert reading.values == late.values == list(range(800))


async def test_remarks_are_made_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        reading = served.watch("events offr | select kind", after="start")
        await reading.until(lambda: reading.of("notice"))
        writer.offers(1)
        other = served.watch("events offr | select kind", after="start")
        await other.until(lambda: other.of("notice"))
    assert len(reading.of("notice")) == 1
    assert "offr" in reading.of("notice")[0]["text"]


@pytest.mark.parametrize(
    ("text", "after", "code"),
    [
        ("evnts", None, "no-relation"),
        ("events | sort by time", None, "not-in-watch"),
        ("explain events", None, "not-in-watch"),
        ("events", "somewhere", "usage"),
    ],
)
async def test_what_cannot_be_watched_is_an_error(tmp_path: Path, text: str, after: str | None, code: str) -> None:
    async with serving(tmp_path) as served:
        reading = served.watch(text, after=after)
        await reading.until_ended()
    assert reading.error is not None
    assert reading.error["code"] == code
    assert reading.replies == []


async def test_a_position_of_another_query_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path):
        one = served.watch("events offer")
        await one.until(lambda: one.of("position"))
        other = served.watch("events counter", after=one.position)
        await other.until_ended()
    assert other.error is not None
    assert other.error["code"] == "usage"
    assert "position of another query" in other.error["message"]


async def test_a_damaged_store_ends_the_watch_without_a_word_of_the_machine(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        async with writing(tmp_path) as writer:
            reading = served.watch(OFFERS)
            await reading.until_begun()
            writer.offers(3)
            await reading.until_rows(3)
        [segment] = (tmp_path / "log").rglob("*.seg")
        damaged = bytearray(segment.read_bytes())
        damaged[len(damaged) // 2] ^= 0xFF
        segment.write_bytes(damaged)
        again = served.watch(OFFERS, after="start")
        await again.until_ended()
    assert again.error is not None
    assert again.error["code"] == "store"
    assert str(tmp_path) not in json.dumps(again.error)


def _write_more(store: Path, events: list[Event]) -> None:
    with Writer.open(store / "log", shard=1) as writer:
        writer.append(rows_from_events(events))
