"""Negotiations of language models as histories: public answers, private ones, deals and what they are worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from matrix.importers import Refusal, Source, import_files, importer_of
from matrix.importers.deals import Game, Party, issues_in, named_in
from tests.importers.recorded import ids_in

CONFIG = "Co,co,p1,cooperative,gpt-4\nUnion,union,p2,greedy,gpt-4\n"
SCORES = {"co": "14, 8\n11, 7\n14", "union": "0, 20\n\n10, 30 \n30 "}


@pytest.fixture
def setup(tmp_path: Path) -> Path:
    """The parties' scores beside the file: p1 has 14 as its minimum, the union 30."""
    (tmp_path / "config.txt").write_text(CONFIG)
    (tmp_path / "scores_files").mkdir()
    for name, text in SCORES.items():
        (tmp_path / "scores_files" / f"{name}.txt").write_text(text)
    return tmp_path


def of_kind(events, *kinds):
    return [event for event in events if event.kind in kinds]


def test_a_session_becomes_a_simulation_of_its_parties(llm_deliberation, told):
    (events,) = told("llm-deliberation", llm_deliberation, name="history10_14_00.json")
    assert [event.kind for event in events[:5]] == [
        "simulation.started", "agent.started", "agent.started", "goal.started", "goal.started",
    ]  # fmt: skip
    started = events[0].data
    assert (started["session"], started["complete"], started["p1"]) == ("history10_14_00.json", True, "Co")
    assert (started["issues"], started["slot_assignment"], started["finished_rounds"]) == (
        ["A", "B"],
        ["Union", "Co"],
        3,
    )
    assert [(e.data["id"], e.data["role"]) for e in of_kind(events, "agent.started")] == [
        ("Co", "p1"),
        ("Union", "player"),
    ]
    assert [event.kind for event in events[8:12]] == [
        "model.called",
        "model.completed",
        "state.changed",
        "message.sent",
    ]


def test_the_public_answer_goes_to_all_others_and_the_whole_one_is_what_the_model_said(llm_deliberation, told):
    (events,) = told("llm-deliberation", llm_deliberation)
    called, completed, planned, said = events[8:12]
    assert (said.agent, said.to, said.data["text"]) == (2, (1,), "\nI propose <DEAL>A2, B2</DEAL>.\n")
    assert called.data["messages"] == [{"role": "user", "content": "It is your turn, Union."}]
    assert completed.data["message"]["content"].startswith("<SCRATCHPAD>A1 (9)</SCRATCHPAD><ANSWER>\nI propose")
    assert planned.data == {"plan": "Hold on to B2."}
    assert [event.cause for event in (called, completed, planned, said)] == [8, 9, 10, 10]
    assert "SCRATCHPAD" not in str([event.data for event in of_kind(events, "message.sent")])


def test_a_deal_is_the_first_option_named_of_each_issue():
    assert named_in("not A3 but\nA1, B2 or B1; C", "ABC") == {"A": 3, "B": 2}
    assert issues_in("A1,B1,C4,D1,E5,F4") == ["A", "B", "C", "D", "E", "F"]
    assert issues_in("B1, C2") == [] and issues_in("A1, C2") == ["A"]


def test_without_a_setup_deals_are_read_and_not_judged(llm_deliberation, told):
    (events,) = told("llm-deliberation", llm_deliberation)
    said = [event.data for event in of_kind(events, "message.sent")]
    assert [one["deal_text"] for one in said] == ["A1,B1", "A2,B2", "A1,B2", "A2,B2"]
    assert said[1]["deal"] == {"A": 2, "B": 2} and "passes" not in said[1]
    assert [event.data["reason"] for event in of_kind(events, "goal.cancelled")] == ["no scores beside the file"] * 2
    assert events[-1].data == {"reason": "finished", "final_deal": "A2,B2"}


def test_with_a_setup_it_is_known_what_a_deal_is_worth_to_whom(llm_deliberation, told, setup):
    (events,) = told("llm-deliberation", llm_deliberation)
    co, union = of_kind(events, "agent.started")
    assert co.data["parameters"] == {
        "incentive": "cooperative", "model": "gpt-4", "scores": {"A": [14, 8], "B": [11, 7]}, "minimum": 14,
    }  # fmt: skip
    assert (union.data["role"], union.data["parameters"]["minimum"]) == ("p2", 30)
    opening, proposal, *_ = [event.data for event in of_kind(events, "message.sent")]
    assert opening["scores"] == {"Co": 25, "Union": 10} and opening["agrees"] == {"Co": True, "Union": False}
    assert (opening["passes"], opening["score"], opening["below_minimum"]) == (False, 25, False)
    assert (proposal["scores"], proposal["passes"], proposal["unanimous"]) == ({"Co": 15, "Union": 50}, True, True)
    assert of_kind(events, "model.called")[0].data["model"] == "gpt-4"
    assert events[-1].data == {
        "reason": "agreed", "final_deal": "A2,B2", "agreed": True, "unanimous": True, "agreed_any_round": True,
    }  # fmt: skip
    ends = of_kind(events, "goal.succeeded")
    assert [(end.data["score"], end.data["agrees"], end.data["deal"]) for end in ends] == [
        (15, True, "A2,B2"), (50, True, "A2,B2"),
    ]  # fmt: skip


def game(**worths: tuple[int, int]) -> Game:
    """Parties to whom option 1 of one issue is worth this much, with their minimum; p1 and p2 are two of them."""
    parties = {n: Party(n, n if n in ("p1", "p2") else "player", {}, {"A": [w]}, m) for n, (w, m) in worths.items()}
    return Game(parties, ["A"])


@pytest.mark.parametrize(
    ("worths", "passes", "unanimous"),
    [
        ({"p1": (6, 5), "p2": (6, 5), "x": (6, 5)}, True, True),
        ({"p1": (6, 5), "p2": (6, 5), "x": (5, 5)}, True, False),  # as much as the minimum is not more than it
        ({"p1": (6, 5), "p2": (5, 5), "x": (6, 5)}, False, False),  # p2 has a veto
        ({"p1": (5, 14), "p2": (6, 5), "x": (6, 5)}, True, True),  # the bonus of p1, where all others agree
        ({"p1": (4, 14), "p2": (6, 5), "x": (6, 5)}, False, False),
        ({"p1": (5, 14), "p2": (6, 5), "x": (4, 5)}, False, False),
        ({"p1": (6, 5), "p2": (6, 5), "x": (4, 5), "y": (4, 5)}, False, False),
    ],
)
def test_a_deal_passes_by_the_rule_of_the_game(worths, passes, unanimous):
    judged = game(**worths).judged({"A": 1}, "p2")
    assert (judged["passes"], judged["unanimous"]) == (passes, unanimous)


@pytest.mark.parametrize(
    ("worth", "proposer", "is_below"), [(5, "x", False), (4, "x", True), (-5, "p1", False), (-6, "p1", True)]
)
def test_a_deal_below_the_proposers_minimum_is_marked(worth, proposer, is_below):
    parties = game(p1=(worth, 5), p2=(9, 5), x=(worth, 5))
    assert parties.judged({"A": 1}, proposer)["below_minimum"] is is_below


def test_an_option_that_the_scores_do_not_have_is_not_judged():
    assert game(p1=(6, 5)).judged({"A": 2}, "p1") == {}


def test_an_interrupted_session_is_imported_and_marked(llm_deliberation, told, setup):
    del llm_deliberation["rounds"][3]
    (events,) = told("llm-deliberation", llm_deliberation)
    assert (events[-1].kind, events[-1].data) == ("simulation.stopped", {"reason": "interrupted"})
    assert events[0].data["complete"] is False
    assert [event.data["reason"] for event in of_kind(events, "goal.cancelled")] == ["interrupted"] * 2


def test_without_slots_a_whole_session_has_four_turns_for_each(llm_deliberation, told):
    del llm_deliberation["slot_assignment"]
    assert told("llm-deliberation", llm_deliberation)[0][-1].kind == "simulation.stopped"
    llm_deliberation["rounds"] += llm_deliberation["rounds"][-1:] * 6
    assert told("llm-deliberation", llm_deliberation)[0][-1].kind == "simulation.finished"


def test_lines_are_sessions_of_their_own(llm_deliberation, write):
    other = llm_deliberation | {"finished_rounds": 2}
    lines = [{"file": f"history{n}.json", "log": log} for n, log in enumerate((llm_deliberation, other))]
    file = write("\n".join(map(json.dumps, lines)).encode(), "sessions.jsonl", zipped=True)
    first, second = (history.events[0].data for history in importer_of("llm-deliberation")(Source(file)))
    assert (first["session"], second["session"]) == ("history0.json", "history1.json")
    assert first["id"] != second["id"] and len(first["id"]) == len("deliberation-") + 12


def test_a_setup_may_lie_in_a_folder_of_the_files_name(llm_deliberation, setup, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    file = folder / f"{setup.name}.jsonl"
    file.write_text(json.dumps({"file": "h.json", "log": llm_deliberation}))
    (folder / setup.name).symlink_to(setup)
    (history,) = importer_of("llm-deliberation")(Source(file))
    assert history.events[-1].data["agreed"] is True


def test_a_session_in_lines_and_by_itself_is_one_and_the_same(llm_deliberation, write, tmp_path):
    store = tmp_path / "store"
    alone, lines = write(llm_deliberation, "a.json"), write({"file": "a.json", "log": llm_deliberation}, "a.jsonl")
    first, second = import_files(store, "llm-deliberation", [alone, lines])
    assert first.status == "imported" and "the store has a simulation of this id already" in second.message
    (again,) = import_files(store, "llm-deliberation", [write(llm_deliberation, "b.json", zipped=True)])
    assert again.status == "already there" and len(ids_in(store)) == 1


def test_a_broken_line_leaves_nothing_of_the_file(llm_deliberation, write, tmp_path):
    good = json.dumps({"file": "a.json", "log": llm_deliberation}).encode()
    for tail, place in (
        (b"\n{", "line 2"), (b"\n[]", "line 2: expected an object, found a list"), (b" {}", "line 1, byte"),
        (b'\n{"log": []}', "line 2.log: expected an object, found a list"), (b"\n" + good[:-20], "line 2, byte"),
        (b'\n{"log": {"rounds": [{"agent": 5}]}}', "line 2.log.rounds[0].agent: expected text, found a number"),
        (b"\n" + good, "the file has this id twice"), (b"\n\xff", "not UTF-8 text"),
    ):  # fmt: skip
        (report,) = import_files(tmp_path / "store", "llm-deliberation", [write(good + tail, "bad.jsonl")])
        assert report.is_refused and place in report.message, report.message
    assert ids_in(tmp_path / "store") == []


def test_sessions_come_one_by_one_while_the_file_is_read(llm_deliberation, write):
    file = write(json.dumps({"file": "a.json", "log": llm_deliberation}).encode() + b"\n" * 3_000_000 + b"{")
    sessions = importer_of("llm-deliberation")(Source(file))
    assert next(sessions).events[0].data["session"] == "a.json"
    with pytest.raises(Refusal, match="line 3000001"):
        next(sessions)


def test_a_public_answer_that_is_not_recorded_is_that_part_of_the_whole_one(llm_deliberation, told):
    del llm_deliberation["rounds"][1]["public_answer"]
    assert of_kind(told("llm-deliberation", llm_deliberation)[0], "message.sent")[1].data["text"] == (
        "\nI propose <DEAL>A2, B2</DEAL>.\n"
    )


def test_a_plan_that_no_answer_holds_is_kept_with_the_session(llm_deliberation, told):
    llm_deliberation["plan"]["Union"].append("Never written.")
    started = told("llm-deliberation", llm_deliberation)[0][0].data
    assert started["plan"] == {"Union": ["Hold on to B2.", "Never written."]}


@pytest.mark.parametrize(
    ("bend", "place"),
    [
        (lambda one: one.pop("rounds"), "^rounds: not a session of llm-deliberation"),
        (lambda one: one.update(rounds=[["SportCo", "A1"]]), r"^rounds\[0\]: expected an object, found a list"),
        (lambda one: one["rounds"][2].update(full_answer=None, public_answer=None),
         r"^rounds\[2\]\.public_answer: expected text, found nothing"),
        (lambda one: one.update(slot_assignment=[1]), "^slot_assignment: expected a list of texts"),
        (lambda one: one.update(plan={"Co": "x"}), r"^plan\.Co: expected a list of texts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place(llm_deliberation, told, bend, place):
    bend(llm_deliberation)
    with pytest.raises(Refusal, match=place):
        told("llm-deliberation", llm_deliberation)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("config.txt", "Co,co\n", r"config\.txt, line 1: expected a party as: name, file, role"),
        ("config.txt", CONFIG + "Co,co,player\n", r"config\.txt: a party is named twice"),
        ("config.txt", CONFIG + "Third,co,p1\n", r"config\.txt: more than one party is p1"),
        ("config.txt", CONFIG.replace(",co,", ",../co,"), r"expected the name of a file in scores_files"),
        ("config.txt", "Co,co,p1\n", r"rounds\[1\]\.agent: 'Union' is none of the parties that config\.txt names"),
        ("config.txt", "\udcff", r"config\.txt: not UTF-8 text"),
        ("config.txt", "", r"config\.txt: expected parties that have scores"),
        ("scores_files/co.txt", "14, 8\n14", r"config\.txt: expected parties that have scores for the same issues"),
        ("scores_files/co.txt", "", r"co\.txt: the file is empty"),
        ("scores_files/co.txt", "14, x\n5", r"co\.txt, line 1: expected whole numbers"),
        ("scores_files/co.txt", "14, 8\n11, 7\n5, 5", r"co\.txt, line 3: expected .* last the minimum alone"),
        ("scores_files/co.txt", "1," * 40_000, r"co\.txt: longer than 65,536 bytes"),
        ("scores_files/co.txt", None, r"co\.txt: cannot be read: No such file"),
    ],
)
def test_a_setup_that_is_not_right_is_refused_with_its_file(llm_deliberation, told, setup, name, text, place):
    if text is None:
        (setup / name).unlink()
    else:
        (setup / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(Refusal, match=place):
        told("llm-deliberation", llm_deliberation)


def test_a_config_without_scores_beside_it_is_something_else(llm_deliberation, told, tmp_path):
    (tmp_path / "config.txt").write_text("debug = true")
    assert told("llm-deliberation", llm_deliberation)[0][0].data["p1"] == "Co"
