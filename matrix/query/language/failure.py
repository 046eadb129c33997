"""The place where a text stops being a query: what was read, what stands there, what could."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise

from lark import Token
from lark.exceptions import LarkError
from lark.lexer import PatternStr

from matrix.query.language.grammar import parser
from matrix.query.language.suggest import listed, nearest
from matrix.query.syntax import Span

_WORD = re.compile(
    r"""\$?[^\W\d]\w*|\d[\w.]*|@[\w:.+-]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|\.[\w.]+|.""", re.DOTALL
)
_SIGN = re.compile(r"[=!<>~&|:^*]+")
_STRING = re.compile(r"\"(\\.|[^\"\\\n])*\"|'(\\.|[^'\\\n])*'|#[^\n]*")
SHOWN_MAX = 40

#: What stands for a whole family of tokens in "expected …".
_FAMILIES = {
    "NAME": "a name",
    "DATA": "a path such as .price",
    "STRING": "a text",
    "NUMBER": "a number",
    "DURATION": "a duration",
    "TIME": "a time",
    "PARAM": "a $parameter",
    "REGEX": "a pattern such as /refund/i",
    "GLOB": "tool.*",
    "VERB": "succeeded, failed, started or cancelled",
    "AGG": "sum(…)",
    "CMP": "=, !=, <, <=, > or >=",
    "$END": "the end",
}
#: What stands for most of the grammar, by a token that only it has.
_LARGE_FAMILIES = {
    "DID": "a condition",
    "DATA": "a value",
    "AGENT": "agent, goal, message, event or another of these, or a kind of event",
    "SELECT": "a stage",
    "": "another word",
}
#: Words that may begin a condition or a value.
_BEGINNERS = frozenset({
    "not", "any", "every", "no", "at", "exactly", "did", "got", "saw", "goal", "count", "directly", "caused", "led",
    "true", "false", "null", "now", "succeeded", "failed", "started", "cancelled",
})  # fmt: skip
#: The same word in longer form, as other languages have it.
_LONG_FORMS = {"descending": "desc", "ascending": "asc"}
#: When this many kinds of token could come, a condition or a value is what was expected.
_MANY = 12


@dataclass(slots=False)
class Failure:
    """``tokens`` were read; ``place`` is where the next one fails, the end of the last token at the end of the text."""

    text: str
    tokens: list[Token]
    span: Span
    is_end: bool

    @classmethod
    def at(cls, text: str, tokens: list[Token], place: int | None) -> Failure:
        """The failure at a place; None is the end of the text."""
        if place is None:
            end = (tokens[-1].end_pos or 0) if tokens else 0
            return cls(text, tokens, (end, end), True)
        found = _WORD.match(text, place)
        assert found is not None, "a failure before the end has a character"
        return cls(text, tokens, found.span(), False)

    @property
    def word(self) -> str:
        """The word or sign at the place; "" at the end."""
        return self.text[slice(*self.span)]

    @property
    def shown(self) -> str:
        """The word as a message shows it."""
        return self.word if len(self.word) <= SHOWN_MAX else self.word[: SHOWN_MAX - 1] + "…"

    @property
    def is_word(self) -> bool:
        """Whether a word stands here, not a sign, a number or a text."""
        return self.word[:1].isalpha() or self.word[:1] == "_"

    @property
    def is_string(self) -> bool:
        """Whether a whole text in quotes stands here."""
        return len(self.word) > 1 and self.word[0] in "\"'"

    @cached_property
    def is_token(self) -> bool:
        """Whether what stands here is a word of the language, only not one for this place."""
        try:
            return bool(list(parser().lex(self.word)))
        except LarkError:
            return False

    @property
    def first_letter(self) -> Span:
        """The place of the first letter only."""
        return (self.span[0], self.span[0] + 1)

    @property
    def can_begin_condition(self) -> bool:
        """Whether what stands here could begin a condition or a value."""
        if self.is_word:
            return self.word not in keyword_words() or self.word in _BEGINNERS
        return not self.is_end and (self.word[0] in "(\"'.$@" or self.word[0].isdigit())

    # -- signs -----------------------------------------------------------------------------------------

    @cached_property
    def sign_span(self) -> Span:
        """The whole sign around the place: the parser may have taken the first ``=`` of ``==``."""
        if self.is_end:
            return self.span
        for found in _SIGN.finditer(self.text):
            if found.start() <= self.span[0] < found.end():
                return found.span()
        return self.span

    @property
    def sign(self) -> str:
        """The sign around the place."""
        return self.text[slice(*self.sign_span)]

    @cached_property
    def plain(self) -> str:
        """The text with what is in quotes and comments blanked out, so that places stay what they are."""
        return blanked(self.text)

    def places_of(self, sign: str, after: int = 0) -> list[int]:
        """Where a sign stands, outside of texts in quotes and comments."""
        return [found.start() for found in re.finditer(re.escape(sign), self.plain) if found.start() >= after]

    def signs(self) -> list[tuple[int, int, str]]:
        """Every sign of operators, with its place."""
        return [(*found.span(), found.group()) for found in _SIGN.finditer(self.plain)]

    def words(self) -> list[Span]:
        """The place of every plain word."""
        return [found.span() for found in re.finditer(r"(?<![\w.$])[^\W\d]\w*", self.plain)]

    def end_of_stage(self) -> int:
        """Where the condition that stands here ends at the latest: before the next | or ) or at the end."""
        found = re.compile(r"\s*(?:[|)]|$)").search(self.plain.rstrip(), self.span[1])
        return found.start() if found else len(self.text)

    # -- what was read ---------------------------------------------------------------------------------

    @cached_property
    def open_brackets(self) -> int:
        """How many ( are not closed yet."""
        types = [token.type for token in self.tokens]
        return types.count("LPAR") - types.count("RPAR")

    @cached_property
    def _since_bracket(self) -> list[Token]:
        """The tokens read since the ( that is still open, or the last |; brackets that were closed are left out."""
        depth, found = 0, []
        for token in reversed(self.tokens):
            depth += (token.type == "RPAR") - (token.type == "LPAR")
            if depth < 0 or (depth == 0 and token.type == "VBAR"):
                break
            if depth == 0:
                found.append(token)
        return found[::-1]

    @property
    def has_modifier_since_then(self) -> str:
        """The ``within``, ``without`` or ``with`` that has ended the steps of the sequence here."""
        types = [token.type for token in self._since_bracket]
        for index in range(len(types) - 1, -1, -1):
            if types[index] in ("WITHIN", "WITHOUT", "WITH") and types[index - 1] != "THEN":
                return str(self._since_bracket[index])
            if types[index] == "THEN":
                return ""
        return ""

    @property
    def has_absent(self) -> bool:
        """Whether the sequence here has had its ``then no``."""
        types = [token.type for token in self._since_bracket]
        return any(pair == ("THEN", "NO") for pair in pairwise(types))

    @property
    def is_in_sequence(self) -> bool:
        """Whether the last condition begun here is a sequence."""
        for token in reversed(self._since_bracket):
            if token.type in ("AND", "OR", "WHERE", "CMP"):
                return False
            if token.type in ("DID", "GOT", "SAW", "THEN", "MATCH", "FUNNEL"):
                return True
        return False

    @property
    def is_in_list(self) -> bool:
        """Whether the stage here is a list: of columns, keys or aggregates, not a condition."""
        for token in reversed(self._since_bracket):
            if token.type in ("WHERE", "MATCH", "FUNNEL", "EVENTS"):
                return False
            if token.type in ("SELECT", "BY", "SORT", "COUNT", "AGG"):
                return True
        return False

    @property
    def has_comparison(self) -> bool:
        """Whether the condition here has been compared already."""
        for token in reversed(self._since_bracket):
            if token.type in ("AND", "OR", "WHERE", "NOT", "COMMA"):
                return False
            if token.type == "CMP":
                return True
        return False

    # -- what could come -------------------------------------------------------------------------------

    @cached_property
    def accepts(self) -> set[str]:
        """The types of token that could come next: by trying each, since what tables list is a superset."""
        interactive = parser().parse_interactive("")
        for token in self.tokens:
            interactive.feed_token(token)
        return {str(name) for name in interactive.accepts()}  # type: ignore[no-untyped-call]

    @cached_property
    def keywords(self) -> set[str]:
        """The words that could come next."""
        found = {fixed_words()[name] for name in self.accepts if name in fixed_words()}
        return {word for word in found if word.isalpha()}

    def near_keyword(self) -> str:
        """The word that was likely meant among those that could come next."""
        if not self.is_word:
            return ""
        if _LONG_FORMS.get(self.word.lower()) in self.keywords:
            return _LONG_FORMS[self.word.lower()]
        near = nearest(self.word, self.keywords - {self.word})
        return near if near and abs(len(near) - len(self.word)) <= 2 and self.word not in self.keywords else ""

    def expected(self) -> str:
        """What could come next, in words, in alphabetical order."""
        if "AND" in self.accepts:
            return listed(["and", "or", *(['")"'] if self.open_brackets else ["| and a stage", "the end"])])
        if len(self.accepts) > _MANY:
            return next(family for name, family in _LARGE_FAMILIES.items() if name in self.accepts or not name)
        words = [_FAMILIES.get(name) or fixed_words().get(name, name.lower()) for name in self.accepts]
        return listed(sorted(words))


def blanked(text: str) -> str:
    """A text whose quoted texts and comments are blanks."""
    return _STRING.sub(lambda found: " " * len(found.group()), text)


def keyword_words() -> frozenset[str]:
    """Every word of the language."""
    return frozenset(word for word in fixed_words().values() if word.isalpha()) | {
        *("succeeded", "failed", "started", "cancelled")
    }


@cache
def fixed_words() -> dict[str, str]:
    """The fixed words and signs of the grammar, by the names of their tokens."""
    return {t.name: t.pattern.value for t in parser().terminals if isinstance(t.pattern, PatternStr)}
