"""Without a mouse: every way a key, and it is seen where the keyboard is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

FOCUS = "() => document.activeElement.className || document.activeElement.tagName"


def test_from_the_query_to_an_event_and_back_with_keys_alone(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    page.locator("textarea:focus").wait_for()
    page.get_by_text("Connected", exact=True).wait_for()
    page.keyboard.type("events accuse ")
    page.get_by_role("listbox").wait_for()
    page.keyboard.press("Escape")  # closes the list
    page.keyboard.press("Enter")
    page.locator(".answer-state", has_text="rows in").wait_for()
    page.keyboard.press("Escape")  # from the line to the answer
    assert page.evaluate(FOCUS) == "table"
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.locator(".table-row.active").get_attribute("aria-rowindex") == "4"
    active = page.get_by_role("grid").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-colindex") == "2"
    page.keyboard.press("Enter")
    tree = page.get_by_role("treeitem")
    tree.first.wait_for()
    assert page.evaluate(FOCUS) == "table", "the details do not take the keyboard away"
    page.keyboard.press("Escape")
    assert page.locator(".details").is_hidden()
    page.keyboard.press("2")
    page.get_by_text("Nothing to draw").wait_for()
    page.keyboard.press("1")
    page.get_by_role("grid").wait_for()
    page.keyboard.press("/")
    assert page.evaluate(FOCUS) == "editor-area"


def test_the_card_tells_the_keys_and_gives_the_keyboard_back(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents")
    page.locator(".answer-state", has_text="rows in").wait_for()
    page.get_by_role("grid").focus()
    page.keyboard.press("?")
    card = page.get_by_role("dialog", name="Keyboard")
    card.wait_for()
    assert "to the query line" in card.inner_text()
    assert "details of the row" in card.inner_text()
    page.keyboard.press("Escape")
    assert card.count() == 0
    assert page.evaluate(FOCUS) == "table"


def test_g_and_a_number_go_to_a_view(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents")
    page.locator(".answer-state", has_text="rows in").wait_for()
    page.get_by_role("grid").focus()
    page.keyboard.press("g")
    page.keyboard.press("2")
    page.locator(".view-timeline").wait_for()
    assert page.get_by_role("link", name="Time line", exact=True).first.get_attribute("aria-current") == "page"


def test_tab_reaches_everything_in_order(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents")
    page.locator(".answer-state", has_text="rows in").wait_for()
    page.get_by_label("Query", exact=True).focus()
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.textContent.trim().slice(0, 9) || 'x'"))
    assert reached[:4] == ["Run", "Table", "Copy link", "Save as\u2026C"]
    assert page.evaluate(FOCUS) == "table"


def test_data_is_walked_through_with_the_arrow_keys(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query", q="events counted", event="1-1:4")
    tree = page.get_by_role("tree")
    tree.wait_for()
    tree.get_by_role("treeitem").first.focus()
    text = "() => document.activeElement.querySelector('.tree-row').textContent"
    assert page.evaluate(text) == "total: 9223372036854775807"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(text) == "nested: {2}"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("() => document.activeElement.getAttribute('aria-expanded')") == "false"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(text) == "least: -9223372036854775807"
