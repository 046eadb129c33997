"""The prompt of `matrix query`: what is typed, what is offered, what is said."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

import matrix.store
from matrix.cli.prompt import commands
from matrix.cli.prompt.colours import coloured
from matrix.cli.prompt.completer import PromptCompleter
from matrix.cli.prompt.draft import Draft
from matrix.cli.prompt.editor import Editor
from matrix.cli.prompt.history import history_file, open_history
from matrix.cli.prompt.session import Session
from matrix.event import Event
from matrix.limits import PROMPT_HISTORY_BYTES_MAX, PROMPT_HISTORY_ENTRIES_KEPT
from matrix.log.rows import rows_from_events
from matrix.log.writer import Writer
from matrix.query.complete import Completion
from tests.cli.conftest import Shell
from tests.stories import offers
from tests.terminal import in_conversation

TAB, ENTER, ALT_ENTER, CTRL_C, CTRL_D, CTRL_F = "\t", "\r", "\x1b\r", "\x03", "\x04", "\x06"
WRONG = "agents where rol = buyer"


@pytest.fixture
def session(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A sitting over the recorded store."""
    monkeypatch.chdir(place)
    opened = Session("runs", {}, "table")
    yield opened
    opened.store.close()


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    """What is typed; nothing is drawn."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        yield pipe


@pytest.fixture
def editor(session: Session, keyboard: PipeInput) -> Editor:
    """The line that is typed on that keyboard."""
    completer = PromptCompleter(session.complete, lambda text: commands.offers(session, text))
    return Editor("runs", draft=Draft(session.mistake), completer=completer, history=InMemoryHistory())


# -- the line -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "entered"),
    [
        ("agents" + ENTER, "agents"),
        ("agents where" + ENTER + "role = buyer" + ENTER, "agents where\nrole = buyer"),
        ("agents |" + ENTER + "count" + ENTER, "agents |\ncount"),
        ("agents where (role = buyer" + ENTER + ")" + ENTER, "agents where (role = buyer\n)"),
        ("agents" + ALT_ENTER + "| count" + ENTER, "agents\n| count"),
        (WRONG + CTRL_F + ENTER, "agents where role = buyer"),
        (WRONG + ENTER + CTRL_F + ENTER, "agents where role = buyer"),
        ("agents where rol" + ENTER + "\x0b" + "goal succeeded" + ENTER, "agents where goal succeeded"),
        (WRONG + CTRL_C + "goals" + ENTER, "goals"),
        (":help" + ENTER, ":help"),
        ("$role = buyer" + ENTER, "$role = buyer"),
    ],
)
def test_enter_asks_when_the_query_is_whole_and_right(
    keys: str, entered: str, editor: Editor, keyboard: PipeInput
) -> None:
    keyboard.send_text(keys)
    assert editor.read() == entered


def test_ctrl_d_leaves_an_empty_line_only(editor: Editor, keyboard: PipeInput) -> None:
    keyboard.send_text("agents" + CTRL_D + ENTER)
    assert editor.read() == "agents"
    keyboard.send_text(CTRL_D)
    with pytest.raises(EOFError):
        editor.read()


def test_tab_completes_a_word_and_enter_takes_what_is_chosen(editor: Editor, keyboard: PipeInput) -> None:
    async def typed() -> str:
        reading = asyncio.create_task(editor.app.run_async())
        for keys, text in [
            ("conv" + TAB, "conversations"),
            (" wh" + TAB, "conversations where"),
            (" mess" + TAB, "conversations where messages"),
            (" > 3 | so" + TAB, "conversations where messages > 3 | sort"),
            ("\x15" + ":format j" + TAB, ":format json"),
        ]:
            keyboard.send_text(keys)
            while editor.buffer.text != text:
                await asyncio.sleep(0.001)
        while editor.buffer.text != ":format jsonl":  # through the menu, which opens in its own time
            keyboard.send_text(TAB)
            await asyncio.sleep(0.05)
        keyboard.send_text(ENTER + ENTER)
        return await reading

    assert asyncio.run(asyncio.wait_for(typed(), timeout=20)) == ":format jsonl"


# -- mistakes while typing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_shown"),
    [
        ("agents where rol", False),  # may become right
        ("agents where rol = buyer", True),
        ("agents where goal ", False),  # a field so far; the next word may make it a goal test
        ('events where .tool = "sea', False),
        ("agents where rol = buyer and (", False),
        (":nonsense", False),
        ("", False),
    ],
)
def test_a_mistake_is_shown_when_the_hand_has_moved_on(text: str, is_shown: bool, session: Session) -> None:
    assert (Draft(session.mistake).shown(text, len(text)) is not None) == is_shown


def test_enter_shows_any_mistake_until_the_text_changes(session: Session) -> None:
    draft = Draft(session.mistake)
    draft.refuse("agents where rol")
    shown = draft.shown("agents where rol", 13)
    assert shown is not None
    assert (shown.start, shown.end) == (13, 16)
    assert draft.shown("agents where role", 17) is None


def test_a_new_line_says_what_is_expected(session: Session) -> None:
    assert Draft(session.mistake).expected("agents where\n") == "expected a condition"
    assert Draft(session.mistake).expected("agents where") == ""


def test_a_parameter_without_value_says_how_to_give_one(session: Session) -> None:
    mistake = session.mistake("agents where role = $role")
    assert mistake is not None
    assert mistake.hint == "$role = value, on a line of its own, gives it one"
    session.do("$role = buyer")
    assert session.mistake("agents where role = $role") is None


# -- colours and completion -------------------------------------------------------------------------


def test_words_kinds_texts_and_numbers_have_their_colours() -> None:
    text = 'events offer, tool.* where .price > 10.5 and .to ~ /x y/i and time < 5m # "all"'
    seen = [(style.removeprefix("class:"), piece) for style, piece in coloured(text, {"offer"}) if style]
    assert seen == [
        ("keyword", "events"),
        ("kind", "offer"),
        ("kind", "tool.*"),
        ("keyword", "where"),
        ("number", "10.5"),
        ("keyword", "and"),
        ("text", " /x y/i"),
        ("keyword", "and"),
        ("number", "5m"),
        ("comment", '# "all"'),
    ]


@pytest.mark.parametrize(
    "text", ['agents where id = "open', "日本語 é 👩‍👩‍👧", "\x00\x1b[31m", "a\n\nb\n", "", ". .. $ @ /"]
)
def test_any_text_keeps_its_letters_when_it_is_coloured(text: str) -> None:
    assert "".join(piece for _, piece in coloured(text, set())) == text


def completer(*offers: Completion) -> PromptCompleter:
    return PromptCompleter(lambda text, cursor: list(offers), lambda text: [])


def test_while_typing_nothing_is_offered_before_a_word_has_begun() -> None:
    offered = completer(Completion("where", 7, 7, "keyword", ""))
    assert list(offered.get_completions(Document("agents "), CompleteEvent(text_inserted=True))) == []
    on_tab = list(offered.get_completions(Document("agents "), CompleteEvent(completion_requested=True)))
    assert [(each.text, each.start_position) for each in on_tab] == [("where", 0)]


def test_a_word_that_is_whole_is_not_offered_again() -> None:
    offered = completer(Completion("agents", 0, 6, "relation", ""))
    assert list(offered.get_completions(Document("agents"), CompleteEvent(completion_requested=True))) == []


def test_the_rest_of_a_word_behind_the_cursor_is_not_doubled() -> None:
    offered = completer(Completion("role", 13, 17, "field", ""))
    (each,) = offered.get_completions(Document("agents where role", 15), CompleteEvent(completion_requested=True))
    assert (each.text, each.start_position) == ("ro", -2)


# -- history ------------------------------------------------------------------------------------------


def test_the_history_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = history_file()
    assert path == tmp_path / "state" / "matrix" / "history"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o644)
    history, trouble = open_history(path)
    history.append_string("agents\n| count")
    history.append_string("goals \udcff")  # half a letter, of a terminal that sends no UTF-8
    assert trouble == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(open_history(path)[0].load_history_strings()) == ["goals ?", "agents\n| count"]


def test_a_relative_state_folder_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "state")
    monkeypatch.setenv("HOME", "/home/ada")
    assert history_file() == Path("/home/ada/.local/state/matrix/history")


def test_a_history_that_cannot_be_written_is_a_notice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    history, trouble = open_history(tmp_path / "file" / "history")
    assert trouble == f"{tmp_path}/file/history: File exists; what is typed is not kept"
    history.append_string("agents")


def test_a_long_history_keeps_its_newest_entries(tmp_path: Path) -> None:
    path = tmp_path / "history"
    entries = [f"agents # {n} {'x' * 500}" for n in range(PROMPT_HISTORY_ENTRIES_KEPT + 200)]
    path.write_text("".join(f"\n+{entry}\n" for entry in entries))
    assert path.stat().st_size > PROMPT_HISTORY_BYTES_MAX
    kept = list(open_history(path)[0].load_history_strings())
    assert kept == entries[: -PROMPT_HISTORY_ENTRIES_KEPT - 1 : -1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["history"]


# -- what lines do ----------------------------------------------------------------------------------


def said(session: Session, capsys: pytest.CaptureFixture[str], line: str) -> str:
    session.do(line)
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_a_question_shows_its_rows_and_the_time_it_took(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(session, capsys, "goals | count by status").splitlines()
    assert lines[:4] == ["status     count", "─────────  ─────", "failed         2", "succeeded      4"]
    assert lines[4].startswith("2 rows · ")
    assert lines[4].endswith(("ms", " s"))


def test_a_long_answer_is_cut_with_a_word(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(session, capsys, "events | select id").splitlines()
    assert len(lines) == 2 + 40 + 1
    assert lines[-1].startswith("42 rows, the first 40 shown; :more shows all, | limit fewer · ")
    session.do(":save all.csv")
    assert len(Path("all.csv").read_text().splitlines()) == 43
    assert said(session, capsys, ":more").count("\n") >= 44


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (":format json", "rows are shown as json\n"),
        (":format parquet", 'error: there is no format "parquet" here; one of table, json, jsonl, csv\n'),
        (":more", "error: nothing was asked yet\n"),
        (":save", "error: write the rows where? for example: :save rows.csv\n"),
        (":params", "error: no parameter has a value; $role = buyer gives one\n"),
        (":info 1-9", "error: runs: there is no simulation '1-9' among 2, but 1-2, 1-1\n"),
        (":kinds zzz", 'error: there is no kind of event that starts with "zzz"\n'),
        (":halp", "error: there is no :halp; did you mean :help?\n"),
        ("$role = buyer", '$role = "buyer"\n'),
        ("$least = 10", "$least = 10\n"),
        ("$span = 1m30s", "$span = 1m30s\n"),
        ("$since = @2026-01-31", "$since = @2026-01-31T00:00:00+00:00\n"),
        ("$role", "error: $role has no value; $role = buyer gives it one\n"),
        ("$ = 3", 'error: "$ = 3" sets no parameter; write for example: $role = buyer\n'),
        ("", ""),
    ],
)
def test_a_command_does_what_it_says(
    line: str, shown: str, session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(session, capsys, line) == shown


def test_parameters_are_kept_until_they_are_forgotten(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.do("$status = failed")
    session.do(":format jsonl")
    capsys.readouterr()
    assert said(session, capsys, "goals where status = $status | count").startswith('{"count": 2}\n1 row · ')
    assert said(session, capsys, ":params") == '$status = "failed"\n'
    session.do("$status =")
    assert "no value was given for $status" in said(session, capsys, "goals where status = $status")


def test_help_names_every_command_and_fits_a_narrow_terminal(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = said(session, capsys, ":help")
    assert all(f"  :{name}" in shown for name in commands.COMMANDS)
    assert max(map(len, shown.splitlines())) < 80


@pytest.mark.parametrize("line", [":quit", ":q", "quit", "exit"])
def test_quit_leaves(line: str, session: Session) -> None:
    with pytest.raises(commands.Leave):
        session.do(line)


def test_a_query_that_is_stopped_leaves_the_prompt_and_a_store_to_ask(
    session: Session, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(matrix.store.Store, "query", interrupted)
        assert said(session, capsys, "agents") == "stopped\n"
    assert said(session, capsys, "goals | count").splitlines()[2] == "    6"


@pytest.mark.parametrize("form", ["table", "jsonl", "json", "csv"])
def test_a_watch_shows_its_rows_as_they_come(
    form: str, session: Session, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said(session, capsys, f":format {form}")
    is_over = threading.Event()

    def offer() -> None:
        with Writer.open(place / "runs" / "log") as writer:
            seq = 0
            while not is_over.wait(0.05):  # again and again: a watch tells what comes after it has begun
                seq += 1
                writer.append(rows_from_events([Event(1, seq, 0, 0, 0, 0, 0, 0, 0, "späte.offerte")]))

    writing = threading.Thread(target=offer)
    writing.start()
    try:
        lines = said(session, capsys, "watch events | select kind | limit 1").splitlines()
    finally:
        is_over.set()
        writing.join()
    assert lines[-1] == "watching; Ctrl-C stops it"  # on stderr
    if form == "table":
        assert [line.strip() for line in lines[:-1]] == ["kind", "─" * 13, "späte.offerte"]
    else:
        [row] = [json.loads(line) for line in lines[:-1]]
        assert (row["kind"], sorted(row)) == ("späte.offerte", ["kind", "position"])


def test_a_watch_that_cannot_be_and_one_that_is_explained(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(session, capsys, "watch events | sort time").startswith("error: 1:16: a watch cannot be sorted")
    assert said(session, capsys, "explain watch events").startswith("step")


# -- on a terminal ------------------------------------------------------------------------------------


def test_a_sitting_on_a_terminal(place: Path) -> None:
    raw = in_conversation(
        "matrix query runs",
        [
            ("runs>", WRONG),
            ("Ctrl-F", CTRL_F + ENTER),
            ("6 rows", ""),
            ("runs>", "goals | count" + ENTER),
            ("1 row", ""),
            ("runs>", CTRL_D),
        ],
        cwd=place,
        environment={"XDG_STATE_HOME": str(place / "state")},
    )
    assert raw.code == 0
    assert "runs: 2 simulations, 42 events." in raw.text
    assert 'did you mean "role"?' in raw.text
    path = place / "state" / "matrix" / "history"
    assert path.read_text() == "\n+agents where role = buyer\n\n+goals | count\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def write_until(stop: threading.Event, store: Path) -> None:
    """Write a run of its own, an event now and then, for as long as somebody may wait for it."""
    with Writer.open(store / "log") as writer:
        for event in offers([{"price": n} for n in range(1_000)]):
            writer.append(rows_from_events([event]))
            if stop.wait(0.05):
                break


def test_a_watch_tells_rows_until_ctrl_c_and_then_the_prompt_is_there_again(place: Path) -> None:
    stop = threading.Event()
    writing = threading.Thread(target=write_until, args=(stop, place / "runs"))
    writing.start()
    try:
        seen = in_conversation(
            "matrix query runs --no-history --format csv",
            [
                ("runs>", "watch events offer | select kind, .price as asked" + ENTER),
                ("Ctrl-C stops it", ""),
                ('{"kind": "offer", "asked": ', CTRL_C),
                ("stopped", ""),
                ("runs>", ":format table" + ENTER),
                ("runs>", "watch events offer | select kind | limit 2" + ENTER),
                ("runs>", "agents | count" + ENTER),
                ("1 row", ""),
                ("runs>", CTRL_D),
            ],
            cwd=place,
            environment={},
        )
    finally:
        stop.set()
        writing.join()
    assert seen.code == 0
    assert "error" not in seen.text


def test_what_no_watch_can_tell_is_said_at_the_prompt(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert "1:16: a watch cannot be sorted" in said(session, capsys, "watch events | sort time")
    assert said(session, capsys, "watch events | limit 0") == "watching; Ctrl-C stops it\n"
    assert "watching" not in said(session, capsys, "explain watch events | limit 0")


def test_ctrl_c_ends_a_watch_and_not_the_sitting(place: Path) -> None:
    lines = [
        ("runs>", "watch events" + ENTER),
        ("Ctrl-C stops it", CTRL_C),
        ("stopped", ""),
        ("runs>", "goals | count" + ENTER),
        ("1 row", ""),
        ("runs>", CTRL_D),
    ]
    environment = {"XDG_STATE_HOME": str(place / "state")}
    assert in_conversation("matrix query runs", lines, cwd=place, environment=environment).code == 0


@pytest.mark.parametrize(
    ("command", "variable"), [("matrix query runs --no-history", ""), ("matrix query runs", "MATRIX_NO_HISTORY")]
)
def test_no_history_is_kept_when_nobody_wants_one(command: str, variable: str, place: Path) -> None:
    environment = {"XDG_STATE_HOME": str(place / "state")} | ({variable: "1"} if variable else {})
    lines = [("runs>", "goals | count" + ENTER), ("1 row", ""), ("runs>", CTRL_D)]
    done = in_conversation(command, lines, cwd=place, environment=environment)
    assert done.code == 0
    assert not (place / "state").exists()


def test_without_a_terminal_a_query_is_asked_for(shell: Shell) -> None:
    done = shell("matrix query runs < /dev/null")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: what is asked? a QUERY in quotes, or - for stdin: matrix query runs 'agents'")
