"""Watches of the same text: one look for all, and none of them waits for another."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from matrix.server.watches import member
from tests.server.watched import Reading, Serving, Writing, serving, writing

OFFERS = "events offer | select .n as n"
NOTE = "x" * 1_000


async def begun(served: Serving, texts: list[str]) -> list[Reading]:
    """A watch of each text, all of which stand at the head."""
    readings = []
    for text in texts:
        readings.append(served.watch(text))
        await readings[-1].until(lambda: readings[-1].of("position"))
    return readings


async def looks_for(served: Serving, readings: list[Reading], writer: Writing, batches: int) -> int:
    """How many looks it takes until all of them have got so many batches, one after the other."""
    await trio.sleep(0.1)  # whatever the last event needed has been looked at
    before = served.watches.statistics().looks
    for n in range(1, batches + 1):
        writer.offers(1)
        for reading in readings:
            await reading.until_rows(n)
    return served.watches.statistics().looks - before


async def test_a_hundred_watches_of_the_same_text_take_one_look_and_each_has_its_own_id(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        readings = await begun(served, [OFFERS] * 100)
        assert await looks_for(served, readings, writer, 5) == 5
        assert served.watches.statistics().groups == 1
    assert [reading.of("batch")[0]["id"] for reading in readings] == list(range(1, 101))
    assert all(reading.values == [0, 1, 2, 3, 4] for reading in readings)


async def test_different_texts_take_a_look_each(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        texts = [f"events offer where .n > {-1 - n} | select .n" for n in range(10)]
        readings = await begun(served, texts)
        assert await looks_for(served, readings, writer, 5) == 50


async def test_what_is_not_the_same_is_not_shared(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path):
        text = "events offer where .n != $skip | select .n"
        kinds = [
            served.watch(text, params={"skip": 1}),
            served.watch(text, params={"skip": True}),
            served.watch(text, params={"skip": 1}, page=10),
            served.watch(text, params={"skip": 1}, format="arrow"),
            served.watch(text, params={"skip": 1}, reading=Reading(encoding="cbor")),
        ]
        for reading in kinds:
            await reading.until_begun()
        assert served.watches.statistics().groups == 5


async def test_a_watch_that_joins_others_tells_nothing_that_was_written_before(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        [first] = await begun(served, [OFFERS])
        for n in range(20):
            writer.offers(1)
            late = served.watch(OFFERS)
            await late.until(lambda late=late: late.of("position"))
            writer.offers(1)
            await late.until_rows(1)
            assert late.values == [2 * n + 1]
            late.scope.cancel()
        await first.until_rows(40)


async def test_watches_that_catch_up_from_anywhere_become_one_with_those_at_the_head(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        writer.offers(10)
        [head] = await begun(served, [OFFERS])
        late = [served.watch(OFFERS, after="start", page=1_000) for _ in range(3)]
        for reading in late:
            await reading.until_rows(10)
        with trio.fail_after(60):
            while served.watches.statistics().groups > 1:
                writer.offers(1)
                await trio.sleep(0.05)
        count = writer.count - 10
        await head.until_rows(count)
        for reading in late:
            await reading.until_rows(10 + count)
    assert late[0].values == list(range(10 + count))


async def test_one_that_takes_nothing_falls_behind_alone_and_comes_back_without_a_gap(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, writing(tmp_path) as writer:
        slow = Reading()
        quick, slow = served.watch(OFFERS), served.watch(OFFERS, reading=slow)
        for reading in (quick, slow):
            await reading.until(lambda reading=reading: reading.of("position"))
        slow.is_stuck = True
        for n in range(1, 31):
            writer.offers(100, note=NOTE)
            await quick.until_rows(100 * n)
        assert slow.rows == []
        await slow.read_again()
        await slow.until_rows(3_000)
        with trio.fail_after(60):
            while served.watches.statistics().groups > 1:
                await trio.sleep(0.05)
        writer.offers(1)
        await slow.until_rows(3_001)
        assert served.watches.statistics().waiting_bytes == 0
    assert quick.error is slow.error is None
    assert slow.values == list(range(3_001))


async def test_one_that_grants_nothing_is_told_that_it_lags_and_goes_on_from_there(tmp_path: Path) -> None:
    async with serving(tmp_path, lag_s=0.5) as served, writing(tmp_path) as writer:
        quick, slow = served.watch(OFFERS), served.watch(OFFERS, reading=Reading(credit=2))
        for reading in (quick, slow):
            await reading.until(lambda reading=reading: reading.of("position"))
        for n in range(1, 31):
            writer.offers(100)
            await quick.until_rows(100 * n)
        await slow.until_ended()
        assert slow.error is not None
        assert slow.error["code"] == "lagged"
        rest = served.watch(OFFERS, after=slow.error["position"])
        await rest.until_rows(3_000 - len(slow.rows))
        assert served.watches.statistics().lagged == 1
        assert len(slow.rows) == 200
        assert slow.values + rest.values == list(range(3_000))
        writer.offers(1)
        await quick.until_rows(3_001)


async def test_one_alone_that_takes_nothing_lags_too_and_its_rows_wait_in_the_log(tmp_path: Path) -> None:
    async with serving(tmp_path, lag_s=0.5) as served, writing(tmp_path) as writer:
        alone = served.watch(OFFERS, reading=Reading(credit=1), page=10)
        await alone.until(lambda: alone.of("position"))
        for _ in range(300):
            writer.offers(10, note=NOTE)
        await alone.until_ended()
        assert alone.error is not None
        assert alone.error["code"] == "lagged"
        rest = served.watch(OFFERS, after=alone.error["position"])
        await rest.until_rows(2_990)
    assert alone.values + rest.values == list(range(3_000))


async def test_few_rows_may_wait_as_long_as_the_client_likes(tmp_path: Path) -> None:
    async with serving(tmp_path, lag_s=0.2) as served, writing(tmp_path) as writer:
        reading = served.watch(OFFERS, reading=Reading(credit=1))
        await reading.until(lambda: reading.of("position"))
        writer.offers(1)
        await reading.until_rows(1)
        writer.offers(4)
        await trio.sleep(0.6)
        assert (reading.values, reading.error) == ([0], None)
        await reading.grant(10)
        await reading.until_rows(5)


async def _waiting_bytes_with_one_stuck(store: Path) -> int:
    """How much waits for a client that takes nothing, while another one takes three thousand rows."""
    async with serving(store, lag_s=60.0) as served, writing(store) as writer:
        text = "events offer | select .n, .note"
        quick, stuck = served.watch(text, page=100), served.watch(text, page=100)
        for reading in (quick, stuck):
            await reading.until(lambda reading=reading: reading.of("position"))
        stuck.is_stuck = True
        for n in range(1, 61):
            writer.offers(50, note=NOTE)
            await quick.until_rows(50 * n)
        return served.watches.statistics().waiting_bytes


async def test_what_waits_for_a_client_that_takes_nothing_is_bounded(tmp_path: Path) -> None:
    assert 1_000_000 < await _waiting_bytes_with_one_stuck(tmp_path) < 1_300_000  # some 1,024 rows of a kilobyte


async def test_without_the_bound_it_would_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member, "SERVED_WATCH_ROWS_MAX", 1_000_000)
    assert await _waiting_bytes_with_one_stuck(tmp_path) > 3_000_000


async def test_when_too_much_waits_for_all_together_the_slowest_lags_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, lag_s=60.0, bytes_max=500_000) as served, writing(tmp_path) as writer:
        text = "events offer | select .n as n, .note"
        quick, stuck = served.watch(text, page=100), served.watch(text, page=100)
        for reading in (quick, stuck):
            await reading.until(lambda reading=reading: reading.of("position"))
        stuck.is_stuck = True
        for n in range(1, 41):
            writer.offers(50, note=NOTE)
            await quick.until_rows(50 * n)
        await stuck.until_ended()
        assert stuck.error is not None
        assert stuck.error["code"] == "lagged"
        assert served.watches.statistics().waiting_bytes == 0
