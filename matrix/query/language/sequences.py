"""Sequences of events, and causes: conditions about how events lie to each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from lark import Token, Tree

from matrix.query.language.context import Context, condition, handles, span_of
from matrix.query.language.fields import OUTCOMES, relations_with
from matrix.query.language.scope import Scope, columns_only, resolve
from matrix.query.language.suggest import Edit, refusal
from matrix.query.language.words import duration, event_id, kind_pattern, size
from matrix.query.syntax import (
    Absent,
    Caused,
    Distance,
    Expr,
    Field,
    Pattern,
    Relation,
    Role,
    Sequence,
    Span,
    Step,
    Without,
)

TokenTree = Tree[Token]

#: Words that begin something else where an expression may stand, so a column or step of that name could not be used.
TAKEN_WORDS = frozenset(
    {*OUTCOMES, "not", "now", "true", "false", "null", "any", "every", "no", "at", "exactly"}
    | {"did", "got", "saw", "directly", "caused", "led", "data"}
)


def check_sequence(context: Context, tree: TokenTree, scope: Scope) -> Sequence:
    """``did a then got b within 5s without c``, read on the stream of the row here."""
    return SequenceChecker(context, scope, span_of(tree)).check(tree)


handles("sequence")(check_sequence)


class SequenceChecker:
    """One sequence being checked: the steps named so far are what later conditions may use."""

    def __init__(self, context: Context, scope: Scope, span: Span) -> None:
        self.context, self.scope, self.span = context, scope, span
        self.source = self._source()
        self.names: list[str] = []

    def _source(self) -> Relation:
        relation = self.scope.relation
        if relation in (Relation.EVENTS, Relation.MESSAGES):
            hint = "use agents or simulations, or look along the causes: caused by …, led to …"
            raise refusal("no-stream", f"one {relation.value[:-1]} is not a sequence", self.span, hint)
        if relation is None:
            raise columns_only(self.scope, self.span)
        return relation

    def check(self, tree: TokenTree) -> Sequence:
        role, first, rest = cast(list[Any], tree.children)
        steps = [self._step(self._role(role), first, None)]
        limit: Distance | None = None
        without: list[Without] = []
        same: list[Field] = []
        absent: Absent | None = None
        for part in rest.children:
            match part.data:
                case "next_step":
                    gap, word, step = part.children
                    steps.append(self._step(self._role(word), step, gap and self._distance(gap)))
                case "absent":
                    absent = self._absent(part)
                case "without":
                    word, any_of = part.children
                    without.append(Without(span_of(part), self._seen(word), self._patterns(any_of)))
                case "same":
                    same.extend(self._key(path.children[0]) for path in part.children)
                case "within":
                    limit = self._whole(limit, part)
        return Sequence(self.span, self.source, tuple(steps), limit, tuple(without), tuple(same), absent)

    def _role(self, tree: TokenTree | None) -> Role:
        """The word before a step; ``did`` when there is none."""
        if tree is None:
            return "did"
        token = cast(Token, tree.children[0])
        if token != "did" and self.source is not Relation.AGENTS:
            hint = f"use did here, or: any agent ({token} …)"
            message = f'"{token}" needs somebody\'s point of view'
            raise refusal("no-point-of-view", message, span_of(token), hint, Edit(*span_of(token), "did"))
        return cast(Role, str(token))

    def _seen(self, tree: TokenTree | None) -> Role:
        """The word before what must not be; what the agent did or got when there is none."""
        if tree is None:
            return "saw" if self.source is Relation.AGENTS else "did"
        return self._role(tree)

    def _step(self, role: Role, tree: TokenTree, gap: Distance | None) -> Step:
        any_of, repeat, name = cast(list[Any], tree.children)
        patterns = self._patterns(any_of)
        times = 1 if repeat is None else size(self.context, next(c for c in repeat.children if isinstance(c, Tree)))
        if times == 0:
            hint = "for an event that must not come say: without …, or: then no …"
            raise refusal("zero-times", "a step is at least one event", span_of(repeat), hint)
        if name is not None:
            check_new_name(name, [*self.names, self.scope.alias])
            self.names.append(str(name))
        return Step(span_of(tree), role, patterns, times, str(name or ""), gap)

    def _patterns(self, tree: TokenTree) -> tuple[Pattern, ...]:
        inner = Scope(
            Relation.EVENTS,
            seen_by_agent=self.source is Relation.AGENTS,
            steps=tuple(self.names),
            is_step=True,
            steps_seen_by_agent=self.source is Relation.AGENTS,
            outer=self.scope,
        )
        return tuple(check_patterns(self.context, tree, inner))

    def _key(self, token: Token) -> Field:
        """A field held constant: of the steps' events."""
        inner = Scope(Relation.EVENTS, seen_by_agent=self.source is Relation.AGENTS)
        found = resolve(str(token), span_of(token), inner)
        assert isinstance(found, Field)
        if found.has_wildcard:
            hint = "name one element, such as .items[0].sku"
            raise refusal("wildcard", "[*] means any element, so it has no single value", found.span, hint)
        return found

    def _distance(self, tree: TokenTree) -> Distance:
        found = check_distance(self.context, tree)
        if found.unit == "turns" and self.source is not Relation.AGENTS:
            hint = "use a duration, or: any agent (did …)"
            raise refusal("bad-distance", "turns are counted for each agent", found.span, hint)
        return found

    def _whole(self, limit: Distance | None, tree: TokenTree) -> Distance:
        if limit is not None:
            raise refusal("two-limits", "the whole sequence is limited twice", span_of(tree), "leave out one within")
        return self._distance(cast(TokenTree, tree.children[0]))

    def _absent(self, tree: TokenTree) -> Absent:
        word, any_of, within = cast(list[Any], tree.children)
        patterns = self._patterns(any_of)
        return Absent(span_of(tree), self._seen(word), patterns, within and self._distance(within))


def check_new_name(token: Token, taken: list[str]) -> None:
    """A name given with ``as``: not a field, not a word of the language, not given twice."""
    name, span = str(token), span_of(token)
    owners = relations_with(name)
    if not name.isidentifier():
        raise refusal(
            "bad-name",
            f'"{name}" is not a name',
            span,
            "a name is one word, such as o",
            Edit(*span, name.split(".")[0]),
        )
    other = Edit(*span, f"{name}1")
    if owners:
        owner = Relation.EVENTS if Relation.EVENTS in owners else owners[0]
        message = f'"{name}" is already a field of {owner.value}'
        raise refusal("name-taken", message, span, f"choose another name, such as {name}1", other)
    if name in TAKEN_WORDS:
        raise refusal(
            "name-taken", f'"{name}" is a word of the language', span, f"choose another name, such as {name}1", other
        )
    if name in taken:
        raise refusal(
            "name-taken", f'"{name}" is already a name here', span, f"choose another name, such as {name}1", other
        )


def check_patterns(context: Context, tree: TokenTree, inner: Scope) -> Iterator[Pattern]:
    """The alternatives of ``(a or b)``, or the only one."""
    alternatives = tree.children if tree.data == "either" else [tree]
    for alternative in cast(list[TokenTree], alternatives):
        first, rest = cast(list[Any], (*alternative.children, None)[:2])
        kinds = () if isinstance(first, Token) else (kind_pattern(context, first),)
        if isinstance(rest, Token):
            yield Pattern(span_of(alternative), kinds, event_id(context, rest))
        else:
            where = None if rest is None else condition(context, rest, inner)
            yield Pattern(span_of(alternative), kinds, None, where)


def check_distance(context: Context, tree: TokenTree) -> Distance:
    """``5s``, ``10 turns``, ``3 events``."""
    token, unit = cast(list[Any], (*tree.children, None)[:2])
    span = span_of(tree)
    if unit is None:
        return Distance(span, duration(context, token), "time")
    return Distance(span, size(context, token), "turns" if str(unit).startswith("turn") else "events")


# -- causes --------------------------------------------------------------------------------------------

CAUSED_RELATIONS = (Relation.EVENTS, Relation.MESSAGES, Relation.GOALS)


@handles("caused")
def check_caused(context: Context, tree: TokenTree, scope: Scope) -> Expr:
    """``caused by P``, ``directly led to P``, ``caused by P within 3 steps``."""
    directly, word, any_of, within = cast(list[Any], tree.children)
    if scope.relation not in CAUSED_RELATIONS:
        message = f"{scope.what()} are not events, so they have no cause"
        said = "caused by" if word == "caused" else "led to"
        raise refusal("no-cause", message, span_of(tree), f"say: any event ({said} …)")
    patterns = tuple(check_patterns(context, any_of, Scope(Relation.EVENTS, outer=scope)))
    steps = None if within is None else steps_of(context, within)
    if directly is not None:
        steps = 1 if steps is None else min(1, steps)
    return Caused(span_of(tree), "caused by" if word == "caused" else "led to", patterns, steps)


def steps_of(context: Context, tree: TokenTree) -> int:
    """``within 3 steps``."""
    return size(context, tree.children[0])
