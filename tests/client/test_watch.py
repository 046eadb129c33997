"""Watches of a served store: the rows of a local watch, from one connection to the next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

import matrix
import matrix.client.watch
from matrix.errors import QueryError, UsageError
from tests.client.served import Served, serving

TOKEN = "the-token-of-this-test-which-is-long-enough"
TEXT = "events | select simulation, seq, kind, time, wall, data"


async def test_rows_are_those_of_a_local_watch_with_positions_that_either_goes_on_from(
    served: Served, local: matrix.Store
) -> None:
    async with matrix.connect(served.url, token=served.token) as remote:
        right = [row for row, _ in zip(local.watch(f"{TEXT} | limit 300", after="start"), range(300))]
        found = [row async for row in remote.watch(f"{TEXT} | limit 300", after="start")]
        assert found == right
        middle = found[150].position
        assert [row async for row in remote.watch(f"{TEXT} | limit 300", after=middle)] == right[151:]
        assert list(local.watch(f"{TEXT} | limit 300", after=middle)) == right[151:]
        columns = remote.watch(TEXT)
        await columns.begin()
        assert [name for name, _ in columns.columns] == [name for name, _ in local.watch(TEXT).columns]
        columns.close()


@pytest.mark.parametrize(
    ("text", "after", "kind", "words"),
    [
        ("events where rol = x", None, QueryError, 'did you mean "role"'),
        ("events | sort by time", None, QueryError, "sort"),
        ("explain events", None, QueryError, "explain is answered once, and a watch goes on"),
        ("events", "nonsense", UsageError, "'nonsense' is not a position of a watch"),
    ],
)
async def test_what_cannot_be_watched_is_the_same_error(
    served: Served, local: matrix.Store, text: str, after: str | None, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as right:
        next(iter(local.watch(text, after=after)))
    async with matrix.connect(served.url, token=served.token) as remote:
        with pytest.raises(kind) as found:
            await anext(remote.watch(text, after=after))
    assert words in str(found.value)
    if kind is QueryError:
        assert str(found.value) == str(right.value)


async def test_rows_come_while_they_are_written_and_outlive_the_server(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix.client.watch, "CLIENT_TRIES_MAX", 1_000)  # a server may take long to begin here
    monkeypatch.setattr(matrix.client.watch, "CLIENT_REST_MAX_S", 0.2)
    here, runtime = tmp_path / "here", tmp_path / "runtime"
    shutil.copytree(folder / "runs", here / "runs")
    told: list[int] = []
    begun = trio.Event()

    async def look(url: str) -> None:
        async with matrix.connect(url, token=TOKEN) as remote:
            rows = remote.watch("events drove | select .n as n | limit 4")
            await rows.begin()
            begun.set()
            async for row in rows:
                told.append(row["n"])

    async def drive(n: int) -> None:
        await trio.to_thread.run_sync(lambda: matrix.run(traffic, store=here / "runs", n=n))

    async def until(count: int) -> None:
        while len(told) < count:
            await trio.sleep(0.01)

    with trio.fail_after(100):
        async with trio.open_nursery() as nursery:
            with serving(here, runtime, "--token", TOKEN) as served:
                nursery.start_soon(look, served.url)
                await begun.wait()
                for n in (1, 2):
                    await drive(n)
                await until(2)
            await drive(3)
            with serving(here, runtime, "--token", TOKEN, port=served.port):
                await until(3)
                await drive(4)
                await until(4)
    assert told == [1, 2, 3, 4]


async def traffic(simulation: matrix.Simulation, n: int) -> None:
    simulation.emit("drove", n=n)
