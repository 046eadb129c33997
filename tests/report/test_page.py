"""The page: nothing of data becomes markup, nothing is loaded, and every plot has its numbers beside it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matrix.errors import UsageError
from matrix.report.html import tag
from matrix.report.plots import histogram, lines, number
from matrix.report.report import About, report
from matrix.report.tally import Tally
from tests.report.made import row, speech

ATTACK = "</p><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
_EMPTY = {"meta", "rect", "line", "circle", "polyline"}


class Elements(HTMLParser):
    """The elements of a page and their attributes; an element that is not closed, or not as it was opened, fails."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _EMPTY:
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.found)


def full(tmp_path: Path) -> str:
    """A page with everything in it, in which every text is an attack."""
    real = f"{ATTACK} {speech(1, 600)}"
    (tmp_path / f"{ATTACK.replace('/', '')}.txt").write_text(real)
    rows = [row(k, f"{ATTACK} {speech(k // 2, 40)}", role=ATTACK, outcome=ATTACK, reward=k / 9) for k in range(8)]
    rows.append(row(9, real, agent_=1))
    rows.append(row(10, speech(5, 50, vocabulary=10**9)))
    for one in rows:
        one |= {"simulation": f"{one['simulation']}{ATTACK}", "agent": ATTACK}
    about = About(ATTACK, ATTACK, {ATTACK: ATTACK}, [ATTACK], lambda: {"left_out": {ATTACK: 3}})
    return report(rows, about=about, reference=list(tmp_path.glob("*.txt"))).to_html()


def test_no_text_of_data_becomes_markup(tmp_path: Path) -> None:
    shown = Elements(full(tmp_path))
    assert ATTACK in shown.text and shown.count("script") == shown.count("img") == 0
    assert not [name for _, attributes in shown.found for name in attributes if name.startswith("on")]


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = full(tmp_path)
    shown = Elements(page)
    links = [attributes["href"] for _, attributes in shown.found if "href" in attributes]
    ids = [attributes["id"] for _, attributes in shown.found if "id" in attributes]
    assert links and sorted(links) == sorted(f"#{id}" for id in ids)
    assert not [attributes for _, attributes in shown.found if "src" in attributes]
    assert not re.findall(r"url\(|@import|https?:", page)


def test_every_plot_has_a_title_and_a_table(tmp_path: Path) -> None:
    shown = Elements(full(tmp_path))
    plots = [attributes for name, attributes in shown.found if name == "svg" and attributes.get("role") == "img"]
    assert len(plots) == shown.count("figure") >= 10 == 10 * all(plot["aria-label"] for plot in plots)
    assert shown.count("details") == shown.count("figure")
    assert shown.count("table") >= shown.count("details")


def test_a_flagged_row_and_a_duplicate_name_their_simulation_and_agent(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text(speech(1, 600))
    rows = [row(1, speech(1, 60)), row(2, speech(1, 60)), row(3, speech(2, 60, vocabulary=10**9))]
    text = Elements(report(rows, reference=[tmp_path / "real.txt"]).to_html()).text
    assert "2 rows: simulation 1-1, agent ada and after it simulation 1-2, agent ada (equal)" in text
    assert "Rows copied from the reference: at least 50 % of their 8-grams are in it (2)" in text
    assert "simulation 1-3, agent ada; 3-grams 0 %, 8-grams 0 % in the reference" in text
    assert "nearest: real.txt, passage 0" in text


def test_coverage_shows_what_is_missing() -> None:
    data = report([row(1, "a")]).data
    data["coverage"] = {
        "roles": [{"role": "buyer", "store": 4, "selection": 2}, {"role": "seller", "store": 1, "selection": 0}],
        "kinds": [
            {"role": "buyer", "kind": "offer", "store": 10, "selection": 5},
            {"role": "seller", "kind": "reject", "store": 7, "selection": 0},
        ],
        "goals": [{"role": "buyer", "goal": "deal", "status": "failed", "store": 2, "selection": 2}],
        "missing": {"roles": ["seller"], "kinds": ["reject"], "goals": []},
    }
    from matrix.report.page import page

    text = Elements(page(data)).text
    assert "5 (50 %)" in text and "none of 7" in text and "deal (buyer)" in text


def test_what_is_written_is_a_page_a_json_or_a_folder_with_both(tmp_path: Path) -> None:
    done = report([row(1, "hello there")])
    assert [path.name for path in done.write(tmp_path / "new" / "deep")] == ["report.html", "report.json"]
    assert done.write(tmp_path / "one.HTML") == [tmp_path / "one.HTML"]
    assert done.write(tmp_path / "one.json") == [tmp_path / "one.json"]
    assert json.loads((tmp_path / "one.json").read_text()) == done.data
    assert (tmp_path / "new/deep/report.html").read_text() == done.to_html() == (tmp_path / "one.HTML").read_text()
    (tmp_path / "taken.txt").write_text("mine")
    with pytest.raises(UsageError, match="this is another file"):
        done.write(tmp_path / "taken.txt")
    assert (tmp_path / "taken.txt").read_text() == "mine"


@given(st.lists(st.floats(0, 1) | st.integers(-100, 10**9), min_size=1, max_size=30))
def test_a_histogram_of_any_values_is_drawn_inside_its_box(values: list[Any]) -> None:
    counted = Tally()
    for value in values:
        counted.add(value)
    drawn = str(histogram("values", counted.histogram(), {"median": counted.quantile(0.5)}))
    assert "nan" not in drawn and "inf" not in drawn
    for height, y in re.findall(r' y="([-\d.]+)" width="[\d.]+" height="([-\d.]+)"', drawn):
        assert float(y) >= 0 and float(height) >= 0


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=8))
def test_lines_of_any_shares_are_drawn(values: list[float | None]) -> None:
    drawn = str(lines("shares", range(len(values)), {"one": values, "other": values}, x_name="n"))
    assert "nan" not in drawn and drawn.count("<circle") == 2 * sum(value is not None for value in values)


def test_numbers_and_markup_are_written_for_people() -> None:
    assert [number(value) for value in (0, 1_234_567, 0.00123, 12.345)] == ["0", "1,234,567", "0.00123", "12.3"]
    assert tag("p", None, ["a", tag("b", "<")], title='"') == '<p title="&quot;">a<b>&lt;</b></p>'
