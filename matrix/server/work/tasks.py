"""What a working process does for each type of request."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from matrix.limits import PIECE_BYTES_MAX
from matrix.query import rows
from matrix.query.check import check
from matrix.query.explain import SCHEMA
from matrix.query.syntax import Query, Type
from matrix.server import encode, replies
from matrix.server.work.desk import Desk
from matrix.server.work.refusal import without_paths

if TYPE_CHECKING:
    from matrix.query.result import Result
    from matrix.store import Store

_TYPES = {Type.TEXT: "text", Type.NUMBER: "number", Type.BOOL: "boolean", Type.DURATION: "duration", Type.TIME: "time"}


def perform(desk: Desk, store: Store) -> None:
    """Do what an order says."""
    order = desk.order
    if order.from_row is not None:
        desk.kept_rows(order.from_row)
    else:
        _TASKS[order.request.type](desk, store)


def _query(desk: Desk, store: Store) -> None:
    _answer(desk, store.query(desk.order.request.text, **desk.order.request.params))


def _explain(desk: Desk, store: Store) -> None:
    _answer(desk, store.explain(desk.order.request.text, **desk.order.request.params))


def _answer(desk: Desk, result: Result) -> None:
    order = desk.order
    desk.frames(encode.schema_frames(order.encoding, order.request.id, result.table.schema, order.request.format))
    _notices(desk, result.notices)
    desk.table(result.table)


def _notices(desk: Desk, notices: list[str]) -> None:
    for text in notices:
        desk.reply("notice", text=text)


# -- exports --------------------------------------------------------------------------------------


class _Pieces(io.RawIOBase):
    """A file to write to, which passes on pieces of an even size."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take, self._held = take, bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE_BYTES_MAX):
            self._held += view[start : start + PIECE_BYTES_MAX]
            while len(self._held) >= PIECE_BYTES_MAX:
                self._take(bytes(self._held[:PIECE_BYTES_MAX]))
                del self._held[:PIECE_BYTES_MAX]
        return len(view)

    def finish(self) -> None:
        """Pass on what is left."""
        if self._held:
            self._take(bytes(self._held))
            self._held.clear()


def _export(desk: Desk, store: Store) -> None:
    request = desk.order.request
    result = store.query(request.text, **request.params)
    _notices(desk, result.notices)
    head = {"type": "batch", "id": request.id}
    out = _Pieces(lambda piece: desk.piece(encode.binary_frames(desk.order.encoding, head, piece)))
    rows.WRITERS[request.format](result.table, out)  # type: ignore[arg-type]  # a raw file that takes all it is given
    out.finish()
    desk.rows = result.table.num_rows


# -- single results -------------------------------------------------------------------------------


def _check(desk: Desk, store: Store) -> None:
    checked = check(desk.order.request.text, desk.order.request.params)
    desk.result({"watch": checked.is_watch and not checked.is_explain, "columns": _columns(checked)})


def _columns(checked: Query) -> list[dict[str, str]]:
    if checked.is_explain:
        return encode.columns(SCHEMA)
    return [{"name": column.name, "type": _TYPES.get(column.type, "json")} for column in checked.columns]


def _complete(desk: Desk, store: Store) -> None:
    request = desk.order.request
    desk.result({"completions": [asdict(found) for found in store.complete(request.text, request.cursor)]})


def _info(desk: Desk, store: Store) -> None:
    from matrix.index.lookup import store_data

    id = desk.order.request.simulation
    if id is None:
        desk.result(store_data(store.path.name, store.info(), store.kinds()))
        return
    summary = store.simulation(id)
    digest = store.digest(id) if summary.end is not None else None
    desk.result({**summary.as_data(), "digest": digest})


def _diff(desk: Desk, store: Store) -> None:
    desk.result(store.diff(desk.order.request.one, desk.order.request.other).as_data())


# -- replays --------------------------------------------------------------------------------------


def _replay(desk: Desk, store: Store) -> None:
    request = desk.order.request
    found = store.replay_all() if request.all else iter([store.replay(request.simulation or "")])
    for replay in found:
        row = _without_paths(replay.as_data(), store)
        fields = {"type": "batch", "id": request.id, "count": 1, "rows": [row]}
        desk.piece([replies.message(desk.order.encoding, fields)])
        desk.rows += 1


def _without_paths(row: dict[str, Any], store: Store) -> dict[str, Any]:
    """A replay as data, without the places of files on this machine; what events say stays as it is."""
    shown: Callable[[list[str]], list[str]] = lambda texts: [without_paths(text, store.path) for text in texts]  # noqa: E731
    row = {**row, "notes": shown(row["notes"])}
    if row["divergence"] is not None:
        place, causes = row["divergence"]["place"], row["divergence"]["causes"]
        row["divergence"] = {**row["divergence"], "place": shown([place])[0], "causes": shown(causes)}
    return row


_TASKS: dict[str, Callable[[Desk, Store], None]] = {
    "query": _query,
    "explain": _explain,
    "export": _export,
    "check": _check,
    "complete": _complete,
    "info": _info,
    "diff": _diff,
    "replay": _replay,
}
