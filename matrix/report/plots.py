"""Plots as SVG inside the page: bars of a histogram, lines over n, parts of a whole.

What always holds: each has a title and a description for who cannot see it, the colours are the page's own (so that
they change with light and dark), and beside each stands a table with the same numbers (``figure``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matrix.report.html import Html, Part, element, tag
from matrix.report.tally import round_step

WIDTH, HEIGHT = 560, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 38
_SLOTS_MIN = 6  # so that the bar of a single value is no wall


def figure(caption: Part, plot: Html | None, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """A plot with what it means, and its numbers as a table that unfolds."""
    numbers = tag("details", tag("summary", "The numbers"), table(head, rows), class_="numbers")
    return tag("figure", plot, tag("figcaption", caption), numbers)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> Html:
    """Rows under a head; numbers stand to the right."""
    right = [bool(rows) and all(isinstance(row[k], int | float | None) for row in rows) for k in range(len(head))]
    sides = ["number" if is_right else None for is_right in right]
    top = tag("tr", [tag("th", name, scope="col", class_=side) for name, side in zip(head, sides)])
    body = [tag("tr", [tag("td", _cell(value), class_=side) for value, side in zip(row, sides)]) for row in rows]
    return tag("div", tag("table", tag("thead", top), tag("tbody", body)), class_="scrolled")


def _cell(value: Any) -> Part:
    return value if isinstance(value, str) or value is None else number(value)


def number(value: float) -> str:
    """A number for people.

    >>> number(12345), number(0.12345), number(3.0), number(1234.56)
    ('12,345', '0.123', '3', '1,235')
    """
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"


def histogram(title: str, bins: Sequence[Mapping[str, float]], marks: Mapping[str, float | None]) -> Html:
    """Bars for bins of one width (the last may hold more), and named marks over them, the median for one."""
    top = max((one["count"] for one in bins), default=0) or 1
    ticks = _ticks(top, is_whole=True)
    high = ticks[-1]
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(bins), _SLOTS_MIN)
    bars = []
    for k, one in enumerate(bins):
        tall = (HEIGHT - _TOP - _BOTTOM) * one["count"] / high
        label = f"{_range(one, is_last=k == len(bins) - 1)}: {one['count']:,}"
        x, y = _LEFT + k * slot, HEIGHT - _BOTTOM - tall
        bars.append(
            tag(
                "rect",
                tag("title", label),
                x=x + slot * 0.06,
                y=y,
                width=slot * 0.88,
                height=tall,
                class_="bar",
                rx=1.5,
            )
        )
    labels = _bin_labels(bins, slot)
    shown = [_mark(name, value, bins, slot) for name, value in marks.items() if value is not None]
    said = f"{len(bins)} bars from {number(bins[0]['from'])} to {number(bins[-1]['to'])}" if bins else "nothing to show"
    return _svg(title, said, [_grid(ticks, high), bars, labels, shown])


def _range(one: Mapping[str, float], *, is_last: bool) -> str:
    if _is_one(one) and not is_last:
        return number(one["from"])
    return f"{number(one['from'])} and more" if is_last else f"{number(one['from'])} to {number(one['to'])}"


def _is_one(one: Mapping[str, float]) -> bool:
    """Whether a bin is of one whole number: then its name and its mark stand in its middle."""
    return one["from"] == int(one["from"]) and one["to"] - one["from"] == 1


def _bin_labels(bins: Sequence[Mapping[str, float]], slot: float) -> list[Html]:
    every = max(1, math.ceil(len(bins) / 8))
    y, found = HEIGHT - _BOTTOM + 16, []
    for k, one in enumerate(bins):
        if k % every == 0:
            x = _LEFT + (k + (0.5 if _is_one(bins[0]) else 0)) * slot
            found.append(tag("text", number(one["from"]), x=x, y=y, class_="tick", text_anchor="middle"))
    return found


def _mark(name: str, value: float, bins: Sequence[Mapping[str, float]], slot: float) -> Html:
    place = next((k for k, one in enumerate(bins) if one["from"] <= value < one["to"]), len(bins) - 1)
    one = bins[place]
    inside = min(max((value - one["from"]) / max(one["to"] - one["from"], 1e-9), 0), 1)
    x = _LEFT + (place + inside + (0.5 if _is_one(bins[0]) else 0)) * slot
    anchor = "end" if x > WIDTH * 0.8 else "start"
    text: dict[str, str | float | None] = {
        "x": x + (-5 if anchor == "end" else 5),
        "y": _TOP + 6,
        "class": "mark-text",
        "text-anchor": anchor,
    }
    return tag(
        "g",
        tag("line", x1=x, x2=x, y1=_TOP - 4, y2=HEIGHT - _BOTTOM, class_="mark"),
        element("text", text, f"{name} {number(value)}"),
    )


def lines(title: str, xs: Sequence[float], series: Mapping[str, Sequence[float | None]], *, x_name: str) -> Html:
    """Lines of shares over whole numbers, each with its name at its end."""
    high = max([0.01, *(value for values in series.values() for value in values if value is not None)])
    ticks = _ticks(high, is_whole=False)
    width = WIDTH - _LEFT - _RIGHT - 96  # room for names at the right
    places = [_LEFT + 12 + width * k / max(len(xs) - 1, 1) for k in range(len(xs))]
    drawn = []
    ends = _spread([_y(_last(values), ticks[-1]) for values in series.values()])
    for index, ((name, values), end) in enumerate(zip(series.items(), ends)):
        dots = [(x, _y(value, ticks[-1])) for x, value in zip(places, values) if value is not None]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
        drawn += [
            tag("polyline", points=points, class_=f"line line-{index}"),
            *(tag("circle", cx=x, cy=y, r=3, class_=f"dot line-{index}") for x, y in dots),
            tag("text", name, x=places[-1] + 9, y=end + 4, class_=f"line-name line-{index}"),
        ]
    labels = [
        tag("text", number(x), x=place, y=HEIGHT - _BOTTOM + 16, class_="tick", text_anchor="middle")
        for x, place in zip(xs, places)
    ]
    axis = tag("text", x_name, x=places[-1], y=HEIGHT - 6, class_="tick", text_anchor="end")
    return _svg(title, ", ".join(series), [_grid(ticks, ticks[-1], is_share=True), drawn, labels, axis])


def _last(values: Sequence[float | None]) -> float:
    return next((value for value in reversed(values) if value is not None), 0.0)


def _y(value: float, high: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * value / high


def _spread(wanted: list[float]) -> list[float]:
    """Places for names, as near to those wanted as 14 pixels between them allow."""
    places = dict(sorted(enumerate(wanted), key=lambda item: -item[1]))
    low = math.inf
    for index, place in places.items():
        places[index] = low = min(place, low - 14)
    return [places[index] for index in range(len(wanted))]


def stacked(title: str, rows: Mapping[str, Mapping[str, int]], classes: Mapping[str, str]) -> Html:
    """A bar for each row, divided by share; ``classes`` are the colours of the parts, by name."""
    step, left = 34, 150
    height = len(rows) * step + 8
    drawn: list[Part] = []
    for k, (name, counts) in enumerate(rows.items()):
        total, x, y = max(sum(counts.values()), 1), float(left), k * step + 6
        drawn.append(
            tag("text", _short(name), tag("title", name), x=left - 8, y=y + 16, class_="row-name", text_anchor="end")
        )
        for part, count in counts.items():
            wide = (WIDTH - left - _RIGHT) * count / total
            label = f"{name}, {part}: {count:,} of {total:,}"
            drawn.append(
                tag("rect", tag("title", label), x=x, y=y, width=wide, height=step - 12, class_=f"part {classes[part]}")
            )
            if wide > 44:
                drawn.append(
                    tag("text", f"{count:,}", x=x + wide / 2, y=y + 15, class_="part-text", text_anchor="middle")
                )
            x += wide
    return _svg(title, f"{len(rows)} bars", drawn, height=height)


def ranked(title: str, rows: Sequence[tuple[str, float]]) -> Html:
    """Bars from the left, each with its name and its number."""
    step, left = 20, 110
    high = max((value for _, value in rows), default=1) or 1
    drawn: list[Part] = []
    for k, (name, value) in enumerate(rows):
        wide, y = (WIDTH - left - 70) * value / high, k * step + 4
        drawn += [
            tag("text", _short(name, 14), x=left - 8, y=y + 12, class_="row-name", text_anchor="end"),
            tag("rect", x=left, y=y, width=max(wide, 1.0), height=step - 6, class_="bar", rx=1.5),
            tag("text", number(value), x=left + wide + 6, y=y + 12, class_="tick"),
        ]
    return _svg(title, f"{len(rows)} bars", drawn, height=len(rows) * step + 8)


def _short(name: str, chars: int = 20) -> str:
    return name if len(name) <= chars else name[: chars - 1] + "…"


def _ticks(high: float, *, is_whole: bool) -> list[float]:
    """Up to five round numbers from 0 to a little above."""
    step = round_step(high / 4, is_whole=is_whole)
    return [step * k for k in range(math.ceil(high / step - 1e-9) + 1)]


def _grid(ticks: Sequence[float], high: float, *, is_share: bool = False) -> list[Html]:
    drawn = []
    for tick in ticks:
        y = _y(tick, high)
        text = f"{tick * 100:.3g} %" if is_share else number(tick)
        drawn += [
            tag("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"),
            tag("text", text, x=_LEFT - 7, y=y + 4, class_="tick", text_anchor="end"),
        ]
    return drawn


def _svg(title: str, description: str, parts: Sequence[Part], *, height: int = HEIGHT) -> Html:
    box = {"viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-label": f"{title}: {description}"}
    return element("svg", box, tag("title", title), tag("desc", description), parts)
