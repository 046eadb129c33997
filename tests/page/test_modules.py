"""The page's files: they parse, keep to themselves, and say what the library says."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import matrix.server
from matrix.query.engine.notation import duration_text, time_text

PAGE = Path(matrix.server.__file__).parent / "page"
MODULES = sorted(path for path in PAGE.rglob("*.js") if "vendor" not in path.parts)


PARSE = """
const { readFileSync } = require("node:fs");
const { SourceTextModule } = require("node:vm");
for (const file of process.argv.slice(1)) new SourceTextModule(readFileSync(file, "utf8"), { identifier: file });
"""


def test_every_module_parses() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, "--no-warnings", "--experimental-vm-modules", "--eval", PARSE, *map(str, MODULES)]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_no_module_reads_text_as_html_or_asks_another_host() -> None:
    for module in MODULES:
        text = module.read_text()
        for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert danger not in text, f"{module.name} has {danger}"
        hosts = [
            host for host in re.findall(r"https?://[^\s\"'`)]+", text) if not host.startswith("http://www.w3.org/")
        ]
        assert hosts == [], module.name


def test_every_import_leads_to_a_file() -> None:
    for module in MODULES:
        for target in re.findall(r"""(?:from|import)\s+["'](\.[^"']+)["']""", module.read_text()):
            assert (module.parent / target).is_file(), f"{module.name} imports {target}"


def test_what_is_vendored_is_what_its_note_says() -> None:
    for note in PAGE.rglob("VENDORED.md"):
        text = note.read_text()
        for script in note.parent.glob("*.js"):
            assert hashlib.sha256(script.read_bytes()).hexdigest() in text, script.name


DURATIONS = [0, 1, 999, 1_000, 1_500, 999_999, 1_000_000, 90_000_000, 3_600_000_000, 86_400_000_001, 5_025_500_000]


def test_durations_and_times_are_those_of_the_library(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query")
    durations = [*DURATIONS, *(-duration for duration in DURATIONS[1:])]
    written = page.evaluate(
        "async (values) => { const { durationText } = await import('/format.js'); return values.map(durationText); }",
        durations,
    )
    assert written == [duration_text(duration) for duration in durations]
    times = [0, 1, 1_767_225_600_500_000, 1_767_225_600_000_001, 253_402_300_799_999_999]
    written = page.evaluate(
        "async (values) => { const { timeText, timeValue } = await import('/format.js');"
        " return values.map((value) => [timeText(BigInt(value)), timeValue(timeText(BigInt(value)))]); }",
        [str(time) for time in times],
    )
    assert [text for text, _ in written] == [time_text(time) for time in times]
    assert [value for _, value in written[:4]] == times[:4]


def test_places_in_a_text_are_translated_between_code_points_and_units(
    page_at: Callable[..., Any], office: Path
) -> None:
    page = page_at(office, view="query")
    text = "a\N{GRINNING FACE}b\u00e9\N{GRINNING FACE}"
    places = page.evaluate(
        "async (text) => { const { toCodePoints, toUnits } = await import('/offsets.js');"
        " return [[0, 1, 3, 4, 5, 7].map((at) => toCodePoints(text, at)),"
        " [0, 1, 2, 3, 4, 5].map((at) => toUnits(text, at))]; }",
        text,
    )
    assert places == [[0, 1, 2, 3, 4, 5], [0, 1, 3, 4, 5, 7]]


def test_the_colours_of_the_language_leave_its_text_as_it_is(page_at: Callable[..., Any], office: Path) -> None:
    page = page_at(office, view="query")
    text = 'agents where role = "a b" and .x[0].y > 1h30m # why\n| count by $z, \N{GRINNING FACE} "open'
    found = page.evaluate("async (text) => (await import('/query/syntax.js')).pieces(text)", text)
    assert "".join(piece for _, piece in found) == text
    assert [piece for name, piece in found if name == "keyword"] == ["agents", "where", "and", "count", "by"]
    assert [piece for name, piece in found if name == "number"] == ["1h30m"]
