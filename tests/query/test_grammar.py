"""The grammar file, and the parse tables that are shipped beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lark import Lark

from matrix.query.language import grammar
from tests.query.queries import right_queries


def test_tables_are_of_this_grammar() -> None:
    source = (grammar.folder() / grammar.GRAMMAR_FILE).read_bytes()
    header = (grammar.folder() / grammar.TABLES_FILE).read_bytes().partition(b"\n")[0]
    assert header == grammar.header_of(source), "make them again: python -m matrix.query.language.grammar"


def test_tables_read_every_right_query_as_the_grammar_does() -> None:
    built = grammar.build((grammar.folder() / grammar.GRAMMAR_FILE).read_bytes())
    for query in right_queries():
        assert grammar.parser().parse(query) == built.parse(query)


def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the grammar that the parser is loaded from; the one in use is put back afterwards."""
    folder = tmp_path / "grammar"
    shutil.copytree(grammar.folder(), folder)
    monkeypatch.setattr(grammar, "folder", lambda: folder)
    monkeypatch.setattr(grammar, "parser", grammar.parser.__wrapped__)
    return folder


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time the tables are built."""
    counted: list[int] = []
    build = grammar.build

    def counting(source: bytes) -> Lark:
        counted.append(len(source))
        return build(source)

    monkeypatch.setattr(grammar, "build", counting)
    return counted


def test_tables_are_loaded_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[int]) -> None:
    copied(tmp_path, monkeypatch)
    grammar.parser()
    assert builds == []


def test_tables_of_another_grammar_are_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[int]
) -> None:
    folder = copied(tmp_path, monkeypatch)
    source = folder.joinpath("query.lark")
    source.write_text(source.read_text().replace('AGENTS: "agents"', 'AGENTS: "people"'))
    assert grammar.parser().parse("people")
    assert len(builds) == 1


def test_tables_of_another_lark_are_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[int]
) -> None:
    folder = copied(tmp_path, monkeypatch)
    tables = folder.joinpath("query.tables").read_bytes()
    folder.joinpath("query.tables").write_bytes(tables.replace(b"lark 1", b"lark 0", 1))
    grammar.parser()
    assert len(builds) == 1


def test_missing_tables_are_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[int]) -> None:
    copied(tmp_path, monkeypatch).joinpath("query.tables").unlink()
    grammar.parser()
    assert len(builds) == 1


def test_command_writes_tables_that_are_of_the_grammar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(tmp_path, monkeypatch)
    folder.joinpath("query.tables").unlink()
    grammar.main()
    source = folder.joinpath("query.lark").read_bytes()
    assert folder.joinpath("query.tables").read_bytes().startswith(grammar.header_of(source))


def test_importing_the_checker_does_not_load_the_tables() -> None:
    code = "import matrix.query.check, matrix.query.language.grammar as g; print(g.parser.cache_info().currsize)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
