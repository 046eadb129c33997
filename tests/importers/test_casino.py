"""CaSiNo dialogues as histories: talk, offers, and two goals that end together."""

from __future__ import annotations

import pytest

from matrix.importers import Refusal


def test_a_dialogue_becomes_a_simulation_of_two_negotiators(casino, told):
    (events,) = told("casino", casino)
    assert [event.kind for event in events] == [
        "simulation.started", "agent.started", "agent.started", "goal.started", "goal.started",
        "message.sent", "message.sent", "offer", "accept", "goal.succeeded", "goal.succeeded", "simulation.finished",
    ]  # fmt: skip
    assert (events[0].data["id"], events[0].data["name"], events[0].data["dialogue_id"]) == (
        "casino-938",
        "casino",
        938,
    )
    assert [event.agent for event in events] == [0, 1, 2, 1, 2, 2, 1, 2, 1, 1, 2, 0]
    assert [event.to for event in events[5:9]] == [(1,), (2,), (1,), (2,)]
    assert [event.cause for event in events[5:]] == [3, 6, 7, 8, 9, 9, 11]


def test_each_entry_takes_one_virtual_second(casino, told):
    (events,) = told("casino", casino)
    assert [event.time for event in events[5:]] == [1_000_000, 2_000_000, 3_000_000, *[4_000_000] * 4]
    assert [event.turn for event in events[5:9]] == [1, 1, 2, 2]


def test_an_offer_holds_the_split_in_numbers(casino, told):
    offer = told("casino", casino)[0][7]
    assert offer.data == {
        "issue2youget": {"Food": 2, "Water": 1, "Firewood": 0},
        "issue2theyget": {"Food": 1, "Water": 2, "Firewood": 3},
    }


def test_a_count_that_is_not_plain_digits_stays_as_recorded(casino, told):
    casino[0]["chat_logs"][2]["task_data"]["issue2youget"] = {"Food": "02", "Water": None, "Firewood": 3}
    assert told("casino", casino)[0][7].data["issue2youget"] == {"Food": "02", "Water": None, "Firewood": 3}


def test_priorities_and_reasons_are_parameters_and_outcomes_stand_at_the_goals_end(casino, told):
    (events,) = told("casino", casino)
    assert events[2].data["role"] == "negotiator" and events[2].data["id"] == "mturk_agent_2"
    assert events[2].data["parameters"]["value2issue"]["High"] == "Food"
    assert events[2].data["parameters"]["value2reason"]["Medium"] == "dry"
    assert events[4].data["priorities"] == {"High": "Food", "Medium": "Water", "Low": "Firewood"}
    assert events[10].data == {
        "reason": "deal accepted", "steps": 2, "turns": 2,
        "points": 14, "satisfaction": "Undecided", "opponent_likeness": "Slightly like",
    }  # fmt: skip


def test_annotations_are_kept_with_their_utterance(casino, told):
    (events,) = told("casino", casino)
    assert events[5].data == {"text": "Hello, I need food", "annotations": ["small-talk", "self-need"]}


def test_an_annotation_without_its_utterance_is_kept_on_the_simulation(casino, told):
    casino[0]["annotations"].insert(1, ["Never said", "small-talk"])
    (events,) = told("casino", casino)
    assert events[0].data["annotations"] == [["Never said", "small-talk"]]
    assert events[6].data["annotations"] == ["non-strategic"]


def test_walking_away_fails_both_goals(casino, told):
    casino[0]["chat_logs"][3] = {"text": "Walk-Away", "task_data": {"data": "walk_away"}, "id": "mturk_agent_1"}
    (events,) = told("casino", casino)
    assert [event.kind for event in events[8:]] == ["walk_away", "goal.failed", "goal.failed", "simulation.finished"]
    assert events[9].data["reason"] == events[11].data["reason"] == "walked away"


def test_a_rejected_deal_goes_on(casino, told):
    reject = {"text": "Reject-Deal", "task_data": {"data": "reject_deal"}, "id": "mturk_agent_1"}
    casino[0]["chat_logs"].insert(3, reject)
    assert [event.kind for event in told("casino", casino)[0][7:10]] == ["offer", "reject", "accept"]


def test_a_dialogue_that_just_stops_leaves_its_goals_cancelled(casino, told):
    del casino[0]["chat_logs"][2:]
    (events,) = told("casino", casino)
    assert [event.kind for event in events[7:]] == ["goal.cancelled", "goal.cancelled", "simulation.finished"]
    assert events[-1].data == {"reason": "no outcome recorded"}


def test_a_stranger_in_the_dialogue_is_refused(casino, told):
    casino[0]["chat_logs"][1]["id"] = "mturk_agent_3"
    with pytest.raises(Refusal, match=r"^\[0\]\.chat_logs\[1\]\.id: 'mturk_agent_3' is none of the participants"):
        told("casino", casino)


@pytest.mark.parametrize("count", [1, 3])
def test_anything_but_two_participants_is_refused(casino, told, count):
    people = casino[0]["participant_info"]
    casino[0]["participant_info"] = {f"mturk_agent_{n}": people["mturk_agent_1"] for n in range(1, count + 1)}
    with pytest.raises(Refusal, match=rf"participant_info: expected two participants, found {count}"):
        told("casino", casino)
