"""Completion: what is offered at a place is right there, comes in a useful order, and any text and cursor is answered.

``MATRIX_EDITS=100000`` asks for twenty thousand texts and more walks.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from matrix.errors import QueryError
from matrix.event import Event
from matrix.query.check import check
from matrix.query.complete import Completion, complete
from matrix.query.engine.kept import kept_vocabulary
from matrix.query.engine.unknown import unknown_names
from matrix.query.language.cursor import place_at
from matrix.query.language.suggest import how_well
from matrix.query.syntax import walk
from matrix.store import Store
from tests.query.asking import store_of
from tests.query.test_edits import bases, edited, refused
from tests.query.test_unknown_names import calls
from tests.stories import deal

IS_LONG = int(os.environ.get("MATRIX_EDITS", "5000")) >= 100_000
TEXTS = 20_000 if IS_LONG else 1_000
WALKS = 2_000 if IS_LONG else 120
SEED = 20_261_130


def events() -> list[list[Event]]:
    return [calls(), deal()]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with store_of(tmp_path_factory.mktemp("names"), *events()) as store:
        yield store


def offered(store: Store, text: str) -> list[str]:
    """What is offered at the ‸ in a text, else at its end."""
    cursor = text.find("‸")
    return [found.text for found in store.complete(text.replace("‸", ""), cursor if cursor >= 0 else None)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", ["agents", "conversations", "events"]),
        ("ag", ["agents"]),
        ("agents whe", ["where"]),
        ("agents where ro", ["role", "round("]),
        ("agents where role = ", ["buyer", "seller"]),
        ("agents where role = s", ["seller"]),
        ("agents where role in (buyer, s", ["seller"]),
        ("agents where status = f", ["finished", "failed"]),
        ("agents where goal ", ['"close_deal"', '"ask"', "succeeded"]),
        ('agents where goal "cl', ['"close_deal"']),
        ("agents where goal 'cl", ["'close_deal'"]),
        ("goals where succ", ["succeeded"]),
        ("agents where did tool.c", ["tool.called", "tool.completed"]),
        ("agents where did offer then zzz", []),
        ("events off", ["offer"]),
        ("events where kind = cou", ["counter"]),
        ("events tool.failed where .", [".items", ".items[0]", ".items[0].price", ".tool"]),
        ("events tool.called where .args.q", [".args.query"]),
        ("events where kind = tool.failed and .to", [".tool"]),
        ("agents where any tool.completed(.", [".ms"]),
        ("agents where sum(.ms of tool.comp", ["tool.completed"]),
        ("agents where did offer as o then counter(.price < o.data.", ["o.data.price", 'o.data."odd key"']),
        ("agents where did offer as ask then counter(.price < as", ["ask."]),
        ("events where goal.st", ["goal.status", "goal.start", "goal.steps"]),
        ("events where cause.goal.na", ["cause.goal.name"]),
        ("agents as buying where any message (buying.ro", ["buying.role"]),
        ("agents as a where any message (peer.role = a.ro", ["a.role"]),
        ("events | count as errors by role | sort er", ["errors"]),
        ("events | count by role | where ", ["role", "count"]),
        ("agents | so", ["sort"]),
        ("agents | match offer as o then counter | select o.data.pr", ["o.data.price"]),
        ("events | as ", ["table", "tree", "timeline"]),
        ("conversations | as c", ["chat"]),
        ("agents where did offer then within 5", ["5s", "5ms", "5m"]),
        ("agents where goal failed within 5 tu", ["turn", "turns"]),
        ("agents wh‸ goal succeeded", ["where"]),
        ("agents where ro‸le = buyer", ["role", "round("]),
        ("events where .a = 1 # and ro", []),
        ("agents where ((", ["id", "simulation"]),
        ("watch events | sor", []),
        ("agents where )) ro", []),
    ],
)
def test_what_is_offered_first(store: Store, text: str, first: list[str]) -> None:
    found = offered(store, text)
    assert found[: len(first)] == first
    assert first or not found


def test_only_the_word_under_the_cursor_is_replaced(store: Store) -> None:
    text = "agents where ro = buyer and turns > 3"
    found = store.complete(text, cursor=15)[0]
    assert found == Completion("role", 13, 15, "field", "text")
    assert text[: found.start] + found.text + text[found.end :] == "agents where role = buyer and turns > 3"


def test_completion_says_what_it_is(store: Store) -> None:
    shown = {found.text: (found.kind, found.detail) for found in store.complete("events tool.called where .")}
    assert shown[".args.limit"] == ("path", "number, 4")
    kinds = {found.text: (found.kind, found.detail) for found in store.complete("events ")}
    assert kinds["tool.called"] == ("kind", "4 events")
    assert kinds["model.failed"] == ("kind", "no events here")
    assert store.complete("events where ca")[0].detail == "link to events"


def test_better_fits_come_first() -> None:
    assert [how_well("pri", text) for text in ("price", ".price", "parity", "x")] == [0, 1, 2, None]
    assert how_well("", "anything") == 0


def test_new_events_are_offered(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("grows")
    with store_of(folder, calls()) as store:
        assert offered(store, "events cou")[:1] != ["counter"]
        from matrix.testing.stores import write_history

        write_history(folder, {1: deal()})
        assert offered(store, "events cou")[:1] == ["counter"]


def test_any_text_and_cursor_is_answered(store: Store) -> None:
    chance = random.Random(SEED)
    queries = bases(chance)
    words = sorted({word for query in queries for word in query.split()})
    store.refresh()
    names = kept_vocabulary(store)
    for number in range(TEXTS):
        text = chance.choice(queries)
        text = text if chance.random() < 0.4 else edited(chance, text, words)
        cursor = chance.choice((None, chance.randrange(-2, len(text) + 3)))
        try:
            for found in complete(text, cursor, names):
                assert 0 <= found.start <= found.end <= len(text)
                assert found.text and found.kind and found.detail
        except Exception as error:
            raise AssertionError(f"text {number} of seed {SEED}: {text!r} at {cursor}") from error


SIGNS = (" = ", " > ", " (", ")", ", ", " | ", " 3 ", " 5s ", ' "x" ', " then ", " exists ", ".", " as c ")
BEGINNINGS = ("", "", "agents where goal", "events where", "agents where did", "messages where role =", "events |")
NAMED = {"field", "path", "kind", "goal", "value", "column", "step", "alias"}
UNKNOWN = {
    "unknown-field",
    "unknown-kind",
    "unknown-column",
    "unknown-step",
    "unknown-status",
    "unknown-function",
    "unknown-shape",
}


def test_walk_along_completions_reaches_right_queries_and_no_unknown_names(store: Store) -> None:
    chance = random.Random(SEED)
    kinds: Counter[str] = Counter()
    right = 0
    for _ in range(WALKS):
        text = chance.choice(BEGINNINGS)
        for _ in range(chance.randrange(2, 14)):
            text = stepped(chance, store, text, kinds)
            right += is_right(store, text)
    assert right > WALKS / 2
    assert all(kinds[kind] > WALKS / 40 for kind in ("keyword", "field", "path", "kind", "value", "goal"))


def stepped(chance: random.Random, store: Store, text: str, kinds: Counter[str]) -> str:
    """The text with a sign that may come, or with something that is offered."""
    if text and chance.random() < 0.35:
        sign = chance.choice(SIGNS)
        return text + sign if place_at(f"{text}{sign} ", len(text + sign) + 1) is not None else text
    before = text if not text or text[-1] in ".( " else f"{text} "
    found = store.complete(before)
    if not found:
        return text
    kind = chance.choice(sorted({one.kind for one in found}))
    chosen = chance.choice([one for one in found if one.kind == kind])
    kinds[chosen.kind] += 1
    text = before[: chosen.start] + chosen.text + before[chosen.end :]
    if chosen.kind in NAMED and not chosen.text.endswith("."):
        refuse_unknown(text, chosen)
    return text


def refuse_unknown(text: str, chosen: Completion) -> None:
    """What was offered is no unknown name, whatever else is still missing."""
    error = refused(text)
    if error is not None:
        is_here = error.start < chosen.start + len(chosen.text) and chosen.start < max(error.end, error.start + 1)
        assert not (is_here and error.code in UNKNOWN), f"{text!r}: {chosen}\n{error}"


def is_right(store: Store, text: str) -> bool:
    """Whether this is a right query; its names are in the store then, for all of them were offered."""
    try:
        query = check(text)
    except QueryError:
        return False
    found = unknown_names(store.connection, list(walk(query)))
    notices = [
        notice for notice in found if not re.match(r'no .* ("(x|exists|then|as)"|kind (x|exists|then|as) )', notice)
    ]  # signs
    assert not notices, f"{text!r}: {notices}"
    return True


def test_completion_is_fast_once_warm(store: Store) -> None:
    texts = ["agents where ro", "events tool.called where .a", "agents where did offer then ", "events | count by "]
    for text in texts:
        store.complete(text)
    began = time.thread_time()
    for _ in range(5):
        for text in texts:
            store.complete(text)
    assert (time.thread_time() - began) / 20 < 0.02
