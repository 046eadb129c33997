"""Debates: a model over real HTTP, in all its moods; every debate ends with a verdict, and a replay needs no model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import matrix
from examples.debate import FAIR, STAND_IN, STRICT, Judge, complete, debate

ROOT = Path(__file__).parent.parent.parent
DEBATE = ROOT / "examples" / "debate.py"
Answer = Callable[[list[dict[str, str]]], tuple[int, str]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[matrix.Store, matrix.Outcome]]:
    folder = tmp_path_factory.mktemp("debate")
    outcome = matrix.run(debate, store=folder, seed=5, debates=6)
    STAND_IN.stop()
    with matrix.open(folder) as store:
        yield store, outcome


def test_every_debate_ends_with_the_verdict_of_most_judges(played: tuple[matrix.Store, matrix.Outcome]) -> None:
    store, outcome = played
    assert outcome.reason == "completed"
    votes: dict[str, Counter[str]] = {}
    for vote in store.query("messages where kind = vote | select to, .winner"):
        votes.setdefault(vote["to"], Counter())[vote["winner"]] += 1
    verdicts = store.query("messages where kind = verdict | select from, .winner, .votes").rows()
    assert len(verdicts) == len(votes) == 6
    for verdict in verdicts:
        count = votes[verdict["from"]]
        assert count.total() == 3
        assert count[verdict["winner"]] == verdict["votes"] == max(count.values())


def test_in_each_debate_one_convinces_and_the_other_fails(played: tuple[matrix.Store, matrix.Outcome]) -> None:
    store, _ = played
    won = dict(store.query("messages where kind = verdict | select from, .winner").table.to_pydict().items())
    winners = dict(zip((name.split("-")[1] for name in won["from"]), won["winner"]))
    goals = store.query("goals where name = convince | select agent, .side, status").rows()
    assert len(goals) == 12
    for goal in goals:
        is_winner = winners[goal["agent"].split("-")[1]] == goal["side"]
        assert goal["status"] == ("succeeded" if is_winner else "failed")


def test_everybody_in_the_room_hears_every_speech_in_order(played: tuple[matrix.Store, matrix.Outcome]) -> None:
    store, _ = played
    speeches = [row["text"] for row in store.query('messages where kind = speech and to = "moderator-1" | select text')]
    said = store.query('messages where kind = said and from = "moderator-1" | select text, to').rows()
    assert [row["text"] for row in said] == speeches
    assert len(speeches) == 4
    assert {row["to"] for row in said} == {"for-1, against-1, judge-1-1, judge-1-2, judge-1-3"}
    for asked in store.query("events model.called where agent ~ /^judge-1-/ | select .arguments").rows():
        heard = [message["content"].partition(": ")[2] for message in asked["arguments"][0][1:5]]
        assert heard == speeches


def test_failures_and_a_late_answer_are_tried_again_and_recorded(played: tuple[matrix.Store, matrix.Outcome]) -> None:
    store, _ = played
    errors = {row["error"] for row in store.query("events model.completed | select .tries[0].error as error")}
    assert "TimeoutError: timed out" in errors  # the first request of all
    assert len(store.query("events model.failed")) == 0
    assert len(store.query("events model.called")) == len(store.query("events model.completed"))


def test_a_replay_asks_nobody_and_another_prompt_is_found_out(played: tuple[matrix.Store, matrix.Outcome]) -> None:
    store, outcome = played
    asked = STAND_IN.asked
    assert store.replay(outcome.id).status == "identical"
    Judge.prompt = STRICT
    try:
        replay = store.replay(outcome.id)
    finally:
        Judge.prompt = FAIR
    assert replay.status == "diverged"
    assert "Count only evidence" in str(replay)
    assert "debate.py:" in str(replay)
    assert STAND_IN.asked == asked


def test_two_runs_with_one_seed_say_the_same_whatever_the_network_does(tmp_path: Path) -> None:
    def said(store: Path) -> list[tuple[str, str]]:
        matrix.run(debate, store=store, seed=3, debates=2)
        rows = matrix.open(store).query("messages where kind in (speech, vote) | select from, text, .winner")
        return sorted((row["from"], row["text"] or row["winner"]) for row in rows)

    assert said(tmp_path / "one") == said(tmp_path / "two")


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[Any]]]:
    """A model of the test's own: what it is asked, and answers as the test says."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> list[Any]:
        asked: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, request))
                status, text = answer(request["messages"])
                choice = {"message": {"role": "assistant", "content": text}}
                told = json.dumps({"choices": [choice], "usage": {"total_tokens": 7}}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("MODEL_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("MODEL", "llama")
        return asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_model_of_ones_own_is_asked_in_the_shape_of_chat_completions(model: Any) -> None:
    asked = model(lambda messages: (200, messages[-1]["content"].upper()))
    assert complete([{"role": "user", "content": "hello"}], 9) == {"text": "HELLO", "tokens": 7}
    request = {"model": "llama", "messages": [{"role": "user", "content": "hello"}], "seed": 9}
    assert asked == [("/v1/chat/completions", request)]


def test_judges_who_get_no_json_ask_once_more_and_then_do_not_vote(model: Any, tmp_path: Path) -> None:
    asked = model(lambda messages: (200, "the first one was better"))
    matrix.run(debate, store=tmp_path, debates=1, rounds=1)
    store = matrix.open(tmp_path)
    assert [r["winner"] for r in store.query("messages where kind = verdict | select .winner")] == ["nobody"]
    assert {r["reason"] for r in store.query("goals where role in (judge, debater) | select reason")} == {
        "the model did not answer in JSON",
        "nobody convinced more",
    }
    assert len(asked) == 2 + 2 * 3


def test_a_model_that_is_down_leaves_debaters_without_words_and_judges_without_votes(
    model: Any, tmp_path: Path
) -> None:
    asked = model(lambda messages: (503, ""))
    matrix.run(debate, store=tmp_path, debates=1, rounds=1)
    store = matrix.open(tmp_path)
    said = {row["text"] for row in store.query("messages where kind = said | select text")}
    assert said == {"I am lost for words."}
    assert [r["winner"] for r in store.query("messages where kind = verdict | select .winner")] == ["nobody"]
    failed = store.query("events model.failed | select .error, .attempts").rows()
    assert failed == [{"error": "Refused: status 503", "attempts": 4}] * 5
    assert len(asked) == 20


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def test_the_program_prints_its_answers_and_other_processes_replay_what_it_did(tmp_path: Path) -> None:
    done = python(DEBATE, "--debates", "4", "--store", tmp_path / "runs")
    assert done.stderr == ""
    assert "identical, " in done.stdout
    assert "a call is not the one that was recorded" in done.stdout
    assert "In both the model was asked 0 times." in done.stdout
    assert "judges count only evidence" in done.stdout

    again = python("-m", "matrix.cli.main", "replay", tmp_path / "runs", "--all").stdout.splitlines()
    assert [json.loads(line)["status"] for line in again] == ["identical"] * 2  # the run, and its fork


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    done = python("-m", "matrix.cli.main", "run", DEBATE, "--store", tmp_path / "runs", "--set", "debates=2")
    assert json.loads(done.stdout)["agents"] == 12
