"""The sections of a report's page but grounding; each figure with a sentence on what it means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matrix.report.html import Html, Part, element, tag
from matrix.report.lengths import MEASURES
from matrix.report.plots import figure, histogram, ranked, stacked, table
from matrix.report.reading import percent, rows_that

Figures = Mapping[str, Any]

CLUSTERS_SHOWN = 20
REPEATS_SHOWN = 3
_BIN_HEAD = ("from", "up to", "count")
_COLOURS = {"succeeded": "fill-good", "failed": "fill-bad", "none": "fill-none"}


def duplicates(figures: Figures) -> Part:
    """How many rows repeat others, and which."""
    rows = [
        ("equal to an earlier row", figures["exact"]),
        ("nearly equal to one", figures["near"]),
        ("new", figures["unique"]),
    ]
    total = max(figures["rows"], 1)
    how = (
        "Rows are equal when what is said and which tools are called differ only in case and white space. They are "
        f"nearly equal when they have {percent(figures['threshold'])} of their {figures['shingle_words']}-word "
        f"sequences in common (Jaccard; proposed by MinHash with {figures['permutations']} permutations, then "
        "compared in full, so none of them is false). System prompts and answers of tools are not compared, and the "
        "other side of a conversation is another row."
    )
    shown = table(("rows", "count", "share"), [(name, count, percent(count / total)) for name, count in rows])
    listed = figures["greatest"][:CLUSTERS_SHOWN]
    more = figures["clusters"] - len(listed)
    return [
        tag("p", how, class_="lead"),
        _without_text(figures["without_text"]),
        tag("div", shown, _cluster_sizes(figures), class_="figures plain"),
        tag("h3", "The greatest groups of rows that say the same") if listed else None,
        tag("ol", [_cluster(one) for one in listed], class_="cases") if listed else None,
        tag("p", f"{more:,} more groups are in the JSON of this report.", class_="muted") if more > 0 else None,
    ]


def _without_text(count: int) -> Html | None:
    return (
        tag("p", rows_that(count, "has", "have"), " no text and no call of a tool: compared with none.")
        if count
        else None
    )


def _cluster_sizes(figures: Figures) -> Html | None:
    sizes = figures["cluster_sizes"]
    if not sizes["count"]:
        return None
    meaning = (
        tag("b", "Rows in a group that says the same. "),
        f"{sizes['count']:,} groups, the greatest of {sizes['max']:,} rows. Many pairs are chance or simple tasks; "
        "one great group is a program that repeats itself.",
    )
    plot = histogram("Rows in a group that says the same", sizes["histogram"], {"median": sizes["p50"]})
    return figure(meaning, plot, ("from", "up to", "groups"), bins(sizes))


def _cluster(one: Figures) -> Html:
    repeats = [
        tag("span", where(row), f" ({'equal' if row['is_exact'] else percent(row['similarity'])})")
        for row in one["repeats"][:REPEATS_SHOWN]
    ]
    more = one["size"] - 1 - len(repeats)
    listed: list[Part] = []
    for k, repeat in enumerate(repeats):
        listed += [", " if k else "", repeat]
    return tag(
        "li",
        tag("div", tag("b", f"{one['size']:,} rows"), ": ", where(one["first"]), " and after it ", listed,
            f" and {more:,} more" if more else None, class_="where"),
        tag("p", one["first"]["text"], class_="said"),
        class_="case",
    )  # fmt: skip


def where(row: Figures) -> Html:
    """The simulation and the agent of a row, by which it is found again."""
    return tag("span", "simulation ", tag("b", row["simulation"]), ", agent ", tag("b", row["agent"]))


def diversity(figures: Figures, similarity: Figures) -> Part:
    """How varied the agents' own words are."""
    how = (
        "Distinct-n is the number of different n-grams in the agents' own words, through the number of all their "
        "words (Li et al., 2016). It falls as data grows; per 1,000 words it can be compared between sets of any "
        "size. Higher is more varied."
    )
    head = (
        "role",
        "rows",
        "words",
        "different words",
        "distinct-1",
        "distinct-2",
        "distinct-3",
        "1 per 1,000",
        "2 per 1,000",
        "3 per 1,000",
    )
    rows = [_voice(role, voice) for role, voice in [("all", figures), *figures["by_role"].items()]]
    about = tag(
        "p", "Of more than a million different n-grams a sample is counted; the error is about 0.1 %.", class_="muted"
    )
    return [
        tag("p", how, class_="lead"),
        table(head, rows),
        about if figures["is_estimate"] else None,
        tag("div", _frequent(figures), _nearest(similarity), class_="figures"),
    ]


def _voice(role: str, voice: Figures) -> tuple[Any, ...]:
    names = [f"distinct_{n}{kind}" for kind in ("", "_per_1000_words") for n in (1, 2, 3)]
    shares = ["–" if voice[name] is None else f"{voice[name]:.3f}" for name in names]
    return (role, voice["rows"], voice["words"], voice["vocabulary"], *shares)


def _frequent(figures: Figures) -> Html:
    top = [(one["word"], one["count"]) for one in figures["frequent"][:20]]
    once = figures["said_once"]
    meaning = (
        tag("b", "The most frequent words. "),
        f"The hundred most frequent ones are {percent(figures['share_of_100_most_frequent'])} of all that is "
        f"said{'' if once is None else f'; {once:,} words are said once'}. Function words (the, to, you) belong at "
        "the top; names and phrases of one task there mean that the data is about little else.",
    )
    rows = [(one["word"], one["count"]) for one in figures["frequent"]]
    return figure(meaning, ranked("The most frequent words", top), ("word", "count"), rows)


def _nearest(similarity: Figures) -> Html | None:
    nearest = similarity["nearest"]
    if nearest is None:
        return None
    meaning = (
        tag("b", "Likeness to the nearest other row. "),
        "How much of their word pairs a row and the row most like it have in common (Jaccard), in a sample of "
        f"{similarity['rows']:,} rows; two rows at random have {similarity['pairs']['mean']:.3f}. A heap at the left "
        "is good; one at the right are variations of each other.",
    )
    plot = histogram("Likeness to the nearest other row", nearest["histogram"], {"mean": nearest["mean"]})
    return figure(meaning, plot, _BIN_HEAD, bins(nearest))


def bins(tally: Figures) -> list[tuple[Any, ...]]:
    """The bins of a distribution as rows of a table."""
    return [(one["from"], one["to"], one["count"]) for one in tally["histogram"]]


_LENGTHS_MEAN = {
    "messages_per_row": "A row of many messages teaches to keep a thread; those of one or two only to answer.",
    "own_messages_per_row": "Each is a step that the model learns to take.",
    "own_words_per_row": "What the model is trained to say. A few rows of very many words outweigh many of few.",
    "own_words_per_message": "A narrow peak at a high number is the manner of one model; people vary.",
    "tool_calls_per_row": "Without calls nothing is learned of tools; very many often come from agents that ran in "
    "circles.",
}


def lengths(figures: Figures) -> Part:
    """How long rows and messages are."""
    shown = []
    for name, means in MEASURES.items():
        tally = figures[name]
        if not tally["count"]:
            continue
        title = means[0].upper() + means[1:]
        quantiles = f"Half have {tally['p50']:,} or fewer, one in twenty more than {tally['p95']:,}, "
        quantiles += f"the most {tally['max']:,}. "
        caption = (tag("b", f"{title}. "), quantiles, _LENGTHS_MEAN[name])
        plot = histogram(title, tally["histogram"], {"median": tally["p50"]})
        shown.append(figure(caption, plot, _BIN_HEAD, bins(tally)))
    return tag("div", shown, class_="figures")


def outcomes(figures: Figures, coverage: Figures | None) -> Part:
    """How rows came out, by role and by goal."""
    shown = [
        _divided(
            "Rows by outcome and role",
            "Who succeeds, and who fails? A role with one outcome alone offers no contrast to learn from.",
            "role",
            figures["by_role"],
        )
    ]
    goals = _by_goal(coverage["goals"]) if coverage is not None else {}
    if goals:
        meaning = (
            "Goals of the selected agents, by how they ended. "
            "What never succeeds here cannot be imitated; what never fails cannot be compared."
        )
        shown.append(_divided("Goals by outcome", meaning, "goal", goals))
    reward = figures["reward"]
    if reward is not None:
        caption = (
            tag("b", "Reward. "),
            f"The mean is {reward['mean']:.3f} over {reward['count']:,} rows that have one. Two heaps, at both "
            "ends, are what preference pairs are made of.",
        )
        shown.append(
            figure(caption, histogram("Reward", reward["histogram"], {"mean": reward["mean"]}), _BIN_HEAD, bins(reward))
        )
    return tag("div", shown, class_="figures")


def _by_goal(goals: Sequence[Figures]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for one in goals:
        if one["selection"]:
            counts = found.setdefault(f"{one['goal']} ({one['role']})", {})
            counts[one["status"]] = counts.get(one["status"], 0) + one["selection"]
    return found


_ROWS_SHOWN = 16


def _divided(title: str, meaning: str, what: str, rows: Mapping[str, Mapping[str, int]]) -> Html:
    names = sorted({name for counts in rows.values() for name in counts})
    free = iter([f"fill-{k % 4}" for k in range(len(names))])
    colours = {name: _COLOURS.get(name) or next(free) for name in names}
    most = dict(sorted(rows.items(), key=lambda item: (-sum(item[1].values()), item[0]))[:_ROWS_SHOWN])
    more = f" The {_ROWS_SHOWN} greatest of {len(rows):,} are drawn." if len(rows) > _ROWS_SHOWN else ""
    legend = tag("ul", [tag("li", _swatch(colours[name]), name) for name in names], class_="legend")
    numbers = [(row, *(counts.get(name, 0) for name in names)) for row, counts in rows.items()]
    return figure(
        [legend, tag("b", f"{title}. "), meaning + more], stacked(title, most, colours), (what, *names), numbers
    )


def _swatch(colour: str) -> Html:
    return element(
        "svg", {"viewBox": "0 0 10 10", "aria-hidden": "true"}, tag("rect", width=10, height=10, class_=colour)
    )


def coverage(figures: Figures) -> Part:
    """Which kinds of events and goals of the store are in the selection, role by role."""
    roles = [row["role"] for row in figures["roles"]]
    kinds = {(row["kind"], row["role"]): row for row in figures["kinds"]}
    goals: dict[tuple[str, str], dict[str, int]] = {}
    for row in figures["goals"]:
        both = goals.setdefault((row["goal"], row["role"]), {"store": 0, "selection": 0})
        both["store"] += row["store"]
        both["selection"] += row["selection"]
    lead = (
        "What the selected agents did, of what all agents of the store did: the number of events in the selection "
        "and, where the store has more, its share. Red is what the store has and the selection has not; a dot is "
        "what nobody of the role did."
    )
    agents = [(row["role"], row["selection"], row["store"]) for row in figures["roles"]]
    return [
        tag("p", lead, class_="lead"),
        tag(
            "div",
            _titled("Kinds of events by role", _matrix("kind", roles, kinds)),
            _titled("Goals by role", _matrix("goal", roles, goals)) if goals else None,
            _titled("Agents by role", table(("role", "agents in the selection", "in the store"), agents)),
            class_="tables",
        ),
    ]


def _titled(title: str, shown: Html) -> Html:
    return tag("div", tag("h3", title), shown)


def _matrix(what: str, roles: Sequence[str], counts: Mapping[tuple[str, str], Figures]) -> Html:
    names = sorted({name for name, _ in counts})
    high = max([row["selection"] for row in counts.values()], default=0) or 1
    head = tag("tr", tag("th", what, scope="col"), [tag("th", role, scope="col", class_="number") for role in roles])
    rows = [
        tag("tr", tag("th", name, scope="row"), [_heat(counts.get((name, role)), high) for role in roles])
        for name in names
    ]
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="scrolled")


def _heat(row: Figures | None, high: int) -> Html:
    if row is None:
        return tag("td", "·", class_="heat muted")
    if not row["selection"]:
        return tag("td", f"none of {row['store']:,}", class_="missing")
    share = "" if row["selection"] == row["store"] else f" ({percent(row['selection'] / row['store'])})"
    strength = 0.06 + 0.34 * (row["selection"] / high) ** 0.5
    return tag(
        "td", f"{row['selection']:,}{share}", class_="heat", style=f"background: rgb(var(--heat) / {strength:.2f})"
    )
