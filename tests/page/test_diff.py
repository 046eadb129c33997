"""Two simulations side by side: pairs to choose from, what is shared, where they part, how both go on and come out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import matrix

Open = Callable[..., Any]


def ready(page: Any) -> Any:
    page.wait_for_selector(".outcomes, .diff-alike")
    return page


def fragment(page: Any) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).fragment).items()}


def test_forks_of_one_parent_are_offered_first(page_at: Open, village: Path) -> None:
    page = page_at(village, view="diff")
    first = page.locator(".suggestion").first
    first.wait_for()
    assert page.inner_text(".suggestion-group h2").lower() == "werewolf 1-1 and its forks"
    assert first.inner_text().split("\n") == ["1-1 and 1-2", "seeds 7 and 1 · 1-2 forked at event 69 · both finished"]
    first.click()
    ready(page)
    assert (fragment(page)["one"], fragment(page)["other"]) == ("1-1", "1-2")


def test_where_they_part_is_where_the_library_says(page_at: Open, village: Path, shoot: Any) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    with matrix.open(village) as store:
        found = store.diff("1-2", "1-3")
    assert found.shared == 69 and found.first is not None and found.first.one is not None
    seq = found.first.one.seq
    assert page.inner_text(".first-fold") == f"{seq - 1} events are the same; they share the first 69 in the log"
    assert page.inner_text(".first-difference header").split("\n") == ["First difference", f"at 8h16m, event {seq}"]
    field = page.locator(".fields-table tr.differs")
    assert field.count() == 1
    assert field.inner_text().split("\t") == ["to", "dan", "cleo"]
    shoot(page, "diff")


#: How many events of each side stand in the rows below the explanation.
SHOWN = """() => {
  const rows = [...document.querySelectorAll(".pair")];
  const same = rows.filter((row) => row.matches(".is-same")).length;
  const of = (side) => same + rows.filter((row) => row.querySelector(`.of-${side}:not(.nothing)`)).length;
  return [of("one"), of("other")];
}"""


def test_both_go_on_beside_each_other_and_no_event_is_left_out(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    with matrix.open(village) as store:
        found = store.diff("1-2", "1-3")
    assert found.first is not None and found.first.one is not None
    while page.locator(".diff-fold-head[aria-expanded=false]").nth(1).count():
        page.locator(".diff-fold-head[aria-expanded=false]").nth(1).click()
    first = found.first.one.seq
    assert page.evaluate(SHOWN) == [found.one.events - first + 1, found.other.events - first + 1]
    assert page.get_by_text("Both have come to their end.").count() == 1


def test_what_came_out_differently_stands_beside_and_the_rest_on_demand(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    with matrix.open(village) as store:
        differing = [what for what, _, _ in store.diff("1-2", "1-3").rows()]
    rows = page.locator(".outcomes tbody tr:not(.outcome-group)")
    told = [row.locator("th").inner_text() for row in rows.all()]
    assert told == [what.removeprefix("events ") if what != "events" else what for what in differing]
    page.get_by_role("button", name="also what is the same").click()
    assert rows.count() > len(told)
    assert fragment(page)["all"] == "1"
    assert page.locator(".outcomes tr", has_text="seer find_a_wolf succeeded").locator("td").all_inner_texts() == [
        "1",
        "1",
    ]


def test_the_shared_part_unfolds(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    fold = page.locator(".first-fold button")
    fold.click()
    page.wait_for_function("() => document.querySelectorAll('.first-fold .pair').length === 73")
    assert fold.get_attribute("aria-expanded") == "true"
    fold.click()
    assert page.locator(".first-fold .pair").count() == 0


def test_a_simulation_beside_itself_is_the_same(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-1", other="1-1"))
    assert page.inner_text(".first-fold") == "The same happens in both: 201 events, one by one"
    assert page.inner_text(".diff-alike").startswith("They were begun alike.")
    assert page.locator(".first-difference").count() == 0


def test_sides_are_changed_and_keys_go_from_difference_to_difference(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    page.get_by_role("button", name="Change sides").click()
    page.wait_for_function(
        "() => document.querySelector('.fields-table .differs')?.innerText.split('\\t')[1] === 'cleo'"
    )
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.className") == "first-difference"
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.matches('.pair[data-differs]')")
    page.keyboard.press("p")
    assert page.evaluate("document.activeElement.className") == "first-difference"


def test_the_way_leads_to_the_time_line_of_that_moment(page_at: Open, village: Path) -> None:
    page = ready(page_at(village, view="diff", one="1-2", other="1-3"))
    page.locator(".first-side.of-other a", has_text="Time line").click()
    page.wait_for_function("() => location.hash.includes('view=timeline')")
    assert (fragment(page)["simulation"], fragment(page)["at"]) == ("1-3", "29760000000")


def test_a_store_with_one_simulation_says_how_to_get_another(page_at: Open, office: Path) -> None:
    page = page_at(office, view="diff")
    page.get_by_text("There are not two simulations in this store.").wait_for()


ALIGN = """async ([one, other]) => {
  const { align } = await import('/diff/align.js');
  const event = (letter) => ({ kind: letter.toLowerCase(), agent: "a", data: { value: letter } });
  const value = (event) => event?.data.value ?? "-";
  const rows = align([...one].map(event), [...other].map(event));
  return rows.map((row) => `${row.type} ${value(row.one)}${value(row.other)}`);
}"""


def test_alignment_keeps_the_order_of_both_and_pairs_what_is_alike(page_at: Open, office: Path) -> None:
    page = page_at(office, view="query")
    assert page.evaluate(ALIGN, ["abc", "abc"]) == ["same aa", "same bb", "same cc"]
    assert page.evaluate(ALIGN, ["abd", "abcd"]) == ["same aa", "same bb", "other -c", "same dd"]
    assert page.evaluate(ALIGN, ["aBc", "abc"]) == ["same aa", "changed Bb", "same cc"]
    assert page.evaluate(ALIGN, ["", "ab"]) == ["other -a", "other -b"]
    assert page.evaluate(ALIGN, ["xay", "bz"]) == ["one x-", "one a-", "one y-", "other -b", "other -z"]


WORDS = "async ([one, other]) => (await import('/diff/fields.js')).wordChanges(one, other)"


def test_words_that_differ_are_found_in_texts(page_at: Open, office: Path) -> None:
    page = page_at(office, view="query")
    found = page.evaluate(WORDS, ["the lamp costs 40 today", "the lamp costs 55 today"])
    assert found == {
        "one": [["the lamp costs ", False], ["40", True], [" today", False]],
        "other": [["the lamp costs ", False], ["55", True], [" today", False]],
    }
    assert page.evaluate(WORDS, ["yes", "no"]) == {"one": [["yes", True]], "other": [["no", True]]}
