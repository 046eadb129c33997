"""An exchange: 100,000 traders with private values meet in one order book, and drought and plenty move the price.

    python examples/market.py                             the whole market, and its questions
    matrix run examples/market.py --set traders=2000      a small one

Each trader wants one unit for less than it is worth to them, or wants to be rid of one for more than it cost. They
come through an hour, ask for better than their limit in the manner of their strategy, and leave when their patience
ends. The exchange is one agent: best price first, then who came first, at the price of whoever waited. How
near does such a crowd come to the price, and to the gains, at which supply meets demand?
"""

from __future__ import annotations

import argparse
import heapq
from collections import Counter
from typing import NamedTuple

import matrix

MINUTE = 60
PHASES = (("calm", 0), ("drought", +300), ("plenty", -200))  # what each does to the costs of those who come in it
PHASE = 20 * MINUTE
STRATEGIES = ("honest", "haggler", "guesser", "follower", "sniper")
BUY, SELL = +1, -1
LAST = 3  # a trader asks at most four times, from step 0 to step 3


class Order(NamedTuple):
    """What waits in the book; they sort as they are served."""

    rank: int
    number: int
    side: int
    price: int
    trader: str


class Book:
    """Two queues, one of each side, and at most one order of each trader."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self._queues: dict[int, list[Order]] = {BUY: [], SELL: []}
        self._count = 0

    def best(self, side: int) -> Order | None:
        """The first to be served on a side."""
        queue = self._queues[side]
        while queue and self.orders.get(queue[0].trader) is not queue[0]:
            heapq.heappop(queue)  # it was withdrawn, or the trader asked anew
        return queue[0] if queue else None

    def place(self, trader: str, side: int, price: int) -> Order | None:
        """The waiting order that this one meets, taken out of the book; None when it has to wait itself."""
        self.withdraw(trader)
        other = self.best(-side)
        if other is not None and side * (price - other.price) >= 0:
            return self.orders.pop(other.trader)
        self._count += 1
        order = self.orders[trader] = Order(-side * price, self._count, side, price, trader)
        heapq.heappush(self._queues[side], order)
        if len(self._queues[side]) > 2 * len(self.orders) + 8:  # most of it was withdrawn long ago
            self._queues[side] = sorted(order for order in self.orders.values() if order.side == side)
        return None

    def withdraw(self, trader: str) -> None:
        """Take a trader's order out, if there is one."""
        self.orders.pop(trader, None)


class Exchange(matrix.Agent):
    """Keeps the book, and once a minute tells the log how deep it is."""

    def on_start(self) -> None:
        self.book = Book()
        self.served: set[str] = set()
        self.price, self.is_open = self.simulation.state["price"], True
        self.set_timer(0)

    def on_timer(self, timer: matrix.Timer) -> None:
        if self.is_open:
            self.simulation.state["price"] = self.price  # the board on the wall, which everybody sees
            self.tell_depth()
            self.set_timer(MINUTE)

    def tell_depth(self) -> None:
        depth = Counter((order.price, order.side) for order in self.book.orders.values())
        prices = sorted({price for price, _ in depth})
        buyers, sellers = ([depth[price, side] for price in prices] for side in (BUY, SELL))
        if prices:  # one event a price; many at once are cheapest as columns
            self.emit_batch("depth", {"price": prices, "buyers": buyers, "sellers": sellers})

    def on_message(self, message: matrix.Message) -> None:
        trader = message.sender
        if trader is None:
            self.close()
        elif trader in self.served:
            return  # their trade was on its way when they wrote this
        elif message.kind == "leave" or not self.is_open:
            self.give_back(trader, self.quotes())
        else:
            self.take(message, trader)

    def take(self, order: matrix.Message, trader: str) -> None:
        other = self.book.place(trader, order["side"], order["price"])
        if other is not None:
            self.price = other.price
            self.served.update((trader, other.trader))
            buyer, seller = (trader, other.trader) if order["side"] == BUY else (other.trader, trader)
            self.emit("trade", price=self.price, buyer=buyer, seller=seller)
            self.send([buyer, seller], "filled", price=self.price)

    def quotes(self) -> dict[str, int]:
        best = {"bid": self.book.best(BUY), "ask": self.book.best(SELL)}
        return {name: order.price for name, order in best.items() if order is not None}

    def give_back(self, trader: str, quotes: dict[str, int]) -> None:
        self.book.withdraw(trader)
        self.send(trader, "returned", last=self.price, is_open=self.is_open, **quotes)

    def close(self) -> None:
        self.is_open, quotes = False, self.quotes()
        for trader in list(self.book.orders):
            self.give_back(trader, quotes)


class Trader(matrix.Agent):
    """Wants one trade within its limit; the better the price, the more it gains."""

    side: int
    worth: int  # to a buyer, or what it cost a seller
    strategy: str
    pause: int

    def on_start(self) -> None:
        phase = self.simulation.state["phase"]
        self.limit = self.worth + (dict(PHASES)[phase] if self.side == SELL else 0)
        self.wish = self.begin_goal("trade", limit=self.limit, strategy=self.strategy, phase=phase)
        self.step = 0
        self.ask_for_it()

    def on_timer(self, timer: matrix.Timer) -> None:
        self.step += 1
        if self.step <= LAST:
            self.ask_for_it()
        else:
            self.send("exchange", "leave")

    def ask_for_it(self) -> None:
        if (margin := self.margin()) is not None:
            self.send("exchange", "order", side=self.side, price=self.limit - self.side * margin)
        self.set_timer(self.pause)

    def margin(self) -> int | None:
        """How much it asks to gain at this step; None: it only looks on."""
        match self.strategy:
            case "haggler":  # begins with a third of its limit, ends with nothing
                return self.limit * (LAST - self.step) // (3 * LAST)
            case "guesser":  # knows nothing but its limit, and draws a number
                return self.random.below(self.limit // 3)
            case "follower":  # asks for the price on the board, if that is within its limit
                price: int = self.simulation.state["price"]
                return max(0, self.side * (self.limit - price))
            case "sniper":  # looks on, and in the end takes whatever is there
                return 0 if self.step == LAST else None
        return 0  # honest: says at once what it is worth

    def on_message(self, answer: matrix.Message) -> None:
        if answer.kind == "filled":
            self.wish.succeed(price=answer["price"], gain=self.side * (self.limit - answer["price"]))
        else:
            self.wish.fail(self.why(answer), last=answer["last"])
        self.finish()

    def why(self, answer: matrix.Message) -> str:
        """Why it goes home without a trade."""
        there = answer.get("ask" if self.side == BUY else "bid")
        if there is not None and self.side * (self.limit - there) >= 0:
            return "held out for more"
        if self.side * (self.limit - answer["last"]) < 0:
            return "priced out"
        return "nobody was there" if answer["is_open"] else "the market closed"


class Buyer(Trader):
    side = BUY


class Seller(Trader):
    side = SELL


async def market(simulation: matrix.Simulation, traders: int = 100_000) -> None:
    """An hour of trade in three phases; half of the traders buy, half sell, and some come every second."""
    chance = simulation.random
    simulation.state["price"] = 1000
    simulation.spawn(Exchange, "exchange")
    seconds = len(PHASES) * PHASE
    come = 0
    for second in range(seconds):
        if second % PHASE == 0:
            simulation.state["phase"] = PHASES[second // PHASE][0]
        for n in range(come + 1, traders * (second + 1) // seconds + 1):
            kind = chance.choice((Buyer, Seller))
            simulation.spawn(
                kind,
                f"{kind.role}-{n}",
                worth=chance.randint(500, 1500),
                strategy=chance.choice(STRATEGIES),
                pause=chance.randint(10, 60),
            )
            come = n
        await simulation.sleep(1)
    simulation.send("exchange", "close")


QUESTIONS = {
    "What does a unit cost through the hour, and how many change hands in a minute?": """
        events trade where simulation = $it and time < 1h
        | count / 5 as per_minute, median(.price) as price, min(.price) as low, max(.price) as high per 5m""",
    "Which strategy reaches its goal, and how much does it gain, a trade and a head?": """
        goals where simulation = $it
        | count(succeeded) / count as rate, avg(.gain) as a_trade, sum(.gain) / count as a_head by .strategy
        | sort a_head desc""",
    "Why do trades fail?": """
        goals where simulation = $it and failed | count by reason, .phase""",
    "Who missed a trade that would have paid?": """
        goals where simulation = $it
        | count(failed and reason != "priced out") / count as missed, count by .strategy | sort missed desc""",
    "How many wait in the book when the drought comes?": """
        events depth where simulation = $it and time in 18m..24m
        | sum(.buyers) as buyers, sum(.sellers) as sellers per 1m""",
}


def equilibrium(values: list[int], costs: list[int]) -> tuple[float, int]:
    """Where supply meets demand: the price, and the sum of all gains, which no other way of trading exceeds."""
    values, costs = sorted(values, reverse=True), sorted(costs)
    gains = [value - cost for value, cost in zip(values, costs) if value > cost]
    n = len(gains)
    if not n:
        return 0.0, 0
    # Between those that trade last and those that come next on either side.
    low, high = max(costs[n - 1 : n] + values[n : n + 1]), min(values[n - 1 : n] + costs[n : n + 1])
    return (low + high) / 2, sum(gains)


def compare_with_theory(store: matrix.Store, it: str) -> None:
    """The prices and gains of each phase, beside those of the textbook, which knows every trader's limit."""
    prices = store.query("events trade where simulation = $it | median(.price) as price by state.data.phase", it=it)
    price_of = {row["state_data_phase"]: row["price"] for row in prices}
    limits = store.query("goals where simulation = $it | select .phase, role, .limit, .gain", it=it).rows()
    print("phase     price  in theory     gains  of theory's")
    for phase in price_of:
        here = [row for row in limits if row["phase"] == phase]
        gained = sum(row["gain"] or 0 for row in here)
        sides = ([row["limit"] for row in here if row["role"] == role] for role in ("buyer", "seller"))
        price, most = equilibrium(*sides)
        share = f"{gained / most:.1%}" if most else ""
        print(f"{phase:8}  {price_of[phase]:5.0f}  {price:9.0f}  {gained:8,}  {share:>11}")


def main() -> None:
    parser = argparse.ArgumentParser(description="100,000 traders in one order book")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--traders", type=int, default=100_000)
    given = parser.parse_args()
    outcome = matrix.run(market, store=given.store, seed=given.seed, traders=given.traders)
    print(f"{outcome.agents:,} agents, {outcome.events:,} events, goals: {outcome.goals}")
    with matrix.open(given.store) as store:
        for question, query in QUESTIONS.items():
            print(f"\n{question}{query}\n\n{store.query(query, it=outcome.id)}")
        print("\nHow near does the crowd come to where supply meets demand?\n")
        compare_with_theory(store, outcome.id)


if __name__ == "__main__":
    main()
