"""The exchange: its book against a plain list, and what must hold of every trade of a whole market."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import matrix
from examples.market import BUY, PHASES, SELL, STRATEGIES, Book, equilibrium, market

ROOT = Path(__file__).parent.parent.parent
TRADERS = 2_000
MARKET = ROOT / "examples" / "market.py"

orders = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from((BUY, SELL)), st.integers(1, 9), st.booleans()), max_size=40
)


# On a busy machine drawing a list may take a while, which says nothing about the book.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class PlainBook:
    """The rules of the book, said plainly: a list in the order of arrival, searched from the front."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, int, int]] = []

    def place(self, trader: str, side: int, price: int) -> tuple[str, int] | None:
        self.withdraw(trader)
        met = [order for order in self.waiting if order[1] == -side and side * (price - order[2]) >= 0]
        if not met:
            self.waiting.append((trader, side, price))
            return None
        best = min(met, key=lambda order: side * order[2])  # the first of equals is the one that came first
        self.waiting.remove(best)
        return best[0], best[2]

    def withdraw(self, trader: str) -> None:
        self.waiting = [order for order in self.waiting if order[0] != trader]


@patiently
@given(orders)
def test_the_book_serves_the_best_price_first_and_then_who_came_first(steps: list[tuple[str, int, int, bool]]) -> None:
    book, plain = Book(), PlainBook()
    for trader, side, price, is_leaving in steps:
        if is_leaving:
            book.withdraw(trader)
            plain.withdraw(trader)
            continue
        met = book.place(trader, side, price)
        assert (met and (met.trader, met.price)) == plain.place(trader, side, price)
        bid, ask = book.best(BUY), book.best(SELL)
        assert bid is None or ask is None or bid.price < ask.price  # nobody waits who could trade
        assert sorted((o.trader, o.side, o.price) for o in book.orders.values()) == sorted(plain.waiting)


@patiently
@given(st.lists(st.integers(1, 9), max_size=4), st.lists(st.integers(1, 9), max_size=4))
def test_no_other_way_of_trading_gains_more_than_where_supply_meets_demand(values: list[int], costs: list[int]) -> None:
    most = 0
    for count in range(min(len(values), len(costs)) + 1):
        for buyers in combinations(values, count):
            for sellers in permutations(costs, count):
                most = max(most, sum(value - cost for value, cost in zip(buyers, sellers)))
    price, gains = equilibrium(values, costs)
    assert gains == most
    if gains:  # and at that price as many want to buy as want to sell, but for those to whom it is all the same
        assert sum(value > price for value in values) <= sum(cost <= price for cost in costs)
        assert sum(cost < price for cost in costs) <= sum(value >= price for value in values)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> matrix.Store:
    folder = tmp_path_factory.mktemp("market")
    matrix.run(market, store=folder, seed=3, traders=TRADERS)
    return matrix.open(folder)


def goals(store: matrix.Store) -> list[dict[str, Any]]:
    return store.query("goals | select agent, role, status, reason, .limit, .price, .gain, .phase, .strategy").rows()


def test_every_trader_comes_once_and_goes_home_with_a_trade_or_a_reason(played: matrix.Store) -> None:
    found = goals(played)
    assert len(found) == len({goal["agent"] for goal in found}) == TRADERS
    assert {goal["status"] for goal in found} == {"succeeded", "failed"}
    assert all((goal["reason"] is None) == (goal["status"] == "succeeded") for goal in found)
    assert {goal["phase"] for goal in found} == {phase for phase, _ in PHASES}
    assert {goal["strategy"] for goal in found} == set(STRATEGIES)
    assert {row["status"] for row in played.query("agents where id != exchange | select status")} == {"finished"}


def test_goods_and_money_are_conserved(played: matrix.Store) -> None:
    trades = played.query("events trade | select .price, .buyer, .seller").rows()
    bought = {goal["agent"]: goal["price"] for goal in goals(played) if goal["price"] and goal["role"] == "buyer"}
    sold = {goal["agent"]: goal["price"] for goal in goals(played) if goal["price"] and goal["role"] == "seller"}
    assert bought == {trade["buyer"]: trade["price"] for trade in trades}  # each unit that one gets, one gives
    assert sold == {trade["seller"]: trade["price"] for trade in trades}
    assert len(bought) == len(sold) == len(trades) > 100
    assert sum(bought.values()) == sum(sold.values())


def test_nobody_trades_beyond_their_limit_and_no_crowd_gains_more_than_there_is(played: matrix.Store) -> None:
    found = goals(played)
    done = [goal for goal in found if goal["status"] == "succeeded"]
    for goal in done:
        side = BUY if goal["role"] == "buyer" else SELL
        assert goal["gain"] == side * (goal["limit"] - goal["price"]) >= 0
    limits = {role: [goal["limit"] for goal in found if goal["role"] == role] for role in ("buyer", "seller")}
    _, most = equilibrium(limits["buyer"], limits["seller"])
    assert 0.7 * most < sum(goal["gain"] for goal in done) <= most


def test_each_price_is_what_the_one_who_waited_asked_and_within_what_the_other_did(played: matrix.Store) -> None:
    asked: dict[str, list[tuple[int, int]]] = {}  # by trader, in the order in which the exchange read them
    for order in played.query("events order | select seq, agent, .price"):
        asked.setdefault(order["agent"], []).append((order["seq"], order["price"]))
    trades = "events trade | select .price, .buyer, .seller, cause.seq, cause.agent, cause.data.price as met"
    for trade in played.query(trades):
        taker = trade["cause_agent"]
        waited = trade["seller"] if taker == trade["buyer"] else trade["buyer"]
        before = [price for seq, price in asked[waited] if seq < trade["cause_seq"]]
        assert trade["price"] == before[-1]
        side = BUY if taker == trade["buyer"] else SELL
        assert side * (trade["met"] - trade["price"]) >= 0


def test_prices_follow_the_shocks_to_where_supply_meets_demand(played: matrix.Store) -> None:
    paid = played.query("events trade | median(.price) as price by state.data.phase").rows()
    found = goals(played)
    for row in paid:
        here = [goal for goal in found if goal["phase"] == row["state_data_phase"]]
        sides = ([goal["limit"] for goal in here if goal["role"] == role] for role in ("buyer", "seller"))
        assert equilibrium(*sides)[0] == pytest.approx(row["price"], rel=0.08)
    assert len(paid) == len(PHASES)


def test_the_program_prints_its_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, MARKET, "--traders", "400", "--store", tmp_path / "runs"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("401 agents, ")
    assert done.stdout.count(" rows\n") == 5
    assert "in theory" in done.stdout


def test_the_command_line_runs_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "matrix.cli.main", "run", MARKET, "--store", tmp_path / "runs", "--set", "traders=50"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agents"] == 51


@pytest.mark.skipif("MATRIX_FULL_SIZE" not in os.environ, reason="takes half a minute: set MATRIX_FULL_SIZE=1")
def test_a_hundred_thousand_traders(tmp_path: Path) -> None:
    outcome = matrix.run(market, store=tmp_path, seed=7)
    assert (outcome.agents, sum(outcome.goals.values())) == (100_001, 100_000)
