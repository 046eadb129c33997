"""A watch is not a question that is answered once: said with its place."""

from __future__ import annotations

from collections.abc import Sequence

from matrix.errors import QueryError
from matrix.query import syntax as q


def refuse_unexecuted(query: q.Query, nodes: Sequence[q.Node]) -> None:
    """Raise for a watch, before anything is read."""
    if query.is_watch and not query.is_explain:
        start = query.text.index("watch")
        raise QueryError(
            "a watch goes on for ever, and this asks for one answer",
            code="not-executed-yet",
            text=query.text,
            start=start,
            end=start + len("watch"),
            hint="from Python: store.watch(…), or matrix watch; leave out the word for what is there by now",
        )
