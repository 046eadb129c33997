"""The guard: what no log has raises in a turn, and works as ever everywhere else."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime
import functools
import gc
import io
import logging
import multiprocessing
import os
import pickle
import random
import secrets
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from datetime import datetime as early_datetime
from functools import partial
from os import urandom as early_urandom
from pathlib import Path
from random import Random as EarlyRandom
from random import choice as early_choice
from time import time as early_time
from types import ModuleType
from typing import Any
from uuid import uuid4 as early_uuid4

import numpy as np
import pytest
import trio
from numpy.random import default_rng as early_default_rng

import matrix
from matrix.errors import ProgramError, UnrecordedInput
from matrix.runtime.guards.guarded import TABLE
from matrix.runtime.guards.standins import StandIn

ROOT = Path(__file__).parent.parent.parent


class Told(matrix.Agent):
    """Does one thing in its turn."""

    result: Any = None
    what: Callable[[], Any]

    async def run(self) -> None:
        type(self).result = type(self).what()


class Called(matrix.Agent):
    """Likewise, without a coroutine."""

    what: Callable[[], Any]

    def on_message(self, message: matrix.Message) -> None:
        type(self).what()


def in_a_turn(what: Callable[[], Any], store: Path, **options: Any) -> Any:
    """What ``what`` gives when an agent calls it in its turn; raises what it raised."""

    class One(Told):
        pass

    One.what = staticmethod(what)

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(One, "one")

    try:
        matrix.run(program, store=store, index=False, durability="os", **options)
    except matrix.SimulationFailed as failed:
        raise failed.outcome.error or failed from None
    return One.result


def do_nothing() -> None:
    """For threads."""


async def do_nothing_async() -> None:
    """For event loops."""


def closed(connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionRefusedError):
        connection.connect(("127.0.0.1", 9))


def bound() -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))


def pooled() -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(do_nothing).result()


def started_and_joined() -> None:
    thread = threading.Thread(target=do_nothing)
    thread.start()
    thread.join()


def read_with_default(clock: Callable[[], float] = time.time) -> float:
    return clock()


class Held:
    """Holds a clock as people do."""

    clock = time.time
    plain = staticmethod(time.monotonic)


# What is used, how it is called in the message, and what the message tells to use in its place.
USES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "time": (lambda: time.time(), "time.time", "self.now"),
    "time_ns": (lambda: time.time_ns(), "time.time_ns", "self.now"),
    "monotonic": (lambda: time.monotonic(), "time.monotonic", "self.now"),
    "monotonic_ns": (lambda: time.monotonic_ns(), "time.monotonic_ns", "self.now"),
    "perf_counter": (lambda: time.perf_counter(), "time.perf_counter", "self.now"),
    "perf_counter_ns": (lambda: time.perf_counter_ns(), "time.perf_counter_ns", "self.now"),
    "process_time": (lambda: time.process_time(), "time.process_time", "self.now"),
    "localtime": (lambda: time.localtime(), "time.localtime", "self.now"),
    "gmtime": (lambda: time.gmtime(None), "time.gmtime", "self.now"),
    "strftime": (lambda: time.strftime("%Y"), "time.strftime", "self.now"),
    "ctime": (lambda: time.ctime(), "time.ctime", "self.now"),
    "sleep": (lambda: time.sleep(0), "time.sleep", "await self.sleep(seconds)"),
    "datetime.now": (lambda: datetime.datetime.now(), "datetime.datetime.now", "self.now"),
    "datetime.now utc": (lambda: early_datetime.now(datetime.UTC), "datetime.datetime.now", "self.now"),
    "datetime.today": (lambda: datetime.datetime.today(), "datetime.date.today", "self.now"),
    "date.today": (lambda: date.today(), "datetime.date.today", "self.now"),
    "trio.current_time": (lambda: trio.current_time(), "trio.current_time", "self.now"),
    "trio.move_on_after": (lambda: trio.move_on_after(5), "trio.move_on_after", "self.move_on_after(seconds)"),
    "random": (lambda: random.random(), "random.random", "self.random"),
    "choice": (lambda: random.choice([1]), "random.choice", "self.random"),
    "shuffle": (lambda: random.shuffle([1, 2]), "random.shuffle", "self.random"),
    "seed": (lambda: random.seed(1), "random.seed", "self.random"),
    "Random()": (lambda: EarlyRandom(), "random.Random() without a seed", "self.random"),
    "SystemRandom": (lambda: random.SystemRandom().random(), "random.SystemRandom.random", "self.random"),
    "secrets": (lambda: secrets.token_hex(4), "secrets.token_hex", "self.random"),
    "secrets.choice": (lambda: secrets.choice("ab"), "secrets.choice", "self.random"),
    "urandom": (lambda: os.urandom(4), "os.urandom", "await self.call(os.urandom, 16)"),
    "getrandom": (lambda: os.getrandom(4), "os.getrandom", "self.random"),
    "uuid1": (lambda: uuid.uuid1(), "uuid.uuid1", "self.uuid()"),
    "uuid4": (lambda: uuid.uuid4(), "uuid.uuid4", "self.uuid()"),
    "np.rand": (lambda: np.random.rand(), "numpy.random.rand", "self.numpy_stream()"),
    "np.seed": (lambda: np.random.seed(1), "numpy.random.seed", "self.numpy_stream()"),
    "np.default_rng": (lambda: np.random.default_rng(), "numpy.random without a seed", "self.numpy_stream()"),
    "np.RandomState": (lambda: np.random.RandomState(), "numpy.random without a seed", "self.numpy_stream()"),
    "connect": (lambda: closed(socket.socket()), "socket.socket.connect", "await self.call(function, ...)"),
    "bind": (bound, "socket.socket.bind", "await self.call(function, ...)"),
    "getaddrinfo": (lambda: socket.getaddrinfo("127.0.0.1", 80), "socket.getaddrinfo", "await self.call"),
    "thread": (started_and_joined, "threading.Thread.start", "await self.call(function, ...)"),
    "pool": (pooled, "concurrent.futures.thread.ThreadPoolExecutor.submit", "await self.call(function, ...)"),
    "process": (lambda: subprocess.run(["true"], check=True), "subprocess", "await self.call(function, ...)"),
    "system": (lambda: os.system("true"), "os.system", "await self.call(function, ...)"),
    "early time": (lambda: early_time(), "time.time", "self.now"),
    "early choice": (lambda: early_choice([1]), "random.choice", "self.random"),
    "early uuid4": (lambda: early_uuid4(), "uuid.uuid4", "self.uuid()"),
    "early urandom": (lambda: early_urandom(1), "os.urandom", "self.random"),
    "early default_rng": (lambda: early_default_rng(), "numpy.random without a seed", "self.numpy_stream()"),
    "default of a parameter": (lambda: read_with_default(), "time.time", "self.now"),
    "class attribute": (lambda: Held().clock(), "time.time", "self.now"),
    "static method": (lambda: Held.plain(), "time.monotonic", "self.now"),
    "key of a sort": (lambda: sorted([1, 2], key=lambda _: random.random()), "random.random", "self.random"),
    "partial": (lambda: partial(read_with_default)(), "time.time", "self.now"),
}


@pytest.mark.parametrize("name", USES)
def test_what_no_log_has_raises_in_a_turn_and_names_the_replacement(name: str, tmp_path: Path) -> None:
    what, said, instead = USES[name]
    with pytest.raises(UnrecordedInput) as caught:
        in_a_turn(what, tmp_path)
    text = str(caught.value)
    assert said in text
    assert instead in text
    assert "at test_guard.py:" in text
    assert "in a turn of one" in text


@pytest.mark.parametrize("name", USES)
def test_with_the_guard_off_it_passes(name: str, tmp_path: Path) -> None:
    in_a_turn(USES[name][0], tmp_path, guard="off")


@pytest.mark.parametrize("name", USES)
def test_outside_turns_it_passes_while_a_runtime_is_open(name: str, tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        """Ends at once; by then its stand-ins are in place."""

    async def main() -> None:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            await runtime.run(program)
            assert isinstance(time.time, StandIn)
            USES[name][0]()

    trio.run(main)


def test_asyncio_is_refused_and_leaves_no_coroutine_behind(tmp_path: Path) -> None:
    with pytest.raises(UnrecordedInput, match=r"asyncio.*self\.call"):
        in_a_turn(lambda: asyncio.run(do_nothing_async()), tmp_path)
    gc.collect()  # a coroutine that was never awaited would warn here, and warnings are errors


def test_input_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\nyes\n"))
    with pytest.raises(UnrecordedInput, match=r"^input at "):
        in_a_turn(lambda: input(), tmp_path)
    assert in_a_turn(lambda: input(), tmp_path, guard="off") == "yes"


def test_a_process_of_multiprocessing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnrecordedInput, match="multiprocessing"):
        in_a_turn(lambda: multiprocessing.get_context("fork").Process(target=do_nothing).start(), tmp_path)


def test_the_message_names_the_line_that_used_it(tmp_path: Path) -> None:
    def reads_the_clock() -> float:
        return time.time()

    line = reads_the_clock.__code__.co_firstlineno + 1
    with pytest.raises(UnrecordedInput, match=f"^time.time at test_guard.py:{line} in a turn of one "):
        in_a_turn(reads_the_clock, tmp_path)


def test_a_use_by_a_library_names_the_programs_line_and_the_library(tmp_path: Path) -> None:
    def asks() -> None:
        socket.create_connection(("127.0.0.1", 9))

    line = asks.__code__.co_firstlineno + 1
    with pytest.raises(UnrecordedInput, match=rf"socket.getaddrinfo at test_guard.py:{line} \(through socket\)"):
        in_a_turn(asks, tmp_path)


def test_an_agent_that_is_called_is_guarded_too_and_told_that_it_cannot_wait(tmp_path: Path) -> None:
    class Clock(Called):
        what = staticmethod(lambda: time.time())

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Clock, "clock")
        simulation.send("clock")

    with pytest.raises(matrix.SimulationFailed, match=r"in a turn of clock .*\(async agents only\)"):
        matrix.run(program, store=tmp_path, index=False)
    assert matrix.run(program, store=tmp_path, index=False, guard="off").status == "finished"


def test_the_program_is_guarded_and_told_of_the_simulation(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        random.random()

    with pytest.raises(matrix.SimulationFailed, match=r"in a turn of the program .*use simulation\.random"):
        matrix.run(program, store=tmp_path, index=False)


def test_cleanup_is_guarded(tmp_path: Path) -> None:
    class Waits(matrix.Agent):
        async def run(self) -> None:
            try:
                await self.receive()
            finally:
                time.time()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waits, "closed")
        simulation.spawn(Waits, "cancelled")
        await simulation.sleep(1)
        simulation.cancel("cancelled")

    with pytest.raises(matrix.SimulationFailed, match="in a turn of cancelled"):
        matrix.run(program, store=tmp_path, index=False)

    async def quiet(simulation: matrix.Simulation) -> None:
        simulation.spawn(Waits, "closed")

    with pytest.raises(matrix.SimulationFailed, match="in a turn of closed"):
        matrix.run(quiet, store=tmp_path, index=False)


# -- what works ------------------------------------------------------------------------------------


def reads_everything() -> list[str]:
    return [type(what()).__name__ for name, (what, _, _) in USES.items() if not name.startswith("trio.")]


async def reads_in_trio() -> float:
    await trio.sleep(0)
    with trio.move_on_after(5):
        return time.time() + trio.current_time()
    raise AssertionError("no time was over")


def test_functions_of_calls_may_use_everything(tmp_path: Path) -> None:
    class Asks(matrix.Agent):
        async def run(self) -> None:
            assert len(await self.call(reads_everything)) == len(USES) - 2
            assert await self.call(reads_in_trio) > 0
            assert await self.call(time.time) > 0
            assert len(await self.call(os.urandom, 16)) == 16

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Asks, "one")

    assert matrix.run(program, store=tmp_path, index=False).status == "finished"


def test_the_agents_own_door_is_open(tmp_path: Path) -> None:
    class Draws(matrix.Agent):
        async def run(self) -> None:
            rng = self.numpy_stream("prices")
            self.emit(
                "drew",
                random=self.random.random(),
                choice=self.random.choice([1, 2, 3]),
                sample=self.random.sample(range(9), 3),
                more=self.stream("more").gauss(0, 1),
                seeded=random.Random(7).random() + np.random.default_rng(7).random(),
                numpy=float(rng.random()) + int(rng.integers(9)),
                uuid=str(self.uuid()),
                now=self.now,
            )

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Draws, "one")
        simulation.emit("name", uuid=str(simulation.uuid()))

    digests = {matrix.run(program, store=tmp_path, index=False, seed=3).digest for _ in range(2)}
    assert len(digests) == 1


def test_what_reads_nothing_passes_in_a_turn(tmp_path: Path) -> None:
    def convert() -> tuple[Any, ...]:
        return (
            time.gmtime(0).tm_year,
            time.strftime("%Y", time.gmtime(0)),
            datetime.datetime(2024, 2, 3).isoformat(),
            datetime.datetime.fromtimestamp(0, datetime.UTC).year,
            str(uuid.UUID(int=5)),
            uuid.uuid5(uuid.NAMESPACE_DNS, "x").version,
        )

    assert in_a_turn(convert, tmp_path)[:2] == (1970, "1970")


def test_logging_warnings_and_tracebacks_work_in_a_turn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def tells() -> str:
        logging.getLogger("shop").info("sold %d", 3)
        logging.getLogger("shop").warning("now %s", logging.Formatter("%(asctime)s").formatTime(caplog.records[-1]))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("cheap", stacklevel=1)
        assert len(caught) == 1
        try:
            raise ValueError("no lamp")
        except ValueError:
            logging.getLogger("shop").exception("failed")
            return traceback.format_exc()

    with caplog.at_level(logging.INFO):
        assert "no lamp" in in_a_turn(tells, tmp_path)
    assert [record.getMessage().split()[0] for record in caplog.records] == ["sold", "now", "failed"]


def test_what_a_log_handler_does_is_not_refused(tmp_path: Path) -> None:
    seen: list[float] = []

    class Stamps(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(time.time() + datetime.datetime.now().year)

    logger = logging.getLogger("stamped")
    logger.addHandler(handler := Stamps())
    try:
        in_a_turn(lambda: logger.warning("x"), tmp_path)
    finally:
        logger.removeHandler(handler)
    assert len(seen) == 1


INFRASTRUCTURE = ["logging.handlers", "pdb", "bdb", "coverage.collector", "cProfile", "linecache", "_pytest.capture"]


@pytest.mark.parametrize("module", [*INFRASTRUCTURE, "hypothesis.internal", "trio._core._run", "tqdm.std"])
def test_infrastructure_may_look_at_the_clock_in_a_turn_and_others_may_not(module: str, tmp_path: Path) -> None:
    def uses(name: str) -> Callable[[], float]:
        there: dict[str, Any] = {"__name__": name, "time": time}
        exec("def looks():\n    return time.time()\n", there)
        return there["looks"]  # type: ignore[no-any-return]

    assert in_a_turn(uses(module), tmp_path) > 0
    with pytest.raises(UnrecordedInput):
        in_a_turn(uses(f"my_{module}"), tmp_path)


def test_with_warn_each_place_is_told_once_and_gets_what_it_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def looks() -> list[float]:
        return [time.time() for _ in range(3)] + [time.time()] + [random.random()]

    assert in_a_turn(looks, tmp_path, guard="warn")[0] > 1e9
    told = [r.getMessage() for r in caplog.records if r.name == "matrix" and r.levelno == logging.WARNING]
    line = looks.__code__.co_firstlineno + 1
    assert [text.split(" in a turn")[0] for text in told] == [
        f"time.time at test_guard.py:{line}",
        f"random.random at test_guard.py:{line}",
    ]
    assert "use self.random" in told[1]
    caplog.clear()
    in_a_turn(lambda: uuid.uuid1(node=5), tmp_path, guard="warn")
    assert [record.getMessage().split(" at ")[0] for record in caplog.records] == ["uuid.uuid1"]  # not its clock too
    caplog.clear()
    in_a_turn(looks, tmp_path, guard="warn")
    assert len(caplog.records) == 2  # another run is told anew


def test_a_debugger_works_in_a_turn(tmp_path: Path) -> None:
    """What is typed there may look at the clock; the program after it may not."""
    (tmp_path / "debugged.py").write_text(
        textwrap.dedent(
            """
            import time
            import matrix

            class A(matrix.Agent):
                async def run(self):
                    breakpoint()
                    self.emit("went on")

            async def program(simulation):
                simulation.spawn(A, "a")

            if __name__ == "__main__":
                print(matrix.run(program, store="runs", index=False).events)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "debugged.py"],
        input="import time\np time.time() > 5\np self.id\nc\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "True" in done.stdout
    assert "'a'" in done.stdout


def test_finalizers_collections_and_signals_in_a_turn_are_none_of_the_programs(tmp_path: Path) -> None:
    seen: list[str] = []

    class Dies:
        def __del__(self) -> None:
            time.time()
            seen.append("finalizer")

    def collected(phase: str, info: dict[str, int]) -> None:
        time.perf_counter()
        seen.append("collection")

    def signalled(number: int, frame: Any) -> None:
        time.time()
        seen.append("signal")

    def turns() -> None:
        Dies()
        gc.collect()
        signal.raise_signal(signal.SIGUSR2)

    gc.callbacks.append(collected)
    before = signal.signal(signal.SIGUSR2, signalled)
    try:
        in_a_turn(turns, tmp_path)
    finally:
        signal.signal(signal.SIGUSR2, before)
        gc.callbacks.remove(collected)
    assert {"finalizer", "collection", "signal"} <= set(seen)


def test_an_import_in_a_turn_may_read_the_clock_and_binds_what_is_guarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_import_of_a_turn.py").write_text("from time import time\nbegan = time()\n")
    monkeypatch.syspath_prepend(tmp_path)

    def imports() -> float:
        import late_import_of_a_turn

        assert late_import_of_a_turn.began > 0
        return late_import_of_a_turn.time()  # type: ignore[no-any-return]

    with pytest.raises(UnrecordedInput, match=r"time\.time"):
        in_a_turn(imports, tmp_path / "runs")
    late = sys.modules.pop("late_import_of_a_turn")
    assert late.time is time.time
    assert not isinstance(late.time, StandIn)


def test_a_module_of_the_table_that_is_loaded_in_a_turn_is_guarded_at_once(tmp_path: Path) -> None:
    (tmp_path / "loads.py").write_text(
        textwrap.dedent(
            """
            import sys
            import matrix

            class A(matrix.Agent):
                async def run(self):
                    assert "asyncio" not in sys.modules and "concurrent.futures.thread" not in sys.modules
                    import concurrent.futures
                    try:
                        concurrent.futures.ThreadPoolExecutor(1).submit(print)
                    except matrix.MatrixError as error:
                        print(error)

            async def program(simulation):
                simulation.spawn(A, "a")

            matrix.run(program, store="runs", index=False)
            import concurrent.futures
            print(concurrent.futures.ThreadPoolExecutor(1).submit(len, "abc").result())
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "loads.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    refused, after = done.stdout.splitlines()
    assert refused.startswith("concurrent.futures.thread.ThreadPoolExecutor.submit at loads.py:")
    assert after == "3"


# -- put in place, and taken out again ---------------------------------------------------------------


def everything_guarded() -> dict[str, Any]:
    """Each name of the table that this Python has, with what stands there."""
    found = {}
    for row in TABLE:
        module = sys.modules.get(row.module)
        owner = getattr(module, row.cls, None) if row.cls else module
        for name in row.names if owner is not None else ():
            if name in vars(owner):
                found[f"{row.module}.{row.cls}.{name}"] = vars(owner)[name]
    return found | {f"early {n}": v for n, v in globals().items() if n.startswith("early_")} | dict(vars(Held))


def test_everything_is_as_it_was_after_the_runtime_closed_also_after_an_error(tmp_path: Path) -> None:
    before = everything_guarded()
    with pytest.raises(UnrecordedInput):
        in_a_turn(lambda: time.time(), tmp_path)
    after = everything_guarded()
    assert [name for name in after if after[name] is not before.get(name)] == []
    assert after.keys() == before.keys()
    assert read_with_default.__defaults__ == (time.time,)
    assert not any("_Late" in type(finder).__name__ for finder in sys.meta_path)


def test_several_runtimes_share_the_stand_ins_until_the_last_one_closes(tmp_path: Path) -> None:
    async def program(simulation: matrix.Simulation) -> None:
        """Nothing."""

    async def main() -> None:
        async with matrix.open_runtime(tmp_path, index=False) as first:
            assert not isinstance(time.time, StandIn)  # no simulation yet
            async with matrix.open_runtime(tmp_path, index=False) as second:
                await first.run(program)
                stand_in = time.time
                assert isinstance(stand_in, StandIn)
                await second.run(program)
                assert time.time is stand_in
            assert time.time is stand_in
        assert not isinstance(time.time, StandIn)

    trio.run(main)


def test_simulations_without_a_guard_replace_nothing(tmp_path: Path) -> None:
    assert isinstance(in_a_turn(lambda: time.time, tmp_path), StandIn)
    assert not isinstance(in_a_turn(lambda: time.time, tmp_path, guard="off"), StandIn)


def test_each_simulation_has_its_own_mode(tmp_path: Path) -> None:
    class Reads(matrix.Agent):
        async def run(self) -> None:
            time.time()

    async def program(simulation: matrix.Simulation) -> None:
        simulation.spawn(Reads, "one")

    async def main() -> list[str]:
        async with matrix.open_runtime(tmp_path, index=False) as runtime:
            both = [await runtime.start(program, guard=guard) for guard in ("raise", "off")]
            return [(await simulation.wait()).status for simulation in both]

    assert trio.run(main) == ["failed", "finished"]


def test_what_somebody_else_puts_in_the_place_of_a_stand_in_stays(tmp_path: Path) -> None:
    def fake() -> float:
        return 5.0

    def replaces() -> float:
        time.time = fake
        return time.time()

    real = time.time
    try:
        assert in_a_turn(replaces, tmp_path) == 5.0
        assert time.time is fake
    finally:
        time.time = real


def test_a_stand_in_is_taken_for_what_it_stands_for(tmp_path: Path) -> None:
    def looks() -> tuple[Any, ...]:
        class Has:
            clock = time.localtime

        return time.time.__name__, time.time.__doc__, pickle.dumps(time.time), Has().clock(0).tm_year in (1969, 1970)

    name, doc, pickled, works = in_a_turn(looks, tmp_path)
    assert (name, doc) == ("time", time.time.__doc__)
    assert pickle.loads(pickled) is time.time
    assert works


def test_other_threads_are_free_while_a_turn_is_taken(tmp_path: Path) -> None:
    asked, told = threading.Event(), threading.Event()
    seen: list[float] = []

    def other() -> None:
        asked.wait(10)
        seen.append(time.time() + random.random())
        told.set()

    thread = threading.Thread(target=other)
    thread.start()

    def turn() -> None:
        asked.set()
        assert told.wait(10)

    in_a_turn(turn, tmp_path)
    thread.join()
    assert len(seen) == 1


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="guard is one of raise, warn, off, not 'maybe'"):
        in_a_turn(do_nothing, tmp_path, guard="maybe")


@pytest.fixture
def neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A program in one file, its clock in the file beside it, and its agents in a package beside both."""
    (tmp_path / "clock_beside_it.py").write_text("from time import time as now\n")
    package = tmp_path / "agents_beside_it"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "reader.py").write_text(
        "import matrix\nfrom random import random as draw\n"
        "class Draws(matrix.Agent):\n    async def run(self):\n        draw()\n"
    )
    (tmp_path / "program_beside_them.py").write_text(
        "import matrix, clock_beside_it\nfrom agents_beside_it.reader import Draws\n"
        "class Reads(matrix.Agent):\n    async def run(self):\n        clock_beside_it.now()\n"
        "async def program(simulation, which='Reads'):\n    simulation.spawn(globals()[which], 'one')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import program_beside_them

    yield program_beside_them
    for name in ("clock_beside_it", "agents_beside_it", "agents_beside_it.reader", "program_beside_them"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("which", "said"), [("Reads", "time.time"), ("Draws", "random.random")])
def test_names_that_modules_beside_the_program_bound_before_are_guarded(
    neighbours: ModuleType, tmp_path: Path, which: str, said: str
) -> None:
    with pytest.raises(matrix.SimulationFailed, match=said):
        matrix.run(neighbours.program, store=tmp_path / "runs", index=False, which=which)
    assert neighbours.clock_beside_it.now is time.time


def test_early_bound_drawing_in_a_library_is_caught_by_the_shared_generator(tmp_path: Path) -> None:
    bound_early = functools.partial(random._inst.uniform, 0, 1)  # type: ignore[attr-defined]
    with pytest.raises(UnrecordedInput, match=r"the module random at test_guard\.py"):
        in_a_turn(lambda: bound_early(), tmp_path)
