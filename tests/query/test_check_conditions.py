"""What conditions mean: names resolved, sugar gone, parameters bound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from matrix.errors import QueryError
from matrix.query.check import check
from matrix.query.syntax import Field, Relation, Type
from tests.query.written import written


def where(query: str, **params: object) -> str:
    condition = check(query, params).source.where
    assert condition is not None
    return written(condition)


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("agents where role = buyer", "(role = 'buyer')"),
        ("agents where role != buyer", "not (role = 'buyer')"),
        ("agents where not role = buyer or turns > 3 and id = a1", None),
        ("agents where role in (buyer, 'a b', failed)", "role in ['buyer', 'a b', 'failed']"),
        ("agents where role not in (buyer)", "not role in ['buyer']"),
        ("agents where status = failed", "(status = 'failed')"),
        ("events where time in 5s..1m", "time in 5000000..60000000"),
        ("events where .x in -5..5", "data.x in -5..5"),
        ("events where .price ?? .amount > 10", "((data.price ?? data.amount) > 10)"),
        ("events where .a + .b * 2 - 1 > -.c", "(((data.a + (data.b * 2)) - 1) > -data.c)"),
        ("events where .args.\"odd key\"[0].name exists", "data.args.odd key[0].name exists"),
        ("events where .items[*].price > 100", "(data.items[[*]].price > 100)"),
        ("events where .items[-1] missing", "not data.items[-1] exists"),
        ("events where .x = null", "(data.x = None)"),
        ("events where data.x = 3", "(data.x = 3)"),
        ("events where kind = tool.*", "kind is tool.*"),
        ("events where kind != tool.failed", "not kind is tool.failed"),
        ("events where kind in (offer, tool.*, \"then\")", "kind is offer|tool.*|then"),
        ("events where cause.kind = goal.failed", "cause.kind is goal.failed"),
        ("events where agent = alice", "(agent.id = 'alice')"),
        ("events where goal = win", "(goal.name = 'win')"),
        ("events where goal.id = \"r:1\"", "(goal.id = 'r:1')"),
        ("events where cause.cause.agent = bob", "(cause.cause.agent.id = 'bob')"),
        ("events where state.data.phase = 'late'", "(state.data.phase = 'late')"),
        ("messages where from.role = seller", "(from.role = 'seller')"),
        ("messages where text contains 'deal'", "text contains 'deal'"),
        ("messages where text starts with 'a' and text ends with 'b'", "(text starts 'a' and text ends 'b')"),
        ("messages where text ~ /a\\/b/si", "text ~ /a/b/is"),
        ("messages where conversation = 'r/a+b'", "(conversation.id = 'r/a+b')"),
        ("events where wall > now - 5m", "(wall > (now - 300000000))"),
        ("events where wall > 2h ago", "(wall > ago(7200000000))"),
        ("events where wall > @2026-01-31", "(wall > 1769817600000000)"),
        ("events where wall > @2026-01-31T12:00:00.5+01:00", "(wall > 1769857200500000)"),
        ("agents where len(role) > 3", "(len(role) > 3)"),
        ("conversations where len(agents) > 3", "(len(agents) > 3)"),
        ("events where if(.x > 1, 'a', 'b') = 'a'", "(if((data.x > 1), 'a', 'b') = 'a')"),
        ("events where .a = 10_000 and .b = 0.5 or .c = 1e6",
         "(((data.a = 10000) and (data.b = 0.5)) or (data.c = 1000000.0))"),
        ("events where .a = \"x\\n\\u00e9\" and .b = 'it\\'s'", "((data.a = 'x\\né') and (data.b = \"it's\"))"),
    ],
)  # fmt: skip
def test_condition_means(query: str, meaning: str | None) -> None:
    if meaning is None:
        meaning = "(not (role = 'buyer') or ((turns > 3) and (id = 'a1')))"
    assert where(query) == meaning


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("goals where failed", "(status = 'failed')"),
        ("goals where failed within 5m", "((status = 'failed') and (duration <= 300000000))"),
        ("goals where succeeded within 10 turns", "((status = 'succeeded') and (turns <= 10))"),
        ("goals where started", "id exists"),
        ("events where goal succeeded", "(goal.status = 'succeeded')"),
        ("messages where goal win failed", "((goal.name = 'win') and (goal.status = 'failed'))"),
        ("agents where goal succeeded", "1.. goals [(status = 'succeeded')]"),
        ("agents where goal win failed", "1.. goals [((name = 'win') and (status = 'failed'))]"),
        ("simulations where goal 'a b' cancelled", "1.. goals [((name = 'a b') and (status = 'cancelled'))]"),
        ("agents where any goal (failed)", "1.. goals [(status = 'failed')]"),
        ("agents where no goal failed", "0..0 goals [(status = 'failed')]"),
        ("agents where every goal failed", "(1.. goals and 0..0 goals [not (status = 'failed')])"),
        (
            "agents where every goal win failed",
            "(1.. goals [(name = 'win')] and 0..0 goals [((name = 'win') and not (status = 'failed'))])",
        ),
        ("agents where every goal", "1.. goals"),
        ("agents where at least 2 goals (failed)", "2.. goals [(status = 'failed')]"),
        ("agents where at most 2 offer", "0..2 events offer"),
        ("agents where exactly 2 messages", "2..2 messages"),
        ("agents where any tool.failed(.tool = 'search')", "1.. events tool.failed [(data.tool = 'search')]"),
        (
            "agents where every tool.failed(.x = 1)",
            "(1.. events tool.failed and 0..0 events tool.failed [not (data.x = 1)])",
        ),
        ("agents where any event (kind = offer)", "1.. events [kind is offer]"),
        ("agents where any event 'r:1'", "1.. events [(id = 'r:1')]"),
        ("conversations where any offer", "1.. messages offer"),
        ("goals where any offer", "1.. events offer"),
        ("agents as a where any message (peer.role != a.role)", "1.. messages [not (peer.role = ^:role)]"),
        ("simulations as s where any agent (any offer (.x = s.seed))",
         "1.. agents [1.. events offer [(data.x = ^^:seed)]]"),
        ("agents where any message (sent)", "1.. messages [(sent = True)]"),
        ("agents where count(tool.failed) > 3", "(count(events tool.failed) > 3)"),
        ("agents where count(tool.*) > 3", "(count(events tool.*) > 3)"),
        ("agents where count(offer(.x = 1)) > 3", "(count(events offer [(data.x = 1)]) > 3)"),
        ("simulations where count(agents) = 2", "(count(agents) = 2)"),
        ("simulations where count(agents (goal succeeded)) = 2",
         "(count(agents [1.. goals [(status = 'succeeded')]]) = 2)"),
        ("agents where sum(.n of offer) > 1", "(sum(data.n of events offer) > 1)"),
        ("agents where p99.9(.ms of events (.x = 1)) > 1", "(percentile99.9(data.ms of events [(data.x = 1)]) > 1)"),
    ],
)  # fmt: skip
def test_condition_over_other_rows_means(query: str, meaning: str) -> None:
    assert where(query) == meaning


@pytest.mark.parametrize(
    ("query", "meaning"),
    [
        ("agents where did offer then got counter then accept", "did offer > got counter > did accept"),
        (
            "agents where did offer then within 2s got a within 10 turns without b with same peer",
            "did offer > got a within 2000000 time within 10 turns without saw b same peer.id",
        ),
        (
            "agents where saw (a or b(.x = 1)) 3 times as o then c(.y = o.data.y) with same (peer, .k)",
            "saw a or b [(data.x = 1)] x3 as o > did c [(data.y = o:data.y)] same peer.id, data.k",
        ),
        ("agents where did a at least 2 times then no b within 30s", "did a x2 > no saw b within 30000000 time"),
        ("agents where did a within 5 events", "did a within 5 events"),
        ("simulations where did a as x then b(agent = x.to) without c",
         "did a as x > did b [(agent.id = x:to.id)] without did c"),
        ("agents as me where did a(role = me.role)", "did a [(role = ^:role)]"),
        ("agents where count(did a then b) >= 2", "(matches(did a > did b) >= 2)"),
        ("agents where did event then event(kind = 'then')", "did event > did event [kind is then]"),
        ("agents where did 'then'", "did then"),
        ("agents where did goal.started then état(.имя = 1)", "did goal.started > did état [(data.имя = 1)]"),
        ("events where caused by tool.failed(.x = 1)", "caused by tool.failed [(data.x = 1)]"),
        ("events where directly led to (a or b)", "led to a or b within 1"),
        ("goals where led to event 'r:7' within 3 steps", "led to event r:7 within 3"),
    ],
)  # fmt: skip
def test_sequence_or_cause_means(query: str, meaning: str) -> None:
    assert where(query) == meaning


def test_parameters_are_typed_by_their_values() -> None:
    assert where("events where time > $d", d=timedelta(minutes=1)) == "(time > 60000000)"
    assert where("events where wall > $t", t=datetime(2026, 1, 31, tzinfo=UTC)) == "(wall > 1769817600000000)"
    assert where("events where wall > $t", t=datetime(2026, 1, 31)) == "(wall > 1769817600000000)"
    assert where("events where .x = $x", x=True) == "(data.x = True)"
    assert where("events where .x in $x", x=[1, 2.5]) == "data.x in [1, 2.5]"
    assert where("events where kind in $x", x=("a", "b")) == "kind is a|b"
    assert where("agents where goal $g failed", g="a b") == "1.. goals [((name = 'a b') and (status = 'failed'))]"
    assert where("agents where at least $n $kind", n=2, kind="offer") == "2.. events offer"
    assert where("agents where did $k within $d", k="offer", d=timedelta(seconds=2)) == "did offer within 2000000 time"


def test_parameter_is_never_read_as_query_text() -> None:
    assert where("agents where role = $r", r='x" or goal succeeded') == "(role = 'x\" or goal succeeded')"
    assert check("events $k", {"k": "offer"}).source.kinds[0].is_prefix is False


def test_field_says_where_it_starts_and_which_links_it_follows() -> None:
    condition = check("agents as a where any message (peer.role != a.role)").source.where
    fields = [node for node in _walk(condition) if isinstance(node, Field)]
    peer, own = fields
    assert (peer.relation, peer.links, peer.owner, peer.name) == (Relation.MESSAGES, ("peer",), Relation.AGENTS, "role")
    assert peer.seen_by_agent
    assert peer.is_many
    assert (own.relation, own.up, own.links, own.type) == (Relation.AGENTS, 1, (), Type.TEXT)


def _walk(node: object) -> list[object]:
    from matrix.query.syntax import Node, walk

    assert isinstance(node, Node)
    return list(walk(node))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("agents where rol = buyer", "unknown-field"),
        ("agents where role.x = 1", "nothing-follows"),
        ("agents where role < 3", "incomparable"),
        ("events where time > @2026-01-01", "incomparable"),
        ("events where .x > 5s", "incomparable"),
        ("events where .x > null", "no-order"),
        ("agents where role ~ 3", "unexpected"),
        ("agents where turns ~ /3/", "not-a-text"),
        ("events where .x ~ /(?=a)/", "bad-pattern"),
        ("events where .tags[*] != 'x'", "wildcard-other-than"),
        ("events where .tags[*] + 1 > 2", "wildcard"),
        ("events where sent", "unknown-field"),
        ("messages where sent", "needs-agent"),
        ("goals where status = finished", "unknown-status"),
        ("agents where any tool.faild", "unknown-kind"),
        ("events where kind = tol.*", None),
        ("events where kind = toolx.*", None),
        ("events where kind = tool.x.*", "unknown-kind"),
        ("events where any offer", "not-reached"),
        ("goals where any conversation", "not-reached"),
        ("agents where did a then got b(.x = q.data.x)", "unknown-step"),
        ("agents where .x", "not-a-condition"),
        ("agents where role", "not-a-condition"),
        ("agents where nonsense(.x) = 1", "unknown-function"),
        ("agents where len(.x, .y) = 1", "wrong-arguments"),
        ("agents where seconds(turns) = 1", "wrong-arguments"),
        ("agents where turns + duration > 1s", "no-arithmetic"),
        ("events where .x ?? 5s > 1s", "mixed-types"),
        ("events where .x in 5..1", "empty-range"),
        ("events where .x = 1e999", "number-too-large"),
        ("events where wall > @2026-02-30", "bad-time"),
        ("events where .x = '\\q'", "bad-escape"),
        ("agents as of 5s | agents as of 6s", "late-as-of"),
        ("agents where role = $x", "no-parameter"),
        ("conversations where .x = 1", "no-data"),
        ("agents where role in ($list)", "list-in-list"),
        ("agents where role = $list", "incomparable"),
        ("agents where role = $half", "bad-parameter"),
        ("agents where role = $map", "bad-parameter"),
        ("events where .x in $list..3", "no-order"),
        ("events | select kind | where kind = tool.faild", "unknown-kind"),
    ],
)
def test_condition_is_refused(query: str, code: str | None) -> None:
    if code is None:
        check(query)
        return
    with pytest.raises(QueryError) as caught:
        check(query, {"list": ["a"], "half": "\ud800", "map": {}})
    assert caught.value.code == code


def test_place_of_an_error_counts_lines_and_columns() -> None:
    with pytest.raises(QueryError) as caught:
        check("agents  # those who\n  where role = buyer\n    and rol = seller\n")
    assert (caught.value.line, caught.value.column) == (3, 9)
    assert caught.value.fix == "agents  # those who\n  where role = buyer\n    and role = seller\n"
