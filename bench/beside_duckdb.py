"""Matrix beside DuckDB: ten questions on the same events, each a file of ``questions/``.

python bench/beside_duckdb.py [--quick] [--events 1000000] [--folder FOLDER] [--only sequence,causes] [--json FILE]
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

QUESTIONS = Path(__file__).resolve().parent / "questions"
sys.path.insert(0, str(QUESTIONS))

from beside import parser_of, run  # noqa: E402  # the folder is on the path only now

NAMES = (
    "filter_and_sum",
    "kinds_per_minute",
    "top_agents",
    "text_search",
    "goal_succeeded",
    "goal_with_steps",
    "sequence",
    "causes",
    "caused_by",
    "chats",
)


def main() -> None:
    """Ask all questions, or some of them."""
    parser = parser_of(__doc__)
    parser.add_argument("--only", default=",".join(NAMES), help="some of the questions")
    given = parser.parse_args()
    files = [QUESTIONS / f"{name}.py" for name in given.only.split(",")]
    run({str(file): runpy.run_path(str(file))["QUESTION"] for file in files}, given)


if __name__ == "__main__":
    main()
