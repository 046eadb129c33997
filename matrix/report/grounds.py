"""The section of a report's page on grounding: what is contained in the reference, what was copied, what is far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrix.report.html import Html, Part, tag
from matrix.report.plots import figure, histogram, lines, number, table
from matrix.report.reading import percent
from matrix.report.sections import bins, where

Figures = Mapping[str, Any]

SHOWN = 12


def grounding(figures: Figures) -> Part:
    """The reference, the shares contained, flagged rows with what they are nearest to."""
    reference, limits = figures["reference"], figures["thresholds"]
    names = ", ".join(file["name"] for file in reference["files"])
    lead = (
        f"The agents' own words beside {reference['words']:,} words of reference ({names}). {figures['judged']:,} "
        f"rows were judged; {figures['too_short']:,} have fewer than {limits['words_min']} words and were not. An "
        f"n-gram that is not in the reference is taken for one that is in {percent(reference['false_positives'])} of "
        "cases."
    )
    return [
        tag("p", lead, class_="lead"),
        tag("div", _contained(figures), _spread(figures), _nearest(figures), class_="figures"),
        _by_role(figures),
        _cases(
            "copied",
            f"Rows copied from the reference: at least {percent(limits['copied'])} of their 8-grams are in it",
            figures,
        ),
        _cases(
            "far",
            f"Rows far from the reference: less than {percent(limits['far'])} of their 3-grams are in it",
            figures,
        ),
    ]


def _contained(figures: Figures) -> Html:
    shares = figures["contained"]
    series = {"the rows": [one["share"] for one in shares]}
    if any(one["real_text"] is not None for one in shares):
        series["real text"] = [one["real_text"] for one in shares]
    meaning = (
        tag("b", "Word sequences that stand in the reference. "),
        "The share of the rows' n-grams, by n. Real text is a part of the reference looked up in the rest of it: a "
        "line near that one means words as real as these; a line that stays high towards 8 means copying.",
    )
    rows = [
        (one["n"], one["ngrams"], one["contained"], percent(one["share"]), percent(one["real_text"])) for one in shares
    ]
    plot = lines(
        "Word sequences that stand in the reference",
        [one["n"] for one in shares],
        series,
        x_name="words in a sequence (n)",
    )
    return figure(meaning, plot, ("n", "n-grams", "contained", "share", "real text"), rows)


def _spread(figures: Figures) -> Html:
    first = figures["contained"][0]
    meaning = (
        tag("b", "The same row by row, for n = 3. "),
        f"Half of the rows have {percent(first['rows']['p50'])} or less. Those at the far left speak of something "
        "else than the reference, or in another way.",
    )
    plot = histogram(
        "Rows by the share of their 3-grams in the reference",
        first["rows"]["histogram"],
        {"median": first["rows"]["p50"]},
    )
    return figure(meaning, plot, ("from", "up to", "rows"), bins(first["rows"]))


def _nearest(figures: Figures) -> Html | None:
    nearest = figures["nearest"]
    if not nearest["count"]:
        return None
    size = figures["reference"]["passage_words"]
    meaning = (
        tag("b", "Likeness to the nearest passage. "),
        f"Of {nearest['count']:,} rows drawn: how much the passage of {size} words that is most like any part of "
        "the row has in common with it (3-grams, Jaccard; found by MinHash). Rarely more than 0.1; from 0.2 on much "
        "is said after it.",
    )
    plot = histogram("Likeness to the nearest passage", nearest["histogram"], {"mean": nearest["mean"]})
    return figure(meaning, plot, ("from", "up to", "rows"), bins(nearest))


def _by_role(figures: Figures) -> Part:
    rows = [
        (
            role,
            one["rows"],
            one["copied"],
            percent(one["copied"] / one["rows"]),
            one["far"],
            percent(one["far"] / one["rows"]),
        )
        for role, one in figures["by_role"].items()
    ]
    if not rows:
        return None
    return [tag("h3", "Flags by role"), table(("role", "rows judged", "copied", "share", "far", "share"), rows)]


def _cases(name: str, title: str, figures: Figures) -> Part:
    shown, count = figures[f"{name}_shown"][:SHOWN], figures[name]
    if not count:
        return [tag("h3", title), tag("p", "None.", class_="muted")]
    more = count - len(shown)
    return [
        tag("h3", f"{title} ({count:,})"),
        tag("ol", [_case(one) for one in shown], class_="cases"),
        tag("p", f"{more:,} more are named in the JSON of this report.", class_="muted") if more else None,
    ]


def _case(one: Figures) -> Html:
    nearest = one["nearest"]
    shares = f"; 3-grams {percent(one['shares']['3'])}, 8-grams {percent(one['shares']['8'])} in the reference"
    beside: Part = tag("p", "No passage of the reference shares three words in a row with it.", class_="said beside")
    if nearest is not None:
        place = f"{nearest['file']}, passage {nearest['passage']:,} (likeness {number(nearest['similarity'])}): "
        beside = tag("p", tag("b", "nearest: "), place, nearest["text"], class_="said beside")
    return tag(
        "li",
        tag("div", where(one), shares, class_="where"),
        tag("p", one["text"], class_="said"),
        beside,
        class_="case",
    )
