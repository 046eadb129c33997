"""Record the programs of TRAPS.md in one process, and replay them in another.

python traps.py record FOLDER        each .py file of the folder is run twice, into a store beside it
python traps.py replay FOLDER        both are replayed, the second one first: what the first left behind is not there

Both write JSON: by the name of the program, what was said of it.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path

import matrix
from matrix.runtime.program import Program, module_of_file


def program_of(path: Path) -> Program:
    """The one program in a file."""
    module = module_of_file(path)
    (found,) = (
        one for one in vars(module).values() if inspect.iscoroutinefunction(one) and one.__module__ == module.__name__
    )
    return found  # type: ignore[no-any-return]


def record(path: Path) -> str:
    """Run it twice; what the first of them failed with."""
    outcomes = matrix.run(program_of(path), store=f"runs-{path.stem}", simulations=2, at_once=1, index=False)
    error = outcomes[0].error
    return f"{type(error).__name__}: {error}" if error is not None else ""


def replay(path: Path, simulation: str) -> str:
    with matrix.open(f"runs-{path.stem}") as store:
        return str(store.replay(simulation))


def main(verb: str, folder: str) -> None:
    os.chdir(folder)
    said = {}
    for path in sorted(Path.cwd().glob("*.py")):
        said[path.stem] = [record(path)] if verb == "record" else [replay(path, id) for id in ("1-2", "1-1")]
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
