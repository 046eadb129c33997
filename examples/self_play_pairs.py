"""Self-play into preference pairs: a negotiation is forked at each offer, and what came out better is preferred.

    python examples/self_play_pairs.py                         haggle, fork, export, load, and show a pair
    matrix run examples/self_play_pairs.py --store runs        one negotiation alone
    matrix export runs agents --as pairs -o pairs              pairs of whatever was forked in a store

Buyer and seller are played by the same few lines, each with a price that it will not go beyond and the other does not
know. At each offer the same moment is played again with other chances: another offer there, and the story goes on from
it. Two branches of one moment that brought the one who spoke a different gain are a pair: the same prompt, and what was
said then. An agent that a model speaks for is forked and exported in the same way.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import matrix

BRIEFING = {
    "buyer": "You want to buy a lamp. It is worth {reserve} to you: pay as little as you can, and never more.",
    "seller": "You want to sell a lamp. It cost you {reserve}: get as much as you can, and never less.",
}
OFFERS = (
    "I could do {price}.",
    "What about {price}?",
    "Let us say {price}, and we have a deal.",
    "{price}. It has a scratch, after all.",
    "{price}, and I will not haggle much longer.",
)


class Haggler(matrix.Agent):
    """One side of the table; what is good for it lies in the direction of ``sign``."""

    sign: int
    reserve: int
    other: str
    opens: bool = False

    async def run(self) -> None:
        self.note(subject="briefing", system=BRIEFING[self.role or ""].format(reserve=self.reserve))
        mine = round(self.reserve * (1 - self.sign * self.random.uniform(0.2, 0.6)))
        async with self.goal("deal", reserve=self.reserve) as deal:
            if self.opens:
                self.offer(mine)
            while True:
                theirs = await self.receive()
                if theirs["move"] == "leave":
                    raise matrix.GoalFailed("the other left")
                if theirs["move"] == "accept":
                    deal.succeed(price=mine, reward=self.gain(mine))
                    return
                price, mine = theirs["price"], self.between(mine, theirs["price"])
                if self.likes(price, mine):
                    self.say("accept", f"{price} it is.", price)
                    deal.succeed(price=price, reward=self.gain(price))
                    return
                if self.random.random() < 0.15:  # enough of this
                    break
                self.offer(mine)
            self.say("leave", "Then I would rather keep looking. Goodbye.")
            raise matrix.GoalFailed("left")

    def say(self, move: str, text: str, price: int | None = None) -> None:
        """A message has a text, as people talk, and beside it what the other's lines go by."""
        self.send(self.other, text=text, move=move, price=price)

    def offer(self, price: int) -> None:
        self.say("offer", self.random.choice(OFFERS).format(price=price), price)

    def between(self, mine: int, theirs: int) -> int:
        """A step towards the other, but never beyond what it is worth."""
        price = round(mine + (theirs - mine) * self.random.uniform(0.1, 0.6))
        return min(price, self.reserve) if self.sign > 0 else max(price, self.reserve)

    def likes(self, price: int, mine: int) -> bool:
        """Whether it takes a price; if not, it would say ``mine``."""
        is_better = self.gain(price) >= self.gain(mine)
        return self.gain(price) >= 0 and (is_better or self.random.random() < self.gain(price) / 2)

    def gain(self, price: int) -> float:
        """What a price brings, as a share of what the lamp is worth to it."""
        return round(self.sign * (self.reserve - price) / self.reserve, 2)


class Buyer(Haggler):
    role = "buyer"
    sign = 1


class Seller(Haggler):
    role = "seller"
    sign = -1


async def haggling(simulation: matrix.Simulation) -> None:
    """One negotiation; the buyer speaks first."""
    chance = simulation.random
    simulation.spawn(Seller, "seller", reserve=chance.randint(20, 50), other="buyer")
    simulation.spawn(Buyer, "buyer", reserve=chance.randint(45, 90), other="seller", opens=True)


OUTCOMES = """
    goals where name = deal and simulation in $all
    | count(succeeded) / count as deals, avg(.reward) as gain, count by role"""
OFFERS_MADE = 'messages where .move = "offer" and simulation in $games | select simulation, seq'


def fork_at_each_offer(store: matrix.Store, games: list[str], times: int) -> list[str]:
    """Other ways for each offer to be made: each with the whole history before it, and other chances from there on."""
    forks: list[str] = []
    for offer in store.query(OFFERS_MADE, games=games).rows():
        branches = store.fork(offer["simulation"], at=offer["seq"] - 1, seed=1_000 + len(forks), times=times)
        forks += [branch.id for branch in branches]
    return forks


def load(folder: Path) -> list[dict[str, Any]]:
    """The pairs to train on, as a trainer loads them."""
    try:
        import datasets
    except ImportError:
        print("(`pip install datasets`, and load_dataset reads the folder; these are its lines.)")
        lines = [line for file in sorted(folder.glob("train-*.jsonl")) for line in file.read_text().splitlines()]
        return [json.loads(line) for line in lines]
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset(str(folder), cache_dir=cache)
        print({split: rows.num_rows for split, rows in loaded.items()}, loaded["train"].column_names[:3])
        return list(loaded["train"])


def show(pair: dict[str, Any]) -> None:
    """One pair, as people read it."""
    for part in ("prompt", "chosen", "rejected"):
        print(f"\n{part}")
        for message in pair[part]:
            print(f"  {message['role']:<9}  {message['content']}")
    print(
        f"\nThe {pair['agent']} gained {pair['chosen_reward']} in {pair['chosen_simulation']},"
        f" and {pair['rejected_reward']} in {pair['rejected_simulation']}: two ways on from event {pair['fork_at']}"
        f" of {pair['fork_of']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="A negotiation forked at each offer into preference pairs")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--pairs", help="the folder to write; if it is not said, pairs- and the first game's id")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--games", type=int, default=12)
    parser.add_argument("--branches", type=int, default=3, help="of each offer")
    given = parser.parse_args()
    outcomes = matrix.run(haggling, store=given.store, seed=given.seed, simulations=given.games)
    games = [outcome.id for outcome in outcomes]
    folder = Path(given.pairs or f"pairs-{games[0]}")
    with matrix.open(given.store) as store:
        forks = fork_at_each_offer(store, games, given.branches)
        print(
            f"{len(games)} negotiations, {len(forks)} forks{OUTCOMES}\n\n{store.query(OUTCOMES, all=games + forks)}\n"
        )
        chosen = "agents where simulation in $all"
        print(store.export(chosen, folder, as_="pairs", format="jsonl", test=0.2, all=games + forks), "\n")
    pairs = load(folder)
    show(max(pairs, key=lambda pair: (len(pair["prompt"]), pair["margin"])))


if __name__ == "__main__":
    main()
