"""Chance: streams that are separate, and the same in every process and every version of Python."""

from __future__ import annotations

import pytest

import matrix
from matrix.errors import ProgramError
from matrix.runtime.inputs import Stream, numpy_stream, stream, stream_key
from matrix.testing.played import play


def test_streams_are_named_by_seed_agent_and_purpose() -> None:
    keys = {stream_key(7, "a", ""), stream_key(8, "a", ""), stream_key(7, "b", ""), stream_key(7, "a", "x")}
    assert len(keys) == 4


def test_draws_are_pinned_for_ever() -> None:
    source = Stream(12345)
    drawn = [source.randint(1, 100), source.choice("abcdef"), source.sample(range(10), 3), source.below(7)]
    items = list(range(6))
    source.shuffle(items)
    assert [*drawn, items] == PINNED
    assert round(source.gauss(10, 2), 9) == PINNED_GAUSS
    assert source.choices("ab", weights=[1, 3], k=5) == PINNED_CHOICES
    assert numpy_stream(7, "a").integers(0, 100, 4).tolist() == PINNED_NUMPY


def test_one_more_draw_in_one_agent_changes_no_other() -> None:
    class Roller(matrix.Agent):
        draws = 1

        async def run(self) -> None:
            for _ in range(self.draws):
                value = self.random.random()
            self.emit("rolled", value=value, id_=str(self.uuid()), other=self.stream("moods").random())

    async def program(simulation: matrix.Simulation, draws: int) -> None:
        simulation.spawn(Roller, "a", draws=draws)
        simulation.spawn(Roller, "b")

    one, two = play(program, seed=3, draws=1), play(program, seed=3, draws=2)
    (a1, b1), (a2, b2) = one.data("rolled"), two.data("rolled")
    assert b1 == b2
    assert a1["value"] != a2["value"]
    assert (a1["id_"], a1["other"]) == (a2["id_"], a2["other"])


def test_draws_that_do_not_exist_are_refused() -> None:
    source = stream(1, "a")
    for draw in (lambda: source.below(0), lambda: source.sample([1], 2), lambda: source.choices("ab", weights=[0, 0])):
        with pytest.raises(ProgramError):
            draw()


PINNED = [54, "f", [0, 5, 7], 1, [5, 1, 0, 3, 4, 2]]
PINNED_GAUSS = 9.059807879
PINNED_CHOICES = ["b", "a", "b", "b", "b"]
PINNED_NUMPY = [7, 11, 66, 71]
