"""PROGRAM: module:function, or file.py[:function]."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from matrix.cli.program import check_parameters, load_program


@pytest.fixture(autouse=True)
def _leave_no_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


ONE = "async def market(simulation, buyers: int = 10): ...\nasync def _helper(x): ...\ndef plain(simulation): ...\n"


def test_a_file_with_one_program_needs_no_name() -> None:
    assert load_program(write("society.py", ONE)).__name__ == "market"


def test_a_file_and_a_module_name_their_function() -> None:
    write("society.py", ONE + "async def auction(simulation): ...\n")
    assert load_program("society.py:auction").__name__ == "auction"
    assert load_program("society:market").__name__ == "market"


def test_of_several_the_one_named_like_the_file_is_meant() -> None:
    write("auction.py", ONE + "async def auction(simulation): ...\n")
    assert load_program("auction.py").__name__ == "auction"


def test_a_file_named_like_a_module_of_python_does_not_hide_it() -> None:
    assert load_program(write("random.py", ONE)).__module__ == "program_random"


def test_a_program_may_import_its_neighbours() -> None:
    Path("folder").mkdir()
    write("folder/prices.py", "LIMIT = 3\n")
    write("folder/shop.py", "from prices import LIMIT\nasync def shop(simulation): ...\n")
    assert load_program("folder/shop.py").__name__ == "shop"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere.py", "there is no file nowhere.py"),
        ("nowhere:market", "there is no module nowhere here"),
        ("nowhere", 'PROGRAM is module:function or file.py[:function], not "nowhere"'),
        ("society.py:markt", 'society.py has no "markt"; did you mean "market"?'),
        ("society.py:plain", "society.py:plain is not a program: a program is an async function of a simulation"),
        ("empty.py", "empty.py has no program: an async function whose first parameter is the simulation"),
        ("two.py", "two.py has several programs: say which, two.py:a or two.py:b"),
        ("broken.py", "broken.py cannot be imported: SyntaxError: invalid syntax"),
        ("raises.py", "raises.py cannot be imported: ZeroDivisionError: division by zero at raises.py:1"),
        ("needs.py", "needs.py cannot be imported: ModuleNotFoundError: No module named 'not_there' at needs.py:1"),
    ],
)
def test_what_cannot_be_found_says_so_in_one_line(text: str, message: str) -> None:
    write("society.py", ONE)
    write("empty.py", "x = 1\n")
    write("two.py", "async def a(s): ...\nasync def b(s): ...\n")
    write("broken.py", "def (:\n")
    write("raises.py", "1 / 0\n")
    write("needs.py", "import not_there\n")
    with pytest.raises(click.ClickException) as caught:
        load_program(text)
    assert caught.value.format_message().startswith(message)
    assert "\n" not in caught.value.format_message()


async def _program(simulation: object, buyers: int, sellers: int = 2) -> None: ...


async def _open_program(simulation: object, **parameters: object) -> None: ...


def test_parameters_are_checked_before_anything_runs() -> None:
    check_parameters(_program, {"buyers": 3})
    check_parameters(_open_program, {"anything": 3})
    with pytest.raises(click.UsageError, match='takes no parameter "buyer"; did you mean "buyers"'):
        check_parameters(_program, {"buyer": 3})
    with pytest.raises(click.UsageError, match="needs --set buyers=…"):
        check_parameters(_program, {})
