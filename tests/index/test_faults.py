"""Whatever happens to index.sqlite, the next follow mends it or says so; what the log lost is never hidden."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from matrix.errors import IndexAhead, LogCorrupt, StoreError
from matrix.index import catalogue, schema
from matrix.index.index import Followed, Index
from matrix.log.reader import LogReader
from tests.index.logs import digest, follow, trade, write_log


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of three simulations with its index, closed."""
    store = tmp_path / "runs"
    write_log(store, trade(1), trade(2), trade(3, is_over=False))
    assert follow(store).rebuilt_because is None
    return store


def test_a_deleted_index_is_made_again_equal(store: Path) -> None:
    before = digest(store)
    (store / "index.sqlite").unlink()
    assert follow(store) == Followed(events=95)
    assert digest(store) == before


@pytest.mark.parametrize("bytes_left", [1, 99, 4_096, 20_000])
def test_an_index_cut_off_is_rebuilt_and_says_so(store: Path, bytes_left: int) -> None:
    before = digest(store)
    with (store / "index.sqlite").open("r+b") as file:
        file.truncate(bytes_left)
    followed = follow(store)
    assert followed.events == 95
    assert followed.rebuilt_because is not None
    assert str(bytes_left) in followed.rebuilt_because
    assert digest(store) == before


def test_an_empty_file_counts_as_no_index(store: Path) -> None:
    before = digest(store)
    (store / "index.sqlite").write_bytes(b"")
    assert follow(store).events == 95
    assert digest(store) == before


def test_flipped_bits_never_stop_a_store_and_in_the_header_never_go_unnoticed(store: Path) -> None:
    before = digest(store)
    sound = (store / "index.sqlite").read_bytes()
    places = [*range(0, 100, 7), *random.Random(5).sample(range(100, len(sound)), 60)]
    for place in places:
        flipped = bytearray(sound)
        flipped[place] ^= 1 << random.Random(place).randrange(8)
        (store / "index.sqlite").write_bytes(flipped)
        follow(store)
        with Index.open(store) as index:
            if place < 16:
                assert index.dump_digest() == before
            index.rebuild(LogReader(store / "log"))
            assert index.dump_digest() == before, f"flipped at {place}"


@pytest.mark.parametrize("content", [b"this is not a database\n" * 50, b"\0" * 8_192])
def test_what_is_no_database_is_replaced(store: Path, content: bytes) -> None:
    before = digest(store)
    (store / "index.sqlite").write_bytes(content)
    followed = follow(store)
    assert followed.rebuilt_because is not None
    assert digest(store) == before


def test_another_schema_is_replaced_and_says_so(store: Path) -> None:
    before = digest(store)
    with Index.open(store) as index:
        index.connection.execute("PRAGMA user_version = 99")
        index.connection.execute("CREATE TABLE invented (later TEXT)")
    followed = follow(store)
    assert followed.rebuilt_because == "the schema of index.sqlite was version 99, not version 2"
    assert digest(store) == before
    with Index.open(store) as index:
        assert index.connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'invented'").fetchone() == (0,)


def test_a_table_that_is_missing_leads_to_a_rebuild(store: Path) -> None:
    before = digest(store)
    with Index.open(store) as index:
        index.connection.execute("DROP TABLE goals")
    write_log(store, trade(4))
    followed = follow(store)
    assert followed.rebuilt_because is not None
    assert followed.rebuilt_because.startswith("missing: goals, goals.agent, goals.data, ")
    (store / "index.sqlite").unlink()
    assert digest(store) != before


def test_damage_that_only_a_question_meets_is_mended(store: Path) -> None:
    write_log(store, *(trade(n, 40) for n in range(4, 20)))
    before = digest(store)
    damaged = bytearray((store / "index.sqlite").read_bytes())
    with Index.open(store) as index:
        reader = LogReader(store / "log")
        (root,) = index.connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'goals'").fetchone()
    damaged[(root - 1) * 4_096 : root * 4_096] = bytes(4_096)
    (store / "index.sqlite").write_bytes(damaged)
    with Index.open(store) as index:
        assert index.follow(reader) == Followed(events=0)
        with pytest.raises(sqlite3.DatabaseError) as caught:
            index.connection.execute("SELECT * FROM goals").fetchall()
        mended = index.mend(reader, caught.value)
        assert mended == Followed(events=95 + 16 * 202, rebuilt_because="database disk image is malformed")
        assert index.dump_digest() == before
        assert index.mend(reader, sqlite3.OperationalError("interrupted")) is None


def test_an_older_copy_follows_on(store: Path) -> None:
    older = (store / "index.sqlite").read_bytes()
    write_log(store, trade(4), trade(5))
    newer = digest(store)
    (store / "index.sqlite").write_bytes(older)
    assert follow(store) == Followed(events=64)
    assert digest(store) == newer


def test_an_index_ahead_of_the_log_is_an_alarm_until_a_person_accepts(store: Path) -> None:
    earlier = store.with_name("earlier")
    shutil.copytree(store / "log", earlier)
    write_log(store, trade(4))
    ahead = digest(store)
    shutil.rmtree(store / "log")
    shutil.copytree(earlier, store / "log")
    for _ in range(2):
        with pytest.raises(IndexAhead, match=r"up to position 127, the log ends at 95: .*matrix reindex"):
            follow(store)
    with Index.open(store) as index:
        assert index.dump_digest() == ahead
        assert index.rebuild(LogReader(store / "log")) == Followed(events=95, rebuilt_because="asked to")
    assert follow(store) == Followed(events=0)


def test_a_shard_that_is_gone_is_an_alarm(store: Path) -> None:
    shutil.rmtree(store / "log" / "0001")
    with pytest.raises(IndexAhead, match="shard 1"):
        follow(store)


def test_lost_positions_given_anew_are_noticed(store: Path) -> None:
    earlier = store.with_name("earlier")
    shutil.copytree(store / "log", earlier)
    write_log(store, trade(4))
    follow(store)
    shutil.rmtree(store / "log")
    shutil.copytree(earlier, store / "log")
    write_log(store, trade(4, wall=77_000))  # the same shape at the same place, told later
    followed = follow(store)
    assert followed.events == 127
    assert followed.rebuilt_because is not None
    assert "is not the block it was" in followed.rebuilt_because


def test_the_index_of_another_store_is_noticed(store: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_log(other, trade(1, 30, wall=9_000))
    expected = digest(other)
    shutil.copy(store / "index.sqlite", other / "index.sqlite")
    followed = follow(other)
    assert followed.rebuilt_because is not None
    assert digest(other) == expected


@pytest.mark.parametrize("has_index", [True, False])
def test_a_damaged_log_is_reported_by_the_log_not_hidden_by_the_index(store: Path, has_index: bool) -> None:
    (segment,) = (store / "log" / "0001").glob("*.seg")
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    if not has_index:
        (store / "index.sqlite").unlink()
    with pytest.raises(LogCorrupt, match=r"00000001\.seg: at byte \d+"):
        follow(store)


def test_a_failure_in_the_middle_of_a_batch_leaves_nothing_of_it(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(store)
    write_log(store, trade(4))

    def fail(*_: object, **__: object) -> None:
        raise OSError("no more")

    with monkeypatch.context() as patched:
        patched.setattr(catalogue, "write", fail)
        with pytest.raises(OSError, match="no more"):
            follow(store)
    with Index.open(store) as index:
        assert index.dump_digest() == before
    assert follow(store) == Followed(events=32)


def test_a_full_disk_is_a_clear_error_and_following_goes_on_afterwards(store: Path) -> None:
    write_log(store, *(trade(n, 40) for n in range(4, 30)))
    with Index.open(store) as index:
        (pages,) = index.connection.execute("PRAGMA page_count").fetchone()
        index.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"index\.sqlite: database or disk is full"):
            index.follow(LogReader(store / "log"))
        index.connection.execute("PRAGMA max_page_count = 1000000")
        assert index.follow(LogReader(store / "log")).events == 26 * 202
    followed = digest(store)
    (store / "index.sqlite").unlink()
    assert digest(store) == followed


def test_a_process_that_does_not_let_go_is_a_clear_error(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(store, trade(4))
    monkeypatch.setattr(schema, "BUSY_MILLISECONDS_MAX", 10)
    with Index.open(store) as index, sqlite3.connect(store / "index.sqlite") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked"):
            index.follow(LogReader(store / "log"))
        other.execute("ROLLBACK")
        assert index.follow(LogReader(store / "log")) == Followed(events=32)
    other.close()


def test_an_index_replaced_under_an_open_one_is_noticed(store: Path) -> None:
    before = digest(store)
    with Index.open(store) as index:
        (store / "index.sqlite").unlink()
        assert follow(store).events == 95
        write_log(store, trade(4))
        assert index.follow(LogReader(store / "log")) == Followed(events=32)
        after = index.dump_digest()
    assert before != after == digest(store)


READ_ONLY = """
import os, sys
from pathlib import Path
import sqlite_utils  # Python itself may lie where that other user cannot read
from matrix.index.index import Index
from matrix.log.reader import LogReader
store = Path(sys.argv[1])
os.setgid(65534), os.setuid(65534)
with Index.open(store) as index:
    print(index.is_in_memory, index.follow(LogReader(store / "log")).events, index.dump_digest())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("has_index", [True, False])
def test_in_a_folder_that_cannot_be_written_the_index_is_in_memory(store: Path, has_index: bool) -> None:
    expected = digest(store)
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        os.chmod(folder, 0o755)
        shutil.copytree(store, there := Path(folder) / "runs")
        there.chmod(0o755)
        if not has_index:
            (there / "index.sqlite").unlink()
        names = sorted(path.name for path in there.iterdir())
        done = subprocess.run([sys.executable, "-c", READ_ONLY, str(there)], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True", "95", expected]
        assert sorted(path.name for path in there.iterdir()) == names


def test_an_existing_index_is_opened_without_sqlite_utils(store: Path) -> None:
    told = """
import sys
from tests.index.logs import follow
from pathlib import Path
follow(Path(sys.argv[1]))
print([name for name in ("sqlite_utils", "pandas") if name in sys.modules])
"""
    run = [sys.executable, "-c", told, str(store)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"


def test_the_schema_is_what_the_index_reads(store: Path) -> None:
    with Index.open(store) as index:
        for table, columns in schema.TABLES.items():
            found = [row[1] for row in index.connection.execute(f"PRAGMA table_info({table})")]
            assert found == list(columns)
