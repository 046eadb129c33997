"""Idioms of sequences, causes, moments and conditions."""

from __future__ import annotations

import re

from matrix.query.language.idiom import PATH, VALUE, idiom

_MOMENTS = 'a moment is a duration since the run began (12.5s), a clock time (@2026-01-31), turn 12, or event "r7:1042"'
_KEPT = "say what stays the same: with same peer, with same .call_id, with same (peer, goal)"
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def _chained(found: re.Match[str]) -> str:
    """``1 < turns < 3`` is two comparisons."""
    low, first, _, item, second, high = found.groups()
    return f"{item} {_MIRRORED[first]} {low} and {item} {second} {high}"


def _like(found: re.Match[str]) -> str:
    """``like '%deal%'``."""
    is_open_before, text, is_open_after = (found.group(i) for i in (1, 2, 3))
    operator = {(True, True): "contains", (False, True): "starts with", (True, False): "ends with"}
    return f'{operator.get((bool(is_open_before), bool(is_open_after)), "=")} "{text}"'


#: Sequences.
_SEQUENCES = (
    idiom(r"\bthen\s+not\s+", '"then not" is no step', "for an event that must not come say: then no …", "then no "),
    idiom(
        r"\b(?:and|then|followed)\s+(?:then|by)\s+",
        'steps are joined with one "then"',
        "say: offer then accept",
        "then ",
    ),
    idiom(
        r"(?<=where )(did |got |saw )?([\w.]+)\s*(?:->|→|=>|>>)\s*",
        'steps are joined with "then"',
        "say: did offer then accept",
        lambda found: f"{found.group(1) or 'did '}{found.group(2)} then ",
    ),
    idiom(r"\s*(?:->|→|=>|>>)\s*", 'steps are joined with "then"', "say: offer then accept", " then "),
    idiom(
        r"\bwhere\s+([\w.]+)\s+(?:followed by|before|then)\s+",
        "a sequence begins with did, got or saw",
        "say: did offer then accept",
        r"where did \1 then ",
    ),
    idiom(r"\bbefore\s+", 'there is no "before"', "say: offer then accept", "then "),
    idiom(
        r"\b(did\s+)?([\w.]+)\s+after\s+([\w.]+)",
        'there is no "after"',
        "what comes first is written first: did offer then accept",
        r"did \3 then \2",
    ),
    idiom(r"\buntil\s+", 'there is no "until"', "say: then …, or for what must not come between: without …"),
    idiom(
        r"\bwithout\s+then\b",
        '"without" needs an event',
        "say: without reject, or for what must not come at the end: then no …",
    ),
    idiom(r"\bwith\s+same\s*(?=$|\||\))", '"with same" needs a field', _KEPT, "with same peer"),
    idiom(
        r"\b(?:(?:by|with|having|for)\s+(?:the\s+)?)?same\s+(?=[.\w(])",
        'what stays the same comes after "with same"',
        _KEPT,
        "with same ",
    ),
    idiom(
        r"\b(?:by|with)\s+(peer|agent|goal)\b", 'what stays the same comes after "with same"', _KEPT, r"with same \1"
    ),
    idiom(
        r"\b(?:did\s+not|didn't|never|never did|did never)\s+(?:did\s+)?(?=[\w(])",
        '"not" comes before the sequence',
        "say: not did offer, or: no offer",
        "not did ",
    ),
    idiom(r"\bdid\s+(\d+)\s+([\w.]+)", "how often comes after the event", "say: did offer 3 times", r"did \2 \1 times"),
    idiom(
        r"(?<=[\w)])(?:\s+x\s?(\d+)|\{(\d+)\}|\s*\*\s?(\d+))",
        "how often is said in words",
        "say: offer 3 times",
        lambda found: f" {found.group(1) or found.group(2) or found.group(3)} times",
    ),
    idiom(r"\bdid\s+\*", "* is no event", "any event is: event", "did event"),
    idiom(
        r"\bwithin\s+(\d+)\s*(?=$|\||\)|without|with\b|then)",
        '"within" needs a unit',
        "say: within 5s, within 5 turns or within 5 events",
        r"within \1s",
    ),
    idiom(
        r"\b(?:match|funnel)\s+(?:where\s+)?\((?:\s*did\s+)?([^()]*)\)",
        "a sequence stands here without brackets",
        "say: match offer then accept",
        lambda found: f"{found.group().split()[0].rstrip('(')} {found.group(1)}",
    ),
    idiom(
        r"\b(match|funnel)\s+where\s+", "a sequence stands here without where", "say: match offer then accept", r"\1 "
    ),
)
#: Causes.
_CAUSES = (
    idiom(
        r"\b(?:caused?|causes)\s+(?!by\b|within\b)(?=[\w(])",
        'a cause is asked for with "caused by"',
        "say: caused by tool.failed",
        "caused by ",
    ),
    idiom(r"\bled\s+by\b", '"led" goes with "to"', "say: led to reject, or: caused by tool.failed", "led to"),
    idiom(
        r"\b(caused by|led to)\b([^|]*?)\bwithin\s+(\d+)\s*(?:turns?|events?|levels?|hops?)?(?=\s*$|\s*\||\s*\))",
        "causes are counted in steps",
        "say: within 3 steps",
        r"\1\2within \3 steps",
    ),
    idiom(
        r"\b(?:caused by|led to|causes|effects)\b[^|]*?\bwithin\s+[\d.]+(?:us|ms|s|m|h|d)\b",
        "causes are counted in steps",
        "say: within 3 steps",
    ),
    idiom(
        r"\b(causes|effects)\s+(?:within|depth|level|levels|to depth|up to)?\s*(\d+)(?!\s*steps)",
        "causes are counted in steps",
        "say: causes within 3 steps",
        r"\1 within \2 steps",
    ),
)
#: Moments and times.
_MOMENT = (
    idiom(
        r"\bas of\s+now\b", '"now" is no moment of a run', "leave it out: without as of the log is read to its end", ""
    ),
    idiom(
        r"\bas of\s+[\"']?(\d{4}-\d\d-\d\d(?:T[\d:.Z+-]+)?)[\"']?", "a clock time begins with @", _MOMENTS, r"as of @\1"
    ),
    idiom(r"\bas of\s+(\d+)(?=\s*$|\s+where|\s*\|)", "a moment needs a unit", _MOMENTS, r"as of \1s"),
    idiom(r"\bas of\s+[\w.]+\s+ago\b", "a moment of the clock is written out", _MOMENTS),
    idiom(
        r"\bas of\s+event\s+([\w-]+:\d+)",
        "the id of an event is a text",
        'say: as of event "r7:1042"',
        r'as of event "\1"',
    ),
    idiom(r"\bas of\s+turn\s*(?=$|\||where)", "which turn?", "say: as of turn 12"),
    idiom(r"\bas of\s+[^\W\d]\w*", "this is no moment", _MOMENTS),
    idiom(r"\bnow\s*\(\s*\)", '"now" has no brackets', "say: now, now - 5m, or: 5m ago", "now"),
    idiom(r"\b(?:yesterday)\b", 'there is no "yesterday"', "say: now - 1d, or a time such as @2026-01-31", "now - 1d"),
    idiom(r"\b(?:today)\b", 'there is no "today"', "say: now - 1d, or a time such as @2026-01-31"),
    idiom(
        r"(?<=[<>=] )\d{1,2}:\d\d(?::\d\d)?",
        "a time of day is no time",
        "times look like @2026-01-31T12:00:00Z, durations like 1h30m",
    ),
    idiom(r"\bsince\s+(\S+)", 'there is no "since"', "say: where wall > 5m ago", r"where wall > \1 ago"),
)
#: Conditions.
_CONDITIONS = (
    idiom(r"\bis\s+not\s+(?:null|none|missing|empty)\b", 'there is no "is not null"', "say: x exists", "exists"),
    idiom(r"\bis\s+(?:null|none|missing|empty)\b", 'there is no "is null"', "say: x missing, or: x exists", "missing"),
    idiom(r"\bnot\s+(?:null|none)\b", 'there is no "not null"', "say: x exists", "exists"),
    idiom(r"\bis\s+not\b", 'there is no "is not"', "say: !=", "!="),
    idiom(rf"\bnot\s+exists\s+({PATH})", '"exists" comes after the value', "say: x missing", r"\1 missing"),
    idiom(rf"\bexists\s+(\.{PATH})", '"exists" comes after the value', "say: x exists", r"\1 exists"),
    idiom(r"\bnot\s+exists\b", 'there is no "not exists"', "say: x missing", "missing"),
    idiom(
        r"\b(?:exists|has)\s+(?=[\w.]+)",
        "of events say how many",
        "say: any offer, no offer, at least 2 offer, or: did offer",
        "any ",
    ),
    idiom(
        rf"({PATH})\s+not\s+like\s+(['\"])%?([^%'\"]+)%?\2",
        'there is no "not like"',
        'say: not x contains "…"',
        r'not \1 contains "\3"',
    ),
    idiom(
        r"\blike\s+['\"](%?)([^%'\"]+)(%?)['\"]",
        'there is no "like"',
        "use contains, starts with, ends with, or a pattern: text ~ /refund.*/i",
        _like,
    ),
    idiom(
        rf"\bnot\s+between\s+({VALUE})\s+and\s+({VALUE})",
        'there is no "between"',
        "say: x not in 5s..10s, both ends included",
        r"not in \1..\2",
    ),
    idiom(
        rf"\bbetween\s+({VALUE})\s+and\s+({VALUE})",
        'there is no "between"',
        "say: x in 5s..10s, both ends included",
        r"in \1..\2",
    ),
    idiom(
        rf"\bin\s+(?:[\[(]\s*)?({VALUE}?)\s*(?:\.\.|\bto\b)\s*([\w.]+)\s*[\])]?",
        "a range has no brackets",
        "say: x in 1..3, both ends included",
        r"in \1..\2",
    ),
    idiom(
        rf"\bin\s+range\s*\(\s*({VALUE})\s*,\s*({VALUE})\s*\)",
        "a range is written with ..",
        "say: x in 1..3, both ends included",
        r"in \1..\2",
    ),
    idiom(
        rf"({PATH})\s*!~\s*(/(?:\\.|[^/\\])+/\w*|{VALUE})",
        '"!~" is not an operator here',
        "say: not … ~ …",
        r"not \1 ~ \2",
    ),
    idiom(
        rf"({VALUE})\s*((?P<to>[<>])=?)\s*({PATH})\s*((?P=to)=?)\s*({VALUE})",
        "comparisons do not chain",
        "say: time in 5s..10s, or: time > 5s and time < 10s",
        _chained,
    ),
    idiom(
        rf"({PATH})\s*(=|!=|[<>]=?)\s*({VALUE})\s+(and|or)\s+(=|!=|[<>]=?)",
        "each comparison names what it is about",
        "say: .price > 3 and .price < 5",
        r"\1 \2 \3 \4 \1 \5",
    ),
    idiom(
        rf"({PATH})\s*=\s*({VALUE})(?:\s*,\s*|\s+or\s+)({VALUE})(?=\s*$|\s*\||\s*\))",
        "one of several is written with in",
        "say: role in (buyer, seller)",
        r"\1 in (\2, \3)",
    ),
    idiom(
        r"\b(?:all|each|for all|both)\s+(agent|goal|message|event|conversation|simulation)s?\b",
        'all of them is "every"',
        "say: every goal (…), every goal succeeded",
        r"every \1",
    ),
    idiom(
        r"\b(?:some|exists)\s+(agent|goal|message|event|conversation|simulation)s?\b",
        'one of them is "any"',
        "say: any goal (…)",
        r"any \1",
    ),
    idiom(
        r"\bmore\s+than\s+(\d+)",
        'there is no "more than"',
        "say: at least 3 goals (…)",
        lambda found: f"at least {int(found.group(1)) + 1}",
    ),
    idiom(
        r"\b(?:less|fewer)\s+than\s+(\d+)",
        'there is no "less than"',
        "say: at most 2 goals (…)",
        lambda found: f"at most {max(0, int(found.group(1)) - 1)}",
    ),
    idiom(
        r"\b(?:where|and|or|not)\s+(\d+)\s+(?=goals|agents|messages|events|simulations|conversations)",
        "at least or at most?",
        "say: at least 2 goals (…), exactly 2 goals (…)",
        lambda found: f"{found.group().split()[0]} at least {found.group(1)} ",
    ),
    idiom(
        rf"\b({'|'.join(_NUMBERS)})\b",
        "numbers are written in digits",
        "for example: 2",
        lambda found: str(_NUMBERS[found.group().lower()]),
    ),
    idiom(
        r"\b(any|no|every)\s*\(\s*(goal|agent|message|event)s?\s+(\w+)\s*\)",
        "what is counted comes before the ( )",
        "say: any goal (succeeded)",
        r"\1 \2 (\3)",
    ),
    idiom(
        r"\bgoal\s+(?:is\s+)?not\s+(succeeded|failed|started|cancelled)",
        '"not" comes first',
        "say: not goal succeeded, or: no goal succeeded",
        r"not goal \1",
    ),
    idiom(
        r"\bhas\s+(?:been\s+)?(?=succeeded|failed|started|cancelled)",
        "the outcome follows the goal",
        "say: goal succeeded",
        "",
    ),
    idiom(
        r"\bwho\s+(?:have\s+|has\s+)?(succeeded|failed)",
        "it is a goal that has succeeded",
        "say: where goal succeeded",
        r"where goal \1",
    ),
)

OF_CONDITIONS = (*_SEQUENCES, *_CAUSES, *_MOMENT, *_CONDITIONS)
