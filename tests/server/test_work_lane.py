"""Whose turn it is: places, clients in turn, and long queries that make room."""

import pytest
import trio
import trio.testing

from matrix.server.contract import Request, RequestError
from matrix.server.work.held import Held
from matrix.server.work.job import Job
from matrix.server.work.lane import Lane
from matrix.server.work.order import Order
from matrix.server.work.spill import Spills
from matrix.server.work.wire import Kind, Message


def lane(**given):
    return Lane(**{"places": 4, "kept": 1, "per_client": 2, "waiting": 32, **given})


class Clients:
    """Jobs by a name such as "a1": the first of client a."""

    def __init__(self):
        self.held = Held(most=100, most_per_client=100)
        self.names = {}

    def job(self, name, **given):
        order = Order(Request("query", name), "json", 1, 1, "")
        job = Job(order, name[0], None, self.held, **given)
        self.names[job] = name
        return job

    def begin(self, lane):
        begun = []
        while (job := lane.next()) is not None:
            begun.append(self.names[job])
        return begun


@pytest.fixture
async def clients():
    return Clients()


async def test_clients_take_turns_and_have_two_places_each(clients):
    some = lane()
    for name in ("a1", "a2", "a3", "b1", "c1"):
        some.add(clients.job(name))
    assert clients.begin(some) == ["a1", "b1", "c1", "a2"]
    assert some.waiting == 1
    some.remove(some.running[1])
    assert clients.begin(some) == [], "a has two places already"
    some.remove(some.running[0])
    assert clients.begin(some) == ["a3"]


async def test_more_than_may_wait_are_busy_but_not_those_that_go_on(clients):
    some = lane(waiting=2)
    some.add(clients.job("a1"))
    some.add(clients.job("a2"))
    with pytest.raises(RequestError) as caught:
        some.add(clients.job("b1"))
    assert caught.value.fields["code"] == "busy"
    some.add(clients.job("a3", goes_on=True))
    assert clients.begin(some) == ["a3", "a1"]


async def test_of_four_long_ones_the_last_makes_room_when_somebody_waits(clients):
    some = lane()
    for name in ("a1", "a2", "b1", "b2"):
        some.add(clients.job(name))
    assert len(clients.begin(some)) == 4
    for job in some.running:
        job.is_long = True
    assert some.makes_room() is None, "nobody waits"
    some.add(clients.job("c1"))
    last = some.makes_room()
    assert clients.names[last] == "b2"
    some.again(last)
    assert clients.begin(some) == ["c1"]
    some.add(clients.job("b3"))
    assert clients.begin(some) == [] and some.makes_room() is None, "its client still has two places"


async def test_one_that_made_room_begins_again_when_a_place_for_long_ones_is_free(clients):
    some = lane()
    for name in ("a1", "a2", "b1", "b2"):
        some.add(clients.job(name))
    clients.begin(some)
    for job in some.running:
        job.is_long = True
    some.add(clients.job("c1"))
    some.again(some.makes_room())
    assert clients.begin(some) == ["c1"]
    some.remove(some.running[-1])
    assert clients.begin(some) == [], "three long ones are at work, and the fourth place is kept"
    some.remove(some.running[0])
    assert clients.begin(some) == ["b2"]


async def test_one_that_has_said_something_does_not_begin_again(clients):
    some = lane(places=2)
    for name in ("a1", "b1"):
        some.add(clients.job(name))
    clients.begin(some)
    for job in some.running:
        job.is_long = True
    some.running[1].say(Message(Kind.FRAMES, [], {}))
    some.add(clients.job("c1"))
    assert clients.names[some.makes_room()] == "a1"


async def test_what_is_dropped_waits_no_more(clients):
    some = lane(places=1, kept=1)
    jobs = [clients.job(name) for name in ("a1", "a2", "b1")]
    for job in jobs:
        some.add(job)
    some.remove(jobs[0])
    some.remove(jobs[2])
    assert clients.begin(some) == ["a2"]
    assert some.waiting == 0


async def test_files_are_counted_before_they_are_written_and_gone_with_their_request():
    spills = Spills(most=100, most_per_client=60)
    spills.open()
    first, second, third = spills.spill("a"), spills.spill("a"), spills.spill("b")
    assert first.allow(50) and first.path.stat().st_mode & 0o777 == 0o600
    assert first.path.parent.stat().st_mode & 0o777 == 0o700
    assert not second.allow(11) and not second.path.exists(), "one client may have 60"
    assert second.allow(10) and third.allow(40)
    assert not third.allow(1), "all may have 100"
    first.close()
    assert not first.path.exists() and spills.size_bytes == 50
    assert not first.allow(1), "its request has ended"
    folder = second.path.parent
    second.close()
    third.close()
    spills.close()
    assert spills.size_bytes == 0 and not folder.exists()


async def test_who_would_make_more_waits_while_too_much_is_in_hand(autojump_clock):
    held = Held(most=100, most_per_client=60)
    held.take("a", 60)
    assert not held.has_room("a") and held.has_room("b")
    with trio.move_on_after(5) as scope:
        await held.wait_for_room("a")
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(held.wait_for_room, "a")
        await trio.testing.wait_all_tasks_blocked()
        held.give_back("a", 1)
