"""Debates before judges, in which every speech and every vote is a model's, asked over HTTP.

    python examples/debate.py                                     24 debates, their questions, a replay, a fork
    matrix run examples/debate.py --set debates=4
    MODEL_URL=http://localhost:11434 MODEL=llama3.2 matrix run examples/debate.py      with a model of your own

Two debaters speak in turn before a moderator and three judges; whoever convinces more judges wins. The model is
reached through `self.call`, so what it was asked and what it said is in the log, and a replay needs no model. Where
none is named, a stand-in answers at a local port: the shape of OpenAI's chat completions, sentences picked by a
hash of the request, and the manners of the real ones: answers late, now and then 429 or 500.
"""

from __future__ import annotations

import argparse
import json
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from hashlib import blake2b
from http.client import HTTPConnection, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import urlsplit

import matrix

MOTIONS = (
    "cities should close their centres to cars",
    "homework should be abolished",
    "voting should be a duty",
    "museums should be free",
    "children should choose their bedtime",
    "every street should have a bakery",
)
MANNERS = ("evidence", "story", "attack")
FAIR = "You judge a debate. Weigh all that was said."
STRICT = "You judge a debate. Count only evidence."
AS_JSON = 'Answer with JSON and nothing else: {"winner": "for" or "against", "why": "..."}'

# -- the model ---------------------------------------------------------------------------------


class Refused(Exception):
    """The server would not answer now."""

    def __init__(self, status: int, retry_after: str | None) -> None:
        super().__init__(f"status {status}")
        self.retry_after = float(retry_after or 0)  # a call policy waits at least that long


# Plain blocking code from the standard library: a call runs it in a worker thread. With httpx at hand, an async
# function that awaits a client would do as well, and could have more than 64 requests under way.
@matrix.call_policy(in_flight=32, attempts=4, backoff=0.05)
def complete(messages: list[dict[str, str]], seed: int) -> dict[str, Any]:
    """What the model says next, and how many tokens that took."""
    place = os.environ.get("MODEL_URL")
    url = urlsplit(place or STAND_IN.url())
    connect = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = connect(url.netloc, timeout=60 if place else 1)  # the stand-in is quick, but for its first answer
    asked = {"model": os.environ.get("MODEL", "stand-in"), "messages": messages, "seed": seed}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('MODEL_KEY', '')}"}
    try:
        connection.request("POST", f"{url.path.rstrip('/')}/v1/chat/completions", json.dumps(asked), headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise Refused(response.status, response.headers["Retry-After"])
    said = json.loads(body)
    return {"text": said["choices"][0]["message"]["content"], "tokens": said["usage"]["total_tokens"]}


# -- who takes part ----------------------------------------------------------------------------


class Listener(matrix.Agent):
    """Hears what is said in the room, and has the model say what it thinks of it."""

    heard: list[dict[str, str]]

    def hear(self, said: matrix.Message) -> None:
        self.heard.append({"role": "user", "content": f"{said['side']}: {said.text}"})

    async def think(self, task: str, *more: dict[str, str]) -> str:
        messages = [{"role": "system", "content": task}, *self.heard, *more]
        answer = await self.call(complete, messages, self.random.getrandbits(31), kind="model")
        return str(answer["text"])


class Debater(Listener):
    motion: str
    side: str
    manner: str

    async def run(self) -> None:
        self.heard = []
        task = f"You debate. The motion: {self.motion}. You are {self.side} it. Your manner: {self.manner}. Be brief."
        async with self.goal("convince", motion=self.motion, side=self.side, manner=self.manner) as goal:
            async for message in self.messages():
                if message.kind == "said":
                    self.hear(message)
                elif message.kind == "speak":
                    self.reply(message, "speech", side=self.side, text=await self.speech(task))
                elif message["winner"] != self.side:
                    goal.fail(f"{message['winner']} convinced more")
                    return
                else:
                    return

    async def speech(self, task: str) -> str:
        try:
            return await self.think(task)
        except matrix.CallFailed:
            return "I am lost for words."


class Judge(Listener):
    prompt = FAIR

    async def run(self) -> None:
        self.heard = []
        async for message in self.messages():
            if message.kind == "said":
                self.hear(message)
            else:
                async with self.goal("judge") as goal:
                    vote = await self.verdict()
                    goal.succeed(vote=vote["winner"], why=vote["why"])
                self.reply(message, "vote", winner=vote["winner"] if goal.status == "succeeded" else None)
                return

    async def verdict(self) -> dict[str, str]:
        """The model's vote; one that cannot be read is asked for once more."""
        task = f"{self.prompt} {AS_JSON}"
        try:
            text = await self.think(task)
            if (vote := self.read(text)) is None:
                remark = {"role": "user", "content": f"That was not JSON: {text}"}
                vote = self.read(await self.think(task, remark))
        except matrix.CallFailed as failed:
            raise matrix.GoalFailed(failed.error) from failed
        if vote is None:
            raise matrix.GoalFailed("the model did not answer in JSON")
        return vote

    def read(self, text: str) -> dict[str, str] | None:
        try:
            vote = json.loads(text)
            return {"winner": vote["winner"], "why": str(vote["why"])} if vote["winner"] in ("for", "against") else None
        except (ValueError, TypeError, KeyError):
            return None


class Moderator(matrix.Agent):
    debaters: list[str]
    judges: list[str]
    rounds: int

    async def run(self) -> None:
        async with self.goal("hold_debate") as goal:
            for debater in self.debaters * self.rounds:
                speech = await self.ask(debater, "speak")
                self.send([*self.debaters, *self.judges], "said", **speech.data)  # also to whoever said it
            self.send(self.judges, "decide")
            votes = Counter([(await self.receive())["winner"] for _ in self.judges])
            winner = "nobody" if votes["for"] == votes["against"] else max("for", "against", key=lambda w: votes[w])
            self.send(self.debaters, "verdict", winner=winner, votes=max(votes["for"], votes["against"]))
            goal.succeed(winner=winner)


async def debate(simulation: matrix.Simulation, debates: int = 24, rounds: int = 2) -> None:
    """Several debates at once, each in a room of its own."""
    chance = simulation.random
    for n in range(1, debates + 1):
        motion, manners = MOTIONS[n % len(MOTIONS)], chance.sample(MANNERS, 2)
        debaters, judges = [f"for-{n}", f"against-{n}"], [f"judge-{n}-{k}" for k in (1, 2, 3)]
        for name, side, manner in zip(debaters, ("for", "against"), manners):
            simulation.spawn(Debater, name, motion=motion, side=side, manner=manner)
        for name in judges:
            simulation.spawn(Judge, name)
        simulation.spawn(Moderator, f"moderator-{n}", debaters=debaters, judges=judges, rounds=rounds)


# -- the stand-in ------------------------------------------------------------------------------

SPEECHES = {
    "evidence": ("A study of {n} towns counted {n}% fewer complaints.", "The figures of {n} years point one way."),
    "story": ("My neighbour tried it for {n} days and wept with joy.", "I once met a man of {n} who had seen it all."),
    "attack": ("My opponent has said the contrary {n} times.", "Who believes my opponent, after {n} such speeches?"),
}
MANNER_OF = {"study": "evidence", "figures": "evidence", "neighbour": "story", "man": "story", "opponent": "attack"}
WEIGHTS = {"evidence": 3.0, "story": 2.5, "attack": 1.8}


def speak(task: str, chance: Random) -> str:
    """A speech in the manner that the task names."""
    manner = next((m for m in MANNERS if f"manner: {m}" in task), "story")
    return chance.choice(SPEECHES[manner]).format(n=chance.randint(2, 90))


def judge(task: str, speeches: list[str], chance: Random) -> str:
    """A vote for the weightier speeches; but the judge has moods, and remembers the last words best."""
    points = {"for": 0.0, "against": 0.0}
    for place, speech in enumerate(speeches, start=1):
        side, _, text = speech.partition(": ")
        manner = next((m for word, m in MANNER_OF.items() if word in text.split()), "")
        weight = WEIGHTS.get(manner, 0.0) * (1 + place / 10)
        if side in points and (manner == "evidence" or "only evidence" not in task):
            points[side] += weight * chance.uniform(0.2, 1.8)
    winner = max(points, key=lambda side: points[side])
    if len(speeches) % 2 == 0 and chance.random() < 0.1:
        return f"I believe that {winner} had the better of it."
    return json.dumps({"winner": winner, "why": f"{points[winner]:.1f} points"})


class Handler(BaseHTTPRequestHandler):
    """POST /v1/chat/completions."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        chance = Random(blake2b(body).digest())
        trouble = chance.random()
        time.sleep(chance.uniform(0.01, 0.06))
        before, same_before = STAND_IN.count(body)
        if before == 0:
            time.sleep(1.5)  # a model that is loaded first; longer than anybody waits
        elif same_before == 0 and trouble < 0.10:
            self.say(429 if trouble < 0.06 else 500, {"error": {"message": "not now"}})
            return
        task, *heard = [message["content"] for message in json.loads(body)["messages"]]
        text = judge(task, heard, chance) if "judge" in task else speak(task, chance)
        tokens = len(body + text.encode()) // 4
        message = {"role": "assistant", "content": text}
        self.say(200, {"choices": [{"index": 0, "message": message}], "usage": {"total_tokens": tokens}})

    def say(self, status: int, content: dict[str, Any]) -> None:
        told = json.dumps(content).encode()
        with suppress(ConnectionError):  # whoever asked has gone
            self.write(status, told)

    def write(self, status: int, told: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        if status == 429:
            self.send_header("Retry-After", "0.1")
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # connections that may wait to be accepted; five by default
    daemon_threads = True


class StandIn:
    """The stand-in's life in this process: it starts when it is first asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self._same: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def url(self) -> str:
        with self._lock:
            if self._server is None:
                self._server = Server(("127.0.0.1", 0), Handler)
                threading.Thread(target=self._server.serve_forever, daemon=True).start()
            return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, body: bytes) -> tuple[int, int]:
        """How many requests came before this one, and how many that were the same."""
        with self._lock:
            before, same_before = self.asked, self._same[body]
            self.asked += 1
            self._same[body] += 1
            return before, same_before

    def stop(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None


STAND_IN = StandIn()

# -- what happened, and what else could have ------------------------------------------------------

QUESTIONS = {
    "Who convinces the judges, by manner and by side? (Those against have the last word.)": """
        goals where simulation = $it and name = convince
        | count(succeeded) / count as rate, count by .manner, .side""",
    "How sure were the judges?": """
        events verdict where simulation = $it | count by .votes, .winner""",
    "How long did the model take, and how much did it say?": """
        events model.completed where simulation = $it
        | count, median(.ms), p95(.ms), avg(.attempts) as attempts, sum(.result.tokens) as tokens by role""",
    "What went wrong on the way?": """
        events model.completed where simulation = $it and .attempts > 1 | count by .tries[0].error as first_error""",
    "What was said in the first debate?": """
        messages where simulation = $it and kind = speech and to = "moderator-1" | select time, from, text""",
}


def replay_without_a_model(store: matrix.Store, it: str) -> None:
    """The same history with nobody to ask; and, with another prompt, where it first parts from what was recorded."""
    asked = STAND_IN.asked
    STAND_IN.stop()
    print(f"\nThe model was asked {asked} times, and is switched off. A replay:\n\n{store.replay(it)}")
    Judge.prompt = STRICT
    print(f"\nA replay with another prompt for the judges:\n\n{store.replay(it)}")
    Judge.prompt = FAIR
    print(f"\nIn both the model was asked {STAND_IN.asked - asked} times.")


def fork_before_the_judges(store: matrix.Store, it: str) -> None:
    """The same speeches before stricter judges."""
    (first,) = store.query("events decide where simulation = $it | limit 1 | select seq", it=it)
    judges = store.query("agents where simulation = $it and role = judge | select id", it=it)
    strict = {f"{judge['id']}.prompt": STRICT for judge in judges}
    (branch,) = store.fork(it, at=first["seq"], set=strict)
    print(f"\nIn {branch.id}, from event {first['seq']} of {it} on, judges count only evidence:\n")
    by_manner = "goals where simulation in $two and name = convince | count(succeeded) / count as rate"
    print(store.query(f"{by_manner} by .manner, simulation", two=[it, branch.id]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Debates before judges, with a model asked over HTTP")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--debates", type=int, default=24)
    given = parser.parse_args()
    outcome = matrix.run(debate, store=given.store, seed=given.seed, debates=given.debates)
    print(f"{given.debates} debates, {outcome.agents} agents, {outcome.events:,} events, goals: {outcome.goals}")
    with matrix.open(given.store) as store:
        for question, query in QUESTIONS.items():
            print(f"\n{question}{query}\n\n{store.query(query, it=outcome.id)}")
        replay_without_a_model(store, outcome.id)
        fork_before_the_judges(store, outcome.id)


if __name__ == "__main__":
    main()
