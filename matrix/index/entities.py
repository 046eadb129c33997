"""What a batch of events says about entities and the catalogue, each written after what it builds on."""

from __future__ import annotations

import sqlite3

from matrix.index import agents, catalogue, goals, simulations
from matrix.index.batch import Batch


def write(connection: sqlite3.Connection, batch: Batch, *, times: int = 1) -> None:
    """Bring the rows of the batch's entities up to date; the catalogue counts its events ``times`` times."""
    simulations.write(connection, batch)
    touched = agents.write(connection, batch)
    goals.write(connection, batch, touched)
    simulations.write_states(connection, batch)
    catalogue.write(connection, batch, times=times)
