"""What the language has and this version does not execute: said by name, with its place."""

from __future__ import annotations

from collections.abc import Sequence

from matrix.errors import QueryError
from matrix.query import syntax as q

_NAMES: dict[type[q.Node], str] = {
    q.Sequence: "sequences (did … then …)",
    q.MatchCount: "counting matches of a sequence",
    q.Match: "match",
    q.Funnel: "funnel",
    q.Causes: "causes",
    q.Effects: "effects",
}


def refuse(node: q.Node, text: str) -> QueryError:
    """The error for a construct that parses and checks but is not executed yet."""
    return _error(name_of(node), node.span, text)


def name_of(node: q.Node) -> str:
    """What the language calls a construct."""
    if isinstance(node, q.Caused):
        return node.direction
    if isinstance(node, q.Shape):
        return f"as {node.name}"
    if isinstance(node, q.Field):
        return "the steps of a sequence"
    return _NAMES[type(node)]


def _error(name: str, span: q.Span, text: str) -> QueryError:
    return QueryError(
        f"not executed yet: {name}",
        code="not-executed-yet",
        text=text,
        start=span[0],
        end=span[1],
        hint="the query is right; this version does not answer it",
    )


def refuse_unexecuted(query: q.Query, nodes: Sequence[q.Node]) -> None:
    """Raise for the first construct of a query that is not executed, before anything is read."""
    if query.is_watch and not query.is_explain:
        start = query.text.index("watch")
        raise _error("watch", (start, start + len("watch")), query.text)
    found = [node for node in nodes if _is_refused(node)]
    if found:
        raise refuse(min(found, key=lambda node: node.span[0]), query.text)


def _is_refused(node: q.Node) -> bool:
    if isinstance(node, q.Shape):
        return node.name != "table"
    return isinstance(node, (*_NAMES, q.Caused))
