"""Coming in: with the printed link, with a wrong token, and again after a break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.page.serving import Server
from tests.page.stores import make_office


def test_the_link_opens_the_store_and_the_token_leaves_the_address(
    page_at: Callable[..., Any], village: Path, shoot: Callable[..., bytes]
) -> None:
    page = page_at(village, view="query")
    page.get_by_text("Connected", exact=True).wait_for()
    assert page.locator("#store").inner_text() == "village"
    assert "token" not in page.url
    page.get_by_role("button", name="Simulations 4").wait_for()
    page.get_by_role("button", name="goals | count by name, status").wait_for()
    shoot(page, "overview")


def test_a_reload_of_the_tab_still_has_the_token(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents | count")
    page.locator(".answer-state", has_text="1 row in").wait_for()
    page.reload()
    page.locator(".answer-state", has_text="1 row in").wait_for()


def test_a_wrong_token_leads_to_a_field_that_takes_the_link_as_well(
    open_page: Callable[..., Any], served: Callable[[Path], Server], village: Path, shoot: Callable[..., bytes]
) -> None:
    server = served(village)
    page = open_page(f"{server.url}#token=wrong&view=query&q=agents")
    page.get_by_role("heading", name="This store asks for a token").wait_for()
    page.locator(".problem", has_text="not the token of this server").wait_for()
    shoot(page, "token")
    field = page.get_by_label("Token", exact=True)
    assert field.evaluate("field => field === document.activeElement")
    field.fill(server.link("view=query"))
    page.keyboard.press("Enter")
    page.get_by_text("Connected", exact=True).wait_for()
    page.locator(".answer-state", has_text="rows in").wait_for()
    assert page.locator(".gate").is_hidden()


def test_a_page_without_a_token_asks_for_one(
    open_page: Callable[..., Any], served: Callable[[Path], Server], village: Path
) -> None:
    page = open_page(served(village).url)
    page.get_by_role("heading", name="This store asks for a token").wait_for()
    assert page.locator("#gate .problem").count() == 0


def test_a_link_opened_in_a_new_tab_has_the_token_of_the_other(page_at: Callable[..., Any], village: Path) -> None:
    page = page_at(village, view="query", q="agents")
    page.locator(".answer-state", has_text="36 rows in").wait_for()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Matrix").click(modifiers=["ControlOrMeta"])
    opened.value.get_by_text("Connected", exact=True).wait_for()
    opened.value.get_by_role("button", name="Simulations 4").wait_for()


def test_the_overview_grows_with_the_store(open_page: Callable[..., Any], tmp_path: Path, complaints: Any) -> None:
    store = make_office(tmp_path / "office")
    with Server(store) as server:
        page = open_page(server.link())
        page.get_by_role("button", name="Simulations 1 1 finished").wait_for()
        make_office(store)
        page.get_by_role("button", name="Simulations 2 2 finished").wait_for()
        page.close()


def test_a_server_that_comes_back_is_found_again(
    open_page: Callable[..., Any], complaints: Any, office: Path, shoot: Callable[..., bytes]
) -> None:
    with Server(office) as first:
        page = open_page(first.link("view=query&q=events"))
        page.locator(".answer-state", has_text="10 rows in").wait_for()
    complaints.expect("ERR_CONNECTION_REFUSED")
    page.locator("#state", has_text="Disconnected").wait_for()
    page.get_by_text("The server does not answer").wait_for()
    shoot(page, "disconnected")
    assert page.locator(".table-row:visible").count() == 10, "what was loaded stays readable"
    with Server(office, port=first.port, token=first.token):
        page.get_by_text("Connected", exact=True).wait_for()
        assert page.locator(".gate").is_hidden()
        page.get_by_label("Query", exact=True).fill("agents")
        page.keyboard.press("Enter")
        page.locator(".answer-state", has_text="1 row in").wait_for()
        page.close()


def test_a_view_that_does_not_load_says_so_and_can_be_tried_again(
    page_at: Callable[..., Any], village: Path, complaints: Any
) -> None:
    page = page_at(village, view="query")
    page.get_by_text("Connected", exact=True).wait_for()
    page.route("**/timeline.js", lambda route: route.abort())
    complaints.expect("ERR_FAILED")
    complaints.expect("Failed to fetch dynamically imported module")
    page.get_by_role("link", name="Time line").first.click()
    page.get_by_text("Time line cannot be shown").wait_for()
    assert page.get_by_role("button", name="Try again").is_visible()
