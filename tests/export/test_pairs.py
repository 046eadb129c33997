"""Branches that came out differently, as prompt, chosen and rejected."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import matrix
from matrix.errors import UsageError
from matrix.export.branches import Branch, Place, places, unrelated
from matrix.export.contract import Counts, Options, Row
from matrix.export.pairs import (
    ALIKE,
    ALONE,
    MISSING,
    NO_PROMPT,
    OTHERS,
    SAME,
    SILENT,
    TOO_MANY,
    UNRELATED,
    Part,
    better,
    parted,
    rows,
)
from matrix.export.selection import Selection
from tests.export.rules import broken

ASKED = ["Hello", "Is it in stock?", "And the price?"]


class Customer(matrix.Agent):
    role = "customer"
    says: list[str]
    patience: int = 3

    async def run(self) -> None:
        for place in range(3):
            await self.sleep(60)
            if place == self.patience:
                return
            await self.ask("clerk", text=self.says[place])


class Clerk(matrix.Agent):
    role = "clerk"
    answers: list[str]
    worth: float

    def on_start(self) -> None:
        self.note(subject="briefing", system="Sell.")
        self.served = 0
        self.serve = self.begin_goal("serve")

    def on_message(self, message: matrix.Message) -> None:
        self.reply(message, text=self.answers[self.served])
        self.served += 1
        if self.served == 3:
            self.serve.succeed(reward=self.worth)


async def shop(simulation: matrix.Simulation) -> None:
    simulation.spawn(Clerk, "clerk", answers=["Hi", "Yes", "40"], worth=0.5)
    simulation.spawn(Customer, "customer", says=ASKED)


class Shop:
    """A store with one simulation, 1-1, and whatever is forked of it."""

    def __init__(self, folder: Path) -> None:
        matrix.run(shop, store=folder, seed=7)
        self.store = matrix.open(folder)

    def fork(self, after: str, *, of: str = "1-1", **set: Any) -> str:
        """Another way from right behind a message; the id of the fork."""
        (said,) = self.store.query("messages where simulation = $of and .text = $said | select seq", of=of, said=after)
        changed = {name.replace("__", "."): value for name, value in set.items()}
        return self.store.fork(of, at=said["seq"], set=changed)[0].id

    def pairs(self, query: str = "agents where role = clerk", **options: Any) -> tuple[list[Row], dict[str, int]]:
        """The pairs of what a query chooses, and what was left out and why."""
        asked = Options("shop", counts=Counts(), **options)
        found = list(rows(self.store, Selection(self.store, query), asked))
        return found, asked.counts.as_data()["left_out"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Shop]:
    found = Shop(tmp_path / "runs")
    yield found
    found.store.close()


def texts(messages: list[dict[str, Any]]) -> list[str]:
    return [f"{message['role'][0]}: {message['content']}" for message in messages]


def test_a_fork_that_came_out_better_is_chosen_over_its_parent(here: Shop) -> None:
    assert here.fork("Is it in stock?", clerk__answers=["Hi", "The last one", "45"], clerk__worth=0.9) == "1-2"
    ((data, family, _),), left_out = here.pairs()
    assert texts(data["prompt"]) == ["s: Sell.", "u: Hello", "a: Hi", "u: Is it in stock?"]
    assert texts(data["chosen"]) == ["a: The last one", "u: And the price?", "a: 45"]
    assert texts(data["rejected"]) == ["a: Yes", "u: And the price?", "a: 40"]
    assert (data["chosen_simulation"], data["chosen_reward"], data["chosen_outcome"]) == ("1-2", 0.9, "succeeded")
    assert (data["rejected_simulation"], data["rejected_reward"], data["margin"]) == ("1-1", 0.5, 0.4)
    assert (family, data["family"], data["fork_of"]) == ("1-1", "1-1", "1-1")
    assert (data["agent"], data["role"], data["conversation"]) == ("clerk", "clerk", "clerk+customer")
    assert left_out == {}
    assert data["prompt"][-1]["role"] != "assistant"
    for side in ("chosen", "rejected"):
        assert broken({"messages": data["prompt"] + data[side]}) == []


def test_a_pair_names_the_events_of_both_sides(here: Shop) -> None:
    here.fork("Is it in stock?", clerk__answers=["Hi", "The last one", "45"], clerk__worth=0.9)
    (row,), _ = here.pairs()
    said = {}
    for side in ("chosen", "rejected"):
        simulation, first, last = (row.data[f"{side}_{name}"] for name in ("simulation", "first_seq", "last_seq"))
        events = {event.seq: event for event in here.store.events(simulation)}
        said[side] = events[first].data["text"], events[last].data["text"]
    assert said == {"chosen": ("The last one", "45"), "rejected": ("Yes", "40")}
    (asked,) = here.store.query("messages where simulation = '1-1' and .text ~ /stock/ | select seq")
    assert row.data["fork_at"] == asked["seq"]


def test_a_prompt_goes_on_until_the_agent_says_something_else(here: Shop) -> None:
    here.fork("Hello", clerk__answers=["Hi", "Yes", "45"], clerk__worth=0.4)
    (row,), _ = here.pairs()
    assert texts(row.data["prompt"])[-2:] == ["a: Yes", "u: And the price?"]
    assert (texts(row.data["chosen"]), texts(row.data["rejected"])) == (["a: 40"], ["a: 45"])
    assert (row.data["chosen_simulation"], row.data["margin"]) == ("1-1", 0.1)


def test_what_others_said_first_makes_no_pair(here: Shop) -> None:
    here.fork("Hi", customer__says=["", "Have you got one?", ""], clerk__worth=0.9)
    assert here.pairs() == ([], {OTHERS: 1})


def test_branches_that_came_out_alike_make_no_pair(here: Shop) -> None:
    here.fork("Hello", clerk__answers=["Good day", "Yes", "40"])
    assert here.pairs() == ([], {ALIKE: 1})


def test_branches_with_the_same_conversation_make_no_pair(here: Shop) -> None:
    here.fork("Hello", clerk__worth=0.9)
    assert here.pairs() == ([], {SAME: 1})


def test_a_branch_in_which_the_agent_says_no_more_makes_no_pair(here: Shop) -> None:
    here.fork("Yes", customer__patience=2)
    assert here.pairs() == ([], {SILENT: 1})


def test_who_speaks_first_without_a_prompt_makes_no_pair_until_one_is_given(here: Shop) -> None:
    (first,) = here.store.query("messages where .text = 'Hello' | select seq")
    here.store.fork("1-1", at=first["seq"] - 1, set={"customer.says": ["Good day", *ASKED[1:]]})
    query = "agents where role = customer"
    assert here.pairs(query) == ([], {NO_PROMPT: 1})
    assert here.pairs(query, system="Buy.") == ([], {ALIKE: 1})  # now it is the outcome: the customer has no goal


def test_forks_at_one_place_are_compared_with_their_parent_and_with_each_other(here: Shop) -> None:
    for price, worth in (("45", 0.9), ("30", 0.1), ("40!", 0.5)):
        here.fork("And the price?", clerk__answers=["Hi", "Yes", price], clerk__worth=worth)
    found, left_out = here.pairs()
    compared = [(row.data["chosen_simulation"], row.data["rejected_simulation"], row.data["margin"]) for row in found]
    assert compared == [
        ("1-2", "1-3", 0.8),
        ("1-2", "1-1", 0.4),
        ("1-1", "1-3", 0.4),
        ("1-2", "1-4", 0.4),
        ("1-4", "1-3", 0.4),
    ]
    assert left_out == {ALIKE: 1}  # 1-1 and 1-4


def test_of_many_pairs_at_one_place_those_with_the_largest_margins_are_taken(here: Shop) -> None:
    for price, worth in (("45", 0.9), ("30", 0.1), ("41", 0.6)):
        here.fork("And the price?", clerk__answers=["Hi", "Yes", price], clerk__worth=worth)
    found, left_out = here.pairs(pairs_max=2)
    assert [row.data["margin"] for row in found] == [0.8, 0.5]
    assert left_out == {TOO_MANY: 4}
    for wrong in (0, -1, True):
        with pytest.raises(UsageError, match="pairs_max is a whole number from 1 on"):
            here.pairs(pairs_max=wrong)


def test_a_fork_of_a_fork_is_compared_with_that_and_not_with_its_grandparent(here: Shop) -> None:
    fork = here.fork("Hello", clerk__answers=["Good day", "Yes", "45"], clerk__worth=0.9)
    nested = here.fork("And the price?", of=fork, clerk__answers=["", "", "99"], clerk__worth=0.0)
    found, left_out = here.pairs()
    compared = [(row.data["fork_of"], row.data["chosen_simulation"], row.data["rejected_simulation"]) for row in found]
    assert compared == [("1-1", fork, "1-1"), (fork, fork, nested)]
    assert texts(found[1].data["prompt"])[2] == "a: Good day"
    assert {row.family for row in found} == {"1-1"}
    assert left_out == {UNRELATED: 1}


def test_only_what_the_query_chose_is_compared(here: Shop) -> None:
    for price, worth in (("45", 0.9), ("30", 0.1)):
        here.fork("And the price?", clerk__answers=["Hi", "Yes", price], clerk__worth=worth)
    (row,), _ = here.pairs("simulations where parent = '1-1'")
    assert (row.data["chosen_simulation"], row.data["rejected_simulation"]) == ("1-2", "1-3")
    assert here.pairs("simulations where id = '1-1'") == ([], {ALONE: 1})


def test_what_one_branch_lacks_is_told(here: Shop) -> None:
    here.fork("And the price?", clerk__answers=["Hi", "Yes", "45"], clerk__worth=0.9)
    found, left_out = here.pairs("agents where goal succeeded or simulation = '1-2'")
    assert len(found) == 1
    assert left_out == {MISSING: 1}  # the customer, who is chosen in 1-2 alone


def test_a_reply_alone_ends_before_others_speak(here: Shop) -> None:
    here.fork("Is it in stock?", clerk__answers=["Hi", "The last one", "45"], clerk__worth=0.9)
    (row,), _ = here.pairs(is_reply_only=True)
    assert (texts(row.data["chosen"]), texts(row.data["rejected"])) == (["a: The last one"], ["a: Yes"])
    assert row.data["chosen_first_seq"] == row.data["chosen_last_seq"]


# -- rules by themselves ----------------------------------------------------------------------------


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def test_ids_of_calls_are_no_difference() -> None:
    def calling(id: str, order: int) -> list[dict[str, Any]]:
        function = {"name": "find", "arguments": f'{{"order": {order}}}'}
        call = {"id": id, "type": "function", "function": function}
        return [said("user", "?"), {"role": "assistant", "tool_calls": [call]}, said("tool", "7", tool_call_id=id)]

    assert parted([*calling("a", 1), said("assistant", "Yes")], [*calling("b", 1), said("assistant", "No")]) == Part(3)
    assert parted([*calling("a", 1), said("assistant", "Yes")], [*calling("a", 2), said("assistant", "Yes")]) == Part(1)


def test_a_prompt_does_not_end_within_what_the_agent_says() -> None:
    one, other = ([said("user", "?"), said("assistant", "Hm."), said("assistant", end)] for end in ("Yes", "No"))
    assert parted(one, other) == Part(1)
    assert parted(one[1:], other[1:]) == Part(problem=NO_PROMPT)
    assert parted(one, one[:2]) == Part(problem=SILENT)
    assert parted([], []) == Part(problem=SAME)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.5, "succeeded"), (0.2, "succeeded"), 1),
        ((0.0, "failed"), (1.0, "succeeded"), -1),
        ((0.5, "succeeded"), (0.5, "failed"), 1),
        ((None, "running"), (1.0, "succeeded"), -1),
        ((None, "running"), (0.0, "failed"), 0),
        ((None, "none"), (None, "none"), 0),
        ((-1.0, "failed"), (-2.0, "failed"), 1),
    ],
)
def test_the_reward_decides_and_where_it_does_not_who_succeeded(
    one: tuple[Any, str], other: tuple[Any, str], expected: int
) -> None:
    sides = [{"reward": reward, "outcome": outcome} for reward, outcome in (one, other)]
    assert better(*sides) == expected
    assert better(*reversed(sides)) == -expected


def test_every_two_branches_part_at_one_place_or_are_told_to_be_unrelated() -> None:
    root = Branch(1, "1-1", None, 90)
    early, late = Branch(2, "1-2", Place(1, 10), 90), Branch(3, "1-3", Place(1, 40), 90)
    nested, twin = Branch(4, "1-4", Place(2, 20), 90), Branch(5, "1-5", Place(1, 10), 90)
    found = {place: [branch.id for branch in some] for place, some in places([root, early, late, nested, twin])}
    assert found == {
        Place(1, 10): ["1-1", "1-2", "1-5"],
        Place(1, 40): ["1-1", "1-3"],
        Place(2, 20): ["1-2", "1-4"],
    }
    assert unrelated([root, early, late, nested, twin]) == 5
    ended = Branch(1, "1-1", None, 40)
    assert [place for place, _ in places([ended, late])] == []  # what had ended there went no other way
