"""The table: a million rows scrolled, values shown exactly, details beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.page.stores import HUGE

ALL = "events | select id, seq, time, kind, agent"
#: A frame each for steps of the wheel, then for jumps of the scroll bar; how long the script of each took, in ms.
SCROLL = """async (steps) => {
  const box = document.querySelector(".table");
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const seen = [];
  for (const step of steps) {
    box.scrollTop = step < 1 ? (box.scrollHeight - box.clientHeight) * step : box.scrollTop + step;
    await frame();
    await frame();
    const tops = [...document.querySelectorAll(".table-row:not([hidden])")].map((row) => row.getBoundingClientRect());
    const bounds = box.getBoundingClientRect();
    const covered = tops.filter(({ top, bottom }) => bottom > bounds.top + 30 && top < bounds.bottom);
    seen.push(covered.reduce((sum, { height }) => sum + height, 0) - (box.clientHeight - 30));
  }
  return seen;
}"""


def shown(page: Any) -> list[list[str]]:
    """The cells of the rows in sight, in the order of the rows."""
    rows: list[list[str]] = page.locator(".table-row:visible").evaluate_all(
        """rows => rows
             .sort((one, other) => one.getAttribute("aria-rowindex") - other.getAttribute("aria-rowindex"))
             .map(row => [...row.children].map(cell => cell.textContent))"""
    )
    return rows


def test_a_million_rows_are_scrolled_without_a_gap(
    page_at: Callable[..., Any], million: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(million, view="query", q=ALL)
    page.locator(".answer-state", has_text="1,000,000 rows in").wait_for(timeout=60_000)
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "1000001"
    assert [row[1] for row in shown(page)][:3] == ["1", "2", "3"]
    uncovered = page.evaluate(SCROLL, [200, 1000, 3000, 0.25, 0.5, 0.75, 200, 0.9999])
    assert all(covered >= 0 for covered in uncovered), "some of the box was blank"
    assert page.locator(".table-row").count() < 60, "rows are reused, not made"
    grid.focus()
    page.keyboard.press("Control+End")
    rows = shown(page)
    assert [row[1] for row in rows[-2:]] == ["999999", "1000000"]
    assert rows[-1][3] == "simulation.finished"
    page.keyboard.press("PageUp")
    page.keyboard.press("Control+Home")
    assert shown(page)[0][1] == "1"
    page.keyboard.press("Control+End")
    shoot(page, "million")


def test_the_wheel_goes_row_by_row_although_the_scroll_bar_is_coarser(
    page_at: Callable[..., Any], million: Path
) -> None:
    page = page_at(million, view="query", q="events | select seq")
    page.locator(".answer-state", has_text="1,000,000 rows in").wait_for(timeout=60_000)
    page.evaluate(SCROLL, [0.5])
    before = int(shown(page)[0][0])
    page.mouse.move(400, 500)
    page.mouse.wheel(0, 26 * 3)
    page.wait_for_timeout(400)
    assert 2 <= int(shown(page)[0][0]) - before <= 4


def test_a_link_leads_to_its_row(page_at: Callable[..., Any], million: Path) -> None:
    page = page_at(million, view="query", q="events | select seq", row=765432)
    page.locator(".answer-state", has_text="1,000,000 rows in").wait_for(timeout=60_000)
    assert page.locator(".table-row.active .cell").inner_text() == "765433"
    assert page.locator(".table-row.active").is_visible()


def test_whole_numbers_beyond_those_of_javascript_are_shown_exactly(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query", q="events counted | select .total, .nested")
    page.locator(".answer-state", has_text="1 row in").wait_for()
    [[total, nested]] = shown(page)
    assert total == str(HUGE)
    assert f'"deep": {HUGE - 1}' in nested
    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_role("region", name="JSON").inner_text()
    assert f'"total": {HUGE},' in text
    assert f'"least": -{HUGE}' in text


def test_durations_and_times_are_written_as_the_language_writes_them(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query", q="events waited | select time, wall")
    page.locator(".answer-state", has_text="1 row in").wait_for()
    [[time, wall]] = shown(page)
    assert time == "1m30s"
    assert wall.endswith("Z") and "T" in wall


def test_text_that_is_html_stays_text(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query", q="events noted")
    page.get_by_role("gridcell", name="<b>bold</b>").first.wait_for()
    page.get_by_role("gridcell", name="<b>bold</b>").first.click()
    details = page.get_by_role("complementary", name="Details")
    details.get_by_text('<img src="x" onerror="alert(1)"> & <b>bold</b>').first.wait_for()
    assert page.locator("main img, .details img, main b").count() == 0


def test_a_row_opens_its_event_as_a_tree_with_ways_on(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query", q="events accuse")
    page.get_by_role("gridcell", name="accuse").first.click()
    details = page.get_by_role("complementary", name="Details")
    details.get_by_role("treeitem", name="whom:").wait_for()
    assert "event=1-1%3A" in page.url
    for way in ("Causes", "Time line", "Conversation"):
        assert details.get_by_role("link", name=way).is_visible()
    shoot(page, "table")
    details.get_by_role("button", name="1-1:").first.click()
    details.get_by_role("treeitem").first.wait_for()
    page.keyboard.press("Escape")
    assert details.is_hidden()
    assert "event=" not in page.url


def test_a_goal_leads_to_the_event_that_ended_it(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q='goals where name = survive and failed and simulation = "1-1"')
    page.get_by_role("gridcell", name="failed").first.click()
    page.get_by_role("button", name="Why it failed").click()
    page.locator(".view-causes").get_by_role("treeitem").first.wait_for()
    assert "view=causes&id=1-1%3A" in page.url
    assert page.locator(".details").is_hidden(), "the row belonged to the table"


def test_an_aggregate_has_details_and_no_ways_on(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents | count by role", tab="table")
    page.get_by_role("gridcell", name="wolf").click()
    details = page.get_by_role("complementary", name="Details")
    details.get_by_text("Row 4", exact=True).wait_for()
    assert details.locator("dd").all_inner_texts() == ["wolf", "8"]
    assert details.locator(".details-ways").count() == 0


def test_a_cell_is_copied_in_full(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query", q="events counted | select .nested")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".answer-state", has_text="1 row in").wait_for()
    page.get_by_role("grid").focus()
    page.keyboard.press("c")
    page.get_by_text("Copied the cell").wait_for()
    text = page.evaluate("() => navigator.clipboard.readText()")
    assert text == f'{{"least": -{HUGE}, "list": [1, 2, {{"deep": {HUGE - 1}}}]}}'


def test_a_column_is_made_wider_with_the_mouse(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents")
    head = page.get_by_role("columnheader", name="role")
    head.wait_for()
    before = head.bounding_box()["width"]
    grip = head.locator(".grip").bounding_box()
    page.mouse.move(grip["x"] + 3, grip["y"] + 5)
    page.mouse.down()
    page.mouse.move(grip["x"] + 63, grip["y"] + 5)
    page.mouse.up()
    assert abs(head.bounding_box()["width"] - before - 60) <= 2


def test_an_answer_is_saved_as_a_file(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents | count by role", tab="table")
    page.locator(".answer-state", has_text="4 rows in").wait_for()
    with page.expect_download() as download:
        page.get_by_label("Save as a file").select_option("csv")
    assert download.value.suggested_filename == "answer.csv"
    assert download.value.path().read_text() == "role,count\nnarrator,4\nseer,4\nvillager,20\nwolf,8\n"


def test_a_query_is_stopped_and_the_next_one_runs(page_at: Callable[..., Any], million: Path) -> None:
    page = page_at(million, view="query")
    line = page.get_by_label("Query", exact=True)
    line.fill("events | sort .price desc")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop").click()
    page.locator(".answer-state", has_text="Stopped").wait_for()
    line.fill("agents | count")
    page.keyboard.press("Enter")
    page.locator(".answer-state", has_text="1 row in").wait_for()
