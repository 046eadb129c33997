"""What is said of a text that is no query: the place is the parser's, the words are for who wrote it.

``diagnose`` asks a list of habits in order; the first that knows the mistake answers. Habits come
from SQL, KQL, PromQL and Python, from words nearly right, and from what the grammar does not have.
After them come the nearest keyword among those the parser would take, and what it expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from .failure import Failure
from .fields import OUTCOMES, RELATION_OF_WORD
from .suggest import Edit, Refusal, did_you_mean, joined, listed, nearest, refusal
from .syntax import Relation

Habit: TypeAlias = Callable[[Failure], Refusal | None]

EXAMPLE = "agents where goal succeeded | select id, role"
CURLY_QUOTES = "“”„‟‘’‚‛«»"
STAGES = ("where", "select", "count", "sort", "limit", "sample", "match", "funnel", "causes", "effects", "as")
STAGE_LIST = (
    "where, select, count/sum/avg/…, sort, limit, sample, match, funnel, causes, effects, as, "
    "or a relation such as messages"
)
STAGE_WORDS = (*STAGES, *(relation.value for relation in Relation), "sum", "avg", "min", "max", "median")
#: Stages of other languages, and ours for the same.
STAGES_ELSEWHERE = {
    "summarize": "count", "stats": "count", "group": "count", "groupby": "count", "aggregate": "count",
    "order": "sort", "orderby": "sort", "sort_by": "sort", "top": "sort", "rank": "sort",
    "project": "select", "extend": "select", "fields": "select", "return": "select", "yield": "select",
    "filter": "where", "search": "where", "having": "where", "if": "where",
    "take": "limit", "head": "limit", "first": "limit", "fetch": "limit",
    "uniq": "count", "dedup": "count", "having_count": "where", "sequence": "match", "traverse": "causes",
}  # fmt: skip
#: Words that begin a query elsewhere.
BEGINNINGS = frozenset(
    [
        "select",
        "from",
        "with",
        "where",
        "find",
        "show",
        "get",
        "count",
        "list",
        "return",
        "match",
        "search",
        "let",
        "delete",
        "drop",
        "update",
        "insert",
    ]
)
#: Signs of other languages, and what is written here.
SIGNS = {
    "==": "=", "===": "=", "&&": "and", "||": "or", "<>": "!=", "=~": "~", "!==": "!=", ":=": "=",
    "=>": ">=", "=<": "<=", "!": "not", "&": "and", "^": "not", "!~": "not … ~",
    "::": "text(x), number(x)", "~=": "~", "=*": "~",
}  # fmt: skip
#: Words of other languages after a value: what there is instead.
WORDS_ELSEWHERE = {
    "like": "use contains, starts with, ends with, or a pattern: text ~ /refund.*/i",
    "ilike": "use a pattern with i: text ~ /refund/i",
    "rlike": "use a pattern: text ~ /refund.*/i",
    "regexp": "use a pattern: text ~ /refund.*/i",
    "matches": "use a pattern: text ~ /refund.*/i",
    "between": "say: x in 5s..10s, both ends included",
    "startswith": 'say: x starts with "…"',
    "endswith": 'say: x ends with "…"',
    "has": 'say: x contains "…"',
    "includes": 'say: x contains "…"',
    "having": "aggregate with a stage, then filter: | count by role | where count > 5",
    "join": "follow links (agent.role), or rows: | messages",
    "union": "ask two queries",
    "group": "aggregate with a stage: | count by role",
    "order": "sort with a stage: | sort time desc",
    "offset": "use limit, or start later: where time > 5s",
    "isnull": "say: x missing",
    "notnull": "say: x exists",
    "else": "use a function: if(condition, a, b)",
    "case": "use a function: if(condition, a, b)",
    "equals": "say: =",
    "eq": "say: =",
}
TWO_WORDS = {"group": "group by", "order": "order by"}


def diagnose(failure: Failure) -> Refusal:
    """The refusal for a text at the place where it stops being a query."""
    for habit in HABITS:
        found = habit(failure)
        if found is not None:
            return found
    return _unexpected(failure)


def _empty(failure: Failure) -> Refusal | None:
    if failure.tokens or not failure.is_end:
        return None
    return refusal("empty-query", "the query is empty", failure.span, f"for example: {EXAMPLE}")


# -- characters ------------------------------------------------------------------------------------------


def _curly_quotes(failure: Failure) -> Refusal | None:
    if failure.word[:1] not in CURLY_QUOTES or failure.is_end:
        return None
    start = failure.span[0]
    return refusal("curly-quotes", "curly quotes", (start, start + 1), "use straight quotes: \"…\" or '…'")


def _semicolon(failure: Failure) -> Refusal | None:
    if failure.word[:1] != ";":
        return None
    start = failure.span[0]
    return refusal("one-query", "one query at a time", (start, start + 1), "leave out the semicolon")


def _sign(failure: Failure) -> Refusal | None:
    """``==`` and its like; every one of them is replaced, so that the fix can pass."""
    sign = failure.sign
    if sign not in SIGNS:
        return None
    ours = SIGNS[sign]
    message = f'"{sign}" is not an operator here'
    edits = tuple(
        Edit(start, start + len(sign), ours if not ours[0].isalpha() else _spaced(failure.text, start, len(sign), ours))
        for start in failure.places_of(sign)
    )
    return refusal("foreign-sign", message, failure.sign_span, f'say "{ours}"', edits)


def _spaced(text: str, start: int, length: int, word: str) -> str:
    """A word in the place of a sign needs room around it."""
    before = " " if start and not text[start - 1].isspace() else ""
    after = " " if start + length < len(text) and not text[start + length].isspace() else ""
    return before + word + after


def _unclosed(failure: Failure) -> Refusal | None:
    """A quote that never ends on its line."""
    mark = failure.word[:1]
    if failure.is_end or mark not in ('"', "'", "`") or failure.is_string:
        return None
    start = failure.span[0]
    if mark == "`":
        return refusal("curly-quotes", "backquotes", (start, start + 1), "use straight quotes: \"…\" or '…'")
    hint = f"add {mark} at the end of the text; a text stays on one line, \\n in it is a line break"
    return refusal("unclosed-text", "a text is never closed", (start, start + 1), hint)


UNITS_ELSEWHERE = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "day": "d", "days": "d", "msec": "ms", "millis": "ms",
    "usec": "us", "S": "s", "M": "m", "H": "h", "D": "d", "MS": "ms",
}  # fmt: skip


def _number(failure: Failure) -> Refusal | None:
    """``5min``, ``10x``: digits that are no number and no duration."""
    if not failure.word[:1].isdigit() or failure.is_token:
        return None
    found = re.fullmatch(r"(\d[\d_]*(?:\.\d+)?)([A-Za-z]+)", failure.word)
    unit = UNITS_ELSEWHERE.get(found[2], "") if found else ""
    weeks = int(found[1]) * 7 if found and found[1].isdigit() and len(found[1]) < 6 and found[2][0] == "w" else 0
    instead = f"{weeks}d" if weeks else f"{found[1]}{unit}" if found and unit else ""
    hint = "durations look like 5s, 1h30m (units: us ms s m h d)"
    message = f'"{failure.shown}" is not a number or a duration'
    return refusal("bad-number", message, failure.span, hint, *([Edit(*failure.span, instead)] if instead else []))


def _moment(failure: Failure) -> Refusal | None:
    if failure.word[:1] != "@" or failure.is_token:
        return None
    hint = "times look like @2026-01-31 or @2026-01-31T12:00:00Z"
    return refusal("bad-time", f'"{failure.shown}" is not a time', failure.span, hint)


# -- the beginning ---------------------------------------------------------------------------------------


def _beginning(failure: Failure) -> Refusal | None:
    """The first word is not a relation."""
    if any(token.type not in ("EXPLAIN", "WATCH") for token in failure.tokens) or failure.is_end:
        return None
    word, span = failure.shown, failure.span
    near = nearest(word, [relation.value for relation in Relation])
    near = RELATION_OF_WORD[word.lower()].value if word.lower() in RELATION_OF_WORD else near
    if word.lower() in BEGINNINGS or not (word[:1].isalpha() or word[:1] == "_"):
        message = f'a query starts with what it returns, not "{word}"'
        return refusal("no-relation", message, span, f"for example: {EXAMPLE}")
    hint = joined(did_you_mean(near), f"A query starts with one of: {listed(Relation)}")
    message = f'"{word}" is not something to look for'
    return refusal("no-relation", message, span, hint, *([Edit(*span, near)] if near else []))


# -- goals -------------------------------------------------------------------------------------------------


def _outcome(failure: Failure) -> Refusal | None:
    """After ``goal`` there is a word that is no outcome; it may have been taken for the goal's name."""
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or failure.accepts != {"VERB"}:
        return None
    named = len(failure.tokens) > 1 and failure.tokens[-2].type == "GOAL"
    if named and last.type == "NAME" and (failure.is_end or not nearest(failure.word, OUTCOMES)):
        word, span = str(last), (last.start_pos or 0, last.end_pos or 0)
    elif failure.is_end:
        span = failure.span
        return refusal("no-outcome", "the goal needs an outcome", span, f"say one of: {listed(OUTCOMES)}")
    else:
        word, span = failure.shown, failure.span
    near = nearest(word, OUTCOMES)
    fixes = [Edit(*span, near)] if near else [Edit(span[1], span[1], " succeeded")]
    hint = did_you_mean(near) or f"say for example: goal {word} succeeded"
    message = f'a goal can have succeeded, failed, started or cancelled, not "{word}"'
    return refusal("no-outcome", message, span, hint, *fixes)


# -- sequences ---------------------------------------------------------------------------------------------


def _then_after_within(failure: Failure) -> Refusal | None:
    if failure.word != "then" or not failure.has_modifier_since_then:
        return None
    message = f'"{failure.has_modifier_since_then}" at this point limits the whole sequence, so it comes last'
    hint = "to limit one gap, write it after then: … then within 5s accept"
    return refusal("early-limit", message, failure.span, hint)


def _then_after_absent(failure: Failure) -> Refusal | None:
    if failure.word != "then" or not failure.has_absent:
        return None
    hint = "for an event that must not come between two others say: without"
    return refusal("then-after-no", '"then no …" ends a sequence', failure.span, hint)


def _comma_between_steps(failure: Failure) -> Refusal | None:
    if failure.word[:1] not in (",", "-", "→", ">") or "THEN" not in failure.accepts or not failure.is_in_sequence:
        return None
    start = failure.span[0]
    edits = tuple(Edit(place, place + 1, " then") for place in failure.places_of(failure.word[:1], after=start))
    hint = "list alternatives as (offer or counter)"
    return refusal("steps-need-then", 'steps are joined with "then"', (start, start + 1), hint, edits)


def _kind_after_star(failure: Failure) -> Refusal | None:
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or last.type != "GLOB" or failure.is_end or last.end_pos != failure.span[0]:
        return None
    return refusal(
        "star-in-middle", "a * ends a kind name", (last.end_pos or 0, failure.span[0] + 1), "for example: tool.*"
    )


# -- stages ------------------------------------------------------------------------------------------------


def _stage(failure: Failure) -> Refusal | None:
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or last.type != "VBAR":
        return None
    if failure.is_end:
        hint = "add a stage, such as: | count by role, or leave out the |"
        end = last.end_pos or 0
        return refusal("nothing-after-pipe", "nothing after |", (end, end), hint)
    word = failure.shown
    if not (word[:1].isalpha() or word[:1] == "_"):
        return None
    near = STAGES_ELSEWHERE.get(word.lower()) or nearest(word, STAGE_WORDS)
    if word in RELATION_OF_WORD:
        near = RELATION_OF_WORD[word].value
    hint = joined(did_you_mean(near), f"A stage is one of: {STAGE_LIST}")
    fixes = [Edit(*failure.span, near)] if near else []
    return refusal("unknown-stage", f'there is no stage "{word}"', failure.span, hint, *fixes)


def _whole_number(failure: Failure) -> Refusal | None:
    if failure.accepts != {"NUMBER", "PARAM"} or failure.is_end:
        return None
    return refusal("not-a-size", f'"{failure.shown}" is not a whole number', failure.span, "for example: 10")


# -- conditions --------------------------------------------------------------------------------------------


def _chained(failure: Failure) -> Refusal | None:
    if not re.fullmatch(r"[<>]=?|!?=", failure.word) or not failure.has_comparison:
        return None
    hint = "say: time in 5s..10s, or: time > 5s and time < 10s"
    return refusal("chained", "comparisons do not chain", failure.span, hint)


def _is_null(failure: Failure) -> Refusal | None:
    found = re.compile(r"is\s+(?:not\s+)?(?:null|none|missing)\b", re.IGNORECASE).match(failure.text, failure.span[0])
    if found is None or failure.is_end:
        return None
    return refusal("foreign-word", 'there is no "is null"', found.span(), "say: x missing, or: x exists")


def _foreign_word(failure: Failure) -> Refusal | None:
    word = failure.word.lower()
    if word not in WORDS_ELSEWHERE or failure.is_end or not ({"AND", "VBAR", "WHERE"} & failure.accepts):
        return None
    said, span = failure.shown, failure.span
    found = re.compile(r"(?:group|order)\s+by\b", re.IGNORECASE).match(failure.text, span[0])
    if found is not None:
        said, span = TWO_WORDS[word], found.span()
    return refusal("foreign-word", f'there is no "{said}"', span, WORDS_ELSEWHERE[word])


def _lower_case(failure: Failure) -> Refusal | None:
    word = failure.word
    if word == word.lower() or word.lower() not in failure.keywords:
        return None
    hint = f'keywords are lower case: "{word.lower()}"'
    return refusal("lower-case", f'unexpected "{word}"', failure.span, hint, Edit(*failure.span, word.lower()))


def _expected_where(failure: Failure) -> Refusal | None:
    """A condition without ``where``, or a stage without ``|``."""
    if failure.is_end or not failure.is_word or failure.near_keyword():
        return None
    word, span = failure.shown, failure.span
    is_stage = word in STAGES or word in RELATION_OF_WORD or word in ("sum", "avg", "min", "max")
    if is_stage and "VBAR" in failure.accepts and word not in ("as", "goal", "event"):
        return refusal("no-pipe", f'expected "|" before "{word}"', span, "", Edit(span[0], span[0], "| "))
    if "WHERE" not in failure.accepts:
        return None
    return refusal("no-where", f'expected "where" before "{word}"', span, "", Edit(span[0], span[0], "where "))


def _side_by_side(failure: Failure) -> Refusal | None:
    """Two conditions with nothing between them; or two values, when the first was not compared yet."""
    if "AND" not in failure.accepts or failure.is_end or failure.near_keyword():
        return None
    if not (failure.is_word or failure.word[:1] in "(\"'.$@" or failure.word[:1].isdigit()):
        return None
    if "CMP" in failure.accepts:
        last = failure.tokens[-1]
        message = f'two values side by side: "{last}" and "{failure.shown}"'
        hint = "compare them (=, !=, <, >, in, contains, ~) or join conditions with and/or"
        return refusal("side-by-side", message, failure.span, hint)
    start = failure.span[0]
    hint = 'join them with "and" or "or"'
    return refusal("side-by-side", "two conditions side by side", failure.span, hint, Edit(start, start, "and "))


# -- ends --------------------------------------------------------------------------------------------------


def _unclosed_bracket(failure: Failure) -> Refusal | None:
    missing = failure.open_brackets
    if not failure.is_end or not missing or "RPAR" not in failure.accepts:
        return None
    end = failure.span[0]
    return refusal("unclosed-bracket", "a ( is never closed", failure.span, 'add ")"', Edit(end, end, ")" * missing))


def _too_early(failure: Failure) -> Refusal | None:
    if not failure.is_end:
        return None
    return refusal("too-early", "the query stops too early", failure.span, f"expected {failure.expected()}")


def _extra_bracket(failure: Failure) -> Refusal | None:
    if failure.word[:1] != ")" or failure.open_brackets:
        return None
    start = failure.span[0]
    fix = Edit(start, start + 1, "")
    return refusal("extra-bracket", "this ) closes nothing", (start, start + 1), 'leave out ")"', fix)


def _goal_in_brackets(failure: Failure) -> Refusal | None:
    """``goal (…)``: a condition on goals needs its quantity."""
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or last.type != "GOAL" or failure.word[:1] != "(":
        return None
    span = (last.start_pos or 0, last.end_pos or 0)
    hint = "say: any goal (…), every goal (…), no goal (…), or: goal succeeded"
    return refusal("no-quantity", '"goal (…)" needs a quantity', span, hint, Edit(*span, "any goal"))


# -- anything else -----------------------------------------------------------------------------------------


def _near_keyword(failure: Failure) -> Refusal | None:
    near = "" if failure.is_end else failure.near_keyword()
    if not near:
        return None
    fix = Edit(*failure.span, near)
    return refusal("unexpected", f'unexpected "{failure.shown}"', failure.span, did_you_mean(near), fix)


def _unexpected(failure: Failure) -> Refusal:
    """A keyword may have been meant as a name; else say what could stand here."""
    word, span = failure.shown, failure.span
    fixes = []
    hint = f"expected {failure.expected()}"
    if failure.is_word and "STRING" in failure.accepts:
        fixes = [Edit(*span, f'"{word}"')]
        hint = f'{hint}; to use it as a name, quote it: "{word}"'
    return refusal("unexpected", f'unexpected "{word}"', span, hint, *fixes)


HABITS: tuple[Habit, ...] = (
    _empty,
    _curly_quotes,
    _semicolon,
    _unclosed,
    _beginning,
    _stage,
    _outcome,
    _goal_in_brackets,
    _sign,
    _chained,
    _then_after_within,
    _then_after_absent,
    _comma_between_steps,
    _kind_after_star,
    _whole_number,
    _number,
    _moment,
    _is_null,
    _foreign_word,
    _lower_case,
    _expected_where,
    _side_by_side,
    _unclosed_bracket,
    _extra_bracket,
    _near_keyword,
    _too_early,
)
