"""Moments at which a query is given up, a process asked to stop, or a file gone: nobody else loses anything by it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
import trio

from matrix.limits import PAGE_BYTES_MAX
from matrix.server.contract import RequestError
from matrix.server.watches.member import Member
from matrix.server.watches.page import Page
from matrix.server.watches.pulse import Pulse
from matrix.server.watches.splice import spliced
from matrix.server.watches.words import Subscription
from matrix.server.work import worker as worker_module
from matrix.server.work.child import Child, Stopped
from matrix.server.work.desk import Desk
from matrix.server.work.job import Job
from matrix.server.work.order import Order
from matrix.server.work.refusal import Refused
from matrix.server.work.spill import Spill
from matrix.server.work.wire import Kind
from matrix.server.work.worker import working_process
from tests.server.working import QUICK, SLOW, Client, ask, asked, refused, until, working

MIB = 1024 * 1024


def order(request, file="/nowhere"):
    return Order(request, "json", 16, PAGE_BYTES_MAX, file)


def job_of(workers, request, client="ann"):
    """A job as a delivery makes one."""
    return Job(order(request), client, workers._spills.spill(client), workers._held)


# -- jobs ------------------------------------------------------------------------------------------


async def test_a_query_that_is_given_up_before_it_begins_never_does(big_store):
    async with working(big_store) as workers:
        crew = workers._queries
        await until(lambda: crew._idle)
        before = crew._idle[-1]
        job = job_of(workers, asked(SLOW))
        crew.submit(job)  # it has a process, and its task has not begun
        crew.drop(job)
        job.close()
        await until(lambda: not crew._at_work, 5)
        assert (crew.lane.running, crew.lane.waiting, crew.killed) == ([], 0, 0)
        assert before in crew._idle, "it was given nothing"


async def test_a_query_that_makes_room_and_is_given_up_does_not_begin_again(big_store):
    async with working(big_store) as workers:
        crew, job = workers._queries, job_of(workers, asked(SLOW))
        await until(lambda: crew._idle)
        crew.submit(job)
        await trio.sleep(0.2)
        job.stopped_for = "room"
        job.scope.cancel()
        crew.drop(job)
        job.close()
        await until(lambda: not crew._at_work, 5)
        assert (crew.lane.running, crew.lane.waiting) == ([], 0)


async def test_a_query_whose_process_dies_while_it_makes_room_has_its_last_reply(big_store):
    async with working(big_store) as workers:
        crew, job = workers._queries, job_of(workers, asked(SLOW))
        await until(lambda: crew._idle)
        crew.submit(job)
        await until(lambda: job.began_at is not None)
        job.stopped_for = "room"
        os.kill(crew._at_work[job].pid, 9)
        with trio.fail_after(20):
            message = await job.messages.receive()
        assert (message.kind, message.fields["error"]["code"]) == (Kind.FINISHED, "internal")
        crew.drop(job)
        job.close()


async def test_a_process_that_cannot_be_started_is_tried_again(small_store, monkeypatch, caplog):
    really, failures = worker_module.open_child, iter(range(2))

    async def open_child(*arguments, **options):
        if next(failures, None) is not None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return await really(*arguments, **options)

    monkeypatch.setattr(worker_module, "open_child", open_child)
    async with working(small_store) as workers:
        assert (await ask(workers, asked(QUICK))).rows == [[10]]
    assert caplog.text.count("could not be started: Too many open files") == 2


# -- processes -------------------------------------------------------------------------------------


async def test_a_process_is_asked_to_stop_while_it_is_answered(small_store):
    async with working_process(small_store, memory_bytes=1024 * MIB) as worker:
        assert (await worker.receive()).kind is Kind.READY
        async with trio.open_nursery() as nursery:
            nursery.start_soon(worker.answer, True)
            nursery.start_soon(worker.stop, 0)


@pytest.mark.parametrize(("unwanted", "code"), [(1, None), (2, "cancelled")])
async def test_a_stop_is_for_one_order_alone(big_store, unwanted, code):
    async with working_process(big_store, memory_bytes=1024 * MIB) as worker:
        assert (await worker.receive()).kind is Kind.READY
        for text in (QUICK, "events where .price > 3 | count by agent, kind"):
            assert await worker.give(order(asked(text)))
            if text == QUICK:
                assert (await finished(worker))["error"] is None
        await worker.stop(unwanted)
        error = (await finished(worker))["error"]
        assert (error and error["code"]) == code


STOPPED_IN_A_CALLBACK = """
import os, signal, sys, threading, weakref
from matrix.server.work import child as module

class Thing:
    pass

class Child(module.Child):
    def _warm_up(self):
        pass

    def _perform(self, desk):
        def callback(_):
            os.kill(os.getpid(), signal.SIGUSR1)
            for _ in range(1_000_000):
                pass
        self._unwanted = self._order
        thing = Thing()
        kept = weakref.ref(thing, callback)
        del thing
        threading.Event().wait(20)

module.Child = Child
module.main()
"""


def test_a_stop_between_a_question_and_its_answer_leaves_no_answer_behind(tmp_path):
    """It would be taken for the answer to the next order, whose file is not there yet."""
    read_end, write_end = os.pipe()
    try:
        child = Child(tmp_path, MIB, 0, write_end)
        child._order = child._unwanted = 1  # a stop has come for the order that is at work
        child._may_stop = True
        child._answers.put(True)
        with pytest.raises(Stopped):
            child._may(100)
        assert child._answers.empty()
    finally:
        os.close(read_end)
        os.close(write_end)


async def test_a_stop_in_the_callback_of_a_weak_reference_comes_again(small_store, monkeypatch, capfd):
    async def open_child(module, *arguments, **_):
        command = [sys.executable, "-c", STOPPED_IN_A_CALLBACK, *arguments]
        return await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(worker_module, "open_child", open_child)
    async with working_process(small_store, memory_bytes=1024 * MIB) as worker:
        assert (await worker.receive()).kind is Kind.READY
        assert await worker.give(order(asked(QUICK)))
        fields = await finished(worker)
        assert fields["error"]["code"] == "cancelled"
        assert fields["seconds"] < 15
    assert "Stopped" not in capfd.readouterr().err


async def finished(worker):
    with trio.fail_after(30):
        while (message := await worker.receive()).kind is not Kind.FINISHED:
            pass
    return message.fields


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 100_000])
def test_a_file_that_is_gone_is_no_mistake(tmp_path, rows):
    desk = Desk(order(asked("events", page=1), str(tmp_path / "gone")), lambda _: None, lambda: None, lambda _: True)
    desk._batches = 0
    with pytest.raises(Refused) as caught:
        desk.table(pa.table({"seq": range(rows)}))
    assert caught.value.fields["code"] == "memory"
    assert "could not be kept in a file: No such file or directory" in caught.value.fields["message"]
    with pytest.raises(Refused):
        desk.piece(["{}"])
    with pytest.raises(Refused):
        desk.kept_rows(0)
    desk.close()


class Full(Spill):
    """A file that may grow, on a disk that is full."""

    def __init__(self, spills):
        super().__init__(spills, "ann", Path("/dev/full"))

    def allow(self, size):
        return True


@pytest.mark.parametrize("fields", [{"type": "query"}, {"type": "export", "format": "jsonl"}])
async def test_a_disk_that_is_full_is_no_mistake(big_store, caplog, monkeypatch, fields):
    async with working(big_store) as workers:
        with monkeypatch.context() as patch:
            patch.setattr(workers._spills, "spill", lambda _: Full(workers._spills))
            error = await refused(workers, asked("events", **fields), credit=1)
        assert error["code"] == "memory"
        assert "could not be kept in a file: No space left on device" in error["message"]
        assert (await ask(workers, asked(QUICK))).rows == [[600]]
    assert "Traceback" not in caplog.text


def test_the_pulse_has_its_place_on_the_disk():
    pulse = Pulse.new()  # a hole would be a bus error for whoever writes into it when the disk is full
    try:
        assert os.fstat(pulse.descriptor).st_blocks > 0
    finally:
        pulse.close()


# -- watches ---------------------------------------------------------------------------------------


async def test_the_error_of_a_watch_waits_for_no_credit():
    client = Client(credit=1)
    member = Member(Subscription("events", {}, "json", "rows", 1), 1, client, after="start", lag_s=60)
    member.begin(spliced(['{"type":"schema","id":0,"columns":[]}'], "json", "schema"), None)
    for n in (1, 2):
        reply = spliced([f'{{"type":"batch","id":0,"count":1,"rows":[[{n}]]}}'], "json", "batch")
        member.add_page(Page(reply, rows=1, position=f"p{n}", on_taken=lambda: None, on_free=lambda _: None))
    member.end({"code": "internal", "message": "", "hint": "", "fix": ""})
    with pytest.raises(RequestError) as caught, trio.fail_after(5):
        await member.run()
    assert (caught.value.fields["code"], caught.value.fields["position"]) == ("internal", "p1")
    assert client.rows == [[1]]
