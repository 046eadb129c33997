"""In a wheel the examples lie inside the package, and are still programs like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matrix
from matrix.runtime.again.rehearsal import place_of_turn

SOURCE = """
def run(place):
    return place()
"""


def test_a_line_of_an_example_inside_the_package_is_told_as_the_program_s() -> None:
    file = Path(matrix.__file__).parent / "examples" / "debate.py"
    example: dict[str, Any] = {"__name__": "matrix.examples.debate"}
    exec(compile(SOURCE, str(file), "exec"), example)
    assert example["run"](place_of_turn) == "debate.py:3 in run"
