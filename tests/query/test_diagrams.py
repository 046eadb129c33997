"""The railroad diagrams are of the grammar as it is, and leave nothing of it out."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from grammar.draw import FOLDER, PICTURES, drawings, mark, not_drawn
from matrix.query.language.grammar import folder

SOURCE = (folder() / "query.lark").read_text(encoding="utf-8")
REFERENCE = (folder() / "README.md").read_text(encoding="utf-8")


def test_pictures_were_made_from_this_grammar() -> None:
    """After a change of the grammar: python grammar/draw.py"""
    kept = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.svg")}
    assert kept.keys() == PICTURES.keys()
    assert {name for name, svg in kept.items() if mark(SOURCE) not in svg} == set()


def test_every_rule_and_token_is_in_some_picture() -> None:
    assert not_drawn(SOURCE) == {"COMMENT", "WS"}


def test_a_picture_shows_the_words_of_its_rules() -> None:
    drawn = ElementTree.fromstring(drawings(SOURCE)["cause"])
    words = [element.text for element in drawn.iter() if element.tag.endswith("text")]
    assert words == [
        *("cause", "directly", "caused", "by", "led", "to", "event", "within steps"),
        *("within steps", "within", "whole number", "steps"),
    ]


def test_a_change_of_the_grammar_changes_the_picture() -> None:
    changed = drawings(SOURCE.replace('LED "to"', 'LED "on"'))
    assert ">on<" in changed["cause"]
    assert mark(SOURCE) not in changed["cause"]


def test_the_reference_shows_every_picture() -> None:
    assert sorted(re.findall(r"\]\(diagrams/(\w+)\.svg\)", REFERENCE)) == sorted(PICTURES)
