"""The table of idioms: how SQL, KQL, PromQL, Python and people in a hurry say what is said otherwise here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_RELATION = r"(?:simulations|agents|goals|events|messages|conversations)"
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[$@]?[\w.:-]+)"
_PATH = r"[.\w]+"
_MOMENTS = 'a moment is a duration since the run began (12.5s), a clock time (@2026-01-31), turn 12, or event "r7:1042"'
_PARAMETER = "name it in the query and give its value beside it: store.query('… = $role', role=\"buyer\")"
_KEPT = "say what stays the same: with same peer, with same .call_id, with same (peer, goal)"
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Idiom(NamedTuple):
    """A picture of text, what is wrong with it, what to say, and the text that says it (None when there is none)."""

    pattern: re.Pattern[str]
    message: str
    hint: str
    instead: str | Callable[[re.Match[str]], str] | None = None


def _idiom(pattern: str, message: str, hint: str, instead: str | Callable[[re.Match[str]], str] | None = None) -> Idiom:
    return Idiom(re.compile(pattern, re.IGNORECASE), message, hint, instead)


def _chained(found: re.Match[str]) -> str:
    """``1 < turns < 3`` is two comparisons."""
    low, first, _, item, second, high = found.groups()
    return f"{item} {_MIRRORED[first]} {low} and {item} {second} {high}"


def _selected(found: re.Match[str]) -> str:
    """``select role from agents where C``."""
    columns, relation, rest = found.groups()
    return relation + rest.rstrip() + ("" if columns.strip() == "*" else f" | select {columns.strip()}")


def _like(found: re.Match[str]) -> str:
    """``like '%deal%'``."""
    is_open_before, text, is_open_after = (found.group(i) for i in (1, 2, 3))
    operator = {(True, True): "contains", (False, True): "starts with", (True, False): "ends with"}
    return f'{operator.get((bool(is_open_before), bool(is_open_after)), "=")} "{text}"'


#: Sequences.
_SEQUENCES = (
    _idiom(r"\bthen\s+not\s+", '"then not" is no step', "for an event that must not come say: then no …", "then no "),
    _idiom(
        r"\b(?:and|then|followed)\s+(?:then|by)\s+",
        'steps are joined with one "then"',
        "say: offer then accept",
        "then ",
    ),
    _idiom(
        r"(?<=where )(did |got |saw )?([\w.]+)\s*(?:->|→|=>|>>)\s*",
        'steps are joined with "then"',
        "say: did offer then accept",
        lambda found: f"{found.group(1) or 'did '}{found.group(2)} then ",
    ),
    _idiom(r"\s*(?:->|→|=>|>>)\s*", 'steps are joined with "then"', "say: offer then accept", " then "),
    _idiom(
        r"\bwhere\s+([\w.]+)\s+(?:followed by|before|then)\s+",
        "a sequence begins with did, got or saw",
        "say: did offer then accept",
        r"where did \1 then ",
    ),
    _idiom(r"\bbefore\s+", 'there is no "before"', "say: offer then accept", "then "),
    _idiom(
        r"\b(did\s+)?([\w.]+)\s+after\s+([\w.]+)",
        'there is no "after"',
        "what comes first is written first: did offer then accept",
        r"did \3 then \2",
    ),
    _idiom(r"\buntil\s+", 'there is no "until"', "say: then …, or for what must not come between: without …"),
    _idiom(
        r"\bwithout\s+then\b",
        '"without" needs an event',
        "say: without reject, or for what must not come at the end: then no …",
    ),
    _idiom(r"\bwith\s+same\s*(?=$|\||\))", '"with same" needs a field', _KEPT, "with same peer"),
    _idiom(
        r"\b(?:(?:by|with|having|for)\s+(?:the\s+)?)?same\s+(?=[.\w(])",
        'what stays the same comes after "with same"',
        _KEPT,
        "with same ",
    ),
    _idiom(
        r"\b(?:by|with)\s+(peer|agent|goal)\b", 'what stays the same comes after "with same"', _KEPT, r"with same \1"
    ),
    _idiom(
        r"\b(?:did\s+not|didn't|never|never did|did never)\s+(?:did\s+)?(?=[\w(])",
        '"not" comes before the sequence',
        "say: not did offer, or: no offer",
        "not did ",
    ),
    _idiom(
        r"\bdid\s+(\d+)\s+([\w.]+)", "how often comes after the event", "say: did offer 3 times", r"did \2 \1 times"
    ),
    _idiom(
        r"(?<=[\w)])(?:\s+x\s?(\d+)|\{(\d+)\}|\s*\*\s?(\d+))",
        "how often is said in words",
        "say: offer 3 times",
        lambda found: f" {found.group(1) or found.group(2) or found.group(3)} times",
    ),
    _idiom(r"\bdid\s+\*", "* is no event", "any event is: event", "did event"),
    _idiom(
        r"\bwithin\s+(\d+)\s*(?=$|\||\)|without|with\b|then)",
        '"within" needs a unit',
        "say: within 5s, within 5 turns or within 5 events",
        r"within \1s",
    ),
    _idiom(
        r"\b(?:match|funnel)\s+(?:where\s+)?\((?:\s*did\s+)?([^()]*)\)",
        "a sequence stands here without brackets",
        "say: match offer then accept",
        lambda found: f"{found.group().split()[0].rstrip('(')} {found.group(1)}",
    ),
    _idiom(
        r"\b(match|funnel)\s+where\s+", "a sequence stands here without where", "say: match offer then accept", r"\1 "
    ),
)
#: Causes.
_CAUSES = (
    _idiom(
        r"\b(?:caused?|causes)\s+(?!by\b|within\b)(?=[\w(])",
        'a cause is asked for with "caused by"',
        "say: caused by tool.failed",
        "caused by ",
    ),
    _idiom(r"\bled\s+by\b", '"led" goes with "to"', "say: led to reject, or: caused by tool.failed", "led to"),
    _idiom(
        r"\b(caused by|led to)\b([^|]*?)\bwithin\s+(\d+)\s*(?:turns?|events?|levels?|hops?)?(?=\s*$|\s*\||\s*\))",
        "causes are counted in steps",
        "say: within 3 steps",
        r"\1\2within \3 steps",
    ),
    _idiom(
        r"\b(?:caused by|led to|causes|effects)\b[^|]*?\bwithin\s+[\d.]+(?:us|ms|s|m|h|d)\b",
        "causes are counted in steps",
        "say: within 3 steps",
    ),
    _idiom(
        r"\b(causes|effects)\s+(?:within|depth|level|levels|to depth|up to)?\s*(\d+)(?!\s*steps)",
        "causes are counted in steps",
        "say: causes within 3 steps",
        r"\1 within \2 steps",
    ),
)
#: Moments and times.
_MOMENT = (
    _idiom(
        r"\bas of\s+now\b", '"now" is no moment of a run', "leave it out: without as of the log is read to its end", ""
    ),
    _idiom(
        r"\bas of\s+[\"']?(\d{4}-\d\d-\d\d(?:T[\d:.Z+-]+)?)[\"']?", "a clock time begins with @", _MOMENTS, r"as of @\1"
    ),
    _idiom(r"\bas of\s+(\d+)(?=\s*$|\s+where|\s*\|)", "a moment needs a unit", _MOMENTS, r"as of \1s"),
    _idiom(r"\bas of\s+[\w.]+\s+ago\b", "a moment of the clock is written out", _MOMENTS),
    _idiom(
        r"\bas of\s+event\s+([\w-]+:\d+)",
        "the id of an event is a text",
        'say: as of event "r7:1042"',
        r'as of event "\1"',
    ),
    _idiom(r"\bas of\s+turn\s*(?=$|\||where)", "which turn?", "say: as of turn 12"),
    _idiom(r"\bas of\s+[^\W\d]\w*", "this is no moment", _MOMENTS),
    _idiom(r"\bnow\s*\(\s*\)", '"now" has no brackets', "say: now, now - 5m, or: 5m ago", "now"),
    _idiom(r"\b(?:yesterday)\b", 'there is no "yesterday"', "say: now - 1d, or a time such as @2026-01-31", "now - 1d"),
    _idiom(r"\b(?:today)\b", 'there is no "today"', "say: now - 1d, or a time such as @2026-01-31"),
    _idiom(
        r"(?<=[<>=] )\d{1,2}:\d\d(?::\d\d)?",
        "a time of day is no time",
        "times look like @2026-01-31T12:00:00Z, durations like 1h30m",
    ),
    _idiom(r"\bsince\s+(\S+)", 'there is no "since"', "say: where wall > 5m ago", r"where wall > \1 ago"),
)
#: Conditions.
_CONDITIONS = (
    _idiom(r"\bis\s+not\s+(?:null|none|missing|empty)\b", 'there is no "is not null"', "say: x exists", "exists"),
    _idiom(r"\bis\s+(?:null|none|missing|empty)\b", 'there is no "is null"', "say: x missing, or: x exists", "missing"),
    _idiom(r"\bnot\s+(?:null|none)\b", 'there is no "not null"', "say: x exists", "exists"),
    _idiom(r"\bis\s+not\b", 'there is no "is not"', "say: !=", "!="),
    _idiom(rf"\bnot\s+exists\s+({_PATH})", '"exists" comes after the value', "say: x missing", r"\1 missing"),
    _idiom(rf"\bexists\s+(\.{_PATH})", '"exists" comes after the value', "say: x exists", r"\1 exists"),
    _idiom(r"\bnot\s+exists\b", 'there is no "not exists"', "say: x missing", "missing"),
    _idiom(
        r"\b(?:exists|has)\s+(?=[\w.]+)",
        "of events say how many",
        "say: any offer, no offer, at least 2 offer, or: did offer",
        "any ",
    ),
    _idiom(
        rf"({_PATH})\s+not\s+like\s+(['\"])%?([^%'\"]+)%?\2",
        'there is no "not like"',
        'say: not x contains "…"',
        r'not \1 contains "\3"',
    ),
    _idiom(
        r"\blike\s+['\"](%?)([^%'\"]+)(%?)['\"]",
        'there is no "like"',
        "use contains, starts with, ends with, or a pattern: text ~ /refund.*/i",
        _like,
    ),
    _idiom(
        rf"\bnot\s+between\s+({_VALUE})\s+and\s+({_VALUE})",
        'there is no "between"',
        "say: x not in 5s..10s, both ends included",
        r"not in \1..\2",
    ),
    _idiom(
        rf"\bbetween\s+({_VALUE})\s+and\s+({_VALUE})",
        'there is no "between"',
        "say: x in 5s..10s, both ends included",
        r"in \1..\2",
    ),
    _idiom(
        rf"\bin\s+(?:[\[(]\s*)?({_VALUE}?)\s*(?:\.\.|\bto\b)\s*([\w.]+)\s*[\])]?",
        "a range has no brackets",
        "say: x in 1..3, both ends included",
        r"in \1..\2",
    ),
    _idiom(
        rf"\bin\s+range\s*\(\s*({_VALUE})\s*,\s*({_VALUE})\s*\)",
        "a range is written with ..",
        "say: x in 1..3, both ends included",
        r"in \1..\2",
    ),
    _idiom(
        rf"({_PATH})\s*!~\s*(/(?:\\.|[^/\\])+/\w*|{_VALUE})",
        '"!~" is not an operator here',
        "say: not … ~ …",
        r"not \1 ~ \2",
    ),
    _idiom(
        rf"({_VALUE})\s*((?P<to>[<>])=?)\s*({_PATH})\s*((?P=to)=?)\s*({_VALUE})",
        "comparisons do not chain",
        "say: time in 5s..10s, or: time > 5s and time < 10s",
        _chained,
    ),
    _idiom(
        rf"({_PATH})\s*(=|!=|[<>]=?)\s*({_VALUE})\s+(and|or)\s+(=|!=|[<>]=?)",
        "each comparison names what it is about",
        "say: .price > 3 and .price < 5",
        r"\1 \2 \3 \4 \1 \5",
    ),
    _idiom(
        rf"({_PATH})\s*=\s*({_VALUE})(?:\s*,\s*|\s+or\s+)({_VALUE})(?=\s*$|\s*\||\s*\))",
        "one of several is written with in",
        "say: role in (buyer, seller)",
        r"\1 in (\2, \3)",
    ),
    _idiom(
        r"\b(?:all|each|for all|both)\s+(agent|goal|message|event|conversation|simulation)s?\b",
        'all of them is "every"',
        "say: every goal (…), every goal succeeded",
        r"every \1",
    ),
    _idiom(
        r"\b(?:some|exists)\s+(agent|goal|message|event|conversation|simulation)s?\b",
        'one of them is "any"',
        "say: any goal (…)",
        r"any \1",
    ),
    _idiom(
        r"\bmore\s+than\s+(\d+)",
        'there is no "more than"',
        "say: at least 3 goals (…)",
        lambda found: f"at least {int(found.group(1)) + 1}",
    ),
    _idiom(
        r"\b(?:less|fewer)\s+than\s+(\d+)",
        'there is no "less than"',
        "say: at most 2 goals (…)",
        lambda found: f"at most {max(0, int(found.group(1)) - 1)}",
    ),
    _idiom(
        r"\b(?:where|and|or|not)\s+(\d+)\s+(?=goals|agents|messages|events|simulations|conversations)",
        "at least or at most?",
        "say: at least 2 goals (…), exactly 2 goals (…)",
        lambda found: f"{found.group().split()[0]} at least {found.group(1)} ",
    ),
    _idiom(
        rf"\b({'|'.join(_NUMBERS)})\b",
        "numbers are written in digits",
        "for example: 2",
        lambda found: str(_NUMBERS[found.group().lower()]),
    ),
    _idiom(
        r"\b(any|no|every)\s*\(\s*(goal|agent|message|event)s?\s+(\w+)\s*\)",
        "what is counted comes before the ( )",
        "say: any goal (succeeded)",
        r"\1 \2 (\3)",
    ),
    _idiom(
        r"\bgoal\s+(?:is\s+)?not\s+(succeeded|failed|started|cancelled)",
        '"not" comes first',
        "say: not goal succeeded, or: no goal succeeded",
        r"not goal \1",
    ),
    _idiom(
        r"\bhas\s+(?:been\s+)?(?=succeeded|failed|started|cancelled)",
        "the outcome follows the goal",
        "say: goal succeeded",
        "",
    ),
    _idiom(
        r"\bwho\s+(?:have\s+|has\s+)?(succeeded|failed)",
        "it is a goal that has succeeded",
        "say: where goal succeeded",
        r"where goal \1",
    ),
)
#: Values from outside, quotes, numbers, comments, paths.
_VALUES = (
    _idiom(r"\bf(\"[^\"]*\"|'[^']*')", "a query has no f-strings", _PARAMETER),
    _idiom(
        r"%\((\w+)\)s|\{(\w+)\}|(?<=[\s(,=]):(\w+)|(?<=[\s(,=])@([^\W\d]\w*)",
        "values from outside are written $name",
        _PARAMETER,
        lambda found: "$" + next(name for name in found.groups() if name),
    ),
    _idiom(
        r"%s\b|\?(?!\?)(?=\s*$|\s*\||\s*\)|\s+and|\s+or)|\$(?!\w)|\{\}",
        "values from outside are written $name",
        _PARAMETER,
    ),
    _idiom(r"\s*(?:--|//)[^\n]*|/\*.*?\*/\s*", "comments begin with #", "for example: agents # all of them", ""),
    _idiom(
        r"\bdata\[['\"](\w+)['\"]\]",
        "a key is written after a dot",
        'say: .price, or for an odd name: ."odd name"',
        r"data.\1",
    ),
    _idiom(
        rf"({_PATH}|\])\[['\"](\w+)['\"]\]",
        "a key is written after a dot",
        'say: .items.name, or for an odd name: .items."odd name"',
        r"\1.\2",
    ),
    _idiom(r"(?<=\w)->>?'?(\w+)'?", "a key is written after a dot", "say: .price", r".\1"),
    _idiom(r"(?<![\w.])(\d{1,3}),(\d{3})(?!\d)", "a number has no commas", "say: 1000 or 1_000", r"\1_\2"),
    _idiom(r"(?<![\w.])(\d{1,3})\.(\d{3})\.(\d{3})(?!\d)", "a number has one point", "say: 1_000_000", r"\1_\2_\3"),
    _idiom(r"\$(\d[\d.]*)", "a number has no currency", "say: .price > 5", r"\1"),
    _idiom(r"(\d+)%", "a number has no percent sign", "say: 0.05, or calculate: .x / .y > 0.05"),
    _idiom(r"\*\*", 'there is no "**"', "multiply: .x * .x"),
    _idiom(
        r"(\S+)\s*\?\s*(\S+)\s*:\s*(\S+)|\bcase\s+when\b.*|\bif\s+(?!\().*",
        "a choice is a function",
        'say: if(.price > 100, "dear", "cheap")',
    ),
    _idiom(
        rf"({_PATH})\.(?:includes|contains)\(([^()]*)\)",
        '"contains" stands between',
        'say: .tags contains "x"',
        r"\1 contains \2",
    ),
    _idiom(
        rf"({_PATH})\.(?:startswith|starts_with)\(([^()]*)\)",
        '"starts with" stands between',
        'say: .x starts with "a"',
        r"\1 starts with \2",
    ),
    _idiom(
        r"\b(?:contains|includes)\(\s*([^(),]+),\s*([^(),]+)\)",
        '"contains" stands between',
        'say: .tags contains "x"',
        r"\1 contains \2",
    ),
    _idiom(
        r"\bstarts_?with\(\s*([^(),]+),\s*([^(),]+)\)",
        '"starts with" stands between',
        'say: .x starts with "a"',
        r"\1 starts with \2",
    ),
    _idiom(
        r"\bends_?with\(\s*([^(),]+),\s*([^(),]+)\)",
        '"ends with" stands between',
        'say: .x ends with "a"',
        r"\1 ends with \2",
    ),
    _idiom(
        r"\b(?:regex|regexp|matches|regexp_like|re\.match)\(\s*([^(),]+),\s*([^(),]+)\)",
        "a pattern is looked for with ~",
        "say: text ~ /refund/i",
        r"\1 ~ \2",
    ),
    _idiom(
        r"\b(?:coalesce|ifnull|nvl)\(\s*([^(),]+),\s*([^(),]+)\)",
        "the first that is present is written with ??",
        "say: .price ?? .amount",
        r"(\1 ?? \2)",
    ),
    _idiom(
        r"\b(?:isnull|is_null|missing|isna)\(\s*([^()]+)\)",
        '"missing" comes after the value',
        "say: x missing",
        r"\1 missing",
    ),
    _idiom(
        r"\b(?:notnull|exists|notna)\(\s*(\.[^()]+)\)", '"exists" comes after the value', "say: x exists", r"\1 exists"
    ),
    _idiom(r"\bexists\(\s*([\w.]+)\s*\)", "of events say how many", "say: any offer", r"any \1"),
    _idiom(r"\b(?:length|size|strlen)\(", 'there is no function "length"', "say: len(x)", "len("),
    _idiom(
        r"\b(?:concat|substring|substr|replace|trim)\(",
        "texts are not cut or joined here",
        "compare them with contains, starts with, ends with, or a pattern: text ~ /refund/i",
    ),
)
#: Sources and stages.
_STAGES = (
    _idiom(
        rf"^\s*select\s+(.+?)\s+from\s+({_RELATION})\b([^|]*)$",
        'a query starts with what it returns, not "select"',
        "say: agents where goal succeeded | select id, role",
        _selected,
    ),
    _idiom(
        rf"^\s*(?:(?:show|find|get|list|which|fetch|give|return|search|all|me)\s+)+(?={_RELATION})",
        "a query starts with what it returns",
        "for example: agents where goal succeeded",
        "",
    ),
    _idiom(
        rf"^\s*({_RELATION})\s+([a-z]\w?)\s+where\b",
        'another name is given with "as"',
        "say: agents as a where a.role = buyer",
        r"\1 as \2 where",
    ),
    _idiom(
        rf"^\s*({_RELATION})\s*[\[{{]",
        'a condition comes after "where"',
        "say: agents where role = buyer, events where kind = offer",
    ),
    _idiom(
        rf"^\s*({_RELATION})\.(\w+)\s*$",
        "columns are chosen in a stage",
        "say: agents | select role",
        r"\1 | select \2",
    ),
    _idiom(
        rf"^\s*({_RELATION})(?:\s+as\s+\w+)?\s*(?:,|\band\b)\s*{_RELATION}",
        "a query returns things of one kind",
        "follow links (agent.role), go on to other rows (| messages), or ask two queries",
    ),
    _idiom(
        r"\bevents\s+([\w.]+)\s+(?:and|or)\s+([\w.]+)",
        "several kinds are a list",
        "say: events offer, accept",
        r"events \1, \2",
    ),
    _idiom(
        r"\bevents\s*\(\s*([\w.,\s]+)\)",
        "several kinds are a list without brackets",
        "say: events offer, accept",
        r"events \1",
    ),
    _idiom(
        r"\bevents\s+kind\s*(?==)",
        'a condition comes after "where"',
        "say: events offer, or: events where kind = offer",
        "events where kind ",
    ),
    _idiom(
        r"\bevents\s+(?:of|by|from)\s+(?:agent\s+)?(\w+)",
        "whose events is a condition",
        "say: events where agent = alice",
        r"events where agent = \1",
    ),
    _idiom(r"(\w)\*(?!\w)", "a * ends a kind name after a dot", "for example: tool.*", r"\1.*"),
    _idiom(
        r"\bcount\s*\(\s*\*?\s*\)", '"count" counts rows by itself', "say: | count, or of events: count(offer)", "count"
    ),
    _idiom(r",(?=\s*(?:\||\)|$))", "a comma with nothing behind it", "leave it out", ""),
    _idiom(
        r"\s*(?:\|\s*)?(?:count\s+)?\bgroup\s+by\s+",
        'there is no "group by"',
        "aggregate with a stage: | count by role",
        " | count by ",
    ),
    _idiom(r"\bcount\s+group\s+by\b", 'there is no "group by"', "say: | count by role", "count by"),
    _idiom(r"\bgroup\s+(?!by\b)(?=[.\w])", 'there is no "group"', "say: | count by role", "count by "),
    _idiom(
        r"\s*(?:\|\s*)?\border\s+by\s+", 'there is no "order by"', "sort with a stage: | sort time desc", " | sort "
    ),
    _idiom(
        r"\s*\bhaving\s+",
        'there is no "having"',
        "aggregate with a stage, then filter: | count by role | where count > 5",
        " | where ",
    ),
    _idiom(
        r"\b(?:select\s+distinct|distinct|unique|uniq)\s+(?=[.\w])",
        "different values are groups",
        "say: | count by role, or for their number: | distinct(role)",
        "count by ",
    ),
    _idiom(
        r"\b(sum|avg|min|max|median|stddev|first|last)\s+(\.[\w.]+|[a-z]\w+)",
        "an aggregate takes its value in ( )",
        "say: sum(.tokens)",
        r"\1(\2)",
    ),
    _idiom(
        r"\btop\s+(\d+)\s+by\s+([.\w]+)",
        'there is no "top"',
        "say: | sort turns desc | limit 5",
        r"sort \2 desc | limit \1",
    ),
    _idiom(
        r"\b(?:last|tail)\s+(\d+)",
        "the last ones come first when sorted the other way",
        "say: | sort time desc | limit 10",
        r"sort time desc | limit \1",
    ),
    _idiom(r"\b(?:first|head|take)\s+(\d+)", "the first ones are a limit", "say: | limit 10", r"limit \1"),
    _idiom(r"\b(?:skip|offset)\s+\d+", "rows are not left out by number", "use limit, or start later: where time > 5s"),
    _idiom(
        r"\bsummarize\s+(?:(\w+)\s*=\s*)?(\w+)\(\)",
        'there is no "summarize"',
        "say: | count by role",
        lambda found: found.group(2) + (f" as {found.group(1)}" if found.group(1) else ""),
    ),
    _idiom(r"\bsummarize\s+", 'there is no "summarize"', "say: | count by role, | sum(.tokens) by role", ""),
    _idiom(r"\bbin\(\s*\w+\s*,\s*([\w.]+)\s*\)", "buckets are made with per", "say: | count per 1m"),
    _idiom(
        r"\bper\s+(second|minute|hour|day)s?\b",
        "a bucket needs a width",
        "say: per 1m",
        lambda found: f"per 1{found.group(1)[0].lower()}",
    ),
    _idiom(r"\bevery\s+(\d\w*)", "buckets are made with per", "say: | count per 1m", r"per \1"),
    _idiom(r"\brate\s+per\b", 'there is no "rate"', "say: | count per 1m", "count per"),
    _idiom(
        r"\bper\s+(\S+)\s+by\s+([.\w, ]+)", '"by" comes before "per"', "say: | count by role per 1m", r"by \2 per \1"
    ),
    _idiom(
        r"\bsort\s+(desc|asc)\s+([.\w]+)",
        '"desc" comes after what is sorted by',
        "say: | sort time desc",
        r"sort \2 \1",
    ),
    _idiom(
        r"\bextend\s+(\w+)\s*=\s*([^|]+)",
        'there is no "extend"',
        "say: | select *, .price * 2 as double",
        r"select *, \2 as \1",
    ),
    _idiom(r"\brename\s+(\w+)\s+as\s+(\w+)", 'there is no "rename"', "say: | select kind as k", r"select \1 as \2"),
    _idiom(r"\b(?:ancestors|parents)\b", 'what led to a row is "causes"', "say: | causes", "causes"),
    _idiom(r"\b(?:descendants|children)\b", 'what a row led to is "effects"', "say: | effects", "effects"),
    _idiom(r"\|\s*(chat|tree|timeline|table)\b", 'a shape comes after "as"', "say: | as tree", r"| as \1"),
    _idiom(
        r"\bas\s+(?:json|csv|parquet|arrow|pandas|markdown|html|jsonl)\b",
        "a query has no file formats",
        "the command line writes them (--format), and in Python a result does; shapes are: table, chat, tree, timeline",
    ),
    _idiom(
        r"\b(?:limit|sample)\s+-\d+",
        "a size is zero or more",
        "for example: limit 10; for the last rows: | sort time desc | limit 10",
    ),
)

IDIOMS = (*_SEQUENCES, *_CAUSES, *_MOMENT, *_CONDITIONS, *_VALUES, *_STAGES)
