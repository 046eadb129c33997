"""A kind, a path or a name that nothing in the store has is noticed, with what there is instead; nothing else is."""

from __future__ import annotations

import json
import os
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.errors import QueryError
from matrix.event import Event
from matrix.query import syntax as q
from matrix.query.check import check
from matrix.store import Store
from matrix.testing.naive import answer
from matrix.testing.stores import write_history
from matrix.testing.strategies import random_example
from matrix.testing.world import World
from tests.query.asking import deal_store, offers_store, store_of
from tests.stories import SECOND, Telling

EXAMPLES = int(os.environ.get("MATRIX_FUZZ_EXAMPLES", "60"))
SEED = 20_261_129


def calls() -> list[Event]:
    """A buyer whose searches fail now and then; nested payloads, and a kind of which only one has .ms."""
    telling = Telling(simulation=1, wall=0)
    telling.start({"id": "r3", "name": "market"})
    telling.spawn(0, "buyer", "alice")
    telling.spawn(0, "seller", "bob")
    telling.begin_goal(1, "close_deal", {})
    for n in range(4):
        telling.time, telling.agents[1].turn = n * SECOND, n + 1
        telling.emit(1, "tool.called", {"tool": "search", "args": {"query": "lamp", "limit": n}})
        telling.emit(1, "tool.failed", {"tool": "search", "items": [{"price": n}]})
    telling.emit(1, "tool.completed", {"ms": 3})
    telling.emit(1, "offer", {"price": 3, "odd key": 1})
    return telling.events


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_of(tmp_path_factory.mktemp("calls"), calls()) as store:
        yield store


@pytest.mark.parametrize(
    ("query", "notice"),
    [
        ("events ofer", "no event of kind ofer in this store; offer: 1"),
        ("agents where any ofer", "no event of kind ofer in this store; offer: 1"),
        ("agents where count(ofer) > 3", "no event of kind ofer in this store; offer: 1"),
        ("events where kind = ofer", "no event of kind ofer in this store; offer: 1"),
        ("events where kind in (offer, ofer)", "no event of kind ofer in this store; offer: 1"),
        (
            "events zzz.*",
            "no event of kind zzz.* in this store; there are tool.called: 4, tool.failed: 4, agent.started: 2",
        ),
        ('events tool.failed where .toool = "x"', "no tool.failed has .toool; .tool: 4"),
        ('events where kind = tool.failed and .toool = "x"', "no tool.failed has .toool; .tool: 4"),
        ('events | where kind = tool.failed | where .toool = "x"', "no tool.failed has .toool; .tool: 4"),
        ('events tool.called where .args.qery = "x"', "no tool.called has .args.qery; .args.query: 4"),
        ('agents where any tool.called(.args.qery = "x")', "no tool.called has .args.qery; .args.query: 4"),
        ("agents where sum(.mss of tool.completed) > 3", "no tool.completed has .mss; .ms: 1"),
        (
            "events tool.failed where .items[0].prise > 1",
            "no tool.failed has .items[*].prise; there are .items: 4, .tool: 4",
        ),
        ("events tool.failed where .ms > 1", "no tool.failed has .ms; there are .items: 4, .tool: 4"),
        (
            "events tool.failed, offer where .ms > 1",
            "no tool.failed or offer has .ms; there are .items: 4, .tool: 4, .\"odd key\": 1",
        ),
        ("events where .mss > 1", "no event has .mss in this store; .ms: 1"),
        ('events where ."od key" > 1', 'no event has ."od key" in this store; ."odd key": 1'),
        ("events offer | select .prise", "no offer has .prise; .price: 1"),
        ("events offer | sum(.prise) by role", "no offer has .prise; .price: 1"),
        ("agents | events where .mss > 1", "no event has .mss in this store; .ms: 1"),
        ("agents where role = buyr", 'no agent has the role "buyr"; "buyer": 1'),
        ("agents where role in (buyer, buyr)", 'no agent has the role "buyr"; "buyer": 1'),
        ("events where role != buyr", 'no agent has the role "buyr"; "buyer": 1'),
        ("agents where role = zzz", 'no agent has the role "zzz"; there are "buyer": 1, "seller": 1'),
        ("events where agent = alise", 'no agent is called "alise"; "alice": 1'),
        ('agents where goal "close_dea" succeeded', 'no goal is called "close_dea"; "close_deal": 1'),
        ("goals where name = close_dael", 'no goal is called "close_dael"; "close_deal": 1'),
        ("events where goal = close_dea", 'no goal is called "close_dea"; "close_deal": 1'),
        ("simulations where name = markt", 'no simulation is called "markt"; "market": 1'),
        ("events where simulation = r4", 'no simulation has the id "r4"; "r3": 1'),
    ],
)  # fmt: skip
def test_name_that_does_not_occur_is_noticed(store: Store, query: str, notice: str) -> None:
    assert store.query(query).notices == [notice]


@pytest.mark.parametrize(
    "query",
    [
        "agents where no model.failed",
        "agents where status = failed",
        "events where .price exists",
        'events tool.called where .args.query = "lamp"',
        "events tool.failed where .items[0].price > 1 and .items[*].price exists",
        'agents where .mood = "calm"',
        "goals where .points > 3",
        'simulations where .mode = "x"',
        "events where cause.data.price > 1 and state.data.ms > 1",
        'events tool.failed where cause.data.args.query = "lamp"',
        'messages where text = "nothing like it"',
        "events | select kind as role | where role = offer",
    ],
)
def test_name_that_may_occur_is_not_noticed(store: Store, query: str) -> None:
    assert store.query(query).notices == []


def test_unknown_name_of_an_unknown_kind_is_looked_for_everywhere(tmp_path: Path) -> None:
    store = offers_store(tmp_path, {"price": 1}, {"price": 2})
    assert store.query("events ofer where .pirce > 1 | count").notices == [
        "no event of kind ofer in this store; offer: 2",
        "no event has .pirce in this store; .price: 2",
    ]


def test_path_is_not_noticed_when_the_catalogue_does_not_keep_all(tmp_path: Path) -> None:
    wide = {f"key{n}": n for n in range(1_200)}
    assert offers_store(tmp_path, wide).query("events offer where .nowhere > 1").notices == []


def test_of_many_names_that_are_nowhere_the_first_are_noticed_and_the_others_counted(store: Store) -> None:
    notices = store.query("agents where id in $ids", ids=[f"nobody-{n}" for n in range(300)] + ["alice"]).notices
    assert notices[0] == 'no agent is called "nobody-0"'
    assert len(notices) == 9
    assert notices[-1] == "and 292 more names that nothing in this store has"


def test_no_notice_of_names_in_an_empty_answer_of_a_right_question(tmp_path: Path) -> None:
    assert deal_store(tmp_path).query("agents where role = buyer and turns > 99").notices == []


#: What a notice says of a name, and the plain evaluator's question for all there are.
ASKED = {
    "agent has the role": "agents | select role as name",
    "agent is called": "agents | select id as name",
    "goal is called": "goals | select name as name",
    "goal has the reason": "goals | select reason as name",
    "simulation is called": "simulations | select name as name",
    "simulation has the id": "simulations | select id as name",
}


def paths_in(value: object, before: str = "") -> Iterator[str]:
    """Every path to a value that is there, as notices write it."""
    if isinstance(value, list):
        inside: list[tuple[str, object]] = [(f"{before}[*]", inner) for inner in value]
    elif isinstance(value, dict):
        inside = [(f"{before}.{name if name.isidentifier() else json.dumps(name)}", value[name]) for name in value]
    else:
        return
    for path, inner in inside:
        if inner is not None:
            yield path
            yield from paths_in(inner, path)


def test_noticed_name_occurs_nowhere() -> None:
    chance = random.Random(SEED)
    noticed = 0
    for _ in range(EXAMPLES):
        shards, texts = random_example(chance, queries_count=12)
        world = World(shards)
        everything = [event for events in shards.values() for event in events]
        with tempfile.TemporaryDirectory() as folder:
            write_history(Path(folder), shards)
            with Store(Path(folder)) as store:
                for text in texts:
                    try:
                        notices = store.query(text).notices
                    except QueryError:
                        continue
                    for notice in notices:
                        noticed += check_absent(notice, everything, world)
    assert noticed > EXAMPLES / 10


def check_absent(notice: str, events: list[Event], world: World) -> bool:
    """Whether a notice is one of an unknown name; the name must not occur then."""
    if found := re.match(rf'no ({"|".join(ASKED)}) "([^"]*)"', notice):
        names = [row["name"] for row in answer(check(ASKED[found.group(1)]), world).rows]
        assert found.group(2) not in names, notice
    elif found := re.match(r"no event of kind ([\w.]+)\*? in this store", notice):
        assert not any(event.kind.startswith(found.group(1)) for event in events), notice
    elif found := re.match(r"no (.+) has (\..+?)(?: in this store)?(?:;|$)", notice):
        kinds = [q.KindPattern((0, 0), name.rstrip("*"), name.endswith("*")) for name in found.group(1).split(" or ")]
        is_any = found.group(1) == "event"
        here = [event for event in events if is_any or any(kind.matches(event.kind) for kind in kinds)]
        assert all(found.group(2) not in paths_in(dict(event.data)) for event in here), notice
    else:
        return False
    return True
