"""Idioms of values, sources and stages."""

from __future__ import annotations

import re

from matrix.query.language.idiom import PATH, idiom

_RELATION = r"(?:simulations|agents|goals|events|messages|conversations)"
_PARAMETER = "name it in the query and give its value beside it: store.query('… = $role', role=\"buyer\")"


def _selected(found: re.Match[str]) -> str:
    """``select role from agents where C``."""
    columns, relation, rest = found.groups()
    return relation + rest.rstrip() + ("" if columns.strip() == "*" else f" | select {columns.strip()}")


#: Values from outside, quotes, numbers, comments, paths.
_VALUES = (
    idiom(r"\bf(\"[^\"]*\"|'[^']*')", "a query has no f-strings", _PARAMETER),
    idiom(
        r"%\((\w+)\)s|\{(\w+)\}|(?<=[\s(,=]):(\w+)|(?<=[\s(,=])@([^\W\d]\w*)",
        "values from outside are written $name",
        _PARAMETER,
        lambda found: "$" + next(name for name in found.groups() if name),
    ),
    idiom(
        r"%s\b|\?(?!\?)(?=\s*$|\s*\||\s*\)|\s+and|\s+or)|\$(?!\w)|\{\}",
        "values from outside are written $name",
        _PARAMETER,
    ),
    idiom(r"\s*(?:--|//)[^\n]*|/\*.*?\*/\s*", "comments begin with #", "for example: agents # all of them", ""),
    idiom(
        r"\bdata\[['\"](\w+)['\"]\]",
        "a key is written after a dot",
        'say: .price, or for an odd name: ."odd name"',
        r"data.\1",
    ),
    idiom(
        rf"({PATH}|\])\[['\"](\w+)['\"]\]",
        "a key is written after a dot",
        'say: .items.name, or for an odd name: .items."odd name"',
        r"\1.\2",
    ),
    idiom(r"(?<=\w)->>?'?(\w+)'?", "a key is written after a dot", "say: .price", r".\1"),
    idiom(r"(?<![\w.])(\d{1,3}),(\d{3})(?!\d)", "a number has no commas", "say: 1000 or 1_000", r"\1_\2"),
    idiom(r"(?<![\w.])(\d{1,3})\.(\d{3})\.(\d{3})(?!\d)", "a number has one point", "say: 1_000_000", r"\1_\2_\3"),
    idiom(r"\$(\d[\d.]*)", "a number has no currency", "say: .price > 5", r"\1"),
    idiom(r"(\d+)%", "a number has no percent sign", "say: 0.05, or calculate: .x / .y > 0.05"),
    idiom(r"\*\*", 'there is no "**"', "multiply: .x * .x"),
    idiom(
        r"(\S+)\s*\?\s*(\S+)\s*:\s*(\S+)|\bcase\s+when\b.*|\bif\s+(?!\().*",
        "a choice is a function",
        'say: if(.price > 100, "dear", "cheap")',
    ),
    idiom(
        rf"({PATH})\.(?:includes|contains)\(([^()]*)\)",
        '"contains" stands between',
        'say: .tags contains "x"',
        r"\1 contains \2",
    ),
    idiom(
        rf"({PATH})\.(?:startswith|starts_with)\(([^()]*)\)",
        '"starts with" stands between',
        'say: .x starts with "a"',
        r"\1 starts with \2",
    ),
    idiom(
        r"\b(?:contains|includes)\(\s*([^(),]+),\s*([^(),]+)\)",
        '"contains" stands between',
        'say: .tags contains "x"',
        r"\1 contains \2",
    ),
    idiom(
        r"\bstarts_?with\(\s*([^(),]+),\s*([^(),]+)\)",
        '"starts with" stands between',
        'say: .x starts with "a"',
        r"\1 starts with \2",
    ),
    idiom(
        r"\bends_?with\(\s*([^(),]+),\s*([^(),]+)\)",
        '"ends with" stands between',
        'say: .x ends with "a"',
        r"\1 ends with \2",
    ),
    idiom(
        r"\b(?:regex|regexp|matches|regexp_like|re\.match)\(\s*([^(),]+),\s*([^(),]+)\)",
        "a pattern is looked for with ~",
        "say: text ~ /refund/i",
        r"\1 ~ \2",
    ),
    idiom(
        r"\b(?:coalesce|ifnull|nvl)\(\s*([^(),]+),\s*([^(),]+)\)",
        "the first that is present is written with ??",
        "say: .price ?? .amount",
        r"(\1 ?? \2)",
    ),
    idiom(
        r"\b(?:isnull|is_null|missing|isna)\(\s*([^()]+)\)",
        '"missing" comes after the value',
        "say: x missing",
        r"\1 missing",
    ),
    idiom(
        r"\b(?:notnull|exists|notna)\(\s*(\.[^()]+)\)", '"exists" comes after the value', "say: x exists", r"\1 exists"
    ),
    idiom(r"\bexists\(\s*([\w.]+)\s*\)", "of events say how many", "say: any offer", r"any \1"),
    idiom(r"\b(?:length|size|strlen)\(", 'there is no function "length"', "say: len(x)", "len("),
    idiom(
        r"\b(?:concat|substring|substr|replace|trim)\(",
        "texts are not cut or joined here",
        "compare them with contains, starts with, ends with, or a pattern: text ~ /refund/i",
    ),
)
#: Sources and stages.
_STAGES = (
    idiom(
        rf"^\s*select\s+(.+?)\s+from\s+({_RELATION})\b([^|]*)$",
        'a query starts with what it returns, not "select"',
        "say: agents where goal succeeded | select id, role",
        _selected,
    ),
    idiom(
        rf"^\s*(?:(?:show|find|get|list|which|fetch|give|return|search|all|me)\s+)+(?={_RELATION})",
        "a query starts with what it returns",
        "for example: agents where goal succeeded",
        "",
    ),
    idiom(
        rf"^\s*({_RELATION})\s+([a-z]\w?)\s+where\b",
        'another name is given with "as"',
        "say: agents as a where a.role = buyer",
        r"\1 as \2 where",
    ),
    idiom(
        rf"^\s*({_RELATION})\s*[\[{{]",
        'a condition comes after "where"',
        "say: agents where role = buyer, events where kind = offer",
    ),
    idiom(
        rf"^\s*({_RELATION})\.(\w+)\s*$",
        "columns are chosen in a stage",
        "say: agents | select role",
        r"\1 | select \2",
    ),
    idiom(
        rf"^\s*({_RELATION})(?:\s+as\s+\w+)?\s*(?:,|\band\b)\s*{_RELATION}",
        "a query returns things of one kind",
        "follow links (agent.role), go on to other rows (| messages), or ask two queries",
    ),
    idiom(
        r"\bevents\s+([\w.]+)\s+(?:and|or)\s+([\w.]+)",
        "several kinds are a list",
        "say: events offer, accept",
        r"events \1, \2",
    ),
    idiom(
        r"\bevents\s*\(\s*([\w.,\s]+)\)",
        "several kinds are a list without brackets",
        "say: events offer, accept",
        r"events \1",
    ),
    idiom(
        r"\bevents\s+kind\s*(?==)",
        'a condition comes after "where"',
        "say: events offer, or: events where kind = offer",
        "events where kind ",
    ),
    idiom(
        r"\bevents\s+(?:of|by|from)\s+(?:agent\s+)?(\w+)",
        "whose events is a condition",
        "say: events where agent = alice",
        r"events where agent = \1",
    ),
    idiom(r"(\w)\*(?!\w)", "a * ends a kind name after a dot", "for example: tool.*", r"\1.*"),
    idiom(
        r"\bcount\s*\(\s*\*?\s*\)", '"count" counts rows by itself', "say: | count, or of events: count(offer)", "count"
    ),
    idiom(r",(?=\s*(?:\||\)|$))", "a comma with nothing behind it", "leave it out", ""),
    idiom(
        r"\s*(?:\|\s*)?(?:count\s+)?\bgroup\s+by\s+",
        'there is no "group by"',
        "aggregate with a stage: | count by role",
        " | count by ",
    ),
    idiom(r"\bcount\s+group\s+by\b", 'there is no "group by"', "say: | count by role", "count by"),
    idiom(r"\bgroup\s+(?!by\b)(?=[.\w])", 'there is no "group"', "say: | count by role", "count by "),
    idiom(r"\s*(?:\|\s*)?\border\s+by\s+", 'there is no "order by"', "sort with a stage: | sort time desc", " | sort "),
    idiom(
        r"\s*\bhaving\s+",
        'there is no "having"',
        "aggregate with a stage, then filter: | count by role | where count > 5",
        " | where ",
    ),
    idiom(
        r"\b(?:select\s+distinct|distinct|unique|uniq)\s+(?=[.\w])",
        "different values are groups",
        "say: | count by role, or for their number: | distinct(role)",
        "count by ",
    ),
    idiom(
        r"\b(sum|avg|min|max|median|stddev|first|last)\s+(\.[\w.]+|[a-z]\w+)",
        "an aggregate takes its value in ( )",
        "say: sum(.tokens)",
        r"\1(\2)",
    ),
    idiom(
        r"\btop\s+(\d+)\s+by\s+([.\w]+)",
        'there is no "top"',
        "say: | sort turns desc | limit 5",
        r"sort \2 desc | limit \1",
    ),
    idiom(
        r"\b(?:last|tail)\s+(\d+)",
        "the last ones come first when sorted the other way",
        "say: | sort time desc | limit 10",
        r"sort time desc | limit \1",
    ),
    idiom(r"\b(?:first|head|take)\s+(\d+)", "the first ones are a limit", "say: | limit 10", r"limit \1"),
    idiom(r"\b(?:skip|offset)\s+\d+", "rows are not left out by number", "use limit, or start later: where time > 5s"),
    idiom(
        r"\bsummarize\s+(?:(\w+)\s*=\s*)?(\w+)\(\)",
        'there is no "summarize"',
        "say: | count by role",
        lambda found: found.group(2) + (f" as {found.group(1)}" if found.group(1) else ""),
    ),
    idiom(r"\bsummarize\s+", 'there is no "summarize"', "say: | count by role, | sum(.tokens) by role", ""),
    idiom(r"\bbin\(\s*\w+\s*,\s*([\w.]+)\s*\)", "buckets are made with per", "say: | count per 1m"),
    idiom(
        r"\bper\s+(second|minute|hour|day)s?\b",
        "a bucket needs a width",
        "say: per 1m",
        lambda found: f"per 1{found.group(1)[0].lower()}",
    ),
    idiom(r"\bevery\s+(\d\w*)", "buckets are made with per", "say: | count per 1m", r"per \1"),
    idiom(r"\brate\s+per\b", 'there is no "rate"', "say: | count per 1m", "count per"),
    idiom(
        r"\bper\s+(\S+)\s+by\s+([.\w, ]+)", '"by" comes before "per"', "say: | count by role per 1m", r"by \2 per \1"
    ),
    idiom(
        r"\bsort\s+(desc|asc)\s+([.\w]+)",
        '"desc" comes after what is sorted by',
        "say: | sort time desc",
        r"sort \2 \1",
    ),
    idiom(
        r"\bextend\s+(\w+)\s*=\s*([^|]+)",
        'there is no "extend"',
        "say: | select *, .price * 2 as double",
        r"select *, \2 as \1",
    ),
    idiom(r"\brename\s+(\w+)\s+as\s+(\w+)", 'there is no "rename"', "say: | select kind as k", r"select \1 as \2"),
    idiom(r"\b(?:ancestors|parents)\b", 'what led to a row is "causes"', "say: | causes", "causes"),
    idiom(r"\b(?:descendants|children)\b", 'what a row led to is "effects"', "say: | effects", "effects"),
    idiom(r"\|\s*(chat|tree|timeline|table)\b", 'a shape comes after "as"', "say: | as tree", r"| as \1"),
    idiom(
        r"\bas\s+(?:json|csv|parquet|arrow|pandas|markdown|html|jsonl)\b",
        "a query has no file formats",
        "the command line writes them (--format), and in Python a result does; shapes are: table, chat, tree, timeline",
    ),
    idiom(
        r"\b(?:limit|sample)\s+-\d+",
        "a size is zero or more",
        "for example: limit 10; for the last rows: | sort time desc | limit 10",
    ),
)


OF_QUERIES = (*_VALUES, *_STAGES)
