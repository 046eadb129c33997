"""A word with one wrong letter: the error names the word that was meant.

Every word of the language and every name stands in a right query, between « and », and is misspelt in every way of one
letter. A misspelling that is a right query too (an own kind, a bare text) is no error, and not counted.
``MATRIX_EDITS=100000`` asks for all of them, not for every seventh.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from matrix.errors import QueryError
from matrix.event import BUILT_IN_KINDS
from matrix.query.check import check
from matrix.query.language.failure import keyword_words
from matrix.query.language.fields import FIELDS, RELATION_OF_WORD, SHAPES, STATUSES
from matrix.query.language.values import FUNCTIONS

VALUES = {"tool": "search", "id": "r7:1042"}
SHARE_MIN = 0.99
STEP = 1 if int(os.environ.get("MATRIX_EDITS", "5000")) >= 100_000 else 7

#: What was meant, what was written, and why another word is offered, or none. "" is any misspelling.
AMBIGUOUS = {
    ("id", "ind"): "kind and end are as near",
    ("agent", "pagent"): "parent is as near",
    ("min", "mix"): "max is as near",
    ("no", "ny"): "any is as near",
    ("no", "go"): "got is as near",
    ("by", "bny"): "any is as near, and a condition can be sorted by",
    ("event", "avent"): "agent is as near",
    ("note", "not"): "a word of the language by itself",
    ("at", "gt"): "greater than, elsewhere",
    ("$tool", ""): "what is before or instead of the $ is a name of its own",
    ("o", ""): "of one letter nothing is left when it is wrong",
    ("p95", "95"): "a number",
    ("p95", "9p5"): "a number",
}

KEYWORDS = """
«explain» agents
«watch» events goal.failed
«simulations» where any agent (goal succeeded)
«agents» where goal succeeded
«goals» where failed
«events» tool.failed
«messages» where text exists
«conversations» where turns > 4
agents «as» a where a.turns > 3
agents as «of» 12s where turns > 3
agents as of «turn» 12
agents as of «event» "r7:1042"
agents «where» role = buyer
agents «where» goal succeeded
events «where» kind = offer
events offer «where» .price > 3
agents | «where» turns > 3
agents | «select» id, role
agents | «sort» turns
agents | sort «by» turns
agents | sort turns «desc»
agents | sort turns «asc», id
agents | «limit» 10
agents | «sample» 10
agents | sample 10 «seed» 7
agents | «match» offer as o then accept
agents | «funnel» offer then accept
events goal.failed | «causes»
events goal.failed | «effects» within 5 steps
events goal.failed | causes «within» 5 steps
events goal.failed | causes within 5 «steps»
agents | «count» by role
agents | count «by» role
events | count by role «per» 1m
events | count per 1h «of» wall
events | count per 1h of «wall»
events | count per 10 «turns»
agents | «as» timeline
agents where goal succeeded | «conversations» | as chat
agents where goal succeeded | «messages» where sent
agents where role = buyer «and» turns > 3
agents where role = buyer «or» turns > 3
agents where «not» role = buyer
agents where role «in» (buyer, seller)
agents where role «not» in (buyer, seller)
messages where text «contains» "deal"
messages where text «starts» with "deal"
messages where text starts «with» "deal"
messages where text «ends» with "deal"
agents where .mood «exists»
agents where .mood «missing»
events where wall > «now» - 5m
events where wall > 5m «ago»
events where .urgent = «true»
events where .urgent = «false»
events where .urgent = «null»
agents where «goal» succeeded
agents where «goal» "close_deal" failed within 5s
agents where goal «succeeded»
agents where goal «failed»
agents where goal «started»
agents where goal «cancelled»
agents where goal failed «within» 5s
agents where goal failed within 5 «turns»
goals where «succeeded»
goals where «failed» within 5s
agents where «any» goal (failed)
agents where «every» goal (failed)
agents where «no» goal (failed)
agents where no «goal» (failed)
agents where «at» least 2 goals (failed)
agents where at «least» 2 goals (failed)
agents where at «most» 2 goals (failed)
agents where «exactly» 2 goals (failed)
agents where exactly 2 «goals» (failed)
agents where any «message» (sent)
agents where any «conversation» (turns > 3)
agents where any «simulation» (seed = 7)
agents where any «event» (kind = offer)
simulations where any «agent» (goal succeeded)
simulations where count(«agents») > 3
agents where count(«goals» (failed)) > 3
agents where «count»(tool.failed) > 3
agents where sum(.tokens «of» model.completed) > 10
agents where «did» offer then accept
agents where «got» offer then accept
agents where «saw» offer then accept
agents where did offer «then» accept
agents where did offer then «got» accept
agents where did offer 3 «times» then accept
agents where did offer «at» least 3 times
agents where did offer at «least» 3 times
agents where did offer then «within» 5s accept
agents where did offer then accept «within» 5s
agents where did offer then accept within 10 «turns»
agents where did offer then accept within 10 «events»
agents where did offer then accept «without» reject
agents where did offer then accept «with» same peer
agents where did offer then accept with «same» peer
agents where did offer then «no» accept within 5s
agents where did (offer «or» counter) then accept
agents where did offer «as» o then accept
events where «caused» by tool.failed
events where caused «by» tool.failed
events where «directly» caused by tool.failed
events where directly «caused» by tool.failed
events where «led» to reject
events where led «to» reject
events where caused by tool.failed within 3 «steps»
agents | match offer as o then accept as p | select «o».time
agents | select turns as pace, role | where «pace» > 3
agents | count as rate by role | sort «rate»
agents as «outer» where «outer».turns > 3
agents | match offer as first_offer then accept | select «first_offer».data.price
agents where did offer as asked then accept(.price = «asked».data.price)
agents | funnel offer then accept | where «reached» > 3
agents | funnel offer then accept | sort «median_time»
events goal.failed | causes | where «depth» < 3
events goal.failed | causes | select «origin», kind
agents | match offer then accept | select «duration»
events where .tool = «$tool»
""".strip().splitlines()


def marked() -> Iterator[str]:
    """Right queries with the word to misspell between « and »."""
    for line in KEYWORDS:
        yield line if line.count("«") == 1 else line.replace("«outer»", "outer", 1)
    for relation, fields in FIELDS.items():
        for name, info in fields.items():
            if info.from_agent:
                yield f"agents where any {relation.value[:-1]} («{name}»)"
                continue
            yield f"{relation.value} where «{name}» exists"
            yield f"{relation.value} | count by «{name}»"
            if info.link is not None:
                yield f"{relation.value} where {name}.«id» exists"
    yield "events where agent.«role» = buyer"
    yield "events where cause.«kind» = offer"
    for kind in BUILT_IN_KINDS:
        yield f"events «{kind}»"
        yield f"agents where did «{kind}»"
        yield f"events where kind = «{kind}»"
        yield f"agents where count(«{kind}») > 3"
        yield f"events where caused by «{kind}»"
    for relation, statuses in STATUSES.items():
        for status in statuses:
            yield f"{relation.value} where status = «{status}»"
            yield f"{relation.value} where status in («{status}», failed)"
    for name in FUNCTIONS:
        arguments = {"if": ".x > 1, 2, 3", "seconds": "time", "round": ".x, 1"}.get(name, ".x")
        yield f"events | select «{name}»({arguments}) as c"
        yield f"events where «{name}»({arguments}) exists"
    for name in ("sum", "avg", "min", "max", "median", "stddev", "distinct", "first", "last", "p95"):
        yield f"events | «{name}»(.price) by role"
        yield f"events | count, «{name}»(.price) by role"
        yield f"agents where «{name}»(.price of offer) > 3"
    for shape in SHAPES:
        yield f"{'conversations' if shape == 'chat' else 'events'} | as «{shape}»"


def misspelt(word: str) -> Iterator[str]:
    """Every way to leave a letter out or to swap two neighbours; three to put one in or replace one, at each place."""
    for place in range(len(word) + 1):
        letters = [chr(ord("a") + (place * 7 + len(word) * 3 + step * 11) % 26) for step in range(3)]
        yield from (word[:place] + letter + word[place:] for letter in letters)
        if place < len(word):
            yield word[:place] + word[place + 1 :]
            yield from (word[:place] + letter + word[place + 1 :] for letter in letters)
            yield word[:place] + word[place : place + 1] + word[place:]
        if place + 1 < len(word):
            yield word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def slips() -> Iterator[tuple[str, str, str]]:
    """The word that was meant, the right query, and the query with the slip."""
    for line in marked():
        before, word, after = re.split("[«»]", line)
        right = before + word + after
        for wrong in dict.fromkeys(misspelt(word)):
            if wrong != word and before + wrong + after != right:
                yield word, right, before + wrong + after


def is_named(word: str, right: str, error: QueryError) -> bool:
    """Whether the hint asks for the word, or the fix is what was meant."""
    said = {f'did you mean "{word}"?', f"did you mean {word}?"}
    if word in RELATION_OF_WORD:  # one and several say the same there
        relation = RELATION_OF_WORD[word].value
        said |= {f'did you mean "{relation}"?', f'did you mean "{relation[:-1]}"?'}
    return error.fix == right or any(question in error.hint for question in said)


def is_ambiguous(word: str, right: str, wrong: str) -> bool:
    """Whether this misspelling is listed as ambiguous."""
    start = next(i for i, (a, b) in enumerate(zip(right + " ", wrong + "  ", strict=False)) if a != b)
    before = max(0, start - len(word))
    written = {other for meant, other in AMBIGUOUS if meant == word}
    return "" in written or any(re.search(rf"(?<!\w){other}(?!\w)", wrong[before:]) for other in written)


def test_marked_queries_are_right() -> None:
    for line in marked():
        check(re.sub("[«»]", "", line), VALUES)


def test_every_keyword_is_misspelt_here() -> None:
    words = {re.split("[«»]", line)[1] for line in marked()}
    assert keyword_words() - words == set()


def test_single_slip_in_a_word_is_told_what_was_meant() -> None:
    errors, unnamed = 0, []
    for word, right, wrong in list(slips())[::STEP]:
        try:
            check(wrong, VALUES)
        except QueryError as error:
            errors += 1
            if not is_named(word, right, error):
                unnamed.append((word, right, wrong))
    unexplained = [slip for slip in unnamed if not is_ambiguous(*slip)]
    assert not unexplained
    assert errors > 2_000
    assert len(unnamed) <= (1 - SHARE_MIN) * errors
