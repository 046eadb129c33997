"""The project as a stranger gets it: the wheel is complete and works away from the source tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("matrix_runtime-*.whl"))


def test_the_wheel_holds_the_grammar_its_tables_and_the_examples(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "matrix/grammar/query.lark",
        "matrix/grammar/query.tables",
        "matrix/grammar/README.md",
        *(f"matrix/examples/{path.relative_to(ROOT / 'examples')}" for path in (ROOT / "examples").rglob("*.py")),
        "matrix/log/FORMAT.md",
        "matrix/server/PROTOCOL.md",
        *(f"matrix/server/page/{name}" for name in ("index.html", "app.js", "style.css")),
        "matrix/py.typed",
    } <= names
    assert not [name for name in names if "test_" in name or "__pycache__" in name or "/screenshots/" in name]


def test_the_wheel_runs_its_demo_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    venv.create(fresh, with_pip=False)
    site = next((fresh / "lib").glob("python*/site-packages"))
    # What Matrix needs is taken from this environment; a path in a .pth does not bring that folder's own .pth files,
    # so the source tree that is installed here stays out of sight.
    (site / "needs.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    pip = (sys.executable, "-m", "pip", "--python", fresh / "bin/python", "install", "--no-deps", "--no-index", "-q")
    done = run(*pip, wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    where = run(fresh / "bin/python", "-c", "import matrix; print(matrix.__file__)", cwd=tmp_path)
    assert where.stdout.strip() == str(site / "matrix/__init__.py")
    shown = run(fresh / "bin/matrix", "demo", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "close_deal" in shown.stdout


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    done = run(sys.executable, "-m", "matrix.cli.main", "--version", cwd=ROOT)
    assert done.stdout == f"matrix {project['version']}\n"
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = re.search(r"^dependencies = \[\n(.*?)^\]", text, re.M | re.S)
    assert block is not None
    for line in block[1].splitlines():
        assert re.fullmatch(r' {4}"[^"]+", +# \w.+', line), line


def test_the_architecture_page_names_every_room() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for room in sorted(path for path in (ROOT / "matrix").iterdir() if (path / "__init__.py").exists()):
        assert f"`matrix/{room.name}/`" in page


def test_the_architecture_page_names_every_file() -> None:
    words = set(re.findall(r"\w+", (ROOT / "ARCHITECTURE.md").read_text()))
    files = [path for path in (ROOT / "matrix").rglob("*.py") if not path.name.startswith("__")]
    verbs = [path for path in (ROOT / "matrix/cli").glob("*.py") if "@click.command" in path.read_text()]
    missing = [str(path.relative_to(ROOT)) for path in files if path not in verbs and path.stem not in words]
    assert missing == []


def test_continuous_integration_runs_tests_checks_and_the_long_comparison() -> None:
    script = ROOT / ".ci/run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-3:] == ["make test", "make check", "make fuzz"]
