"""The tables of ``index.sqlite``, and how the file is opened and made.

What always holds:

- ``gid = (shard << 32) | ordinal`` names a simulation everywhere. Times are whole microseconds.
- ``forks``: events ``first_seq`` to ``last_seq`` of a fork lie where ``source`` wrote them; a fork whose parent's
  events are not there has one row without a source (see ``forks.py``).
- References to events (``goal``, ``parent``, ``cause``, ``end_seq``) are ``seq`` numbers, 0 for none; a time or a
  text that is not there is NULL; ``data`` is CBOR of a map whose top-level nulls are left out, NULL when it is empty.
- Tables that are only reached by their key are WITHOUT ROWID: one tree less to write for each goal.
- The version of this schema is SQLite's ``user_version``. There are no migrations: the file is derived, so another
  version is rebuilt from the log.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILE_NAME: Final = "index.sqlite"
APPLICATION_ID: Final = 0x4D_58_49_44  # "MXID"
SCHEMA_VERSION: Final = 2
BUSY_MILLISECONDS_MAX: Final = 120_000  # how long to wait for another process that follows
_BUSY_REST_MIN_S: Final = 0.000_5  # before the first further try
_BUSY_REST_MAX_S: Final = 0.01

TABLES: Final[dict[str, dict[str, type]]] = {
    "simulations": {
        "gid": int,
        "shard": int,
        "ordinal": int,
        "id": str,
        "name": str,
        "status": str,
        "seed": int,
        "started_seq": int,  # its simulation.started, 0 for none
        "start": int,  # wall clock of that event; of its first event where there is none
        "end": int,  # wall clock, NULL while it runs
        "ended_at": int,  # virtual time of its end, NULL while it runs
        "duration": int,  # virtual time of its last event
        "parent": str,
        "events": int,
        "agents": int,
        "data": bytes,
    },
    "agents": {
        "simulation": int,
        "number": int,
        "id": str,
        "role": str,
        "class": str,
        "status": str,
        "start": int,
        "end": int,
        "turns": int,
        "goal": int,
        "cause": int,
    },
    "goals": {
        "simulation": int,
        "seq": int,
        "name": str,
        "agent": int,
        "status": str,
        "start": int,
        "end": int,
        "start_turn": int,
        "turns": int,
        "steps": int,
        "reason": str,
        "parent": int,
        "end_seq": int,
        "data": bytes,
    },
    "states": {"simulation": int, "agent": int, "seq": int, "data": bytes},
    "forks": {"gid": int, "first_seq": int, "last_seq": int, "source": int},
    "segments": {
        "shard": int,
        "number": int,
        "generation": int,
        "first_position": int,
        "last_position": int,
        "is_sealed": int,
        "size_bytes": int,
    },
    "blocks": {
        "shard": int,
        "segment": int,
        "generation": int,
        "offset": int,
        "length": int,
        "count": int,
        "first_position": int,
        "last_position": int,
        "simulation_min": int,
        "simulation_max": int,
        "seq_min": int,
        "seq_max": int,
        "time_min": int,
        "time_max": int,
        "wall_min": int,
        "wall_max": int,
        "agent_min": int,
        "agent_max": int,
        "kinds": str,  # JSON: {kind: events}
    },
    "kinds": {"kind": str, "events": int},
    "paths": {"kind": str, "path": str, "type": str, "depth": int, "events": int},
    "witnesses": {"shard": int, "position": int, "segment": int, "generation": int, "offset": int},
}

KEYS: Final[dict[str, tuple[str, ...]]] = {
    "simulations": ("gid",),
    "agents": ("simulation", "number"),
    "goals": ("simulation", "seq"),
    "states": ("simulation", "agent"),
    "forks": ("gid", "first_seq"),
    "segments": ("shard", "number"),
    "blocks": ("shard", "segment", "offset"),
    "kinds": ("kind",),
    "paths": ("kind", "path", "type"),
    "witnesses": ("shard",),
}

#: Beside the keys. One index of goals serves both their owners (``agents where goal "close_deal" succeeded`` is one
#: probe for each agent) and the follower (an agent's running goals); a further one costs about 1 us for every goal.
INDEXES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "simulations": (("id",), ("status",)),
    "goals": (("simulation", "agent", "status", "name"),),
}


def index_name(table: str, columns: tuple[str, ...]) -> str:
    """How an index is named: ``goals_by_simulation_agent_status_name``."""
    return f"{table}_by_{'_'.join(columns)}"


def connect(path: Path | None) -> sqlite3.Connection:
    """A connection that any thread may use, one at a time; ``None`` is a database in memory."""
    name = ":memory:" if path is None else str(path)
    connection = sqlite3.connect(name, timeout=BUSY_MILLISECONDS_MAX / 1000, check_same_thread=False)
    try:
        connection.isolation_level = None  # transactions begin and end where the code says so
        connection.execute("PRAGMA journal_mode = WAL")
        # The index may lose its newest transactions in a power cut: it is behind the log then, and follows.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("CREATE TEMP TABLE IF NOT EXISTS touched (" + _TOUCHED + ") WITHOUT ROWID")
    except BaseException:
        connection.close()
        raise
    return connection


#: The agents that did something in the batch at hand: it goes to SQLite once, then it is joined (see agents.py).
_TOUCHED: Final = """
    simulation INTEGER, number INTEGER, turns INTEGER, goal INTEGER, start INTEGER, is_started INTEGER, id, role, class,
    cause, PRIMARY KEY (simulation, number)
"""


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Everything inside or nothing; takes SQLite's write lock at once, so what is read inside stays true."""
    _begin(connection)
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # what went wrong first is the error to see
            if connection.in_transaction:  # SQLite ends it by itself when the disk is full
                connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _begin(connection: sqlite3.Connection) -> None:
    """Take the write lock. SQLite waits for it in steps of up to 100 ms; who follows holds it for a few."""
    give_up_at = time.monotonic() + BUSY_MILLISECONDS_MAX / 1000
    rest_s = _BUSY_REST_MIN_S
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
            time.sleep(rest_s)
            rest_s = min(rest_s * 1.5, _BUSY_REST_MAX_S)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS_MAX}")


def version_of(connection: sqlite3.Connection) -> int | None:
    """The schema version of an index; 0 for an empty file, None for a database that is not an index."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == APPLICATION_ID:
        return int(version)
    return None if tables or application else 0


def create(connection: sqlite3.Connection) -> None:
    """Make all tables, dropping what is there; the caller holds a transaction.

    sqlite-utils is imported here, where a file is made, and nowhere else: importing it takes 0.2 s,
    and 0.7 s where pandas is installed, which it imports only to know one more type.
    """
    from sqlite_utils import Database

    _drop_all(connection)
    database = Database(connection, recursive_triggers=False, execute_plugins=False)  # nobody else's code in here
    for table, columns in TABLES.items():
        pk = KEYS[table][0] if len(KEYS[table]) == 1 else KEYS[table]
        sql = database.create_table_sql(table, columns, pk=pk, not_null=set(KEYS[table]))
        connection.execute(sql.rstrip().rstrip(";") + ("" if table == "simulations" else " WITHOUT ROWID"))
    for table, indexes in INDEXES.items():
        for names in indexes:
            database.table(table).create_index(list(names), index_name=index_name(table, names))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _drop_all(connection: sqlite3.Connection) -> None:
    found = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    for kind, name in found:
        if not name.startswith("sqlite_"):
            quoted = name.replace('"', '""')
            connection.execute(f'DROP {kind} "{quoted}"')


#: Everything that statements name: "goals", "goals.seq", "goals_by_simulation_agent_status_name".
LAYOUT: Final = frozenset(
    {
        *TABLES,
        *(f"{table}.{column}" for table, columns in TABLES.items() for column in columns),
        *(index_name(table, columns) for table, indexes in INDEXES.items() for columns in indexes),
    }
)


def layout(connection: sqlite3.Connection) -> set[str]:
    """The tables, columns and indexes that a database has, named as in ``LAYOUT``."""
    names = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    columns = (
        f"{table}.{row[1]}"
        for table in TABLES
        if table in names
        for row in connection.execute(f"PRAGMA table_info({table})")
    )
    return names.union(columns)
