"""The time line: what it shows of a run, and what wheel, pointer and keys do to it."""

from __future__ import annotations

import json
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import matrix
from tests.page.serving import Server

GUTTER = 176
DAY = 86_400_000_000
HOUR = 3_600_000_000
SLOW_MS = 30_000  # the first questions to a server start its workers

Open = Callable[..., Any]


def at_rest(page: Any) -> Any:
    """The page, when everything it asked for is there."""
    page.wait_for_selector(".timeline-run h2", timeout=SLOW_MS)
    page.wait_for_selector(".timeline-wait", state="hidden", timeout=SLOW_MS)
    return page


def fragment(page: Any) -> dict[str, str]:
    """What stands in the URL now: it is written a moment after the last movement."""
    page.wait_for_timeout(450)
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def lanes_box(page: Any) -> dict[str, float]:
    box: dict[str, float] = page.locator(".timeline-lanes").bounding_box()
    return box


def place_of(page: Any, time: float, *, lane: int = 0, lanes: int = 9, low: bool = False) -> tuple[float, float]:
    """Where a time of a lane is on the screen, while the whole run of the village is seen."""
    box = lanes_box(page)
    whole = DAY + 36 * 60_000_000
    width = page.locator(".timeline-canvas").bounding_box()["width"] - GUTTER
    x = box["x"] + GUTTER + (time + 0.015 * whole) / (1.03 * whole) * width
    height = min(88, max(53, int(box["height"] // lanes)))
    return x, box["y"] + lane * height + (height - 7.5 if low else 10)


def test_every_agent_has_a_lane_and_the_run_is_told_in_a_few_lines(page_at: Open, village: Path, shoot: Any) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    assert page.inner_text(".timeline-count") == "9 agents"
    told = page.inner_text(".timeline-run")
    assert "1d36m" in told and "201" in told
    assert "6 succeeded, 2 failed" in told, "the goal win"
    shoot(page, "timeline")


def test_a_goal_under_the_pointer_says_what_it_is_and_how_it_ended(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    page.mouse.move(*place_of(page, 4 * HOUR, lane=0))
    tip = page.wait_for_selector(".timeline-tip:visible")
    assert tip.inner_text().split("\n") == ["win", "ada · succeeded", "0s to 1d36m (1d36m)"]


def test_outcomes_differ_in_pattern_and_not_only_in_colour(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    shades = page.evaluate("""() => {
      const keys = [...document.querySelectorAll(".timeline-foot .timeline-key canvas")].slice(0, 4);
      return keys.map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(3, 3, canvas.width - 6, canvas.height - 6);
        return new Set(Array.from({ length: data.length / 4 }, (_, i) => data[4 * i + 3])).size;
      });
    }""")
    succeeded, failed, cancelled, running = shades
    assert succeeded == 1 and running == 1, "plain"
    assert failed > 2 and cancelled > 1, "hatched, dotted"


def test_the_wheel_zooms_around_the_pointer(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    x, y = map(int, place_of(page, 8 * HOUR, lane=8))
    width = page.locator(".timeline-canvas").bounding_box()["width"] - GUTTER
    share = (x - lanes_box(page)["x"] - GUTTER) / width
    time = (1.03 * share - 0.015) * (DAY + 36 * 60_000_000)
    page.mouse.move(x, y)
    for _ in range(5):
        page.mouse.wheel(0, -200)
    seen = fragment(page)
    begin, end = float(seen["from"]), float(seen["to"])
    under = begin + share * (end - begin)
    assert end - begin < 4 * HOUR
    assert abs(under - time) < (end - begin) / width * 2, "the same time is under the pointer, to two pixels"


def test_dragging_moves_through_time_and_zero_shows_the_whole_run_again(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1", **{"from": 8 * HOUR, "to": 9 * HOUR}))
    box = lanes_box(page)
    width = page.locator(".timeline-canvas").bounding_box()["width"] - GUTTER
    page.mouse.move(box["x"] + 500, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 500 - width / 2, box["y"] + 300, steps=4)
    page.mouse.up()
    seen = fragment(page)
    assert abs(float(seen["from"]) - 8.5 * HOUR) < HOUR / 100 and abs(float(seen["to"]) - 9.5 * HOUR) < HOUR / 100
    page.focus(".timeline-lanes")
    page.keyboard.press("0")
    assert "from" not in fragment(page)


def test_a_brush_over_the_whole_run_chooses_what_is_seen(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    top = page.locator(".timeline-map").bounding_box()
    begin, end = place_of(page, 6 * HOUR)[0], place_of(page, 12 * HOUR)[0]
    page.mouse.move(begin, top["y"] + 20)
    page.mouse.down()
    page.mouse.move(end, top["y"] + 20, steps=4)
    page.mouse.up()
    seen = fragment(page)
    assert abs(float(seen["from"]) - 6 * HOUR) < HOUR / 10 and abs(float(seen["to"]) - 12 * HOUR) < HOUR / 10


def test_two_fingers_zoom(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    page.evaluate("""() => {
      const lanes = document.querySelector(".timeline-lanes");
      lanes.setPointerCapture = () => {};
      const box = lanes.getBoundingClientRect();
      const say = (type, id, x) => lanes.dispatchEvent(new PointerEvent(type, {
        pointerId: id, pointerType: "touch", clientX: box.left + x, clientY: box.top + 200,
        bubbles: true, button: type === "pointermove" ? -1 : 0, buttons: 1,
      }));
      say("pointerdown", 11, 400); say("pointerdown", 12, 500);
      say("pointermove", 11, 350); say("pointermove", 12, 550);
      say("pointerup", 11, 350); say("pointerup", 12, 550);
    }""")
    seen = fragment(page)
    whole = 1.03 * (DAY + 36 * 60_000_000)
    assert abs((float(seen["to"]) - float(seen["from"])) / whole - 0.5) < 0.02, (
        "twice as far apart: half as much is seen"
    )


def test_the_cursor_steps_from_event_to_event_and_tells_the_state_then(
    page_at: Open, village: Path, shoot: Any
) -> None:
    seen = {"from": 7 * HOUR + HOUR // 2, "to": 8 * HOUR + HOUR // 2}
    page = at_rest(page_at(village, view="timeline", simulation="1-1", at=8 * HOUR, seq=36, **seen))
    head = page.locator(".timeline-cursor header")
    page.wait_for_function("() => document.querySelector('.timeline-now')")
    assert head.inner_text().split("\n") == ["AT", "8h", "event 36 of 201"]
    assert page.locator(".timeline-then .timeline-value").all_inner_texts() == ["phase talk", "day 1"]
    assert page.locator(".timeline-then .changed").inner_text() == "phase talk", "the day has not changed"
    page.focus(".timeline-lanes")
    page.keyboard.press(",")
    page.wait_for_function("() => document.querySelector('.timeline-now').textContent === '0s'")
    assert page.locator(".timeline-then").inner_text().startswith("phase night")
    page.keyboard.press(".")
    page.wait_for_function("() => document.querySelector('.timeline-now').textContent === '8h'")
    assert page.locator(".visually-hidden[role=status]").inner_text() == "8h, event 36 of 201, phase talk · day 1"
    for key in "...,,,":
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector(".timeline-selection .timeline-title:text-is('state.changed')")
    page.wait_for_function("() => location.hash.includes('selected=event%3A1-1%3A36')")
    shoot(page, "timeline-cursor")


def test_stepping_with_shift_stays_with_one_agent(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1", at=0, seq=1, agent="dan"))
    page.focus(".timeline-lanes")
    page.keyboard.press(">")
    page.wait_for_function(
        "() => document.querySelector('.timeline-around [aria-current] .muted')?.textContent === 'dan'"
    )
    assert page.locator(".timeline-around [aria-current] .timeline-what").inner_text() == "agent.started"


def test_lanes_are_chosen_by_name_by_condition_by_role_and_by_outcome(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    count = page.locator(".timeline-count")
    for typed, left in (
        ("an", "2 of 9 agents"),
        ("turns > 50", "6 of 9 agents"),
        ("did accuse then got vote within 3 turns", "8 of 9 agents"),
        ("", "9 agents"),
    ):
        page.fill(".timeline-filter", typed)
        page.wait_for_function("(text) => document.querySelector('.timeline-count').textContent === text", arg=left)
    page.select_option("[aria-label=Role]", "wolf")
    page.wait_for_function("() => document.querySelector('.timeline-count').textContent === '2 of 9 agents'")
    assert fragment(page)["role"] == "wolf"
    page.select_option("[aria-label=Role]", "")
    page.select_option("[aria-label='Agents with a goal that']", "failed")
    page.wait_for_function("() => document.querySelector('.timeline-count').textContent.includes(' of 9')")
    assert count.inner_text() == "5 of 9 agents"


def test_a_condition_that_is_wrong_is_explained_and_the_lanes_stay(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1", agents="rol = wolf"))
    count = page.locator(".timeline-count")
    assert count.inner_text() == 'agents have no field "rol"'
    assert 'did you mean "role"' in count.get_attribute("title")
    page.mouse.move(*place_of(page, 4 * HOUR, lane=0))
    assert page.wait_for_selector(".timeline-tip:visible")


def test_a_click_on_a_failed_goal_leads_to_why_it_failed(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    x, y = place_of(page, 4 * HOUR, lane=2)
    page.mouse.click(x, y)
    page.wait_for_selector(".timeline-selection .timeline-title")
    panel = page.inner_text(".timeline-selection")
    assert "failed" in panel and "cleo" in panel
    page.click(".timeline-selection >> text=Why it failed")
    page.wait_for_selector(".causes-title h1")
    assert re.fullmatch(r"Why did \w+ of cleo fail\?", page.inner_text(".causes-title h1"))


def test_a_link_brings_back_what_was_seen(page_at: Open, village: Path) -> None:
    wanted = {
        "simulation": "1-3",
        "from": str(8 * HOUR),
        "to": str(9 * HOUR),
        "role": "villager",
        "selected": "event:1-3:38",
        "height": "40",
        "at": str(8 * HOUR),
        "seq": "38",
        "agent": "finn",
    }
    page = at_rest(page_at(village, view="timeline", **wanted))
    page.wait_for_selector(".timeline-selection .timeline-title")
    assert page.inner_text(".timeline-count") == "5 of 9 agents"
    page.focus(".timeline-lanes")
    page.keyboard.press("]")
    page.keyboard.press("[")
    seen = fragment(page)
    assert {name: seen.get(name) for name in wanted if name != "height"} == {
        name: value for name, value in wanted.items() if name != "height"
    }


def test_the_way_to_an_event_is_drawn_and_can_stand_alone(page_at: Open, village: Path, shoot: Any) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1", path="1-1:51"))
    shoot(page, "timeline-path")
    before = page.locator(".timeline-canvas").screenshot()
    page.click("text=Only this path")
    page.wait_for_function("() => document.querySelector('.timeline-count').textContent.includes(' of 9 agents')")
    assert page.locator(".timeline-canvas").screenshot() != before
    assert fragment(page)["only"] == "1"


def test_an_unknown_simulation_is_told(page_at: Open, village: Path) -> None:
    page = page_at(village, view="timeline", simulation="9-9")
    page.wait_for_selector(".timeline-message >> text=There is no simulation 9-9 in this store")


def test_names_are_text_whatever_they_say(page_at: Open, office: Path) -> None:
    page = at_rest(page_at(office, view="timeline", selected="event:1-1:5"))
    page.wait_for_selector(".timeline-selection .timeline-title")
    assert page.locator(".timeline-side img").count() == 0


def test_of_a_million_events_only_what_is_seen_is_asked_for(
    page_at: Open, open_page: Open, million: Path, served: Any
) -> None:
    asked: list[str] = []
    rows: list[int] = []

    def note(frame: Any, is_sent: bool) -> None:
        if not isinstance(frame, str):
            return
        message = json.loads(frame)
        if is_sent and message["type"] == "query":
            asked.append(message["text"])
        elif message["type"] == "batch":
            rows.append(message["count"])

    page = open_page("about:blank")
    page.on(
        "websocket",
        lambda socket: (
            socket.on("framesent", lambda frame: note(frame, True)),
            socket.on("framereceived", lambda frame: note(frame, False)),
        ),
    )
    page.goto(served(million).link("view=timeline"))
    at_rest(page)
    page.mouse.move(600, 400)
    for _ in range(12):
        page.mouse.wheel(0, -240)
        page.wait_for_timeout(60)
    page.wait_for_selector(".timeline-wait", state="hidden")
    assert sum(rows) < 60_000, "of a million events"
    events = [
        text
        for text in asked
        if text.startswith(("events where", "messages where")) and "count" not in text and "$ids" in text
    ]
    assert events and all(" | limit " in text and " time in " in text for text in events)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (["ArrowDown"] * 3, "cleo, wolf, lane 3 of 9"),
        (["End"], "narrator, narrator, lane 9 of 9"),
        (["End", "Home", "ArrowDown"], "ben, seer, lane 2 of 9"),
    ],
)
def test_lanes_are_walked_with_the_keyboard_and_told(page_at: Open, village: Path, keys: list[str], told: str) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    page.focus(".timeline-lanes")
    for key in keys:
        page.keyboard.press(key)
    assert page.locator(".visually-hidden[role=status]").inner_text() == told


def test_keys_zoom_and_an_agent_is_seen_from_its_beginning_to_its_end(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1", at=8 * HOUR, seq=36))
    page.focus(".timeline-lanes")
    for _ in range(4):
        page.keyboard.press("+")
    seen = fragment(page)
    assert float(seen["from"]) < 8 * HOUR < float(seen["to"]), "the cursor stays in view"
    assert float(seen["to"]) - float(seen["from"]) < 4 * HOUR
    page.keyboard.press("ArrowDown")
    page.keyboard.press("z")
    page.wait_for_function("() => !location.hash.includes('from=')")
    assert fragment(page)["agent"] == "ada"


def test_colours_follow_the_look_of_the_page(page_at: Open, village: Path) -> None:
    page = at_rest(page_at(village, view="timeline", simulation="1-1"))
    ground = """() => {
      const canvas = document.querySelector(".timeline-canvas");
      const pen = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      pen.drawImage(canvas, 8 - canvas.width, 4 - canvas.height);
      return [...pen.getImageData(0, 0, 1, 1).data];
    }"""
    assert min(page.evaluate(ground)[:3]) > 200
    page.keyboard.press("t")
    page.wait_for_function(f"() => Math.max(...({ground})().slice(0, 3)) < 60")


def test_after_a_break_of_the_connection_the_view_goes_on(open_page: Open, village: Path, complaints: Any) -> None:
    complaints.allow("WebSocket connection")
    with Server(village) as first:
        port, token = first.port, first.token
        page = at_rest(open_page(first.link("view=timeline&simulation=1-1")))
    page.wait_for_selector("#state[data-state=lost]")
    page.focus(".timeline-lanes")
    page.keyboard.press(">")
    with Server(village, port=port, token=token):
        page.wait_for_selector("#state[data-state=open]", timeout=SLOW_MS)
        page.fill(".timeline-filter", "role = wolf")
        page.wait_for_function("() => document.querySelector('.timeline-count').textContent === '2 of 9 agents'")
        page.wait_for_selector(".timeline-wait", state="hidden", timeout=SLOW_MS)
        box = lanes_box(page)
        page.mouse.move(box["x"] + GUTTER + 60, box["y"] + 12)
        assert page.wait_for_selector(".timeline-tip:visible").inner_text().startswith("win\ncleo")


class Slow(matrix.Agent):
    """Asks the outside, which takes its time, and works a minute on each answer."""

    role = "worker"

    async def run(self) -> None:
        for _ in range(3):
            await self.call(GATE.get)
            await self.sleep(60)


GATE: queue.SimpleQueue[int] = queue.SimpleQueue()


async def slow(simulation: matrix.Simulation) -> None:
    """One agent that waits for the outside."""
    simulation.spawn(Slow, "slow")


def test_a_run_that_goes_on_grows_before_ones_eyes(page_at: Open, tmp_path: Path) -> None:
    running = threading.Thread(target=matrix.run, args=(slow,), kwargs={"store": tmp_path / "runs", "seed": 1})
    running.start()
    try:
        GATE.put(1)
        GATE.put(1)
        until_there(tmp_path / "runs", "2m")
        page = at_rest(page_at(tmp_path / "runs", view="timeline"))
        assert page.locator(".timeline-run .status-running").count() == 1
        GATE.put(1)
        page.wait_for_selector(".timeline-run .status-finished")
        assert "3m" in page.inner_text(".timeline-run")
    finally:
        for _ in range(3):
            GATE.put(1)
        running.join()
        while not GATE.empty():
            GATE.get()


def until_there(folder: Path, duration: str) -> None:
    """Wait until a run has come so far."""
    for _ in range(200):
        if folder.is_dir():
            with matrix.open(folder) as store:
                if store.query(f"simulations where duration >= {duration}").table.num_rows:
                    return
        time.sleep(0.05)
    raise AssertionError(f"the run did not come to {duration}")
