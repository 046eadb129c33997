"""What imports what, and how long a bare `import matrix` takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("cbor2", "click", "lark", "numpy", "pandas", "prompt_toolkit", "pyarrow", "rich", "sqlite_utils", "trio")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_imports_go_one_way_and_third_parties_keep_to_their_rooms() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.parametrize("code", ["import matrix", "import matrix; matrix.Agent"])
def test_importing_matrix_and_defining_an_agent_loads_nothing_heavy(code: str) -> None:
    loaded = python(f"{code}\nimport sys; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_importing_matrix_takes_less_than_150_ms() -> None:
    timed = "import time; begun = time.process_time(); import matrix; matrix.Agent; print(time.process_time() - begun)"
    assert min(float(python(timed)) for _ in range(5)) < 0.150


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    code = "import sys; from matrix.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    loaded = set(python(code).split())
    assert {"cbor2", "lark", "numpy", "pandas", "prompt_toolkit", "pyarrow", "rich", "sqlite_utils", "trio"}.isdisjoint(
        loaded
    )


def test_every_public_name_is_there_listed_once_and_no_rooms_name() -> None:
    import matrix

    assert len(set(matrix.__all__)) == len(matrix.__all__)
    assert list(matrix.__all__) == sorted(matrix.__all__, key=str.casefold) or list(matrix.__all__) == sorted(
        matrix.__all__
    )
    rooms = {path.name for path in (ROOT / "matrix").iterdir() if path.is_dir()}
    assert not rooms & set(matrix.__all__)
    for name in matrix.__all__:
        assert getattr(matrix, name) is not None


def test_a_query_of_the_command_waits_neither_for_pandas_nor_for_the_prompt(tmp_path: Path) -> None:
    """pyarrow would import it at its first conversion, wherever it is installed."""
    program = (
        "import sys, atexit\n"
        "from matrix.cli.main import main\n"
        "atexit.register(lambda: print({'pandas', 'prompt_toolkit'} & set(sys.modules), file=sys.stderr))\n"
        f"sys.argv = ['matrix', 'query', {str(tmp_path)!r}, 'events | count by kind']\n"
        "main()\n"
    )
    (tmp_path / "log").mkdir()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "set()")
