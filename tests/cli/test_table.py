"""Tables for people, and values in words."""

from __future__ import annotations

import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from matrix.cli.table import write_table
from matrix.cli.values import query_value
from matrix.query.engine.notation import duration_text


def shown(table: pa.Table, width: int | None = None) -> list[str]:
    out = io.StringIO()
    write_table(table, out, width=width)
    return out.getvalue().splitlines()


def test_names_stand_over_a_rule_and_numbers_to_the_right() -> None:
    table = pa.table({"role": ["buyer", "seller"], "count": [900, 7], "rate": [0.41234567, None]})
    assert shown(table) == [
        "role    count    rate",
        "──────  ─────  ──────",
        "buyer     900  0.4123",
        "seller      7",
    ]


def test_durations_are_in_the_languages_notation_and_times_are_iso() -> None:
    table = pa.table(
        {
            "duration": pa.array([90_000_000, 1_500], pa.duration("us")),
            "wall": pa.array([1_767_225_600_500_000, None], pa.timestamp("us", tz="UTC")),
        }
    )
    assert shown(table)[2:] == ["   1m30s  2026-01-01T00:00:00.5Z", "   1.5ms"]


def test_text_of_others_cannot_move_the_cursor() -> None:
    assert shown(pa.table({"text": ["one\ntwo\x1b[31m"]}))[2] == "one two\ufffd[31m"


def test_long_cells_are_cut_on_a_terminal_and_nowhere_else() -> None:
    table = pa.table({"id": ["a"], "text": ["word " * 40]})
    assert shown(table, width=40)[2] == "a   " + ("word " * 40)[:35] + "…"
    assert shown(table)[2] == "a   " + ("word " * 40).rstrip()


def test_ids_are_cut_in_the_middle_as_they_differ_at_the_end() -> None:
    ids = ["09cc350d-f5d3-41b0-a107-003a301b212f:25", "09cc350d-f5d3-41b0-a107-003a301b212f:27"]
    assert shown(pa.table({"id": ids, "n": [1, 2]}), width=20)[2:] == ["09cc350d-f…12f:25  1", "09cc350d-f…12f:27  2"]


def test_a_chat_keeps_room_for_its_words_on_a_narrow_terminal() -> None:
    told = [{"role": "user", "name": "ann", "content": "is that your best price? " * 3}]
    chat = pa.array([told], pa.list_(pa.struct({name: pa.string() for name in ("role", "name", "content")})))
    names = {"simulation": "casino-404", "conversation": "casino-404/mturk_agent_2+mturk_agent_1", "agent": "ann"}
    table = pa.table({name: [value] for name, value in names.items()} | {"messages": chat})
    assert shown(table, width=60)[2:] == [
        "casino-404  ann    ann: is that your best price? is that",
        "                     your best price? is that your best",
        "                     price?",
    ]


def test_a_narrow_terminal_leaves_out_the_least_telling_columns_and_names_them() -> None:
    table = pa.table(
        {name: [f"{name} value"] for name in ("id", "seq", "wall", "kind", "empty", "data")} | {"empty": [None]}
    )
    out = io.StringIO()
    assert write_table(table, out, width=34) == ["seq", "wall", "empty"]
    assert out.getvalue().splitlines()[0].split() == ["id", "kind", "data"]


def test_wide_characters_keep_the_columns_straight() -> None:
    assert shown(pa.table({"name": ["灯", "lamp"], "n": [1, 2]}))[2:] == ["灯    1", "lamp  2"]


def test_no_rows_still_show_the_names() -> None:
    assert shown(pa.table({"id": pa.array([], pa.string())})) == ["id", "──"]


@given(st.integers(0, 10**15))
def test_a_duration_in_words_reads_back_exactly(microseconds: int) -> None:
    assert query_value(duration_text(microseconds)) / query_value("1us") == microseconds


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5), st.integers(8, 60))
def test_no_line_is_wider_than_the_terminal(texts: list[str], width: int) -> None:
    from rich.cells import cell_len

    table = pa.table({f"column_{i}": [text] for i, text in enumerate(texts)})
    assert all(cell_len(line) <= width for line in shown(table, width=width))


CHAT = pa.list_(pa.struct([(name, pa.string()) for name in ("role", "name", "content")]))


def test_a_chat_has_a_line_for_each_message_and_long_ones_are_wrapped() -> None:
    said = [
        ("assistant", "alice", "hello\nbob"),
        ("user", "bob", "a longer answer that does not fit"),
        ("system", None, "open"),
    ]
    messages = [{"role": role, "name": name, "content": content} for role, name, content in said]
    table = pa.table({"agent": ["alice", "bob"], "messages": pa.array([messages, messages[:1]], CHAT)})
    assert shown(table)[2:] == [
        "alice  alice: hello bob",
        "       bob: a longer answer that does not fit",
        "       system: open",
        "bob    alice: hello bob",
    ]
    assert shown(table, width=30)[2:] == [
        "alice  alice: hello bob",
        "       bob: a longer answer",
        "         that does not fit",
        "       system: open",
        "bob    alice: hello bob",
    ]


def test_what_is_drawn_is_not_cut_while_other_columns_can_go() -> None:
    tree = pa.table(
        {"tree": ["ask", "└─ " + "long" * 8], "id": ["r1:1", "r1:2"], "level": [0, 1], "data": ["x" * 40, "y" * 40]}
    )
    assert shown(tree, width=60)[3] == "└─ " + "long" * 8 + "  r1:2  " + "y" * 16 + "…"
    assert shown(tree, width=38)[3] == "└─ " + "long" * 8
    line = pa.table({"lane": ["alice"], "what": ["close_deal"], "bar": [" " * 9 + "━" * 31]})
    assert shown(line, width=48)[2] == "alice  " + " " * 9 + "━" * 31
    other = pa.table({"tree": ["oak" * 20], "id": ["a"]})  # a column that somebody called so
    assert shown(other, width=30)[2].endswith("…  a")
