"""Causes and effects: where the question begins, what the tree shows, and how it is walked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Open = Callable[..., Any]
SLOW_MS = 30_000  # the first questions to a server start its workers


def ready(page: Any) -> Any:
    page.wait_for_selector(".causes-tree [role=treeitem]", timeout=SLOW_MS)
    return page


def kinds(page: Any) -> list[str]:
    found: list[str] = page.locator(".causes-tree .causes-kind").all_inner_texts()
    return found


def fragment(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def test_goals_that_failed_are_grouped_and_one_of_them_is_explained(page_at: Open, village: Path, shoot: Any) -> None:
    page = page_at(village, view="causes", simulation="1-1")
    page.wait_for_selector(".causes-goals button", timeout=SLOW_MS)
    assert page.inner_text(".causes-side h2").upper() == "9 GOALS FAILED"
    assert page.locator(".causes-group").first.inner_text().split() == ["survive", "hanged", "3"]
    page.locator(".causes-group").first.click()
    page.wait_for_function("() => document.querySelectorAll('.causes-goals button').length === 3")
    page.locator(".causes-goals button").first.click()
    ready(page)
    assert page.inner_text(".causes-title h1") == "Why did survive of gus fail?"
    assert page.inner_text(".causes-title .chip") == "hanged"
    assert kinds(page)[0] == "simulation.started"
    assert page.locator(".causes-row.focus .causes-kind").inner_text() == "goal.failed"
    shoot(page, "causes")


def test_the_tree_has_the_roles_levels_and_states_of_a_tree(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:51"))
    levels = page.evaluate(
        "[...document.querySelectorAll('.causes-row.on-way')].map((row) => row.getAttribute('aria-level'))"
    )
    assert levels == [str(level) for level in range(1, len(levels) + 1)], "a way has a level for each step"
    assert len(levels) > 5
    assert page.locator("[role=treeitem][tabindex='0']").count() == 1, "one stop for the Tab key"
    assert page.locator("[role=treeitem][aria-current=true]").get_attribute("data-id") == "1-1:51"


def test_arrow_keys_walk_unfold_and_fold(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:1"))
    page.focus("[role=treeitem][tabindex='0']")
    before = page.locator("[role=treeitem]").count()
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelectorAll('.causes-tree [role=treeitem]').length === 1")
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(count) => document.querySelectorAll('.causes-tree [role=treeitem]').length === count", arg=before
    )
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.id") == "1-1:2"
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.id") == "1-1:11", "what the first agent did next"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.id") == "1-1:2", "out to the cause"
    page.keyboard.press("Enter")
    page.wait_for_selector("#details:visible >> text=1-1:2")


def test_an_event_that_led_to_many_shows_a_part_and_the_rest_when_asked(page_at: Open, million: Path) -> None:
    page = page_at(million, view="causes", id="1-1:1")
    ready(page)
    assert page.locator("[role=treeitem]").count() == 52, "the event, fifty of its effects, and the offer of more"
    assert page.inner_text(".causes-more") == "Show 50 more of 1,950"
    page.click(".causes-more")
    page.wait_for_function("() => document.querySelectorAll('[role=treeitem]').length === 102")
    assert page.inner_text(".causes-more") == "Show 50 more of 1,900"


def test_what_came_of_an_event_is_counted_and_its_failures_are_named(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:10"))
    page.wait_for_selector(".causes-led .chip.bad")
    assert page.inner_text(".causes-led span").startswith("171 events came of it")
    assert page.locator(".causes-led .chip.bad").first.inner_text().startswith("goal.failed ")


def test_a_failure_that_came_of_an_event_is_one_click_away(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:10"))
    page.locator(".causes-led .chip.bad").first.click()
    page.wait_for_function(
        "() => document.querySelector('.causes-row.focus .causes-kind')?.textContent === 'goal.failed'"
    )
    assert "1-1:10" in page.evaluate(
        "[...document.querySelectorAll('.causes-row.on-way')].map((row) => row.dataset.id)"
    )


def test_another_event_becomes_the_middle_and_back_goes_back(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:51"))
    page.focus("[data-id='1-1:51']")
    page.keyboard.press("ArrowUp")
    above = page.evaluate("document.activeElement.dataset.id")
    page.keyboard.press("c")
    page.wait_for_function("(id) => document.querySelector('.causes-row.focus')?.dataset.id === id", arg=above)
    assert fragment(page)["id"] == above
    page.go_back()
    page.wait_for_function("() => document.querySelector('.causes-row.focus')?.dataset.id === '1-1:51'")


def test_the_way_leads_to_the_time_line(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-1:51"))
    page.click("text=Show in the time line")
    page.wait_for_selector(".timeline-only:visible")
    assert fragment(page)["path"] == "1-1:51"


def test_an_event_is_found_by_its_number_and_one_that_is_not_there_is_told(page_at: Open, village: Path) -> None:
    page = page_at(village, view="causes", simulation="1-1")
    page.fill("[aria-label='Id of an event']", "51")
    page.keyboard.press("Enter")
    ready(page)
    assert fragment(page)["id"] == "1-1:51"
    page.fill("[aria-label='Id of an event']", "1-1:999")
    page.keyboard.press("Enter")
    page.wait_for_selector(".causes-tree >> text=There is no event 1-1:999")


def test_a_fork_has_the_causes_of_its_parent(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="causes", id="1-2:60"))
    ids = page.evaluate("[...document.querySelectorAll('.causes-row.on-way')].map((row) => row.dataset.id)")
    assert ids[0] == "1-2:1" and ids[-1] == "1-2:60"


def test_data_of_events_is_text_whatever_it_says(page_at: Open, office: Path) -> None:
    page = ready(page_at(office, view="causes", id="1-1:2"))
    page.wait_for_selector(".causes-data >> text=<img")
    assert page.locator(".causes-tree img").count() == 0
