"""Watches: counts that grow while a simulation runs, rows as they come, pauses and breaks without loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page import talks
from tests.page.serving import Server
from tests.page.talks import Steered

Open = Callable[..., Any]
Run = tuple[Path, Steered]
START_MS = 30_000


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, Steered]]:
    """A store into which a simulation writes when it is told to."""
    store = tmp_path / "clockwork"
    with Steered(store) as steered:
        steered.tick(3)
        steered.wait(3)
        yield store, steered


@pytest.fixture
def live_page(page_at: Open) -> Open:
    """``page_at`` for a store that has no server yet: its processes have to start first."""

    def open_view(store: Path, **fragment: Any) -> Any:
        page = page_at(store, **fragment)
        page.set_default_timeout(START_MS)
        return page

    return open_view


def numbers(page: Any) -> list[int]:
    """The numbers of the ticks in the table, newest first, as far as they are drawn."""
    found: list[int] = page.evaluate(
        "() => [...document.querySelectorAll('.live-rows .live-row')].sort((a, b) => a.dataset.row - b.dataset.row)"
        ".map((row) => /number (\\d+)/.exec(row.innerText)).filter(Boolean).map((found) => Number(found[1]))"
    )
    return found


def wait_for_count(page: Any, kind: str, count: int) -> None:
    page.locator(".bar-row", has_text=kind).get_by_text(f"{count:,}", exact=True).wait_for()


def test_counts_rows_and_outcomes_grow_while_it_runs(live_page: Open, running: Run) -> None:
    store, steered = running
    page = live_page(store, view="live", simulation="1-1")
    wait_for_count(page, "tick", 3)
    page.locator(".live-row", has_text="number 3").wait_for()
    steered.tick(40)
    page.locator(".live-row", has_text="number 43").wait_for()
    assert numbers(page)[:3] == [43, 42, 41]
    steered.tick(1)
    wait_for_count(page, "tick", 44)
    page.locator(".goal-counts", has_text="2 succeeded").wait_for()
    assert page.inner_text(".goal-counts").split("\n") == ["2 succeeded", "1 failed"]
    assert page.locator(".tile", has_text="agents running").inner_text().split("\n")[1:] == ["1", "of 1"]


def test_a_society_is_watched(live_page: Open, tmp_path: Path, shoot: Any) -> None:
    store = tmp_path / "market"
    with talks.society(store):
        wait_until(lambda: (store / "index.sqlite").exists())
        page = live_page(store, view="live")
        page.locator(".live-run", has_text="running").wait_for()
        page.locator(".goal-counts", has_text="failed").wait_for()
        before = int(
            page.locator(".tile", has_text="events").nth(1).locator(".tile-value").inner_text().replace(",", "")
        )
        page.wait_for_function(
            "(before) => Number(document.querySelectorAll('.tile-value')[1].textContent.replaceAll(',', '')) > before",
            arg=before,
        )
        page.locator(".live-row", has_text="buyer-").first.wait_for()
        shoot(page, "live")


def wait_until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to hold")


def test_the_end_is_told_with_its_outcome(live_page: Open, running: Run) -> None:
    store, steered = running
    page = live_page(store, view="live", simulation="1-1")
    wait_for_count(page, "tick", 3)
    assert page.locator(".outcome-card").count() == 0
    steered.end()
    card = page.locator(".outcome-card")
    card.wait_for()
    assert card.locator(".chip").inner_text() == "finished"
    assert "clockwork 1-1 came to its end" in card.inner_text()
    page.locator(".live-row", has_text="simulation.finished").wait_for()
    card.get_by_role("link", name="Time line").click()
    page.wait_for_function("() => location.hash.includes('view=timeline')")


def test_a_pause_loses_nothing(live_page: Open, running: Run) -> None:
    store, steered = running
    page = live_page(store, view="live", simulation="1-1")
    page.locator(".live-row", has_text="number 3").wait_for()
    steered.tick(2)
    page.locator(".live-row", has_text="number 5").wait_for()
    page.get_by_role("button", name="Pause").click()
    page.locator(".live-state", has_text="Paused").wait_for()
    steered.tick(6)
    wait_for_count(page, "tick", 11)
    assert numbers(page)[0] == 5, "the table stands still"
    assert "wait in the log" in page.inner_text(".live-note")
    page.get_by_role("button", name="Go on").click()
    page.locator(".live-row", has_text="number 11").wait_for()
    assert numbers(page) == list(range(11, 0, -1)), "each once, none left out"
    page.locator(".live-state", has_text="Live").wait_for()


def test_a_break_of_the_connection_loses_nothing(open_page: Open, running: Run, complaints: Any) -> None:
    complaints.allow("WebSocket connection to .* failed")
    store, steered = running
    with Server(store) as server:
        page = open_page(server.link("view=live&simulation=1-1"))
        page.set_default_timeout(START_MS)
        page.locator(".live-row", has_text="number 3").wait_for()
        steered.tick(2)
        page.locator(".live-row", has_text="number 5").wait_for()
        port, token = server.port, server.token
    page.locator(".live-state", has_text="Disconnected").wait_for()
    steered.tick(4)
    with Server(store, port=port, token=token):
        page.locator(".live-row", has_text="number 9").wait_for()
        assert numbers(page) == list(range(9, 0, -1))
        steered.tick(1)
        page.locator(".live-row", has_text="number 10").wait_for()


def test_a_watch_typed_in_the_query_line_has_its_own_rows(live_page: Open, running: Run) -> None:
    store, steered = running
    page = live_page(store, view="query")
    line = page.get_by_label("Query", exact=True)
    line.fill("watch events tick where .number > 4 | select id, .number as number")
    page.keyboard.press("Enter")
    page.locator(".live-state", has_text="Live").wait_for()
    assert page.get_by_label("A watch of your own").input_value().startswith("watch events tick")
    steered.tick(3)
    page.locator(".live-row").nth(2).wait_for()
    assert page.locator(".live-head span").all_inner_texts() == ["id", "number"]
    page.wait_for_function("() => document.querySelectorAll('.live-rows .live-row').length === 2")
    shown = page.locator(".live-rows .live-row").all_inner_texts()
    assert sorted(row.split()[-1] for row in shown) == ["5", "6"]
    page.locator(".tile", has_text="rows").get_by_text("2", exact=True).wait_for()


def test_buckets_of_a_watch_are_rows_too(live_page: Open, running: Run) -> None:
    store, steered = running
    page = live_page(store, view="live", q="watch events tick | count per 1s of wall")
    page.locator(".live-state", has_text="Live").wait_for()
    steered.tick(7)
    page.wait_for_timeout(1_100)
    steered.tick(1)
    page.locator(".live-rows").get_by_text("7", exact=True).wait_for()
    assert page.locator(".live-head span").all_inner_texts() == ["simulation", "time", "count"]


def test_a_wrong_watch_says_where_and_offers_the_fix(page_at: Open, village: Path) -> None:
    page = page_at(village, view="live", q="watch agents | sort turns")
    page.locator(".trouble").wait_for()
    assert "sort" in page.inner_text(".trouble")
    page.get_by_label("A watch of your own").fill("events where rol = seer")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Try:").click()
    page.locator(".live-state", has_text="Live").wait_for()
    assert page.get_by_label("A watch of your own").input_value() == "watch events where role = seer"


def test_the_whole_store_lists_its_simulations(page_at: Open, village: Path) -> None:
    page = page_at(village, view="live")
    page.get_by_text("Nothing runs at the moment").wait_for()
    assert page.locator(".live-run").count() == 4
    page.locator(".live-run", has_text="1-3").click()
    page.locator(".outcome-card").wait_for()
    assert page.get_by_role("link", name="Compare with its parent").count() == 1


def test_space_pauses_and_older_rows_stand_still_while_one_looks_at_them(live_page: Open, running: Run) -> None:
    store, steered = running
    steered.tick(100)
    page = live_page(store, view="live", simulation="1-1")
    page.locator(".live-row", has_text="number 103").wait_for()
    page.keyboard.press(" ")
    page.locator(".live-state", has_text="Paused").wait_for()
    page.keyboard.press(" ")
    page.locator(".live-state", has_text="Live").wait_for()
    box = page.locator(".live-rows .scroller")
    box.evaluate("(box) => { box.scrollTop = 900; }")
    page.wait_for_timeout(100)
    before = numbers(page)
    steered.tick(5)
    news = page.locator(".live-news")
    news.wait_for()
    assert numbers(page) == before
    news.click()
    page.locator(".live-row", has_text="number 108").wait_for()
    assert box.evaluate("(box) => box.scrollTop") == 0


FEED = """async (total) => {
  const { Feed } = await import('/live/feed.js');
  let given = 0, most = 0, waiting = 0;
  const connection = {
    async watch(text, { onSchema, onBatch, signal }) {
      onSchema([{ name: "number" }]);
      while (given < total && !signal.aborted) {
        waiting += 1;
        most = Math.max(most, waiting);
        const rows = Array.from({ length: 1000 }, () => [(given += 1)]);
        await onBatch(rows, { position: String(given) });
        waiting -= 1;
      }
    },
  };
  const feed = new Feed(connection, "watch events", { onChange: () => {} });
  feed.start();
  await new Promise((resolve) => { feed.onChange = () => feed.state === "ended" && resolve(); });
  return { kept: feed.rows.length, last: feed.rows.at(-1)[0], taken: feed.taken, most };
}"""


def test_a_flood_is_taken_batch_by_batch_and_little_of_it_is_kept(page_at: Open, office: Path) -> None:
    page = page_at(office, view="query")
    assert page.evaluate(FEED, 8_000) == {"kept": 2_000, "last": 8_000, "taken": 8_000, "most": 1}


BEHIND = """async ([lag, count]) => {
  const { Feed } = await import('/live/feed.js');
  const asked = [];
  const connection = {
    async watch(text, { after, onSchema, onBatch, signal }) {
      asked.push(after ?? "now");
      onSchema([{ name: "wall", type: "time" }]);
      const wall = new Date(Date.now() - (asked.length === 1 ? lag : 0)).toISOString();
      await onBatch(Array.from({ length: count }, () => [wall]), { position: "p1" });
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve));
    },
  };
  const feed = new Feed(connection, "watch events", { onChange: () => {} });
  feed.start();
  await new Promise((resolve) => setTimeout(resolve, 300));
  feed.stop();
  return { asked, isSample: feed.isSample };
}"""


def test_who_falls_behind_a_flood_begins_again_at_what_is_new_and_says_so(page_at: Open, office: Path) -> None:
    page = page_at(office, view="query")
    assert page.evaluate(BEHIND, [5_000, 1_000]) == {"asked": ["now", "now"], "isSample": True}
    assert page.evaluate(BEHIND, [100, 1_000]) == {"asked": ["now"], "isSample": False}
    assert page.evaluate(BEHIND, [5_000, 3]) == {"asked": ["now"], "isSample": False}, "few old rows are no flood"


PAUSED = """async () => {
  const { Feed } = await import('/live/feed.js');
  const connection = {
    async watch(text, { after, onSchema, onBatch }) {
      onSchema([{ name: "number", type: "integer" }]);
      const first = Number(after ?? 0);
      // Batches that the connection has in hand are handed over one by one, also when the watch was given up meanwhile.
      for (const step of [1, 2, 3, 4, 5]) await onBatch([[first + step]], { position: String(first + step) });
    },
  };
  const feed = new Feed(connection, "watch events", { onChange: () => {} });
  feed.start();
  await new Promise((resolve) => setTimeout(resolve, 150));
  feed.pause();
  feed.resume();
  await new Promise((resolve) => setTimeout(resolve, 1200));
  return feed.rows.map(([number]) => number);
}"""


def test_batches_in_hand_at_a_pause_come_once(page_at: Open, office: Path) -> None:
    page = page_at(office, view="query")
    shown = page.evaluate(PAUSED)
    assert shown == list(range(1, len(shown) + 1)) and len(shown) > 5
