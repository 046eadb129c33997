"""Every trap of TRAPS.md: the program shown there is recorded, and a replay elsewhere says what the page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "matrix/runtime/guards/TRAPS.md").read_text()
TRAP = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```\n```text\n(.*?)^```$", re.M | re.S)
BETTER = re.compile(r"^( *)\S.*# better: (.*)$", re.M)

PROGRAMS = {match[1]: f"# {match[1]}.py\n{match[2]}" for match in TRAP.finditer(PAGE)}
SAYS = {match[1]: match[3].rstrip("\n") for match in TRAP.finditer(PAGE)}
MENDED = {f"mended_{name}": BETTER.sub(r"\1\2", text) for name, text in PROGRAMS.items() if "# better:" in text}


def run(verb: str, folder: Path, hash_seed: int) -> dict[str, list[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests/runtime/traps.py"), verb, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was said of each program, when it was recorded and when it was replayed."""
    folder = tmp_path_factory.mktemp("traps")
    for name, text in (PROGRAMS | MENDED).items():
        (folder / f"{name}.py").write_text(text)
    (folder / "prices.txt").write_text("40")
    recorded = run("record", folder, 1)
    (folder / "prices.txt").write_text("45")
    return {"recorded": recorded, "replayed": run("replay", folder, 2)}


def pattern_of(shown: str) -> re.Pattern[str]:
    return re.compile(re.escape(shown).replace("…", r"[^\n]*"))


def test_the_page_has_its_traps() -> None:
    assert len(PROGRAMS) >= 11
    assert len(MENDED) >= 9
    assert PAGE.count("```python") == len(PROGRAMS)  # each is followed by what is said of it


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_said_of_a_trap_is_what_the_page_shows(name: str, said: dict[str, Any]) -> None:
    shown = SAYS[name]
    happened = said["recorded"][name] + said["replayed"][name]
    assert any(pattern_of(shown).match(one) for one in happened), "\n".join(happened)


@pytest.mark.parametrize("name", MENDED)
def test_a_program_that_is_mended_as_the_page_says_is_replayed_identically(name: str, said: dict[str, Any]) -> None:
    assert said["recorded"][name] == [""]
    second, first = said["replayed"][name]
    assert first.startswith("1-1: identical, ")
    assert second.startswith("1-2: identical, ")


def test_readme_leads_to_the_page() -> None:
    assert "(matrix/runtime/guards/TRAPS.md)" in (ROOT / "README.md").read_text()
