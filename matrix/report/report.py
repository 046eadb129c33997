"""A report: rows of chat go through all meters once, and come out as figures.

What always holds: rows are taken one at a time and not kept; the same rows, reference and options give the same report
to the byte, on any machine, since nothing in it depends on time, chance, or the order of sets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matrix.errors import UsageError
from matrix.report.coverage import Ask, coverage
from matrix.report.diversity import SIZES, Diversity
from matrix.report.duplicates import THRESHOLD
from matrix.report.lengths import Lengths
from matrix.report.outcomes import Outcomes
from matrix.report.reading import readings
from matrix.report.repeats import Repeats
from matrix.report.rows import Seen, seen
from matrix.report.similarity import Similarity
from matrix.report.words import WordHashes

if TYPE_CHECKING:
    from matrix.report.grounding import Grounding

FORMAT = 1

#: Told what is done ("reading policy.md", "measuring rows"), how much of it, and of how much (0: nobody knows).
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class About:
    """What was reported on: the store's name, the query and its parameters.

    ``counts`` are what became of what the query chose, as an export counts it, asked for when all rows were taken.
    """

    store: str = ""
    query: str = ""
    parameters: Mapping[str, Any] | None = None
    notices: Sequence[str] = ()
    counts: Callable[[], Mapping[str, Mapping[str, int]]] | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures, as JSON holds them; ``readings`` in it say what they mean.

    >>> report = store.report("agents where role = assistant")                  # doctest: +SKIP
    >>> report.data["duplicates"]["share"], report.data["diversity"]["distinct_2"]  # doctest: +SKIP
    (0.0143, 0.2517)
    >>> report.write("figures")                                                 # doctest: +SKIP
    [PosixPath('figures/report.html'), PosixPath('figures/report.json')]
    """

    data: dict[str, Any]

    def to_json(self) -> str:
        """All figures."""
        return json.dumps(self.data, ensure_ascii=False, indent=1) + "\n"

    def to_html(self) -> str:
        """The page: everything in one file, no scripts, nothing from elsewhere."""
        from matrix.report.page import page

        return page(self.data)

    def write(self, to: str | Path) -> list[Path]:
        """Write ``FILE.html``, ``FILE.json``, or both into a folder, which is made; returns what was written."""
        from matrix.query.rows import opened_file

        files = files_at(to)
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            text = self.to_json() if file.suffix.lower() == ".json" else self.to_html()
            with opened_file(file) as out:
                out.write(text.encode("utf-8", "backslashreplace"))  # half a surrogate pair is no UTF-8
        return files


def files_at(to: str | Path) -> list[Path]:
    """Where a report is written: the one file that is named, or two in a folder. ``UsageError`` where it cannot be."""
    path = Path(to)
    if path.suffix.lower() in (".html", ".htm", ".json") and not path.is_dir():
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent} to write {path} in")
        return [path]
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path}: a report is written to FILE.html, FILE.json or a folder, and this is another file")
    return [path / "report.html", path / "report.json"]


class Meters:
    """What a report measures of rows, row by row."""

    def __init__(self, *, threshold: float = THRESHOLD, grounding: Grounding | None = None) -> None:
        self.grounding = grounding
        self._repeats = Repeats(threshold)
        self._diversity, self._similarity = Diversity(), Similarity()
        self._lengths, self._outcomes = Lengths(), Outcomes()
        self._hashes = WordHashes()
        self._sizes = range(1, 9) if grounding is not None else SIZES
        self.rows = 0
        self.agents: dict[tuple[str, str], None] = {}

    def take(self, data: Mapping[str, Any]) -> None:
        """Look at one row of chat."""
        row = seen(self.rows, data, self._hashes, self._sizes)
        self.rows += 1
        self.agents[row.simulation, row.agent] = None
        self._measure(row)

    def _measure(self, row: Seen) -> None:
        for meter in (self._repeats, self._diversity, self._similarity, self._lengths, self._outcomes):
            meter.take(row)
        if self.grounding is not None:
            self.grounding.take(row)

    def figures(self) -> dict[str, Any]:
        """All figures but the coverage, which needs the store."""
        return {
            "duplicates": self._repeats.figures(),
            "diversity": self._diversity.figures(),
            "similarity": self._similarity.figures(),
            "lengths": self._lengths.figures(),
            "outcomes": self._outcomes.figures(),
            "grounding": None if self.grounding is None else self.grounding.figures(),
        }


def report(
    rows: Iterable[Mapping[str, Any]],
    *,
    about: About | None = None,
    ask: Ask | None = None,
    reference: Sequence[str | Path] = (),
    threshold: float = THRESHOLD,
    copied: float | None = None,
    far: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """What rows of chat are like, and how close to the texts in ``reference``.

    ``ask`` answers queries of the store that the rows are from; without it coverage is left out. ``threshold`` is that
    of near duplicates, ``copied`` and ``far`` are the shares at which rows are flagged (``matrix.report.grounding``).
    Raises ``UsageError`` for a reference that cannot be read, shares that are none, and without datasketch.
    """
    about = about or About()
    meters = Meters(threshold=threshold, grounding=_grounding(reference, copied, far, progress))
    for data in rows:
        meters.take(data)
        if progress is not None and meters.rows % 256 == 0:
            progress("measuring rows", meters.rows, 0)
    found: dict[str, Any] = {
        "format": FORMAT,
        "store": about.store,
        "query": about.query,
        "parameters": {name: str(value) for name, value in sorted((about.parameters or {}).items())},
        "rows": meters.rows,
        "agents": len(meters.agents),
        "notices": list(about.notices),
        "counts": {} if about.counts is None else dict(about.counts()),
        **meters.figures(),
        "coverage": None if ask is None else coverage(ask, meters.agents),
    }
    found["readings"] = readings(found)
    return Report(found)


def _grounding(
    reference: Sequence[str | Path], copied: float | None, far: float | None, progress: Progress | None
) -> Grounding | None:
    if not reference:
        return None
    from matrix.report.corpus import Corpus
    from matrix.report.grounding import COPIED, FAR, Grounding, check_shares

    check_shares(COPIED if copied is None else copied, FAR if far is None else far)  # before much is read
    told = None if progress is None else lambda name, done, size: progress(f"reading {name}", done, size)
    corpus = Corpus(reference, told)
    return Grounding(corpus, copied=COPIED if copied is None else copied, far=FAR if far is None else far)
