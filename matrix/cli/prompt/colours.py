"""How the text being typed looks: words of the language, kinds, texts, numbers; and the place of a mistake.

The text is read sign by sign, not parsed: half a query has colours too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import cache

from prompt_toolkit.application import get_app
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.formatted_text.utils import split_lines
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput
from prompt_toolkit.layout.utils import explode_text_fragments
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.styles import Style

from matrix.cli.prompt.draft import Draft
from matrix.event import BUILT_IN_KINDS
from matrix.query.language.failure import keyword_words
from matrix.query.language.habits import AGGREGATES

# Colours of the terminal's own palette that can be read on light and on dark.
STYLE = Style.from_dict(
    {
        "keyword": "ansiblue bold",
        "kind": "ansimagenta",
        "text": "ansigreen",
        "number": "ansicyan",
        "parameter": "ansiyellow",
        "comment": "ansibrightblack",
        "command": "bold",
        "prompt": "bold",
        "mistake": "ansired underline",
        "message": "ansired",
        "hint": "",
        "key": "reverse",
        "dim": "ansibrightblack",
    }
)

_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<text>"(\\.|[^"\\\n])*"?|'(\\.|[^'\\\n])*'?)
    |(?P<regex>(?<=~)\s*/(\\.|[^/\\\n])*(/[ims]*)?)
    |(?P<number>@[\dT:.+Z-]+|(\d+(\.\d+)?(us|ms|s|m|h|d))+(?!\w)|\d[\d_]*(\.\d+)?([eE][+-]?\d+)?)
    |(?P<parameter>\$\w*)
    |(?P<data>\.[^\W\d]\w*(\.[^\W\d]\w*)*)
    |(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*(\.\*)?)
    |(?P<command>\A\s*:\w*)
    |(?P<other>\s+|.)""",
    re.VERBOSE | re.DOTALL,
)


def coloured(text: str, kinds: Collection[str]) -> Iterator[tuple[str, str]]:
    """The text in pieces, each with its style.

    >>> list(coloured("events offer", {"offer"}))
    [('class:keyword', 'events'), ('', ' '), ('class:kind', 'offer')]
    """
    for match in _TOKEN.finditer(text):
        group, piece = str(match.lastgroup), match[0]
        if group == "name":
            group = "keyword" if piece in _words() else "kind" if _is_kind(piece, kinds) else ""
        elif group == "regex":
            group = "text"
        elif group in ("data", "other"):
            group = ""
        yield (f"class:{group}" if group else ""), piece


@cache
def _words() -> frozenset[str]:
    return keyword_words() | set(AGGREGATES)  # these are one pattern of the grammar, not each a word of it


def _is_kind(name: str, kinds: Collection[str]) -> bool:
    return name in kinds or name in BUILT_IN_KINDS or name.endswith(".*")


class QueryLexer(Lexer):
    """The colours, line by line; `kinds` are those of the store."""

    def __init__(self, kinds: Callable[[], Collection[str]]) -> None:
        self._kinds = kinds

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = list(split_lines(list(coloured(document.text, self._kinds()))))
        return lambda number: lines[number] if number < len(lines) else []


class UnderlineMistake(Processor):
    """Underlines the place of the mistake that is shown."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        document, line = transformation_input.document, transformation_input.lineno
        fragments = transformation_input.fragments
        error = None if get_app().is_done else self._draft.shown(document.text, document.cursor_position)
        if error is None:
            return Transformation(fragments)
        begin = document.translate_row_col_to_index(line, 0)
        length = len(document.lines[line])
        first, last = max(0, error.start - begin), min(length, error.end - begin)
        pieces = explode_text_fragments(list(fragments))
        for place in range(first, min(last, len(pieces))):
            pieces[place] = ("class:mistake", pieces[place][1])
        if error.start == error.end and 0 <= error.start - begin <= length == error.start - begin:
            pieces.append(("class:mistake", " "))  # something is missing at the end: there is no letter to underline
        return Transformation(pieces)
