"""The last stage: the same rows in another shape, by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from matrix.query import syntax as q
from matrix.query.engine.chat import as_chat
from matrix.query.engine.frame import Frame
from matrix.query.engine.timeline import as_timeline
from matrix.query.engine.tree import as_tree

if TYPE_CHECKING:
    from matrix.query.engine.evaluate import Evaluator

SHAPES: dict[str, Callable[[Evaluator, q.Shape, Frame], Frame]] = {
    "chat": as_chat,
    "tree": as_tree,
    "timeline": as_timeline,
}
