"""The page of a report: one HTML file that needs nothing else, for who decides whether to train on the data.

What always holds: all that comes from data is escaped (`html`), there is no script, and nothing is loaded from
elsewhere; what is not on the page in full says so and says where the rest is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matrix.report import sections
from matrix.report.grounds import grounding
from matrix.report.html import Html, style_of, tag

_STYLE = Path(__file__).with_name("page.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_WORDS = {"good": "good", "look": "look closer", "bad": "bad", "note": "for you to judge"}
_LONG_VALUE = 12  # characters of a value that is shown smaller


def page(data: Mapping[str, Any]) -> str:
    """The page, from the figures of a report."""
    parts = [
        ("duplicates", "Duplicates", sections.duplicates(data["duplicates"])),
        ("diversity", "Diversity", sections.diversity(data["diversity"], data["similarity"])),
        ("lengths", "Lengths", sections.lengths(data["lengths"])),
        ("outcomes", "Outcomes", sections.outcomes(data["outcomes"], data["coverage"])),
    ]
    if data["coverage"] is not None:
        parts.append(("coverage", "Coverage", sections.coverage(data["coverage"])))
    if data["grounding"] is not None:
        parts.append(("grounding", "Grounding", grounding(data["grounding"])))
    links = tag("nav", [tag("a", title, href=f"#{id}") for id, title, _ in parts], aria_label="Sections")
    main = [tag("section", tag("h2", title), part, id=id, aria_label=title) for id, title, part in parts]
    title = f"Report: {data['query'] or data['store'] or 'rows of chat'}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("title", title),
        style_of(_STYLE),
    )
    body = tag("body", _header(data, links), tag("main", _glance(data), main if data["rows"] else None))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _header(data: Mapping[str, Any], links: Html) -> Html:
    words = data["diversity"]["words"]
    parameters = ", ".join(f"${name} = {value}" for name, value in data["parameters"].items())
    facts = f"{data['rows']:,} rows of {data['agents']:,} agents, {words:,} words of their own"
    return tag(
        "header",
        tag("h1", "Is this data good enough to train on?"),
        tag("code", data["query"], class_="query") if data["query"] else None,
        tag(
            "p",
            facts,
            f", from the store {data['store']}" if data["store"] else "",
            f". {parameters}" if parameters else "",
        ),
        [tag("p", notice, class_="notice") for notice in data["notices"]],
        _counted(data["counts"]),
        links if data["rows"] else None,
    )


_COUNTED = {"left_out": "left out", "cut": "cut", "kept": "kept though odd"}


def _counted(counts: Mapping[str, Mapping[str, int]]) -> Html | None:
    """What the rows are without, and why."""
    said = [f"{name}: {count:,} {why}" for key, name in _COUNTED.items() for why, count in counts.get(key, {}).items()]
    return tag("p", "; ".join(said), class_="muted") if said else None


def _glance(data: Mapping[str, Any]) -> Html:
    cards = [
        tag(
            "li",
            tag(
                "div",
                one["figure"],
                tag("span", _WORDS[one["verdict"]], class_=f"verdict {one['verdict']}"),
                class_="name",
            ),
            tag("div", one["value"], class_="value long" if len(one["value"]) > _LONG_VALUE else "value"),
            tag("p", one["meaning"].replace(" %", "\u00a0%")),
            class_="card",
        )
        for one in data["readings"]
    ]
    return tag("section", tag("h2", "At a glance"), tag("ul", cards, class_="cards"), aria_label="At a glance")
