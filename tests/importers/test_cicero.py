"""Diplomacy games as histories: talk, orders, the board phase by phase, and who wins."""

from __future__ import annotations

import pytest

from matrix.importers import Refusal
from matrix.importers.orders import read_order

NAME = "game_433761_ITALY_AR.json"
BOARD = {"VIE": "AUSTRIA", "GAL": "RUSSIA", "STP": "RUSSIA"}


def of_kind(events, *kinds):
    return [event for event in events if event.kind in kinds]


def test_a_game_becomes_a_simulation_of_its_powers(cicero, told):
    (events,) = told("cicero", cicero, name=NAME)
    started, finished = events[0].data, events[-1].data
    assert (started["id"], started["name"], started["game_id"]) == ("cicero-zH_w-2", "diplomacy", "zH/w+2")
    assert (started["game"], started["game_number"], started["cicero"]) == ("game_433761_ITALY_AR", 433761, "ITALY")
    assert (started["consenting"], started["map"]) == (["AUSTRIA", "RUSSIA"], "standard")
    assert [(e.data["id"], e.data["role"]) for e in of_kind(events, "agent.started")] == [
        ("AUSTRIA", "power"), ("ITALY", "power"), ("RUSSIA", "power"),
    ]  # fmt: skip
    assert events[2].data["parameters"] == {"player": "cicero", "consented": True}
    assert finished == {
        "reason": "draw", "phases": 3, "last_phase": "COMPLETED", "leaders": ["ITALY", "RUSSIA"],
        "centers": {"AUSTRIA": 0, "ITALY": 2, "RUSSIA": 2}, "scores": {"AUSTRIA": 0.0, "ITALY": 0.5, "RUSSIA": 0.5},
    }  # fmt: skip


def test_a_file_of_another_name_says_nothing_about_players(cicero, told):
    (events,) = told("cicero", cicero, name="game.json")
    assert "cicero" not in events[0].data and "parameters" not in events[1].data


def test_every_event_stands_in_its_phase(cicero, told):
    (events,) = told("cicero", cicero)
    phases = {event.seq: event.data["phase"] for event in events if event.kind == "state.changed" and not event.agent}
    assert list(phases.values()) == ["S1901M", "F1901R", "COMPLETED"]
    assert [phases[event.state] for event in of_kind(events, "message.sent", "order")] == ["S1901M"] * 6 + ["F1901R"]
    first = of_kind(events, "state.changed")[0].data
    assert (first["year"], first["season"], first["stage"]) == (1901, "spring", "movement")
    assert first["units"]["AUSTRIA"] == ["F TRI", "A BUD"] and "name" not in first


def test_a_broadcast_goes_to_every_other_power(cicero, told):
    broadcast, private = of_kind(told("cicero", cicero)[0], "message.sent")
    assert (broadcast.agent, broadcast.to, broadcast.data["broadcast"]) == (2, (1, 3), True)
    assert (private.to, private.data["text"], "broadcast" in private.data) == ((1,), "I keep out of Trieste", False)


def test_orders_know_what_they_are_about_and_how_they_went(cicero, told):
    (events,) = told("cicero", cicero)
    hold, support, attack, move, retreat = of_kind(events, "order")
    assert [order.agent for order in (hold, support, attack, move, retreat)] == [1, 1, 2, 3, 1]
    assert (support.data["helped"], support.data["helped_power"], support.data["target"]) == ("A WAR", "RUSSIA", "GAL")
    assert (attack.data["against"], attack.data["result"]) == ("AUSTRIA", ["bounce"])
    assert move.data["result"] == [] and "against" not in move.data
    assert (retreat.data["type"], retreat.data["target"], retreat.data["phase"]) == ("retreat", "ALB", "F1901R")


def test_orders_are_caused_by_what_reached_their_power_and_not_by_each_other(cicero, told):
    (events,) = told("cicero", cicero)
    said = {event.seq: event for event in of_kind(events, "message.sent")}
    orders = of_kind(events, "order")[:4]
    assert [said[order.cause].data["text"] if order.cause in said else None for order in orders] == [
        "I keep out of Trieste", "I keep out of Trieste", None, "Good luck",
    ]  # fmt: skip


def test_a_power_without_centers_is_eliminated_and_its_goal_fails_there(cicero, told):
    (events,) = told("cicero", cicero)
    (eliminated,) = of_kind(events, "eliminated")
    assert (eliminated.agent, eliminated.data) == (1, {"phase": "COMPLETED"})
    ends = of_kind(events, "goal.failed", "goal.succeeded")
    assert [(end.agent, end.kind, end.data["reason"]) for end in ends] == [
        (1, "goal.failed", "eliminated"), (2, "goal.succeeded", "draw"), (3, "goal.succeeded", "draw"),
    ]  # fmt: skip
    assert (ends[1].data["centers"], ends[1].data["score"], ends[1].data["reward"]) == (2, 0.5, 0.5)


def test_a_solo_takes_everything(cicero, told):
    cicero["phases"][2]["state"]["centers"] = {"ITALY": [f"P{n}" for n in range(18)], "RUSSIA": ["WAR"]}
    (events,) = told("cicero", cicero)
    assert events[-1].data["reason"] == "solo" and events[-1].data["leaders"] == ["ITALY"]
    assert events[-1].data["scores"] == {"AUSTRIA": 0.0, "ITALY": 1.0, "RUSSIA": 0.0}


def test_survivors_of_a_draw_by_size_share_alike(cicero, told):
    cicero["scoring_system"] = "draw_size"
    cicero["phases"][2]["state"]["centers"] = {"ITALY": ["VEN", "TRI", "ROM"], "RUSSIA": ["WAR"]}
    assert told("cicero", cicero)[0][-1].data["scores"] == {"AUSTRIA": 0.0, "ITALY": 0.5, "RUSSIA": 0.5}


def test_a_game_without_centers_at_its_end_has_no_winner(cicero, told):
    del cicero["phases"][2]["state"]
    (events,) = told("cicero", cicero)
    assert len(of_kind(events, "goal.cancelled")) == 3
    assert events[-1].data == {"reason": "no centers recorded", "phases": 3, "last_phase": "COMPLETED"}


@pytest.mark.parametrize("unit", [1, 100, 1000, 10_000, 10**8])
def test_the_unit_of_times_is_found_by_the_day_they_name(cicero, told, unit):
    for index, message in enumerate(cicero["phases"][0]["messages"]):
        message["time_sent"] = (1_660_957_918 + 12 * index) * unit
    first, second = of_kind(told("cicero", cicero)[0], "message.sent")
    assert (first.wall, first.time, second.time) == (1_660_957_918_000_000, 0, 12_000_000)


def test_times_that_name_no_day_are_hundredths_of_the_game(cicero, told):
    for message, moment in zip(cicero["phases"][0]["messages"], (1, 1601), strict=True):
        message["time_sent"] = moment
    first, second = of_kind(told("cicero", cicero)[0], "message.sent")
    assert (first.time, second.time, second.wall - first.wall) == (0, 16_000_000, 16_000_000)


def test_a_game_without_messages_takes_a_second_each_phase(cicero, told):
    cicero["phases"][0]["messages"] = []
    orders = of_kind(told("cicero", cicero)[0], "order")
    assert [order.time for order in orders] == [0, 0, 0, 0, 1_000_000]


def test_logs_unknown_fields_and_results_of_no_order_are_kept(cicero, told):
    cicero["phases"][0] |= {"logs": ["thinking"], "mood": "fine", "results": {"F ROM": ["void"]}}
    cicero["rules"] = ["POWER_CHOICE"]
    (events,) = told("cicero", cicero)
    (note,) = of_kind(events, "note")
    assert note.data == {
        "subject": "phase", "phase": "S1901M", "logs": ["thinking"], "mood": "fine", "results": {"F ROM": ["void"]},
    }  # fmt: skip
    assert events[0].data["rules"] == ["POWER_CHOICE"]


@pytest.mark.parametrize(
    ("order", "fields"),
    [
        ("A KIE - SWE VIA", {"type": "move", "unit": "A KIE", "province": "KIE", "target": "SWE", "via_convoy": True}),
        ("F RUM - BUL/EC", {"type": "move", "unit": "F RUM", "province": "RUM", "target": "BUL"}),
        ("F STP/NC B", {"type": "build", "unit": "F STP/NC", "province": "STP"}),
        ("A BUD S A GAL", {"type": "support", "unit": "A BUD", "province": "BUD", "helped": "A GAL",
                           "helped_power": "RUSSIA"}),
        ("F BAR S F STP/NC - NWY", {"type": "support", "unit": "F BAR", "province": "BAR", "helped": "F STP/NC",
                                    "helped_power": "RUSSIA", "target": "NWY"}),
        ("F TRI D", {"type": "disband", "unit": "F TRI", "province": "TRI"}),
        ("WAIVE", {"type": "waive"}), ("", {"type": "other"}), ("A VIE - ", {"type": "move", "unit": "A VIE",
                                                                              "province": "VIE"}),
        ("A VIE X", {"type": "other"}),
    ],
)  # fmt: skip
def test_an_order_is_read_as_it_is_written(order, fields):
    assert read_order(order, BOARD) == fields


@pytest.mark.parametrize(
    ("bend", "place"),
    [
        (lambda game: game.update(phases=[]), "^phases: the game has no phase"),
        (lambda game: game.pop("phases"), "^phases: not a Diplomacy game"),
        (lambda game: game["phases"][0]["messages"][0].update(sender="NORWAY"),
         r"^phases\[0\]\.messages\[0\]\.sender: 'NORWAY' is none of the powers: AUSTRIA, ITALY, RUSSIA"),
        (lambda game: game["phases"][1]["orders"].update(ITALY="A VEN H"),
         r"^phases\[1\]\.orders\.ITALY: expected a list of texts"),
        (lambda game: game["phases"][0]["messages"][1].update(time_sent=2**62),
         r"^phases\[0\]\.messages\[1\]\.time_sent: the moment does not fit"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place(cicero, told, bend, place):
    bend(cicero)
    with pytest.raises(Refusal, match=place):
        told("cicero", cicero)
