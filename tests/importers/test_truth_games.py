"""Every figure of truth.json about tau-bench, Cicero's games and llm-deliberation comes out of a query, exactly.

Where a figure has a form of its own (who did what, by game), plain Python puts the rows of the query into it. The
recorded data lies beside the repository (``../shared/data``) or where MATRIX_SHARED_DATA says; without it these tests
are skipped.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from math import comb
from pathlib import Path
from typing import Any

import pytest

import matrix
from bench.truth_table import DATA, Figure, Rows, column, rounded, table, value
from tests.importers.recorded import openai_messages

FILES = {
    "tau-bench": sorted(DATA.glob("tau-bench/*.json.gz")),
    "cicero": sorted(DATA.glob("diplomacy-cicero/games/*.json.gz")),
    "llm-deliberation": sorted(DATA.glob("llm-deliberation/*.jsonl.gz")),
}
if not (DATA / "truth.json").exists() or not all(FILES.values()):
    pytest.skip(f"no recorded games in {DATA} (set MATRIX_SHARED_DATA)", allow_module_level=True)
TRUTH = json.loads((DATA / "truth.json").read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[matrix.Store]:
    folder = tmp_path_factory.mktemp("games") / "store"
    for format, files in FILES.items():
        assert {report.status for report in matrix.import_files(folder, format, files)} == {"imported"}
    with matrix.open(folder) as opened:
        yield opened


def by(*names: str) -> Callable[[Rows], dict[str, Any]]:
    """Of rows whose first column is a name, a map of what the others say under these names."""
    return lambda rows: {first: dict(zip(names, rest, strict=True)) for first, *rest in map(dict.values, rows)}


def nested(rows: Rows) -> dict[str, dict[str, Any]]:
    """The last column by the first two: ``{"game_1": {"FRANCE": 3}}``."""
    found: dict[str, dict[str, Any]] = {}
    for outer, inner, last in map(dict.values, rows):
        found.setdefault(outer, {})[inner] = last
    return found


def busiest(rows: Rows) -> dict[str, str]:
    """The first phase of each game: the rows are sorted by game and by how many messages a phase has."""
    return {row["game"]: row["phase"] for row in reversed(rows)}


# -- tau-bench -------------------------------------------------------------------------------------------

T = 'simulations where .format = "tau-bench"'
T_MESSAGES = f"{T} | events message.sent, tool.called, tool.completed, tool.failed, note where .role exists"
T_TASKS = f"{T} | count(.reward = 1) as won, count as trials by .task_id"


def passes(k: int) -> Callable[[Rows], float]:
    return lambda rows: round(sum(comb(r["won"], k) / comb(r["trials"], k) for r in rows) / len(rows), 6)


TAU_BENCH = {
    "episodes": Figure(f"{T} | count", value),
    "tasks": Figure(f"{T} | distinct(.task_id)", value),
    "successes": Figure(f"{T} | goals where succeeded | count", value),
    "pass^1": Figure(f"{T} | count(.reward = 1) / count as rate by .task_id | avg(rate)", rounded(6)),
    "pass^2": Figure(f"{T_TASKS} | select won * (won - 1) / (trials * (trials - 1)) as p | avg(p)", rounded(6)),
    "pass^3": Figure(T_TASKS, passes(3)),
    "pass^4": Figure(T_TASKS, passes(4)),
    "tasks_solved_in_all_trials": Figure(f"{T_TASKS} | where won = trials", column),
    "tasks_never_solved": Figure(f"{T_TASKS} | where won = 0", column),
    "messages": Figure(f"{T_MESSAGES} | count", value),
    "messages_by_role": Figure(f"{T_MESSAGES} | count by .role", table),
    "tool_calls": Figure(f"{T} | events tool.called | count", value),
    "tool_calls_by_tool": Figure(f"{T} | events tool.called | count by .tool", table),
    "transfers": Figure(f"{T} and any tool.called (.tool = 'transfer_to_human_agents') | count", value),
    "no_reward_info": Figure(f"{T} and .reward_info missing | count", value),
}


@pytest.mark.parametrize("name", TRUTH["tau-bench"]["tau-bench/gpt-4o-airline_tasks0-24.json.gz"])
def test_a_query_gives_the_figure_of_tau_bench(store, name):
    figure = TAU_BENCH[name]
    (truth,) = TRUTH["tau-bench"].values()
    assert figure.read(store.query(figure.query).rows()) == truth[name]


# -- Cicero ----------------------------------------------------------------------------------------------

D = 'simulations where .format = "cicero"'
GAME = "simulation.data.game"
#: The power was told something in private by one who in the same phase moves where it has a unit.
ATTACKS = (
    f'{D} | events order as o where .type = "move" and state.data.stage = "movement" and .against != agent'
    " and any simulation (any message.sent (agent = o.agent and to = o.data.against and .broadcast missing"
    f" and .phase = o.data.phase)) | count by {GAME} as game, .phase, agent, .against"
)
HELPED = f'{D} | events order where .type = "support" and .helped_power != agent'
DIPLOMACY = {
    "games": Figure(f"{D} | count", value),
    "mean_cicero_score": Figure(f'{D} | goals where .player = "cicero" | avg(.score)', rounded(6)),
    "cicero_first": Figure(f'{D} | goals where .player = "cicero" and succeeded | count', value),
    "messages": Figure(f"{D} | messages | count", value),
    "broadcast": Figure(f"{D} | messages where .broadcast = true | count", value),
    "phases": Figure(f"{D} | events state.changed where .phase exists | count", value),
    "orders": Figure(f"{D} | events order | count", value),
    "messages_by_cicero": Figure(f'{D} | agents where .player = "cicero" | messages where sent | count', value),
    "orders_by_kind": Figure(f"{D} | events order | count by .type", table),
    "attack_after_talk": Figure(f"{ATTACKS} | count", value),
    "support_for_other": Figure(f"{HELPED} | count", value),
}
PER_GAME = {
    "cicero": Figure(f"{D} | select .game, .cicero", table),
    "score": Figure(f'{D} | goals where .player = "cicero" | select {GAME}, round(.score, 6) as score', table),
    "centers": Figure(f"{D} | goals | select {GAME}, agent, .centers", nested),
    "leader": Figure(f"{D} | select .game, .leaders[-1]", table),
    "phases": Figure(f"{D} | select .game, .phases", table),
    "last_phase": Figure(f"{D} | select .game, .last_phase", table),
    "messages": Figure(f"{D} | messages | count by {GAME}", table),
    "messages_by_sender": Figure(f"{D} | messages | count by {GAME}, from", nested),
    "busiest_phase": Figure(
        f"{D} | messages | count as n, min(seq) as first by {GAME} as game, .phase | sort game, n desc, first", busiest
    ),
    "orders": Figure(f"{D} | events order | count by {GAME}", table),
    "support_for_other": Figure(f"{HELPED} | count by {GAME}", table),
    "attack_after_talk": Figure(f"{ATTACKS} | count by game", table),
    "eliminated": Figure(f"{D} | events eliminated | select {GAME}, agent, .phase", nested),
}


@pytest.mark.parametrize("name", [name for name in TRUTH["diplomacy"] if name != "per_game"])
def test_a_query_gives_the_figure_of_all_games(store, name):
    figure = DIPLOMACY[name]
    assert figure.read(store.query(figure.query).rows()) == TRUTH["diplomacy"][name]


@pytest.mark.parametrize("name", PER_GAME)
def test_a_query_gives_the_figure_of_each_game(store, name):
    found = PER_GAME[name].read(store.query(PER_GAME[name].query).rows())
    nothing: Any = {} if name in ("eliminated", "messages_by_sender") else 0
    games = TRUTH["diplomacy"]["per_game"]
    assert {game["game"]: found.get(game["game"], nothing) for game in games} == {g["game"]: g[name] for g in games}


def test_a_query_gives_what_cicero_did_to_those_it_talked_with(store):
    attacks = store.query(ATTACKS).rows()
    for game in TRUTH["diplomacy"]["per_game"]:
        by_cicero = [row for row in attacks if row["game"] == game["game"] and row["agent"] == game["cicero"]]
        assert len(by_cicero) == game["attack_after_talk_by_cicero"]


def test_every_figure_of_a_game_is_asked_for():
    assert set(TRUTH["diplomacy"]["per_game"][0]) == {*PER_GAME, "game", "attack_after_talk_by_cicero"}


# -- llm-deliberation ------------------------------------------------------------------------------------

L = 'simulations where .format = "llm-deliberation"'
WHOLE = f"{L} and .complete = true"
PROPOSED = f"{WHOLE} | messages where .deal_text exists"
DELIBERATION = {
    "agents": Figure(f"{L} | agents | count as n by simulation | max(n)", value),
    "issues": Figure(f"{L} | max(len(.issues))", value),
    "p1": Figure(f"{L} | count by .p1", value),
    "p2": Figure(f"{L} | agents where role = p2 | count by id", value),
    "models": Figure(f"{L} | events agent.started | distinct(agent) by .parameters.model", table),
    "sessions": Figure(f"{L} | count", value),
    "complete": Figure(f"{WHOLE} | count", value),
    "interrupted": Figure(f"{L} and status = stopped | count", value),
    "turns": Figure(f"{L} | messages | count", value),
    "turns_by_agent": Figure(f"{L} | messages | count by from", table),
    "any_round": Figure(f"{WHOLE} and any message.sent (role = p1 and .passes = true) | count", value),
    "last_round": Figure(f"{WHOLE} and .agreed = true | count", value),
    "all_agree_last": Figure(f"{WHOLE} and every goal (.agrees = true) | count", value),
    "wrong_deal_rate": Figure(
        f"{PROPOSED} | count(.below_minimum = true) / count as rate by simulation | avg(rate)", rounded(6)
    ),
    "full_deals": Figure(f"{PROPOSED} | count", value),
    "final_deals": Figure(
        f"{PROPOSED} | where from.role = p1 | last(.deal_text) as deal by simulation | count by deal", table
    ),
    "per_session": Figure(
        f"{WHOLE} | select .session as file, .agreed_any_round as any_round, .agreed as last_round,"
        " .unanimous as all_agree, .final_deal",
        list,
    ),
}


@pytest.mark.parametrize("name", TRUTH["llm-deliberation"]["llm-deliberation/base6_all_coop_gpt4_temp1.jsonl.gz"])
def test_a_query_gives_the_figure_of_the_negotiations(store, name):
    figure = DELIBERATION[name]
    (truth,) = TRUTH["llm-deliberation"].values()
    assert figure.read(store.query(figure.query).rows()) == truth[name]


# -- nothing is lost -------------------------------------------------------------------------------------


def test_every_recorded_message_of_tau_bench_comes_back(store):
    (file,) = FILES["tau-bench"]
    ids = store.query(f"{T} | select id").rows()
    recorded = json.loads(gzip.decompress(file.read_bytes()))
    for result, row in list(zip(recorded, ids, strict=True))[::10]:
        told = openai_messages(store.events(row["id"]), 1)
        assert told == [{key: value for key, value in one.items() if value is not None} for one in result["traj"]]


@pytest.mark.parametrize("file", FILES["cicero"][::5], ids=lambda file: file.name.partition(".")[0])
def test_everything_that_was_said_and_ordered_in_a_game_comes_back(store, file):
    recorded = json.loads(gzip.decompress(file.read_bytes()))
    (row,) = store.query(f"{D} and .game_id = $id | select id", id=recorded["id"]).rows()
    events = list(store.events(row["id"]))
    names = {event.agent: event.data["id"] for event in events if event.kind == "agent.started"}
    phases: list[dict[str, Any]] = []
    for event in events:
        data, power = event.data, names.get(event.agent, "")
        if event.kind == "state.changed" and not event.agent:
            board = {name: value for name, value in data.items() if name not in ("phase", "year", "season", "stage")}
            phases.append(
                {"name": data["phase"], "state": {"name": data["phase"]} | board, "messages": [], "orders": {}}
            )
        elif event.kind == "message.sent":
            to = "ALL" if data.get("broadcast") else names[event.to[0]]
            said = {"message": data["text"], "phase": data["phase"], "time_sent": data["time_sent"]}
            phases[-1]["messages"].append(said | {"recipient": to, "sender": power})
        elif event.kind == "order":
            phases[-1]["orders"].setdefault(power, []).append(data["order"])
    for phase in recorded["phases"]:
        phase["orders"] = {power: orders for power, orders in phase["orders"].items() if orders}
    empty = {"logs": [], "results": {}}
    assert [empty | phase for phase in phases] == recorded["phases"]


def test_everything_that_models_were_shown_and_wrote_comes_back(store):
    (file,) = FILES["llm-deliberation"]
    ids = store.query(f"{L} | select id").rows()
    for line, row in list(zip(iter_lines(file), ids, strict=True))[::4]:
        rounds, plans = list[dict[str, Any]](), dict[str, list[str]]()
        for event in store.events(row["id"]):
            if event.kind == "model.called":
                rounds.append({"prompt": event.data["messages"][0]["content"]})
                rounds[-1]["agent"] = event.data["call_id"].partition("#")[0]
            elif event.kind == "model.completed":
                rounds[-1]["full_answer"] = event.data["message"]["content"]
            elif event.kind == "state.changed":
                plans.setdefault(rounds[-1]["agent"], []).append(event.data["plan"])
            elif event.kind == "message.sent":
                rounds[-1]["public_answer"] = event.data["text"]
        assert (rounds, plans) == (line["log"]["rounds"], line["log"]["plan"])


@pytest.mark.parametrize("format", FILES)
def test_importing_it_again_adds_nothing(store, format):
    before = store.query("simulations | count").rows()
    reports = matrix.import_files(store.path, format, [FILES[format][0]])
    assert [report.status for report in reports] == ["already there"]
    assert store.query("simulations | count").rows() == before


def test_a_session_is_the_same_alone_and_among_others(store, tmp_path):
    """A history file by itself, as it was published: the same simulation, of which no setup lies beside."""
    line = next(iter_lines(FILES["llm-deliberation"][0]))
    (tmp_path / line["file"]).write_text(json.dumps(line["log"]))
    (report,) = matrix.import_files(tmp_path / "store", "llm-deliberation", [tmp_path / line["file"]])
    assert report.status == "imported"
    with matrix.open(tmp_path / "store") as alone:
        (found,) = alone.query("simulations | select id, .session, .final_deal, .agreed").rows()
        assert alone.query("goals | count by status, reason").rows() == [
            {"status": "cancelled", "reason": "no scores beside the file", "count": 6}
        ]
    told = {"session": line["file"], "final_deal": "A2,B2,C3,D1,E3", "agreed": None}
    assert found == {"id": found["id"]} | told
    assert store.query("simulations where id = $id | count", id=found["id"]).rows() == [{"count": 1}]


def iter_lines(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        yield from map(json.loads, file)
