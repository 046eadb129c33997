"""The checked tree of a query: what the checker makes and what every evaluator reads.

In a checked tree every name is resolved, every ``$parameter`` is bound, every literal is typed,
sugar is gone and the columns of the result are known. Durations are whole microseconds, times are
microseconds since 1970 UTC; ``now`` and ``5m ago`` stay nodes and are evaluated once per execution.
All nodes are frozen and carry ``span``, the place in the query text (start, end exclusive).

How query text becomes nodes (left: text, right: tree; C is a condition's own tree):

======================================  ==================================================================
``agents as a where C | limit 5``       Query(Source(AGENTS, alias="a", where=C), (Limit(5),))
``events tool.*, offer``                Source(EVENTS, kinds=(KindPattern("tool.", prefix), KindPattern("offer")))
``role``                                Field(name="role")
``.args.q[0]``                          Field(name="data", path=("args", "q", 0))
``.items[*].price``                     Field(name="data", path=("items", WILDCARD, "price"))
``agent`` (bare link, on events)        Field(links=("agent",), owner=AGENTS, name="id"): the link's bare value
``goal`` (bare link)                    Field(links=("goal",), owner=GOALS, name="name")
``cause.goal.status``                   Field(links=("cause", "goal"), owner=GOALS, name="status")
``a.role`` (an alias)                   Field(up=n, name="role"): n scopes out; 0 when it is the row itself
``o.data.price`` (a step)               Field(step="o", name="data", path=("price",))
``count`` (after an aggregate)          ColumnRef("count")
``"x"  10  5s  @2026-01-31  true``      Literal(value, type)
``null``                                Literal(None, MISSING)
``now``, ``5m ago``                     Now(), Ago(300_000_000)
``role = buyer``                        Compare("=", Field, Literal("buyer", TEXT))
``a != b``                              Not(Compare("=", a, b))
``kind = tool.*``, ``kind in (a, b)``   KindIs(Field, kinds)
``a in (x, y)``, ``a not in $list``     In(a, (x, y)); Not(In(...))
``a in 5s..10s``                        Range(a, low, high), both ends included
``a contains b``                        Contains(a, b); likewise StartsWith, EndsWith
``a ~ /re/i``                           Matches(a, "re", "i")
``a exists``, ``a missing``             Exists(a), Not(Exists(a))
``sent`` as a condition                 Compare("=", Field(sent), Literal(True, BOOL))
``a ?? b``, ``a + b``, ``-a``, ``f(a)``  Coalesce, Arith, Negate, Call
``failed within 5s`` (on goals)         And((Compare("=", status, "failed"), Compare("<=", duration, 5s)))
``goal "x" failed`` (on events)         And over Field(links=("goal",), ...): the goal it happened under
``goal "x" failed`` (agents, runs)      Quantified(at_least=1, Related(GOALS, where=And(name = "x", status = "failed")))
``any X (C)``, ``at least 2 X (C)``     Quantified(at_least=1 or 2, at_most=None, Related(X, where=C))
``no X (C)``, ``at most 2 X``           Quantified(at_least=0, at_most=0 or 2, ...)
``exactly 2 X``                         Quantified(at_least=2, at_most=2, ...)
``every X (C)``                         And((any X, no X (not C)))
``any tool.failed(C)``                  Quantified(1, None, Related(EVENTS, kinds=(tool.failed,), where=C))
``count(tool.failed)`` in a condition   RelatedAggregate("count", Related(EVENTS, kinds=...), argument=None)
``sum(.tokens of model.completed)``     RelatedAggregate("sum", Related(...), argument=Field(.tokens) of the inner row)
``count(did offer then got accept)``    MatchCount(Sequence(...))
``did a then got b``                    Sequence(steps=(Step, Step), ...)
``caused by P``, ``led to P``           Caused(direction, ...)
``count(succeeded) / count by role``    Aggregate(keys=(Column,), per=None, values=(Column(Arith(AggregateCall, ...)),))
======================================  ==================================================================

Conditions are expressions of type BOOL. They are two-valued: a predicate with a missing side does
not hold (``missing = missing`` does), and ``Not`` holds exactly when its item does not.

A field is *many-valued* (``Field.is_many``) when its path has ``[*]`` or it goes over ``to`` or
``peer``, which can be several agents: a predicate then holds when it holds for any one value. Paths
with ``[*]`` appear only as an operand of a predicate or as a selected column (there: the list of
the elements present); ``to`` and ``peer`` as a value are the ids joined with ``", "``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias
from typing import Literal as OneOf

Span: TypeAlias = tuple[int, int]


class Relation(StrEnum):
    """The six things a query can return."""

    SIMULATIONS = "simulations"
    AGENTS = "agents"
    GOALS = "goals"
    EVENTS = "events"
    MESSAGES = "messages"
    CONVERSATIONS = "conversations"


class Type(StrEnum):
    """What the checker knows of a value before any data is read."""

    TEXT = "text"
    NUMBER = "number"
    BOOL = "bool"
    DURATION = "duration"  # microseconds, int
    TIME = "time"  # microseconds since 1970 UTC, int
    LIST = "list"
    MAP = "map"
    MISSING = "missing"  # the literal null
    ANY = "any"  # only the data knows: text, number, bool, list or map, but never duration or time


class Wildcard:
    """``[*]`` in a path: any element. There is one, ``WILDCARD``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "[*]"


WILDCARD: Final = Wildcard()
PathPart: TypeAlias = str | int | Wildcard

#: Links that may lead to several agents at once.
MANY_LINKS: Final = frozenset({"to", "peer"})


@dataclass(frozen=True, slots=True)
class Node:
    """Anything in the tree; ``span`` is its place in the query text."""

    span: Span


# -- values --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant: str, int, float, bool, None, or a list of those (a list parameter)."""

    value: Any
    type: Type


@dataclass(frozen=True, slots=True)
class Now(Node):
    """The clock, read once per execution."""

    type: Type = Type.TIME


@dataclass(frozen=True, slots=True)
class Ago(Node):
    """``5m ago``: the clock, less ``duration`` microseconds."""

    duration: int
    type: Type = Type.TIME


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A value of a row: a built-in field, or a path into the data of a thing.

    Begin at the row (``up`` scopes out: 0 is the innermost row, 1 the row whose ``Related`` or
    step pattern this is inside of, ...; or the event bound to ``step``). It is a ``relation``.
    Follow ``links``, each a single link (``to`` and ``peer`` may lead to several agents), to a
    row of ``owner``; a broken link is missing. Read its field ``name``. When ``name`` is
    ``"data"``, follow ``path``: str is a key, int an index (negative from the end), WILDCARD any
    element; what is not there is missing. ``path`` is () for the whole data, and for every
    other name.

    ``seen_by_agent`` says that the row was reached from an agent (or is a step of its stream):
    then ``peer`` is the other party and ``sent`` and ``received`` exist.
    """

    relation: Relation
    links: tuple[str, ...]
    owner: Relation
    name: str
    path: tuple[PathPart, ...]
    type: Type
    up: int = 0
    step: str = ""
    seen_by_agent: bool = False

    @property
    def is_many(self) -> bool:
        """Whether a predicate over this holds when it holds for any one of several values."""
        return self.has_wildcard or any(link in MANY_LINKS for link in self.links)

    @property
    def has_wildcard(self) -> bool:
        """Whether the path has ``[*]``."""
        return any(part is WILDCARD for part in self.path)


@dataclass(frozen=True, slots=True)
class ColumnRef(Node):
    """A column that an earlier stage made (select, an aggregate, the times of a match, depth and origin of causes)."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True)
class Coalesce(Node):
    """``left ?? right``: left when present, else right."""

    left: Expr
    right: Expr
    type: Type


ArithOp: TypeAlias = OneOf["+", "-", "*", "/", "%"]


@dataclass(frozen=True, slots=True)
class Arith(Node):
    """Arithmetic. Missing when a side is missing or not a number, or on division by zero.

    ``/`` is true division and ``%`` is the floored remainder, as in Python. By static types:
    number op number is number; duration +- duration and duration * number are durations;
    duration / number is a duration (rounded half to even to whole microseconds, as is * ),
    duration / duration a number; time - time is a duration; time +- duration is a time. A side
    of type ANY is a number when the data says so (a bool is not one), else the result is missing.
    """

    op: ArithOp
    left: Expr
    right: Expr
    type: Type


@dataclass(frozen=True, slots=True)
class Negate(Node):
    """``-item``, of a number or a duration."""

    item: Expr
    type: Type


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function of values; a missing (or unfit) argument makes the result missing.

    len(text or list) lower(text) upper(text) round(number[, digits]) abs(number or duration)
    seconds(duration) -> number of seconds; duration(number of seconds, or text such as "1h30m");
    time(text, ISO 8601); number(text or number); text(anything): text as it is, true and false,
    numbers in their shortest form (3, 0.5), maps and lists as JSON;
    if(condition, a, b): a when the condition holds, else b (a missing argument does not matter).
    ``round`` is half to even, as in Python; without digits it gives a whole number.
    """

    name: str
    arguments: tuple[Expr, ...]
    type: Type


# -- conditions (type BOOL) ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class And(Node):
    """All hold. Never empty."""

    items: tuple[Expr, ...]
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Or(Node):
    """At least one holds. Never empty."""

    items: tuple[Expr, ...]
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Not(Node):
    """Holds exactly when ``item`` does not."""

    item: Expr
    type: Type = Type.BOOL


CompareOp: TypeAlias = OneOf["=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Compare(Node):
    """``left op right``. Ordered are two numbers, two durations, two times, two texts (by code point).

    Where a type is ANY the data decides, and a comparison of unlike values does not hold. Only
    numbers compare with numbers (1 = 1.0; NaN equals nothing; a bool is not a number). The checker
    has made sure that a duration meets only durations and a time only times: data holds neither.
    """

    op: CompareOp
    left: Expr
    right: Expr
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class KindPattern(Node):
    """A kind of event, or with ``is_prefix`` every kind that starts with ``name`` (``tool.``)."""

    name: str
    is_prefix: bool = False

    def matches(self, kind: str) -> bool:
        """Whether an event of this kind is meant."""
        return kind.startswith(self.name) if self.is_prefix else kind == self.name


@dataclass(frozen=True, slots=True)
class KindIs(Node):
    """A field of kinds is one of ``kinds``."""

    item: Field
    kinds: tuple[KindPattern, ...]
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class In(Node):
    """``item`` equals one of ``members`` (which may be empty when a list parameter was)."""

    item: Expr
    members: tuple[Expr, ...]
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Range(Node):
    """``low <= item <= high``."""

    item: Expr
    low: Expr
    high: Expr
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Contains(Node):
    """``part`` is a part of the text ``item``, or an element of the list ``item``."""

    item: Expr
    part: Expr
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class StartsWith(Node):
    """The text ``item`` starts with the text ``part``."""

    item: Expr
    part: Expr
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class EndsWith(Node):
    """The text ``item`` ends with the text ``part``."""

    item: Expr
    part: Expr
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Matches(Node):
    """The RE2 ``pattern`` occurs anywhere in the text ``item``; ``flags`` of i, m, s."""

    item: Expr
    pattern: str
    flags: str
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Exists(Node):
    """``item`` has a value."""

    item: Expr
    type: Type = Type.BOOL


# -- rows reached from a row -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Related(Node):
    """The rows of ``relation`` reached from one row of ``source`` that are of ``kinds`` and meet ``where``.

    From a simulation: everything in it. From an agent: its goals, the events it did, the messages
    it sent or received, its conversations, and itself. From a goal: the events and messages under it
    and its agent. From an event or message: its agent, goal, conversation. From a conversation: its
    agents, its messages, the goals of its agents. From all of them: their simulation.

    ``where`` opens a scope: in it ``up=0`` is the row reached, ``up=1`` the row it was reached
    from. ``kinds`` empty means any.
    """

    source: Relation
    relation: Relation
    kinds: tuple[KindPattern, ...] = ()
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Quantified(Node):
    """The number of rows reached is at least ``at_least`` and, unless None, at most ``at_most``."""

    at_least: int
    at_most: int | None
    related: Related
    type: Type = Type.BOOL


#: "percentile" comes with its number; "distinct" counts the different values present.
AggregateName: TypeAlias = OneOf[
    "count", "sum", "avg", "min", "max", "median", "stddev", "percentile", "distinct", "first", "last"
]


@dataclass(frozen=True, slots=True)
class RelatedAggregate(Node):
    """An aggregate over the rows reached from a row; ``argument`` is read on the row reached (up=0)."""

    function: AggregateName
    related: Related
    argument: Expr | None
    type: Type
    percentile: float | None = None


@dataclass(frozen=True, slots=True)
class MatchCount(Node):
    """``count(did a then b)``: the matches of a sequence in the row's stream, never overlapping."""

    sequence: Sequence
    type: Type = Type.NUMBER


# -- sequences and causes --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Distance(Node):
    """A span of a sequence: ``amount`` microseconds, turns or events, inclusive."""

    amount: int
    unit: OneOf["time", "turns", "events"]


Role: TypeAlias = OneOf["did", "got", "saw"]


@dataclass(frozen=True, slots=True)
class Pattern(Node):
    """An event meets this when it is of ``kinds`` (if any), is ``event`` (an id, if given), and meets ``where``.

    ``where`` opens a scope: ``up=0`` is the event, ``up=1`` the row whose stream it is in.
    """

    kinds: tuple[KindPattern, ...] = ()
    event: str | None = None
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Step(Node):
    """``times`` events meeting any of ``patterns``; ``gap`` limits the distance from the step before."""

    role: Role
    patterns: tuple[Pattern, ...]
    times: int = 1
    name: str = ""
    gap: Distance | None = None


@dataclass(frozen=True, slots=True)
class Without(Node):
    """No event strictly between the first and the last step meets any of ``patterns``."""

    role: Role
    patterns: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Absent(Node):
    """``then no P [within D]``: no event after the last step, within ``limit`` of it, meets any of ``patterns``."""

    role: Role
    patterns: tuple[Pattern, ...]
    limit: Distance | None = None


@dataclass(frozen=True, slots=True)
class Sequence(Node):
    """The row's stream has events that meet ``steps`` in order; ``same`` are fields of the steps' events (up=0)."""

    source: Relation
    steps: tuple[Step, ...]
    within: Distance | None = None
    without: tuple[Without, ...] = ()
    same: tuple[Field, ...] = ()
    absent: Absent | None = None
    type: Type = Type.BOOL


@dataclass(frozen=True, slots=True)
class Caused(Node):
    """Some proper ancestor (``caused by``) or descendant (``led to``) meets any of ``patterns``.

    ``steps`` bounds the distance; ``directly`` has been made ``steps=1``. On goals the event is
    the one that ended the goal, or began it while it runs.
    """

    direction: OneOf["caused by", "led to"]
    patterns: tuple[Pattern, ...]
    steps: int | None = None
    type: Type = Type.BOOL


Condition: TypeAlias = (
    And
    | Or
    | Not
    | Compare
    | KindIs
    | In
    | Range
    | Contains
    | StartsWith
    | EndsWith
    | Matches
    | Exists
    | Quantified
    | Sequence
    | Caused
)
Value: TypeAlias = (
    Literal | Now | Ago | Field | ColumnRef | Coalesce | Arith | Negate | Call | RelatedAggregate | MatchCount
)


@dataclass(frozen=True, slots=True)
class AggregateCall(Node):
    """An aggregate over a group of rows, in an ``Aggregate`` stage; ``count`` may have a condition as argument.

    Missing values and, for all but count, distinct, first and last, values of data that are not numbers
    are left out. Of nothing, ``sum`` is 0 and the others are missing. ``median`` is the middle value or the
    mean of the two; ``percentile`` is nearest-rank; ``stddev`` is of a sample (missing for fewer than two).
    Averages of durations are rounded to whole microseconds.
    """

    function: AggregateName
    argument: Expr | None
    type: Type
    percentile: float | None = None


Expr: TypeAlias = Condition | Value | AggregateCall


# -- sources and stages ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column(Node):
    """A column of a result: its final name, what it holds, and the type known for it."""

    name: str
    expr: Expr
    type: Type


@dataclass(frozen=True, slots=True)
class AsOf(Node):
    """The moment at which the log is cut, inclusive: virtual microseconds, a wall time, a turn, or an event's id."""

    by: OneOf["time", "wall", "turn", "event"]
    value: int | str


@dataclass(frozen=True, slots=True)
class Source(Node):
    """Rows of a relation, of ``kinds`` (any when empty), that meet ``where``."""

    relation: Relation
    kinds: tuple[KindPattern, ...] = ()
    alias: str = ""
    as_of: AsOf | None = None
    where: Expr | None = None


@dataclass(frozen=True, slots=True)
class Where(Node):
    """Keep the rows for which ``condition`` holds."""

    condition: Expr


@dataclass(frozen=True, slots=True)
class Select(Node):
    """These columns; ``*`` has been replaced by the columns it stands for."""

    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Per(Node):
    """``per 1m``: rows fall into buckets ``value // width * width``; a row without a value has a missing bucket.

    ``value`` is the row's virtual time, its wall time or its turn; the bucket's column is ``time``.
    """

    value: Field | ColumnRef
    width: int
    unit: OneOf["time", "wall", "turns"]


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    """One row per group: the keys, then ``time`` with ``per``, then the values.

    ``values`` are AggregateCall, Literal and Arith over them. Without keys and ``per`` there is
    exactly one row, also over no rows at all. Groups come in order of their keys, left to right,
    ascending (numbers, then texts by code point, then false and true, then anything else by its
    JSON text), missing last; with ``per`` then in order of the bucket.
    """

    keys: tuple[Column, ...]
    per: Per | None
    values: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class SortKey(Node):
    """One key of a sort; missing comes last either way."""

    expr: Expr
    is_descending: bool = False


@dataclass(frozen=True, slots=True)
class Sort(Node):
    """A stable sort on top of the order the rows have."""

    keys: tuple[SortKey, ...]


@dataclass(frozen=True, slots=True)
class Limit(Node):
    """The first ``count`` rows."""

    count: int


@dataclass(frozen=True, slots=True)
class Sample(Node):
    """``count`` rows chosen by a hash of (seed, id): the same ones every time."""

    count: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Match(Node):
    """One row per match: the row's fields, ``start end duration`` of the match as columns, and the named steps."""

    sequence: Sequence


@dataclass(frozen=True, slots=True)
class Funnel(Node):
    """One row per step (and key): keys, then step, event, reached, share, median_time."""

    sequence: Sequence
    keys: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Causes(Node):
    """The ancestors of the rows, with columns ``depth`` and ``origin``."""

    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Effects(Node):
    """The descendants of the rows, with columns ``depth`` and ``origin``."""

    steps: int | None = None


@dataclass(frozen=True, slots=True)
class Shape(Node):
    """``as chat`` and the like: the same rows in another shape. ``as table`` changes nothing.

    ``chat``: a row for each conversation and each agent on the left that takes part (those the rows were last
    reached from, else all): simulation, conversation, agent, messages. ``tree``: each event once, under its nearest
    ancestor among the rows: tree, id, parent, level, agent, time, data. ``timeline``: simulation, lane (an agent, or
    the agents), what, start, end, status, bar.
    """

    name: OneOf["table", "chat", "tree", "timeline"]


@dataclass(frozen=True, slots=True)
class Follow(Node):
    """The rows of ``to`` reached from the rows so far (as in ``Related``), each once, in their own order."""

    source: Relation
    to: Source


Stage: TypeAlias = (
    Where | Select | Aggregate | Sort | Limit | Sample | Match | Funnel | Causes | Effects | Shape | Follow
)


@dataclass(frozen=True, slots=True)
class Query(Node):
    """A whole checked query.

    ``columns`` are those of the result, in order: what is read from the rows after the last
    stage (Field, or ColumnRef for what a stage made). ``relation`` is what those rows are, None
    once they are columns (after select, an aggregate, a funnel or a shape).
    """

    text: str
    source: Source
    stages: tuple[Stage, ...]
    columns: tuple[Column, ...]
    relation: Relation | None
    is_explain: bool = False
    is_watch: bool = False


def children(node: Node) -> Iterator[Node]:
    """The nodes directly inside a node, in the order of its fields."""
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Node))


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, parents first."""
    assert is_dataclass(node)
    yield node
    for child in children(node):
        yield from walk(child)
