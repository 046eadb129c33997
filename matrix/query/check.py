"""From text to a checked query: names resolved, types agreed, parameters bound; or one clear error.

``parse`` makes the grammar's tree (``grammar``), or says why it cannot (``habits``, ``foreign``, over a
``failure``). The files of ``language`` make the tree of ``syntax`` from it, part by part: stages, conditions,
related rows, sequences, values, words. They share the catalogue (``fields``), what names mean at a place
(``scope``), which types agree (``types``) and constants (``literals``). All of them refuse with a
``Refusal`` (``suggest``), whose fixes are tried here. Where none is right, an idiom of another language
(``idioms``) or a word with one wrong letter (``repair``) may explain the text better.

>>> check("agents where goal succeeded | count by role").columns[0].name
'role'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lark import Tree

from matrix.errors import QueryError
from matrix.limits import QUERY_FIXES_MAX
from matrix.query.language import conditions as _conditions  # noqa: F401  # these register their handlers
from matrix.query.language.columns import default_columns
from matrix.query.language.context import Context
from matrix.query.language.idioms import hinted, idiomatic
from matrix.query.language.parse import parse
from matrix.query.language.repair import repaired
from matrix.query.language.scope import Probed
from matrix.query.language.stages import StageChecker
from matrix.query.language.suggest import Refusal, apply
from matrix.query.language.watching import check_stages
from matrix.query.syntax import Query


def check(text: str, params: Mapping[str, Any] | None = None, *, is_watch: bool = False) -> Query:
    """The checked form of a query, or a ``QueryError`` with place, cause, hint and fix.

    ``is_watch`` says that it will be watched, although it need not begin with ``watch``.
    """
    given = params or {}
    try:
        return _check(text, given, is_watch=is_watch)
    except Refusal as refused:
        fix = _first_that_passes(text, refused, given, is_watch=is_watch)
        for explain in (idiomatic, repaired, hinted):
            refused, fix = explain(text, refused, fix, lambda candidate: _passes(candidate, given, is_watch=is_watch))
        start, end = refused.span
        raise QueryError(
            refused.message, code=refused.code, text=text, start=start, end=end, hint=refused.hint, fix=fix
        ) from None


def probed(text: str) -> Query | Probed | None:
    """What the checker finds at ``PROBE`` in a text: the place, a whole query, or nothing when it refuses the text."""
    try:
        return _check(text, {}, is_watch=False, is_trial=True)
    except Probed as place:
        return place
    except Refusal:
        return None


def _check(text: str, params: Mapping[str, Any], *, is_watch: bool, is_trial: bool = False) -> Query:
    tree = parse(text, is_trial=is_trial)
    explain, watch, source_tree, *stage_trees = cast(list[Any], tree.children)
    context = Context(text, params)
    is_watch = is_watch or watch is not None
    checker = StageChecker(context, is_watch=is_watch, is_explain=explain is not None)
    source = checker.source(source_tree)
    stages = tuple(checker.stage(cast(Tree[Any], stage)) for stage in stage_trees)
    if is_watch:
        check_stages(stages)
    span = (tree.meta.start_pos, tree.meta.end_pos)
    columns = default_columns(checker.scope, span)
    relation = checker.scope.relation
    return Query(span, text, source, stages, columns, relation, explain is not None, is_watch)


def _first_that_passes(text: str, refusal: Refusal, params: Mapping[str, Any], *, is_watch: bool) -> str:
    """The first proposed fix that is itself a right query."""
    for edits in refusal.fixes[:QUERY_FIXES_MAX]:
        candidate = apply(text, edits)
        if candidate == text:
            continue
        if _passes(candidate, params, is_watch=is_watch):
            return candidate
    return ""


def _passes(text: str, params: Mapping[str, Any], *, is_watch: bool) -> bool:
    """Whether this is a right query."""
    try:
        _check(text, params, is_watch=is_watch, is_trial=True)
    except Refusal:
        return False
    return True
