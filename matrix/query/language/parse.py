"""Text to tree: the grammar's own tree, with every limit on texts checked on the way."""

from __future__ import annotations

import re

from lark import Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from matrix.limits import QUERY_BYTES_MAX, QUERY_DEPTH_MAX, QUERY_TOKENS_MAX
from matrix.query.language.failure import Failure
from matrix.query.language.grammar import parser
from matrix.query.language.habits import diagnose
from matrix.query.language.suggest import refusal


def parse(text: str, *, is_trial: bool = False) -> Tree[Token]:
    """The tree of a query, or the refusal that says where it stops being one.

    A trial (of a fix) is only asked whether the text is a query: its refusal has no words.
    """
    _refuse_surrogates(text)
    size = len(text.encode())
    if size > QUERY_BYTES_MAX:
        hint = f"{QUERY_BYTES_MAX // 1024} KiB are the most; give long lists as parameters: in $list"
        raise refusal("too-long", f"the query has {size // 1024 + 1} KiB", (0, 0), hint)
    tokens: list[Token] = []
    interactive = parser().parse_interactive(text)
    try:
        depth = 0
        for token in interactive.lexer_thread.lex(interactive.parser_state):  # type: ignore[no-untyped-call]
            _refuse_glued(text, tokens, token.start_pos or 0)
            interactive.feed_token(token)
            tokens.append(token)
            depth += (token.type == "LPAR") - (token.type == "RPAR")
            _check_limits(tokens, depth)
        return interactive.feed_eof(tokens[-1] if tokens else None)  # type: ignore[no-any-return, no-untyped-call]
    except (UnexpectedToken, UnexpectedCharacters) as error:
        if is_trial:
            raise refusal("unexpected", "not a query", (0, 0)) from None
        place = _place(error)
        if place is not None:
            _refuse_glued(text, tokens, place)
        raise diagnose(Failure.at(text, tokens, place)) from None


def _refuse_surrogates(text: str) -> None:
    """Half a letter (from a broken decoding) is no text: it could not be compared, shown or sent."""
    found = re.search("[\ud800-\udfff]", text)
    if found is not None:
        message = "this is half a letter, from a text that was not decoded rightly"
        raise refusal("bad-character", message, found.span(), "type the letter again, or leave it out")


def _place(error: UnexpectedToken | UnexpectedCharacters) -> int | None:
    """Where the text stops being a query; None at its end."""
    if isinstance(error, UnexpectedCharacters):
        return error.pos_in_stream
    return None if error.token.type == "$END" else error.token.start_pos


def _check_limits(tokens: list[Token], depth: int) -> None:
    token = tokens[-1]
    span = (token.start_pos or 0, token.end_pos or 0)
    if len(tokens) > QUERY_TOKENS_MAX:
        hint = f"{QUERY_TOKENS_MAX} words and signs are the most; give long lists as parameters: in $list"
        raise refusal("too-many-words", "the query is too long", span, hint)
    if depth > QUERY_DEPTH_MAX:
        raise refusal("too-deep", "the query is nested too deeply", span, f"{QUERY_DEPTH_MAX} levels are the most")


def _refuse_glued(text: str, tokens: list[Token], start: int) -> None:
    """``agentswhere`` is not two words, though a lexer that looks for ``agents`` would find it."""
    if tokens and tokens[-1].end_pos == start and _is_word(text[start - 1]) and _is_word(text[start]):
        glued = tokens.pop()
        raise diagnose(Failure.at(text, tokens, glued.start_pos))


def _is_word(letter: str) -> bool:
    return letter == "_" or letter.isalnum()
