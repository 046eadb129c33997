"""What is said of a text that is no query: the place is the parser's, the words are for who wrote it.

``diagnose`` asks a list of habits in order; the first that knows the mistake answers. Habits come
from other languages (``foreign``), from words nearly right, and from what the grammar does not have.
After them come the nearest keyword among those the parser would take, and what it expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from matrix.query.language import foreign
from matrix.query.language.failure import Failure
from matrix.query.language.fields import OUTCOMES, RELATION_OF_WORD
from matrix.query.language.suggest import Edit, Refusal, did_you_mean, joined, listed, nearest, refusal
from matrix.query.syntax import Relation

Habit: TypeAlias = Callable[[Failure], Refusal | None]

EXAMPLE = "agents where goal succeeded | select id, role"
STAGES = ("where", "select", "count", "sort", "limit", "sample", "match", "funnel", "causes", "effects", "as")
STAGE_LIST = (
    "where, select, count/sum/avg/…, sort, limit, sample, match, funnel, causes, effects, as, "
    "or a relation such as messages"
)
AGGREGATES = ("sum", "avg", "min", "max", "median", "stddev", "distinct", "first", "last")
STAGE_WORDS = (*STAGES, *(relation.value for relation in Relation), *AGGREGATES[:5])


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


# -- the beginning ---------------------------------------------------------------------------------------


def _beginning(failure: Failure) -> Refusal | None:
    """The first word is not a relation."""
    if any(token.type not in ("EXPLAIN", "WATCH") for token in failure.tokens) or failure.is_end:
        return None
    word, span = failure.shown, failure.span
    near = nearest(word, [relation.value for relation in Relation])
    near = RELATION_OF_WORD[word.lower()].value if word.lower() in RELATION_OF_WORD else near
    if word.lower() in foreign.BEGINNINGS or not (word[:1].isalpha() or word[:1] == "_"):
        message = f'a query starts with what it returns, not "{word}"'
        return refusal("no-relation", message, span, f"for example: {EXAMPLE}")
    hint = joined(did_you_mean(near), f"A query starts with one of: {listed(Relation)}")
    message = f'"{word}" is not something to look for'
    fixes: list[Edit | tuple[Edit, ...]] = [Edit(*span, near)] if near else []
    if word.isupper():
        fixes = [foreign.lowered(failure)]
    return refusal("no-relation", message, span, hint, *fixes)


# -- goals -------------------------------------------------------------------------------------------------


#: What the outcome of a goal is called elsewhere, or when the verb is made a noun.
_NOUNS = {"success": "succeeded", "completed": "succeeded", "failure": "failed", "running": "started"}


def _outcome(failure: Failure) -> Refusal | None:
    """After ``goal`` there is a word that is no outcome; it may have been taken for the goal's name."""
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or failure.accepts != {"VERB"}:
        return None
    named = len(failure.tokens) > 1 and failure.tokens[-2].type == "GOAL"
    if named and last.type == "NAME" and (failure.is_end or not nearest(failure.word, OUTCOMES)):
        word, span = str(last), (last.start_pos or 0, last.end_pos or 0)
    elif failure.is_end or not failure.is_word:
        hint = f"say one of: {listed(OUTCOMES)}; for other conditions: any goal (…)"
        return refusal("no-outcome", "the goal needs an outcome", failure.span, hint)
    else:
        word, span = failure.shown, failure.span
    near = nearest(word, OUTCOMES) or _NOUNS.get(nearest(word, _NOUNS), "")
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


def _doubled_dot(failure: Failure) -> Refusal | None:
    """``agent..started``."""
    found = re.compile(r"(?<=[\w\]])\.\.(?=[^\W\d])").search(failure.plain, max(0, failure.span[0] - 1))
    if failure.is_end or found is None or found.start() > failure.span[0]:
        return None
    fix = Edit(*found.span(), ".")
    return refusal("unexpected", "two dots", found.span(), "one dot is enough", fix)


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
    if not failure.is_word:
        return None
    if word in AGGREGATES:
        hint = f"it needs to know of what: {word}(.price)"
        return refusal("unknown-stage", f'"{word}" is not a stage by itself', failure.span, hint)
    near = foreign.STAGES.get(word.lower()) or nearest(word, STAGE_WORDS)
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


def _expected_where(failure: Failure) -> Refusal | None:
    """A condition without ``where``, or a stage without ``|``."""
    if not failure.is_word or failure.near_keyword():
        return None
    word, span = failure.shown, failure.span
    is_stage = word in STAGES or word in RELATION_OF_WORD or word in AGGREGATES
    if is_stage and "VBAR" in failure.accepts and word not in ("as", "goal", "event"):
        return refusal(
            "no-pipe", f'expected "|" before "{word}"', span, 'a stage begins with "|"', Edit(span[0], span[0], "| ")
        )
    if "WHERE" not in failure.accepts or not failure.can_begin_condition:
        return None
    return refusal(
        "no-where",
        f'expected "where" before "{word}"',
        span,
        'a condition begins with "where"',
        Edit(span[0], span[0], "where "),
    )


def _no_brackets(failure: Failure) -> Refusal | None:
    """``any agent goal succeeded``: what is said of the agents belongs in ( )."""
    last = failure.tokens[-1] if failure.tokens else None
    if last is None or str(last) not in RELATION_OF_WORD or not failure.can_begin_condition:
        return None
    if len(failure.tokens) < 2 or failure.tokens[-2].type not in ("ANY", "EVERY", "NO", "NUMBER"):
        return None
    one = RELATION_OF_WORD[str(last)].value[:-1]
    end = failure.end_of_stage()
    start = failure.span[0]
    hint = f"say: {failure.tokens[-2]} {last} ({failure.shown} …)"
    edits = (Edit(start, start, "("), Edit(end, end, ")"))
    return refusal("no-brackets", f"what is said of each {one} is written in ( )", failure.span, hint, edits)


def _comma_left_out(failure: Failure) -> Refusal | None:
    """``select id role``."""
    if "COMMA" not in failure.accepts or not (failure.is_word or failure.word[:1] == ".") or failure.near_keyword():
        return None
    if not failure.is_in_list:
        return None
    end, start = failure.tokens[-1].end_pos or 0, failure.span[0]
    return refusal(
        "no-comma",
        f'expected "," before "{failure.shown}"',
        failure.span,
        'a list has "," between its parts',
        Edit(end, start, ", "),
    )


def _comma_for_and(failure: Failure) -> Refusal | None:
    """``role = buyer, status = failed``."""
    if failure.word[:1] != "," or "AND" not in failure.accepts or "COMMA" in failure.accepts:
        return None
    start = failure.span[0]
    hint = 'join conditions with "and" or "or"'
    return refusal("side-by-side", 'unexpected ","', failure.first_letter, hint, Edit(start, start + 1, " and"))


def _side_by_side(failure: Failure) -> Refusal | None:
    """Two conditions with nothing between them; or two values, when the first was not compared yet."""
    if "AND" not in failure.accepts or failure.near_keyword():
        return None
    if not failure.can_begin_condition:
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
    if [token.type for token in failure.tokens[-3:-1]] == ["COUNT", "LPAR"]:
        return refusal(
            "nothing-to-count", 'say "goals" here', span, "for example: count(goals (failed))", Edit(*span, "goals")
        )
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
    foreign.special_space,
    foreign.curly_quotes,
    foreign.semicolon,
    foreign.unclosed,
    _beginning,
    _stage,
    _outcome,
    _goal_in_brackets,
    foreign.sign,
    foreign.square_bracket,
    _chained,
    _then_after_within,
    _then_after_absent,
    _comma_between_steps,
    _kind_after_star,
    _doubled_dot,
    _whole_number,
    foreign.number,
    foreign.moment,
    foreign.is_null,
    foreign.word,
    foreign.upper_case,
    _no_brackets,
    _expected_where,
    _comma_left_out,
    _comma_for_and,
    _side_by_side,
    _unclosed_bracket,
    _extra_bracket,
    _near_keyword,
    _too_early,
)
