"""The query line: what may come next, what is wrong and its fix, what was asked before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def line_of(page: Any) -> Any:
    return page.get_by_label("Query", exact=True)


def test_completion_offers_what_the_store_has_and_tab_takes_it(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query")
    line = line_of(page)
    line.press_sequentially('agents where goal "')
    page.get_by_role("option", name='"survive" ').wait_for()
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("option", selected=True).count() == 1
    shoot(page, "completion")
    page.keyboard.press("Tab")
    assert line.input_value() == 'agents where goal "survive"'
    line.press_sequentially(" succ")
    page.get_by_role("option", name="succeeded").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".answer-state", has_text="rows in").wait_for()
    assert page.url.endswith("#view=query&q=agents+where+goal+%22survive%22+succeeded+")


def test_enter_runs_the_query_while_the_list_is_open_and_nothing_is_chosen(
    page_at: Callable[..., Any], village: Path
) -> None:
    page = page_at(village, view="query")
    line_of(page).press_sequentially("agents ")
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Enter")
    page.locator(".answer-state", has_text="36 rows in").wait_for()
    assert page.get_by_role("listbox").is_hidden()


def test_an_error_is_underlined_at_its_place_and_mended_with_one_click(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query")
    line_of(page).fill("agents where rol = wolf")
    page.keyboard.press("Enter")
    page.get_by_role("alert").filter(has_text='1:14 agents have no field "rol" did you mean "role"?').wait_for()
    assert page.locator(".wrong").all_inner_texts() == ["rol"]
    shoot(page, "error")
    page.get_by_role("button", name="Fix agents where role = wolf").click()
    page.locator(".answer-state", has_text="8 rows in").wait_for()
    assert line_of(page).input_value() == "agents where role = wolf"
    assert page.get_by_role("alert").count() == 0
    assert page.locator(".wrong").count() == 0


def test_the_place_of_an_error_is_right_behind_signs_of_two_units(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    line_of(page).fill('events where .text = "\N{GRINNING FACE}\N{GRINNING FACE}" and rolle = wolf')
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert page.locator(".wrong").all_inner_texts() == ["rolle"]


def test_a_completion_behind_signs_of_two_units_replaces_the_right_word(
    page_at: Callable[..., Any], village: Path
) -> None:
    page = page_at(village, view="query")
    line = line_of(page)
    line.press_sequentially('events where .text = "\N{GRINNING FACE}" and rol')
    page.get_by_role("option", name="role text", exact=True).wait_for()
    page.keyboard.press("Tab")
    assert line.input_value() == 'events where .text = "\N{GRINNING FACE}" and role'


def test_alt_enter_takes_the_fix(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    line_of(page).fill("agents where role == wolf")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    page.keyboard.press("Alt+Enter")
    page.locator(".answer-state", has_text="8 rows in").wait_for()


def test_arrow_up_brings_back_what_was_asked_before(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    line = line_of(page)
    for text in ("agents | count", "goals | count"):
        line.fill(text)
        page.keyboard.press("Enter")
        page.locator(".answer-state", has_text="1 row in").wait_for()
    line.fill("")
    page.keyboard.press("ArrowUp")
    assert line.input_value() == "goals | count"
    page.keyboard.press("ArrowUp")
    assert line.input_value() == "agents | count"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert line.input_value() == ""


def test_an_answer_without_rows_and_a_name_that_is_nowhere_are_told(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="events acuse")
    page.get_by_text("No rows", exact=True).wait_for()
    page.get_by_text("no event of kind acuse in this store", exact=False).wait_for()


def test_how_an_answer_was_found_is_a_tab(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents where goal succeeded")
    page.locator(".answer-state", has_text="rows in").wait_for()
    page.get_by_role("tab", name="How").click()
    page.get_by_role("gridcell", name="where goal succeeded").wait_for()
    assert "tab=explain" in page.url


def test_a_watch_goes_to_the_view_that_goes_on(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    line_of(page).fill("watch events goal.failed")
    page.keyboard.press("Enter")
    page.locator(".view-live").wait_for()
    assert page.url.endswith("#view=live&q=watch+events+goal.failed")
