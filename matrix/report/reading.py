"""What the figures of a report mean for who decides whether to train on the data: a verdict and a sentence each.

Verdicts are rules of thumb, written down once, here: ``good``, ``look`` (at the rows that are named) and ``bad``. A
figure that cannot be judged without knowing the purpose has the verdict ``note``. What always holds: a verdict follows
from the figures of the report alone, and its rule is in its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrix.report.outcomes import NONE

Figures = Mapping[str, Any]

#: Of fewer words of reference hardly any 3-gram of ordinary text is among them: of 6,000 some 4 %, of 200,000 some 17 %
#: (tau2's agents beside the CaSiNo dialogues).
REFERENCE_WORDS_MIN = 50_000


def readings(data: Figures) -> list[dict[str, Any]]:
    """One for each figure that decides: ``figure value verdict meaning``, in the order of the page."""
    if not data["rows"]:
        return [_reading("rows", "0", "bad", "The query selects no row of chat: there is nothing to report on.")]
    found = [
        _duplicates(data["duplicates"]),
        _diversity(data["diversity"]),
        _similarity(data["similarity"]),
        _lengths(data["lengths"]),
        _outcomes(data["outcomes"]),
    ]
    if data["coverage"] is not None:
        found.append(_coverage(data["coverage"]))
    if data["grounding"] is not None:
        found += [_contained(data["grounding"]), _copied(data["grounding"]), _far(data["grounding"])]
    return [one for one in found if one is not None]


def percent(share: float | None) -> str:
    """A share for people.

    >>> percent(0.1234), percent(0.00004), percent(0.99996), percent(0), percent(None)
    ('12.3 %', '< 0.1 %', '> 99.9 %', '0 %', '–')
    """
    if share is None:
        return "–"
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    return f"{share * 100:.1f} %".replace(".0 %", " %")


def rows_that(count: int, one: str = "", many: str = "") -> str:
    """A number of rows, and what they do.

    >>> rows_that(1, "is new", "are new"), rows_that(2_000)
    ('1 row is new', '2,000 rows')
    """
    return f"1 row {one}".rstrip() if count == 1 else f"{count:,} rows {many}".rstrip()


def _reading(figure: str, value: str, verdict: str, meaning: str) -> dict[str, Any]:
    return {"figure": figure, "value": value, "verdict": verdict, "meaning": meaning}


def _graded(value: float, good: float, look: float) -> str:
    """The verdict of a figure that should be low."""
    return "good" if value <= good else "look" if value <= look else "bad"


def _duplicates(figures: Figures) -> dict[str, Any]:
    meaning = (
        f"{rows_that(figures['exact'], 'equals', 'equal')} an earlier one and {figures['near']:,} nearly. A model "
        "trained on repeats learns them by heart; up to 1 % is harmless, above 10 % drop them (matrix export "
        "--drop-duplicates)."
    )
    return _reading("duplicate rows", percent(figures["share"]), _graded(figures["share"], 0.01, 0.1), meaning)


def _diversity(figures: Figures) -> dict[str, Any]:
    name = "distinct-2 per 1,000 words"
    value = figures["distinct_2_per_1000_words"]
    if value is None:
        return _reading(name, "–", "look", "The agents say fewer than 1,000 words in all: too few to judge variety.")
    verdict = _graded(-value, -0.6, -0.4)
    meaning = (
        "Of the word pairs in a stretch of 1,000 words so many are different. People who bargain over three goods "
        "reach 0.67 (the CaSiNo dialogues); under 0.6 phrases come again and again, under 0.4 most of it is "
        "template."
    )
    return _reading(name, f"{value:.3f}", verdict, meaning)


def _similarity(figures: Figures) -> dict[str, Any] | None:
    if figures["nearest"] is None:
        return None
    value = figures["nearest"]["mean"]
    meaning = (
        f"So much a row has in common with the row most like it, in a sample of {figures['rows']:,}. Up to 0.25 rows "
        "go ways of their own; above 0.5 a typical row is half of another one."
    )
    return _reading("likeness to the nearest row", f"{value:.3f}", _graded(value, 0.25, 0.5), meaning)


def _lengths(figures: Figures) -> dict[str, Any]:
    words = figures["own_words_per_row"]
    value = f"{words['p50']:,} (p5 {words['p5']:,}, p95 {words['p95']:,})"
    verdict = "bad" if words["p50"] == 0 else "look" if words["p5"] == 0 else "good"
    meaning = (
        "Words that the agent itself says in a row: what the model is trained to say. Rows without any teach calls of "
        "tools alone; if they are more than one in twenty, make sure that is meant."
    )
    return _reading("own words in a row", value, verdict, meaning)


def _outcomes(figures: Figures) -> dict[str, Any]:
    counts = figures["all"]
    total = sum(counts.values())
    value = ", ".join(f"{name} {percent(count / total)}" for name, count in counts.items())
    known = {name for name in counts if name != NONE}
    verdict = "look" if not known else "note"
    meaning = (
        "How the rows came out. For imitation take what succeeded; preference pairs need both ends; rows without an "
        "outcome cannot be chosen by it."
    )
    return _reading("outcomes", value, verdict, meaning)


def _coverage(figures: Figures) -> dict[str, Any]:
    missing = figures["missing"]
    names = [f"{what[:-1]} {name}" for what in ("roles", "goals", "kinds") for name in missing[what]]
    kinds = {row["kind"] for row in figures["kinds"]}
    value = f"{len(kinds) - len(missing['kinds'])} of {len(kinds)} kinds"
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    meaning = (
        "Roles, goals and kinds of events of the store's agents that the selection is without"
        f"{': ' + shown if names else ': none'}. What is missing here the model never sees."
    )
    return _reading("coverage of the store", value, "look" if names else "good", meaning)


def _contained(figures: Figures) -> dict[str, Any]:
    first = figures["contained"][0]
    real = first["real_text"]
    beside = "" if real is None else f" The reference itself, a part against the rest, has {percent(real)}."
    meaning = (
        "So many of the agents' 3-word sequences stand in the reference."
        f"{beside} Near that figure the words are those of real text; far under it they are of another kind."
    )
    verdict = "note"
    if real and first["share"] is not None:
        verdict = _graded(-first["share"] / real, -0.5, -0.25)
    return _reading("3-grams found in the reference", percent(first["share"]), verdict, meaning)


def _copied(figures: Figures) -> dict[str, Any]:
    share = figures["copied"] / max(figures["judged"], 1)
    limit = percent(figures["thresholds"]["copied"])
    meaning = (
        f"In {rows_that(figures['copied'])} at least {limit} of the 8-word sequences stand in the reference: said "
        "after it. Up to 1 % is chance and quotation; more means that the reference leaks into the data."
    )
    return _reading("rows copied from the reference", percent(share), _graded(share, 0.01, 0.05), meaning)


def _far(figures: Figures) -> dict[str, Any]:
    share = figures["far"] / max(figures["judged"], 1)
    limit = percent(figures["thresholds"]["far"])
    meaning = (
        f"In {rows_that(figures['far'])} less than {limit} of the 3-word sequences stand in the reference: another "
        "language, code, or noise. Up to 5 % is normal; above 20 % it is the wrong reference, or data."
    )
    verdict, words = _graded(share, 0.05, 0.2), figures["reference"]["words"]
    if words < REFERENCE_WORDS_MIN:
        verdict = "note"
        meaning += f" But the reference has {words:,} words: few enough that ordinary text is far from it."
    return _reading("rows far from the reference", percent(share), verdict, meaning)
