"""A market of lamps: buyers and sellers haggle, each with a price the other does not know.

    python examples/negotiation.py                                  the market, and its questions
    matrix run examples/negotiation.py --store runs --seed 7
    matrix query runs 'goals | count(succeeded) / count as rate, count by name'

A buyer wants one lamp for no more than its `limit`. It visits up to three sellers, offers, raises its bid with
every counter-offer, and gives up a seller when its patience ends. A seller has a few lamps and a `floor` it will
not go below; each counter-offer is a little lower than the last. At five in the afternoon sellers get nervous.
"""

from __future__ import annotations

import argparse

import matrix

NINE, FIVE, SIX = 9 * 3600, 17 * 3600, 18 * 3600


class Seller(matrix.Agent):
    """Reactive: no task of its own, it is called for each message."""

    role = "seller"
    floor: int
    stock: int

    def on_start(self) -> None:
        self.asking = round(self.floor * 1.6)
        self.sale = self.begin_goal("sell_out", stock=self.stock)

    def on_message(self, offer: matrix.Message) -> None:
        is_late = self.simulation.state["phase"] == "closing"
        if self.stock == 0:
            self.reply(offer, "reject", reason="sold out")
        elif offer["price"] >= (self.floor if is_late else self.asking):
            self.stock -= 1
            self.reply(offer, "accept", price=offer["price"])
            if self.stock == 0:
                self.sale.succeed()
        else:
            self.asking = max(self.floor, self.asking - self.random.randint(1, 4))
            self.reply(offer, "counter", price=self.asking)


class Buyer(matrix.Agent):
    """Async: it has a story of its own, and waits for answers."""

    role = "buyer"
    limit: int
    patience: int
    sellers: int

    async def run(self) -> None:
        await self.sleep(self.random.uniform(0, SIX - NINE))  # comes to the market at some time of the day
        async with self.goal("close_deal", limit=self.limit) as deal:
            for n in self.random.sample(range(1, self.sellers + 1), k=min(3, self.sellers)):
                if price := await self.haggle(f"seller-{n}"):
                    deal.succeed(price=price, saved=self.limit - price)
                    return
                await self.sleep(self.random.uniform(60, 600))  # a walk to the next stall
            deal.fail("nobody would sell")

    async def haggle(self, seller: str) -> int | None:
        """The price agreed on with one seller, None without an agreement."""
        async with self.goal("haggle", seller=seller):
            bid = self.limit // 2
            for _ in range(self.patience):
                answer = await self.ask(seller, "offer", price=bid)
                if answer.kind == "accept":
                    return bid
                if answer.kind == "reject":
                    raise matrix.GoalFailed(answer["reason"])
                if bid == self.limit:
                    raise matrix.GoalFailed("too expensive", asked=answer["price"])
                bid = min(self.limit, (bid + answer["price"] + 1) // 2)
                await self.sleep(self.random.uniform(5, 40))  # thinks it over
            raise matrix.GoalFailed("out of patience")
        return None


async def negotiation(simulation: matrix.Simulation, buyers: int = 800, sellers: int = 200) -> None:
    """One day at the market: it opens at nine, sellers get nervous at five, and at six it closes."""
    chance = simulation.random
    simulation.state["phase"] = "open"
    for n in range(1, sellers + 1):
        simulation.spawn(Seller, f"seller-{n}", floor=chance.randint(30, 60), stock=chance.randint(2, 5))
    for n in range(1, buyers + 1):
        limit, patience = chance.randint(30, 90), chance.randint(2, 8)
        simulation.spawn(Buyer, f"buyer-{n}", limit=limit, patience=patience, sellers=sellers)
    await simulation.sleep(FIVE - NINE)
    simulation.state["phase"] = "closing"


QUESTIONS = {
    "How often does each side reach its goals?": """
        goals where simulation = $it | count(succeeded) / count as rate, count by role, name""",
    "Why do negotiations fail?": """
        goals where simulation = $it and name = haggle and failed | count by reason""",
    "What does a lamp cost through the day?": """
        messages where simulation = $it and kind = accept | count, median(.price) as price per 1h""",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Buyers and sellers haggle over lamps")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--buyers", type=int, default=800)
    parser.add_argument("--sellers", type=int, default=200)
    given = parser.parse_args()
    outcome = matrix.run(negotiation, store=given.store, seed=given.seed, buyers=given.buyers, sellers=given.sellers)
    print(f"{outcome.agents:,} agents, {outcome.events:,} events, goals: {outcome.goals}")
    with matrix.open(given.store) as store:
        for question, query in QUESTIONS.items():
            print(f"\n{question}{query}\n\n{store.query(query, it=outcome.id)}")


if __name__ == "__main__":
    main()
