"""Werewolf: the rules hold in every game, whatever the seed and the number of players."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import matrix
from examples.werewolf import FIRST_VOTE, NAMES, werewolf
from matrix.event import Event
from matrix.testing.played import Played, play

ROOT = Path(__file__).parent.parent.parent
WEREWOLF = ROOT / "examples" / "werewolf.py"
SPOKEN = ("accuse", "claim", "wonder", "vote")

sizes = st.tuples(st.integers(0, 2**32), st.integers(3, 15), st.integers(1, 4)).filter(lambda s: 2 * s[2] < s[1])
a_game = given(sizes)
few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Game:
    """One game's history, read with the eyes of a referee."""

    def __init__(self, played: Played) -> None:
        self.played, self.events = played, played.events
        self.names = played.names()
        self.roles: dict[str, str] = {e.data["id"]: e.data["role"] for e in played.of("agent.started")}
        del self.roles["narrator"]
        self.wolves = {name for name, role in self.roles.items() if role == "wolf"}
        self.deaths = {e.data["whom"]: e for e in played.of("died")}

    def living(self, at: Event) -> set[str]:
        return {n for n in self.roles if n not in self.deaths or self.deaths[n].seq > at.seq}

    def who(self, event: Event) -> str:
        return self.names[event.agent]

    def said(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event.kind in kinds]


@cache
def game(size: tuple[int, int, int]) -> Game:
    seed, players, wolves = size
    return Game(play(werewolf, seed=seed, players=players, wolves=wolves))


@few
@a_game
def test_nobody_dead_speaks_votes_or_kills_and_nobody_speaks_of_the_dead(size: tuple[int, int, int]) -> None:
    here = game(size)
    for event in here.said(*SPOKEN, "looked", "prey"):
        assert {here.who(event), event.data["whom"]} <= here.living(event)
        assert here.who(event) != event.data["whom"]


@few
@a_game
def test_everybody_who_lives_speaks_twice_a_day_and_votes_once(size: tuple[int, int, int]) -> None:
    here = game(size)
    days = {event.data["day"] for event in here.said("vote")}
    for day in days:
        votes = [event for event in here.said("vote") if event.data["day"] == day]
        talk = Counter(here.who(e) for e in here.said("accuse", "claim", "wonder") if e.data["day"] == day)
        assert {here.who(event) for event in votes} == here.living(votes[0])
        assert len(votes) == len(here.living(votes[0]))
        assert set(talk) == here.living(votes[0]) and set(talk.values()) == {2}


@few
@a_game
def test_whoever_has_most_votes_hangs_and_a_tie_hangs_nobody(size: tuple[int, int, int]) -> None:
    here = game(size)
    for day in {event.data["day"] for event in here.said("vote")}:
        count = Counter(e.data["whom"] for e in here.said("vote") if e.data["day"] == day)
        first = [name for name, votes in count.items() if votes == max(count.values())]
        hanged = [e.data["whom"] for e in here.said("died") if (e.data["how"], e.data["day"]) == ("hanged", day)]
        assert hanged == (first if len(first) == 1 else [])
        assert len([e for e in here.said("tied") if e.data["day"] == day]) == (len(first) > 1)


@few
@a_game
def test_wolves_eat_one_of_the_others_every_night_but_the_first(size: tuple[int, int, int]) -> None:
    here = game(size)
    eaten = [event for event in here.said("died") if event.data["how"] == "eaten"]
    assert [event.data["day"] for event in eaten] == list(range(2, 2 + len(eaten)))
    assert not here.wolves & {event.data["whom"] for event in eaten}
    assert all(event.data["role"] == here.roles[event.data["whom"]] for event in here.said("died"))


@few
@a_game
def test_exactly_one_side_wins_and_it_is_the_right_one_at_the_right_moment(size: tuple[int, int, int]) -> None:
    here = game(size)
    assert here.played.outcome.status == "finished"
    won = here.played.one("won")
    assert won.data["side"] == ("wolves" if here.wolves & here.living(won) else "village")
    living = set(here.roles)
    for number, death in enumerate(here.said("died"), start=1):
        living.discard(death.data["whom"])
        wolves = len(living & here.wolves)
        is_over = wolves == 0 or 2 * wolves >= len(living)
        assert is_over == (number == len(here.deaths))
    assert set(won.data["living"]) == living


@few
@a_game
def test_goals_end_as_the_game_says(size: tuple[int, int, int]) -> None:
    here = game(size)
    won = here.played.one("won")
    began = {e.seq: (here.who(e), e.data["name"]) for e in here.said("goal.started")}
    ended = {began[e.goal]: e.kind for e in here.said("goal.succeeded", "goal.failed")}
    assert len(ended) == len(began)
    for name in here.roles:
        is_winner = (name in here.wolves) == (won.data["side"] == "wolves")
        assert ended[name, "win"] == ("goal.succeeded" if is_winner else "goal.failed")
        assert ended[name, "survive"] == ("goal.failed" if name in here.deaths else "goal.succeeded")
    for name in here.wolves:
        spoken_against = [e for e in here.said("accuse", "claim") if e.data["whom"] == name]
        assert ended[name, "stay_unsuspected"] == ("goal.failed" if spoken_against else "goal.succeeded")


@few
@a_game
def test_only_wolves_lie_and_the_village_does_not_hear_what_wolves_agree_on(size: tuple[int, int, int]) -> None:
    here = game(size)
    assert {here.who(event) for event in here.said("lied")} <= here.wolves
    for event in here.said("pack", "prey"):
        assert {here.names[number] for number in event.to} <= here.wolves | {"narrator"}
    for event in here.said("seen"):  # what the seer is shown is so
        assert event.data["is_wolf"] == (event.data["whom"] in here.wolves)
    for event in here.said("claim"):
        assert (event.data["whom"] in here.wolves) == (here.roles[here.who(event)] == "seer")


def test_branches_from_the_vote_share_what_came_before_and_are_whole_games(tmp_path: Path) -> None:
    outcome = play(werewolf, store=tmp_path, seed=11).outcome
    with matrix.open(tmp_path) as store:
        (vote,) = store.query(FIRST_VOTE, it=outcome.id)
        branches = store.fork(outcome.id, at=vote["seq"], seed=1, times=4)
        stories = [list(store.events(branch.id)) for branch in branches]
        for branch, story in zip(branches, stories):
            before = list(store.events(outcome.id))[: vote["seq"]]
            assert [(e.seq, e.kind, e.data) for e in story[: vote["seq"]]] == [(e.seq, e.kind, e.data) for e in before]
            here = Game(Played(branch, story))
            won = here.played.one("won")
            assert won.data["side"] == ("wolves" if here.wolves & here.living(won) else "village")
            assert store.replay(branch.id).status == "identical"
    assert len({str([event.data for event in story]) for story in stories}) > 1  # other chances, other games


def test_a_seed_gives_the_same_game_again() -> None:
    first, second = (play(werewolf, seed=11) for _ in range(2))
    assert [(e.kind, e.agent, e.time, e.data) for e in first.events[1:]] == [
        (e.kind, e.agent, e.time, e.data) for e in second.events[1:]
    ]


@pytest.mark.parametrize(("players", "wolves"), [(4, 2), (5, 0), (len(NAMES) + 1, 3)])
def test_a_game_that_cannot_be_played_is_refused(players: int, wolves: int) -> None:
    outcome = play(werewolf, players=players, wolves=wolves).outcome
    assert outcome.status == "failed"
    assert "players" in outcome.reason


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("werewolf")
    done = subprocess.run(
        [sys.executable, WEREWOLF, "--games", "20", "--store", folder / "runs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_prints_its_answers(printed: str) -> None:
    assert printed.startswith("20 games, ")
    assert "village_wins" in printed
    assert "8 branches from event " in printed
    assert "9 rows" in printed  # the lost game and its eight branches


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "matrix.cli.main", "run", WEREWOLF, "--store", tmp_path, "--simulations", "3"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["status"], row["agents"]) for row in rows] == [("finished", 9)] * 3
    assert len(matrix.open(tmp_path).query("events won")) == 3
