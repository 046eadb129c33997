"""What of a store is in a selection: kinds of events and goals, role by role, and what is left out.

Counted are the events and goals of the agents whose rows were reported, beside those of all agents of the store. What
simulations write in no agent's name belongs to no row, and is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from matrix.query.result import Result
from matrix.report.rows import NOBODY

Ask = Callable[[str], Result]

_AGENTS = "agents | count by simulation, id, role"
_KINDS = "events where agent exists | count by simulation, agent, role, kind"
_GOALS = "goals | count by simulation, agent, role, name, status"


def coverage(ask: Ask, chosen: Collection[tuple[str, str]]) -> dict[str, Any]:
    """roles kinds goals: each with the counts of the whole ``store`` and of the ``selection``, and what is ``missing``.

    ``chosen`` are pairs of a simulation's id and an agent's.
    """
    keys = pa.array([_key(simulation, agent) for simulation, agent in chosen], pa.large_string())
    roles = _counts(ask(_AGENTS).table, "id", (), keys)
    kinds = _counts(ask(_KINDS).table, "agent", ("kind",), keys)
    goals = _counts(ask(_GOALS).table, "agent", ("name", "status"), keys)
    return {
        "roles": [{"role": role, **counts} for (role,), counts in roles.items()],
        "kinds": [{"role": role, "kind": kind, **counts} for (role, kind), counts in kinds.items()],
        "goals": [
            {"role": role, "goal": goal, "status": status, **counts} for (role, goal, status), counts in goals.items()
        ],
        "missing": {
            "roles": sorted({role for (role,), counts in roles.items() if not counts["selection"]}),
            "kinds": _missing(kinds),
            "goals": _missing(goals),
        },
    }


def _missing(counted: dict[tuple[str, ...], dict[str, int]]) -> list[str]:
    """Names that the store has, and the selection has not, whatever the role."""
    names = {key[1] for key in counted}
    return sorted(names - {key[1] for key, counts in counted.items() if counts["selection"]})


def _counts(
    table: pa.Table, agent: str, columns: tuple[str, ...], chosen: pa.Array
) -> dict[tuple[str, ...], dict[str, int]]:
    """By role and columns the sums of ``count``, of all rows and of those of chosen agents; in order."""
    if not table.num_rows:
        return {}
    text = {name: _text(table[name]) for name in ("simulation", agent, "role", *columns)}
    key = pc.binary_join_element_wise(text["simulation"], text[agent], pa.scalar("\n", pa.large_string()))
    is_chosen = pc.is_in(key, value_set=chosen)
    count = pc.cast(table["count"], pa.int64())
    arrays = {name: text[name] for name in ("role", *columns)} | {
        "store": count,
        "selection": pc.if_else(is_chosen, count, pa.scalar(0, pa.int64())),
    }
    names = ["role", *columns]
    summed = pa.table(arrays).group_by(names).aggregate([("store", "sum"), ("selection", "sum")])
    rows = summed.to_pylist()
    found = {
        tuple(row[name] for name in names): {"store": row["store_sum"], "selection": row["selection_sum"]}
        for row in rows
    }
    return dict(sorted(found.items()))


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.cast(column, pa.large_string()), NOBODY)


def _key(simulation: str, agent: str) -> str:
    return f"{simulation}\n{agent}"
