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
from pathlib import Path

import matrix

ROUNDS = 6
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
        async with self.goal("deal", reserve=self.reserve) as deal:
            mine = self.offer(self.first()) if self.opens else 0
            for _ in range(ROUNDS):
                theirs = await self.receive()
                if theirs["move"] == "leave":
                    raise matrix.GoalFailed("the other left")
                price = mine if theirs["move"] == "accept" else theirs["price"]
                if theirs["move"] == "accept" or self.likes(price):
                    if theirs["move"] == "offer":
                        self.say("accept", f"{price} it is.", price)
                    deal.succeed(price=price, reward=self.gain(price))
                    return
                if self.random.random() < 0.1:
                    break
                mine = self.offer(self.between(mine or self.first(), price))
            self.say("leave", "Then I would rather keep looking. Goodbye.")
            raise matrix.GoalFailed("left")

    def say(self, move: str, text: str, price: int | None = None) -> None:
        """A message has a text, as people talk, and beside it what the other's lines go by."""
        self.send(self.other, text=text, move=move, price=price)

    def offer(self, price: int) -> int:
        self.say("offer", self.random.choice(OFFERS).format(price=price), price)
        return price

    def first(self) -> int:
        return round(self.reserve * (1 - self.sign * self.random.uniform(0.2, 0.6)))

    def between(self, mine: int, theirs: int) -> int:
        """A step towards the other, but never beyond what it is worth."""
        price = round(mine + (theirs - mine) * self.random.uniform(0.1, 0.6))
        return min(price, self.reserve) if self.sign > 0 else max(price, self.reserve)

    def likes(self, price: int) -> bool:
        return self.gain(price) >= 0 and self.random.random() < 0.05 + self.gain(price) / 2

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
    goals where name = deal | count(succeeded) / count as deals, avg(.reward) as gain, count by role"""
OFFERS_MADE = 'messages where .move = "offer" and simulation in $games | select simulation, seq'


def fork_at_each_offer(store: matrix.Store, games: list[str], times: int) -> int:
    """Other ways for each offer to be made: each with the whole history before it, and other chances from there on."""
    forks = 0
    for offer in store.query(OFFERS_MADE, games=games).rows():
        forks += len(store.fork(offer["simulation"], at=offer["seq"] - 1, seed=1_000 + forks, times=times))
    return forks


def load(folder: Path) -> list[dict[str, object]]:
    """The pairs to train on, as a trainer loads them."""
    try:
        import datasets
    except ImportError:
        print("`pip install datasets`, and load_dataset(folder) gives what is read here line by line:")
        lines = sorted(folder.glob("train-*.jsonl"))
        return [json.loads(line) for file in lines for line in file.read_text().splitlines()]
    datasets.disable_progress_bars()
    loaded = datasets.load_dataset(str(folder), cache_dir=str(folder / ".cache"))
    print(loaded)
    return list(loaded["train"])


def show(pair: dict[str, object]) -> None:
    """One pair, as people read it."""
    for part in ("prompt", "chosen", "rejected"):
        print(f"\n{part}")
        messages = pair[part]
        assert isinstance(messages, list)
        for message in messages:
            print(f"  {message['role']:<9}  {message['content']}")
    print(f"\n{pair['chosen_reward']} against {pair['rejected_reward']}: {pair['agent']} of {pair['fork_of']}", end=" ")
    print(f"at event {pair['fork_at']}, {pair['chosen_simulation']} against {pair['rejected_simulation']}")


def main() -> None:
    parser = argparse.ArgumentParser(description="A negotiation forked at each offer into preference pairs")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--pairs", default="pairs", help="the folder to write")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--games", type=int, default=8)
    parser.add_argument("--branches", type=int, default=3, help="of each offer")
    given = parser.parse_args()
    games = [
        outcome.id for outcome in matrix.run(haggling, store=given.store, seed=given.seed, simulations=given.games)
    ]
    with matrix.open(given.store) as store:
        forks = fork_at_each_offer(store, games, given.branches)
        print(f"{len(games)} negotiations, {forks} forks\n{OUTCOMES}\n\n{store.query(OUTCOMES)}\n")
        print(store.export("agents", given.pairs, as_="pairs", format="jsonl", test=0.2))
    pairs = load(Path(given.pairs))
    show(max(pairs, key=lambda pair: (pair["margin"], pair["fork_at"])))  # type: ignore[arg-type, return-value]  # numbers


if __name__ == "__main__":
    main()
