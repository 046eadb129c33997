"""Charts: offered where there are groups and numbers, right in what they draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_groups_are_drawn_as_bars_in_proportion(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query", q="agents | count by role")
    picture = page.get_by_role("img", name="count by role")
    picture.wait_for()
    assert page.get_by_role("tab", name="Chart").get_attribute("aria-selected") == "true"
    assert picture.locator(".chart-name").all_text_contents() == ["narrator", "seer", "villager", "wolf"]
    assert picture.locator(".chart-value").all_text_contents() == ["4", "4", "20", "8"]
    widths = picture.locator(".chart-bar").evaluate_all("bars => bars.map(bar => bar.getBoundingClientRect().width)")
    assert [round(width / widths[0]) for width in widths] == [1, 1, 5, 2]
    shoot(page, "bars")


def test_outcomes_are_stacked_in_their_colours_and_can_be_left_out(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="goals | count by name, status")
    picture = page.get_by_role("img", name="count by name")
    picture.wait_for()
    failed = page.get_by_role("button", name="failed")
    assert failed.get_attribute("aria-pressed") == "true"
    colours = picture.locator(".chart-bar").evaluate_all("bars => [...new Set(bars.map(bar => bar.style.fill))].sort()")
    assert colours == ["var(--bad)", "var(--good)"]
    failed.click()
    colours = picture.locator(".chart-bar").evaluate_all("bars => [...new Set(bars.map(bar => bar.style.fill))]")
    assert colours == ["var(--good)"]


def test_buckets_of_time_are_drawn_as_lines_that_go_down_to_zero_between(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query", q="events accuse | count by role per 10m")
    picture = page.get_by_role("img", name="count over time")
    picture.wait_for()
    assert picture.locator(".chart-line").count() == 3
    assert page.locator(".legend").all_inner_texts()[0] == "villager"
    box = picture.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.locator(".chart-tip").wait_for()
    assert page.locator(".chart-cursor").get_attribute("visibility") == "visible"
    lowest = picture.locator(".chart-dot").evaluate_all(
        "dots => Math.max(...dots.map(dot => Number(dot.getAttribute('cy'))))"
    )
    zero = picture.locator(".chart-stroke").last.get_attribute("y1")
    assert abs(lowest - float(zero)) < 1
    shoot(page, "lines")


def test_which_number_is_drawn_is_chosen_and_stands_in_the_url(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents | count, avg(turns) by role")
    page.get_by_role("img", name="count by role").wait_for()
    page.get_by_label("Value", exact=True).select_option("avg_turns")
    page.get_by_role("img", name="avg_turns by role").wait_for()
    assert page.url.endswith("tab=chart&value=avg_turns")
    page.reload()
    page.get_by_role("img", name="avg_turns by role").wait_for()


def test_rows_that_are_no_groups_stay_a_table_and_the_chart_says_what_it_needs(
    page_at: Callable[..., Any], village: Path
) -> None:
    page = page_at(village, view="query", q="agents")
    page.get_by_role("grid").wait_for()
    page.get_by_role("tab", name="Chart").click()
    page.get_by_text("Nothing to draw").wait_for()


def test_a_funnel_has_a_bar_for_each_event_and_a_colour_for_each_group(
    page_at: Callable[..., Any], village: Path
) -> None:
    page = page_at(village, view="query", q="agents where role = wolf or role = seer | funnel accuse then vote by role")
    picture = page.get_by_role("img", name="reached by event")
    picture.wait_for()
    assert picture.locator(".chart-name").all_text_contents() == ["accuse", "vote"]
    assert sorted(page.locator(".legend").all_inner_texts()) == ["seer", "wolf"]
