"""Conversations: who said what to whom, with calls and goals between; long ones, whole simulations, links."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import matrix
from matrix.endpoint.endpoint import Endpoint
from tests.models.service import Service
from tests.page import talks

Open = Callable[..., Any]
DESK = "1-1/helper+customer"


@pytest.fixture(scope="module")
def helpdesk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talks.make_helpdesk(tmp_path_factory.mktemp("talks") / "helpdesk")


@pytest.fixture(scope="module")
def chatter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talks.make_chatter(tmp_path_factory.mktemp("talks") / "chatter")


class Consultant(matrix.Agent):
    """Asks a model twice before it answers."""

    async def run(self) -> None:
        question = await self.receive()
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question["text"]}]
        messages.append((await self.model(messages, model="small")).message)
        messages.append({"role": "user", "content": "Are you sure?"})
        self.reply(question, text=(await self.model(messages, model="small")).text)


class Customer(matrix.Agent):
    async def run(self) -> None:
        await self.ask("consultant", text="Is it open?")


async def consultation(simulation: matrix.Simulation) -> None:
    simulation.spawn(Consultant, "consultant")
    simulation.spawn(Customer, "customer")


def ready(page: Any) -> Any:
    page.wait_for_selector(".transcript-box .item")
    return page


def fragment(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


#: What the transcript says, an item a line, as far as it is drawn.
LINES = """() => {
  const parts = ".person, .receivers, .event-kind, .field-pair, .prose, .call-name, .chip, .thin-line b";
  const items = [...document.querySelectorAll(".transcript-box .item")].sort((a, b) => a.dataset.row - b.dataset.row);
  return items.map((item) => [...item.querySelectorAll(parts)].map((part) => part.textContent.trim()).join(" "));
}"""


def lines(page: Any) -> list[str]:
    said: list[str] = page.evaluate(LINES)
    return said


def test_a_chat_shows_what_was_said_with_calls_and_goals_between(page_at: Open, helpdesk: Path, shoot: Any) -> None:
    page = ready(page_at(helpdesk, view="conversation", conversation=DESK))
    assert lines(page) == [
        "helper resolve",
        "customer Where is my order?",
        "look_up done",
        "helper Your order A7 was sent on Monday.\nIs there anything else?",
        "customer I want my money back <b>now</b>",
        "refund failed",
        "helper I am afraid that is not possible any more.",
        "helper resolve reason no refund asked 40",
    ]
    assert page.locator(".item.at-right").count() == 2, "the user stands at the right"
    assert page.locator(".transcript-box b", has_text="now").count() == 0, "what was said is text, not HTML"
    assert page.inner_text(".head-facts").split("\n") == ["helpdesk 1-1", "4 messages", "0s – 3s"]
    shoot(page, "conversation")


def test_a_call_unfolds_to_its_arguments_its_answer_and_its_error(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation", conversation=DESK))
    good, bad = page.locator(".call-head").all()
    assert good.inner_text().split("\n")[-2:] == ["done", "2s"]
    good.click()
    body = page.locator(".call-body")
    assert body.get_by_text('"lamp"').count() == 1
    good.click()
    assert body.count() == 0
    bad.click()
    assert "order A7 is older than 30 days, 40 cannot be paid back" in body.inner_text()
    assert page.locator(".call.is-bad").count() == 1


def test_the_whole_simulation_tells_who_hears_it(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation"))
    page.get_by_role("button", name="Everything in this simulation").click()
    page.wait_for_selector(".private")
    heard = page.locator(".message", has_text="They want 40 back").locator(".receivers")
    assert heard.inner_text().split() == ["to", "lead", "privately"]
    assert "to everyone (2)" in page.locator(".message", has_text="The desk closes").inner_text()
    assert fragment(page)["of"] == "all"


def test_conversations_of_a_query_are_listed(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation", query="agents where role = lead"))
    titles = page.locator(".conversation-row .row-title").all_inner_texts()
    assert sorted(titles) == ["lead and helper", "lead, helper and customer"]
    assert page.inner_text(".list-count") == "2 conversations"


def test_the_list_is_searched_by_agent_and_by_what_was_said(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation"))
    search = page.get_by_label("Search conversations")
    assert page.inner_text(".list-count") == "3 conversations"
    search.fill("customer lead")
    assert page.inner_text(".list-count") == "1 of 3"
    search.fill("money back")
    assert page.inner_text(".list-count") == "0 of 3"
    page.get_by_text("in what was said").click()
    page.wait_for_selector(".prose mark")
    assert page.locator(".prose mark").all_inner_texts() == ["money back"]
    assert page.inner_text(".list-count") == "1 conversation"
    page.get_by_text("Clear").click()
    page.wait_for_function("() => document.querySelector('.list-count').textContent === '3 conversations'")


def test_ten_thousand_messages_are_scrolled_with_few_elements(page_at: Open, chatter: Path) -> None:
    page = ready(page_at(chatter, view="conversation"))
    box = page.locator(".transcript-box .scroller")
    assert "10,000 messages" in page.inner_text(".head-facts")
    for share in (0.25, 0.5, 0.75, 1):
        box.evaluate("(box, share) => { box.scrollTop = box.scrollHeight * share; }", share)
        page.wait_for_timeout(50)
        assert 0 < page.locator(".transcript-box .item").count() < 80
        assert box.evaluate(GAPS) == 0, "rows stand one under the other"
    page.get_by_text("ben says line 4999.").wait_for()


#: How far rows overlap or leave room between them, in pixels, at most.
GAPS = """(box) => {
  const places = [...box.querySelectorAll('.scroller-row')].map((row) => row.getBoundingClientRect());
  const rows = places.sort((a, b) => a.top - b.top);
  return Math.round(Math.max(0, ...rows.slice(1).map((row, place) => Math.abs(row.top - rows[place].bottom))));
}"""


def test_a_link_to_a_message_opens_its_conversation_there(page_at: Open, chatter: Path) -> None:
    page = ready(page_at(chatter, view="conversation", message="1-1:7003"))
    chosen = page.locator(".item.is-chosen")
    chosen.wait_for()
    assert chosen.get_attribute("data-event") == "1-1:7003"
    box = page.locator(".transcript-box .scroller").bounding_box()
    assert box["y"] < chosen.bounding_box()["y"] < box["y"] + box["height"], "it is in view"
    assert fragment(page)["message"] == "1-1:7003"


def test_keys_alone_go_through_the_list_and_the_transcript(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation"))
    page.get_by_label("Search conversations").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    page.wait_for_function("() => document.querySelectorAll('.conversation-row')[2].ariaSelected === 'true'")
    page.locator(".transcript-box").get_by_text("The desk closes at six.").wait_for()
    page.keyboard.press("Home")
    page.wait_for_function("() => document.querySelectorAll('.conversation-row')[0].ariaSelected === 'true'")
    page.wait_for_function("() => document.querySelectorAll('.transcript-box .item').length === 8")
    page.locator(".transcript-box .scroller").focus()
    for _ in range(3):
        page.keyboard.press("j")
    assert fragment(page)["message"] == "1-1:7"
    page.keyboard.press(" ")
    page.wait_for_selector(".call-body")
    page.keyboard.press("Enter")
    page.wait_for_selector(".details >> text=tool.called")
    page.keyboard.press("Escape")
    page.keyboard.press("c")
    page.wait_for_selector(".causes-tree [role=treeitem]")
    assert fragment(page)["id"] == "1-1:7"


def test_groups_are_left_out_and_the_link_says_so(page_at: Open, helpdesk: Path) -> None:
    page = ready(page_at(helpdesk, view="conversation", conversation=DESK))
    page.get_by_role("button", name="Calls").click()
    page.get_by_role("button", name="Goals").click()
    page.wait_for_function("() => document.querySelectorAll('.transcript-box .item').length === 4")
    assert fragment(page)["without"] == "calls,goals"
    page.reload()
    ready(page)
    assert page.locator(".transcript-box .item").count() == 4


def test_runs_of_one_kind_are_one_line_that_unfolds(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="conversation", simulation="1-2", of="all"))
    run = page.locator(".run-head").nth(1)
    assert run.inner_text().split("\n") == [
        "goal.started",
        "19",
        "win × 8, survive × 8, find_a_wolf, stay_unsuspected × 2",
    ]
    run.click()
    page.wait_for_selector(".run-line")
    assert page.locator(".run-line").count() == 19


def test_an_agent_has_one_colour_in_the_list_and_in_the_transcript(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="conversation", simulation="1-1", of="all"))
    colours = page.evaluate(
        "() => { const found = {}; for (const one of document.querySelectorAll('.avatar[title]'))"
        " (found[one.title] ??= new Set()).add(one.style.getPropertyValue('--person'));"
        " return Object.fromEntries(Object.entries(found).map(([name, set]) => [name, [...set]])); }"
    )
    assert {"narrator", "ben", "cleo"} <= set(colours)
    assert all(len(found) == 1 for found in colours.values())
    assert len({found[0] for found in colours.values()}) == 8


def test_a_query_that_is_wrong_says_so(page_at: Open, helpdesk: Path, complaints: Any) -> None:
    complaints.expect("agents have no field")
    page = page_at(helpdesk, view="conversation", query="agents where rol = lead")
    page.get_by_text('agents have no field "rol"').wait_for()


def test_what_is_said_while_one_looks_appears(page_at: Open, tmp_path: Path) -> None:
    store = tmp_path / "clockwork"
    with talks.Steered(store) as steered:
        steered.tick(2)
        steered.wait(2)
        page = ready(page_at(store, view="conversation", of="all"))
        page.set_default_timeout(30_000)
        assert page.locator(".head-facts .status-running").inner_text().strip() == "running"
        steered.tick(3)
        page.locator(".transcript-box .item", has_text="number 5").wait_for()


def test_a_model_call_shows_what_is_new_in_its_request_and_unfolds_to_that_and_its_answer(
    page_at: Open, tmp_path: Path
) -> None:
    with Service() as service:
        matrix.run(consultation, store=tmp_path, models=Endpoint(service.url, key=""))
    page = ready(page_at(tmp_path, view="conversation", conversation="1-1/consultant+customer"))
    first, second = page.locator(".call-head").all()
    assert "2 messages" in first.inner_text()
    assert "1 message after event" in second.inner_text()
    second.click()
    body = page.locator(".call-body").inner_text()
    assert "Are you sure?" in body
    assert 'heard "Are you sure?" (message 4,' in body
    assert "finish_reason" in body
