"""The words that made-up queries are made of: fields with their types, links, paths and values.

They match what ``strategies.py`` puts into histories, so that conditions are often met and often not.
"""

from __future__ import annotations

from matrix.testing.payloads import AGENTS, GOALS, KINDS, MODELS, REASONS, ROLES, TEXTS, TOOLS

#: The relations to begin with, those with most in their rows more often.
RELATIONS = (
    *("events", "events", "events", "messages", "messages", "agents", "agents", "goals", "goals"),
    *("simulations", "conversations"),
)
THINGS = {
    "simulations": "simulation",
    "agents": "agent",
    "goals": "goal",
    "events": "event",
    "messages": "message",
    "conversations": "conversation",
}

_EVENT = {
    "id": "event id",
    "seq": "number",
    "time": "duration",
    "wall": "time",
    "role": "role",
    "kind": "kind",
    "turn": "number",
    "agent": "agent",
    "goal": "goal name",
    "simulation": "simulation",
    "cause": "event id",
    "state": "event id",
    "to": "agent",
    "peer": "agent",
}

#: What a field of a relation holds: a kind of value named below, or number, duration, time, bool.
FIELDS = {
    "simulations": {
        "id": "simulation",
        "name": "simulation name",
        "status": "simulation status",
        "seed": "number",
        "start": "time",
        "end": "time",
        "duration": "duration",
        "took": "duration",
        "parent": "simulation",
    },
    "agents": {
        "id": "agent",
        "simulation": "simulation",
        "role": "role",
        "status": "agent status",
        "goal": "goal name",
        "start": "duration",
        "end": "duration",
        "duration": "duration",
        "turns": "number",
    },
    "goals": {
        "id": "event id",
        "name": "goal name",
        "simulation": "simulation",
        "agent": "agent",
        "role": "role",
        "status": "goal status",
        "start": "duration",
        "end": "duration",
        "duration": "duration",
        "turns": "number",
        "steps": "number",
        "reason": "reason",
        "parent": "event id",
    },
    "events": _EVENT,
    "messages": {**_EVENT, "from": "agent", "text": "text", "conversation": "conversation", "reply_to": "event id"},
    "conversations": {
        "id": "conversation",
        "simulation": "simulation",
        "agents": "conversation agents",
        "start": "duration",
        "end": "duration",
        "duration": "duration",
        "turns": "number",
        "messages": "number",
    },
}

_EVENT_LINKS = {
    "agent": "agents",
    "goal": "goals",
    "simulation": "simulations",
    "cause": "events",
    "state": "events",
    "to": "agents",
    "peer": "agents",
}
LINKS = {
    "simulations": {},
    "agents": {"simulation": "simulations", "goal": "goals"},
    "goals": {"simulation": "simulations", "agent": "agents", "parent": "goals"},
    "events": _EVENT_LINKS,
    "messages": {**_EVENT_LINKS, "from": "agents", "conversation": "conversations"},
    "conversations": {"simulation": "simulations"},
}

#: Which relations are reached from which by quantifiers and stages.
REACHED = {
    "simulations": ("agents", "goals", "events", "messages", "conversations"),
    "agents": ("goals", "events", "messages", "messages", "conversations", "agents", "simulations"),
    "goals": ("events", "agents", "messages", "simulations"),
    "events": ("agents", "goals", "simulations", "conversations"),
    "messages": ("agents", "goals", "simulations", "conversations"),
    "conversations": ("agents", "messages", "goals", "simulations"),
}

WORDS: dict[str, tuple[str, ...]] = {
    "simulation": ("1-1", "run 1/1", "1-2", "run 1/2", "1-3", "run 2/1"),
    "simulation name": ("market", "negotiation"),
    "simulation status": ("running", "finished", "failed", "stopped"),
    "agent": (*AGENTS, "nobody"),
    "agent status": ("running", "finished", "failed", "cancelled"),
    "role": (*(role for role in ROLES if role), "nobody"),
    "goal name": (*GOALS, "nothing"),
    "goal status": ("running", "succeeded", "failed", "cancelled"),
    "kind": (*KINDS, "tool.failed", "goal.started", "message.sent", "state.changed", "note", "simulation.forked"),
    "reason": (*REASONS, "simulation ended"),
    "text": TEXTS,
    "event id": ("1-1:3", "run 1/1:4", "1-1:5", "run 1/1:7", "1-2:2", "run 1/2:5", "1-3:6"),
    "conversation": ("1-1/alice+bob", "run 1/1/alice", "1-1/bob+carol"),
    "conversation agents": ("alice, bob", "alice", "bob, carol"),
}

#: Paths into the data of a relation, and what is mostly there.
_PAYLOAD = {
    ".price": "number",
    ".amount": "number",
    ".item": "text",
    ".ok": "bool",
    ".tags": "list",
    ".items": "list",
    ".items[0].price": "number",
    ".items[-1].sku": "sku",
    ".args.query": "text",
    '.args."odd key"[0].price': "number",
    ".tool": "tool",
    ".model": "model",
    ".tokens": "number",
    ".ms": "number",
    ".text": "text",
    ".result": "any",
    ".reason": "reason",
    ".nowhere": "any",
}
PATHS = {
    "simulations": {
        ".buyers": "number",
        ".parameters.buyers": "number",
        ".mode": "text",
        ".price": "number",
        ".program": "text",
        ".reason": "reason",
        ".counts.actions": "number",
        ".at": "number",
        '.set."seller.limit"': "number",
    },
    "agents": {".budget": "number", ".mood": "mood", ".inventory.apples": "number", ".inventory": "any"},
    "goals": {".price": "number", ".amount": "number", ".item": "text", ".points": "number", ".tags": "list"},
    "events": _PAYLOAD,
    "messages": _PAYLOAD,
    "conversations": {},
}
#: Paths with [*], for predicates and select only.
MANY_PATHS = {
    "simulations": {},
    "agents": {},
    "goals": {".items[*].price": "number", ".tags[*]": "tag"},
    "events": {
        ".items[*].price": "number",
        ".items[*].sku": "sku",
        ".tags[*]": "tag",
        '.args."odd key"[*].price': "number",
    },
    "messages": {".items[*].price": "number", ".tags[*]": "tag"},
    "conversations": {},
}
PATH_WORDS: dict[str, tuple[str, ...]] = {
    "tool": TOOLS,
    "model": MODELS,
    "mood": ("angry", "calm"),
    "sku": ("a", "b", "c"),
    "tag": ("x", "y", "nope"),
    "text": TEXTS,
    "reason": REASONS,
    "any": ("a", "x", "3"),
    "list": ("x", "y"),
    "bool": ("true",),
}

GOALS_QUOTED = tuple(f'"{goal}"' for goal in GOALS)
NUMBERS = ("0", "1", "2", "3", "3.0", "5", "0.5", "-1", "10_000", "1e300")
COUNTS = ("0", "1", "2", "3")
DURATIONS = ("0s", "1us", "500ms", "1s", "2s", "1m", "1m1s", "1h30m")
TIMES = (
    "@2026-01-31",
    "@2026-01-31T12:00:00Z",
    "@2026-01-31T12:00:01.5Z",
    "@2026-01-31T13:00:00",
    "@2026-02-01T12:00:00Z",
)
PATTERNS = (
    "/deal/",
    "/search/",
    "/D/",
    "/^a/",
    "/e/i",
    "/refund|money back/i",
    "/^$/",
    "/\\d/",
    "/日/",
    "/B.b/i",
    "/y$/",
    "/\\./",
)
EVENT_KINDS = (
    *KINDS,
    "tool.failed",
    "tool.called",
    "tool.*",
    "model.completed",
    "goal.*",
    "message.sent",
    "note",
    "simulation.*",
)

#: Kinds that histories are full of, and those of them that are sent to somebody.
FREQUENT_KINDS = (
    *("offer", "counter", "accept", "reject", "offer", "counter", "accept", "message.sent"),
    *("tool.called", "tool.failed", "tool.*", "note", "goal.*", "state.changed", "goal.failed"),
)
SENT_KINDS = ("offer", "counter", "accept", "reject", "message.sent", "offer", "counter")
STEP_NAMES = ("s1", "s2", "s3", "s4", "s5", "s6")
#: Conditions on an event of a stream, and those that speak of an earlier step n.
STEP_CONDITIONS = (
    *(
        ".price > 2",
        ".price <= 3",
        ".price exists",
        "time >= 0s",
        ".price exists",
        "seq > 9",
        "turn > 1",
        "turn = 1",
        "turn < 4",
        "peer = alice",
        "peer = bob",
    ),
    *("agent = alice", "role = buyer", "role != seller", '.tool = "search"', "to exists", "to missing", "cause exists"),
    *("cause.kind = offer", "cause.agent = bob", "goal exists", "goal started", "goal.parent exists", "time > 1s"),
    *("peer.role = seller", "seq % 2 = 0", "caused by offer", "directly led to event", ".item = .text", "peer missing"),
)
STEP_REFERENCES = (
    *(".price < {n}.data.price", ".price = {n}.data.price", ".price >= {n}.data.price", "agent = {n}.agent"),
    *("peer = {n}.peer", "agent = {n}.to", "agent = {n}.peer", "turn > {n}.turn", "turn - {n}.turn < 2"),
    *("time - {n}.time <= 1s", "cause = {n}.id", "kind = {n}.kind", "agent != {n}.agent", "goal = {n}.goal"),
    *("seq - {n}.seq < 4", ".tool = {n}.data.tool", ".item = {n}.data.item and .price != {n}.data.price"),
)
#: What a step is read for after a match, and what that gives.
STEP_ITEMS = {
    "{n}.time": "duration",
    "{n}.data.price": "number",
    "{n}.agent": "agent",
    "{n}.turn": "number",
    "{n}.id": "event id",
    "{n}.peer": "agent",
    "{n}.kind": "kind",
    "{n}.cause.kind": "kind",
    "{n}.goal": "goal name",
}
SAME_KEYS = (
    *("peer", "goal", "peer", ".price", "agent", "peer", "(peer, goal)", "role", ".price", "peer", "agent", "role"),
    *(".tool", ".call_id", "peer.role", "to", "turn"),
    *("(.price, peer)", "goal.id", "cause.agent", "kind", ".item", ".items", ".ok", "state", "goal.status"),
)

#: How names are tested: w and v are words of the field, t a part of one, q one in quotes, p a pattern.
NAME_TESTS = (
    *("= {w}", "= {w}", "!= {w}", "in ({w}, {v})", "not in ({w}, {v})"),
    *("~ {p}", "~ {p}", "contains {t}", "starts with {t}", "ends with {t}", "> {q}"),
)
#: How data is tested: l is a literal of the expected type, n a number, o another path.
DATA_TESTS = (
    *("exists", "missing", "= {l}", "= {l}", "!= {l}", "> {n}", "<= {n}", "= null", "!= null"),
    *("in ({l}, {n})", "not in ({l}, null)", "= {o}", "< {o}", "!= {o}", "in 0..3", "= true"),
    *("contains {t}", "starts with {t}", "~ {p}", "~ {p}"),
)
#: Tests that suit what is mostly there; others are drawn too, for data is not always what it mostly is.
TYPED_TESTS = {
    "number": ("= {n}", "> {n}", "<= {n}", "in 0..3", "= {o}", "< {o}", "!= {n}", "in ({n}, {l})"),
    "list": ("contains {t}", "contains {n}", "contains null", "= {o}", "exists"),
    "bool": ("= true", "= false", "!= true", "= 1", "missing"),
}
TEXT_TESTS = ("= {l}", "!= {l}", "~ {p}", "~ {p}", "~ {p}", "contains {t}", "starts with {t}", "> {t}", "in ({l}, {t})")

#: How the elements of a list are tested.
MANY_TESTS = ("exists", "missing", "= {l}", "> {n}", "in ({l}, {n})", "~ {p}", "= {o}", "in 1..5")
#: What gives a number: a and b are numbers, c a small literal, t a text, d a duration, e a literal one.
CALCULATIONS = (
    *("({a} {op} {b})", "({a} {op} {c})", "({a} {op} {b})", "({a} {op} {c})", "-{c} * {a}", "abs({a})", "round({a})"),
    *("round({a}, 1)", "len({t})", "number({t})", "seconds({d})", "if({a} > {c}, {a}, {b})", "({d} / {e})"),
)

AGGREGATES = ("sum", "avg", "min", "max", "median", "stddev", "p50", "p95", "distinct", "first", "last")
WIDTHS = (("1s", "duration"), ("1m", "duration"), ("1h of wall", "time"), ("2 turns", "number"))
