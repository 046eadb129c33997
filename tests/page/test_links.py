"""What is seen stands in the URL, and comes back from there; light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.page.serving import Server


def background(page: Any) -> str:
    colour: str = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return colour


def test_a_link_brings_back_query_tab_and_event(
    open_page: Callable[..., Any], page_at: Callable[..., Any], served: Callable[[Path], Server], village: Path
) -> None:
    page = page_at(village, view="query", q="events accuse | limit 5")
    page.get_by_role("gridcell", name="accuse").nth(2).click()
    page.locator(".details").get_by_role("treeitem").first.wait_for()
    fragment = page.url.split("#")[1]
    other = open_page(served(village).link(fragment))
    other.locator(".details").get_by_role("treeitem").first.wait_for()
    other.locator(".answer-state", has_text="5 rows in").wait_for()
    assert other.get_by_label("Query", exact=True).input_value() == "events accuse | limit 5"
    assert other.locator(".table-row.active").get_attribute("aria-rowindex") == "4"
    assert other.url == page.url


def test_back_goes_to_the_query_before(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents | count")
    line = page.get_by_label("Query", exact=True)
    page.locator(".answer-state", has_text="1 row in").wait_for()
    line.fill("goals | count by name")
    page.keyboard.press("Enter")
    page.get_by_role("img").wait_for()
    page.go_back()
    page.get_by_role("gridcell", name="36").wait_for()
    assert line.input_value() == "agents | count"
    page.get_by_role("link", name="Matrix").click()
    page.get_by_role("heading", name="Kinds of events").wait_for()
    page.go_back()
    page.get_by_role("gridcell", name="36").wait_for()


def test_the_look_is_that_of_the_system_until_another_is_chosen(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, dark=True, view="query")
    assert background(page) == "rgb(15, 17, 22)"
    page.emulate_media(color_scheme="light")
    page.locator("html[data-theme=light]").wait_for()
    assert background(page) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert background(page) == "rgb(15, 17, 22)"
    assert page.url.endswith("theme=dark")
    page.reload()
    assert background(page) == "rgb(15, 17, 22)"


def test_a_link_carries_the_look(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", theme="dark")
    page.get_by_text("Connected", exact=True).wait_for()
    assert background(page) == "rgb(15, 17, 22)"


def test_text_stands_out_from_its_ground_in_both_looks(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query")
    for look in ("light", "dark"):
        page.emulate_media(color_scheme=look)
        page.locator(f"html[data-theme={look}]").wait_for()
        ratios = page.evaluate(CONTRAST)
        assert {name: ratio for name, ratio in ratios.items() if ratio < 4.5} == {}, look


#: WCAG's contrast of each colour of text with each ground it stands on.
CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const [red, green, blue] = style.getPropertyValue(name).trim().slice(1).match(/../g).map((part) => {
      const share = parseInt(part, 16) / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const ratio = (one, other) => {
    const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
    return (bright + 0.05) / (dark + 0.05);
  };
  const texts = ["--text", "--text-muted", "--text-faint", "--accent", "--good", "--bad", "--cancelled",
    "--running", "--syntax-keyword", "--syntax-text", "--syntax-number", "--syntax-comment", "--syntax-path"];
  const pairs = texts.flatMap((text) => ["--background", "--surface", "--raised"].map((ground) => [text, ground]));
  pairs.push(["--accent-text", "--accent"], ["--good", "--good-soft"], ["--bad", "--bad-soft"],
    ["--text", "--selected"], ["--cancelled", "--cancelled-soft"], ["--running", "--running-soft"],
    ["--text", "--hover"]);
  return Object.fromEntries(pairs.map(([text, ground]) => [`${text} on ${ground}`, ratio(text, ground)]));
}"""
