"""Railroad diagrams of the grammar: `query.lark` as the dozen pictures that a person needs.

Read by Lark's own grammar of grammars, so a picture shows what the parser does. `PICTURES` says which rules stand in
which picture; a rule that has no place of its own is drawn where it is used. The colours are such that a picture can be
read on a white page and on a dark one.

    python grammar/draw.py        # make the pictures again, after a change of the grammar
"""

from __future__ import annotations

import hashlib
import html
import io
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # the pattern of a token, as Python itself reads it
from typing import Any

import railroad
from lark import Lark, Token, Tree

HERE = Path(__file__).parent
WIDTH_MAX = 900  # pixels of a line of a picture
FOLDER = HERE / "diagrams"

#: Each picture, and the rules or tokens drawn in it, one below the other.
PICTURES: dict[str, tuple[str, ...]] = {
    "query": ("start", "source"),
    "moment": ("as_of",),
    "stage": ("stage", "item", "sort_item"),
    "aggregate": ("agg_item", "agg_sum", "agg_atom", "AGG", "by", "per"),
    "condition": ("expr", "not_expr"),
    "comparison": ("comparison", "members"),
    "value": ("coalesce", "unary", "atom"),
    "counting": ("argument", "related", "group"),
    "goal": ("goal_test", "outcome", "distance"),
    "quantifier": ("quantified", "quantity", "thing"),
    "sequence": ("sequence", "free_sequence", "rest", "next_step", "step", "absent", "modifier", "keep", "role"),
    "event": ("any_of", "pattern", "kind"),
    "cause": ("caused", "within_steps"),
    "literals": ("size", "NUMBER", "DURATION", "STRING", "REGEX", "PARAM"),
    "time": ("TIME",),
    "names": ("path", "NAME", "DATA", "GLOB"),
}

#: What a rule or token is called in the pictures; others keep their names.
CALLED = {
    "start": "query",
    "as_of": "moment",
    "expr": "condition",
    "not_expr": "test",
    "agg_item": "aggregate",
    "agg_sum": "arithmetic",
    "agg_atom": "number of a group",
    "item": "column",
    "sort_item": "key",
    "coalesce": "value",
    "unary": "signed value",
    "atom": "simple value",
    "related": "rows",
    "group": "related rows",
    "goal_test": "goal test",
    "quantified": "quantifier",
    "free_sequence": "steps",
    "any_of": "event",
    "pattern": "one event",
    "role": "whose",
    "modifier": "limit",
    "keep": "on the way",
    "path": "field",
    "AGG": "function",
    "next_step": "next step",
    "caused": "cause",
    "within_steps": "within steps",
    "size": "whole number",
    "NUMBER": "number",
    "DURATION": "duration",
    "TIME": "clock time",
    "STRING": "text",
    "REGEX": "pattern in / /",
    "PARAM": "$parameter",
    "NAME": "name",
    "DATA": "path into data",
    "GLOB": "family.*",
}

#: What an expression is in these rules; elsewhere it is a condition.
_EXPRESSION_IN = {"sort_item": "value", "members": "value"}
_EXPRESSION_IN |= dict.fromkeys(("atom", "argument", "agg_atom"), "condition or value")
_LETTERS = {
    r"[^\W\d]": "letter",
    r"\w": "letter or digit",
    r"\d": "digit",
    r"[\d_]": "digit or _",
    r"""[^"\\\n]""": 'any but " and \\',
    r"""[^'\\\n]""": "any but ' and \\",
    r"[^\/\\\n]": "any but / and \\",
    ".": "any letter",
}

FONT = 'ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace'
STYLE = f"""
svg.railroad-diagram {{ background: none; }}
svg.railroad-diagram path {{ stroke: #848d97; stroke-width: 2; fill: none; }}
svg.railroad-diagram text {{ font: 600 13px {FONT}; text-anchor: middle; fill: #1f2328; }}
svg.railroad-diagram g.terminal rect {{ fill: #b6e3ff; stroke: #218bff; stroke-width: 1; }}
svg.railroad-diagram g.non-terminal rect {{ fill: #eaeef2; stroke: #848d97; stroke-width: 1; }}
text.title {{ font: 600 14px {FONT}; fill: #848d97; }}
"""


class Grammar:
    """The rules and tokens of the grammar, and how each is drawn."""

    def __init__(self, source: str) -> None:
        reader = Lark.open_from_package("lark", "lark.lark", ["grammars"], parser="lalr", maybe_placeholders=False)
        self.bodies: dict[str, Any] = {}
        for definition in reader.parse(source).children:
            if isinstance(definition, Tree) and definition.data in ("rule", "token"):
                self.bodies[str(definition.children[0]).lstrip("?!")] = definition.children[-1]
        self.placed = {name for names in PICTURES.values() for name in names}
        self.drawn: set[str] = set()  # rules and tokens that stand in some picture

    def picture(self, name: str) -> Any:
        """What stands between the two ends of a rule's picture."""
        self.drawn.add(name)
        return self._drawn(self.bodies[name], name)

    def _drawn(self, node: Any, rule: str) -> Any:
        if isinstance(node, Token):  # the operator behind an expression is read with it
            raise AssertionError(f"{node!r} stands alone in {rule}")
        if node.data == "expansions":
            return self._choice(node.children, rule)
        if node.data in ("expansion", "alias"):
            children = node.children if node.data == "expansion" else node.children[:1]
            return self._sequence(children, rule)
        if node.data == "maybe":
            return railroad.Optional(self._drawn(node.children[0], rule))
        if node.data == "expr":
            inner, operator = node.children
            kind = {"?": railroad.Optional, "*": railroad.ZeroOrMore, "+": railroad.OneOrMore}[str(operator)]
            return kind(self._drawn(inner, rule))
        if node.data == "name":
            return self._named(str(node.children[0]), rule)
        assert node.data == "literal", node
        return _literal(str(node.children[0]))

    def _named(self, name: str, rule: str) -> Any:
        self.drawn.add(name)
        body = self.bodies[name]
        if name == "expr" and rule in _EXPRESSION_IN:
            return railroad.NonTerminal(_EXPRESSION_IN[rule])
        if name == "comparison" and rule == "item":
            return railroad.NonTerminal("value")
        if name in self.placed:
            return railroad.NonTerminal(called(name))
        return self._drawn(body, rule)

    def _choice(self, options: list[Any], rule: str) -> Any:
        if len(options) == 2 and (loop := self._loop(_items(options[0]), _items(options[1]), rule)) is not None:
            return loop
        return railroad.Choice(0, *(self._drawn(option, rule) for option in options))

    def _sequence(self, items: list[Any], rule: str) -> Any:
        """Items one after the other; what is there once and then again behind a sign becomes a loop."""
        drawn: list[Any] = []
        place = 0
        while place < len(items):
            loop = self._loop([items[place]], items[place : place + 2], rule) if place + 1 < len(items) else None
            drawn.append(loop if loop is not None else self._drawn(items[place], rule))
            place += 1 if loop is None else 2
        return drawn[0] if len(drawn) == 1 else railroad.Sequence(*drawn)

    def _loop(self, once: list[Any], often: list[Any], rule: str) -> Any:
        """`a (sign a)*`, and `a | a (sign a)+`, as a loop over `a` with the sign on the way back; else None."""
        if len(once) != 1 or len(often) != 2 or often[0] != once[0]:
            return None
        again = often[1]
        if not (isinstance(again, Tree) and again.data == "expr" and str(again.children[1]) in "*+"):
            return None
        inner = _items(again.children[0])
        if len(inner) < 2 or inner[-1] != once[0]:
            return None
        return railroad.OneOrMore(self._drawn(once[0], rule), self._sequence(inner[:-1], rule))


def _items(node: Any) -> list[Any]:
    while isinstance(node, Tree) and node.data == "alias":
        node = node.children[0]
    return list(node.children) if isinstance(node, Tree) and node.data == "expansion" else [node]


def called(name: str) -> str:
    """What a rule or token is called in the pictures."""
    return CALLED.get(name, name.replace("_", " "))


# -- tokens ---------------------------------------------------------------------------------------


def _literal(text: str) -> Any:
    if text.startswith('"'):
        return railroad.Terminal(text[1:-1].replace("\\\\", "\\"))
    whole = _pattern(list(_parser.parse(text[1 : text.rindex("/")].replace("\\/", "/"))))
    if isinstance(whole, railroad.Sequence) and whole.width > WIDTH_MAX:
        *first, last = whole.items
        return railroad.Stack(railroad.Sequence(*first), last)
    return whole


def _pattern(nodes: list[Any]) -> Any:
    """A token's pattern; what it looks at without taking it is left out."""
    drawn: list[Any] = []
    letters = ""
    for operation, argument in nodes:
        name = str(operation)
        if name == "LITERAL":
            letters += chr(argument)
            continue
        if letters:
            drawn.append(railroad.Terminal(letters))
            letters = ""
        if drawn and name == "IN" and _is_digit(argument) and getattr(drawn[-1], "text", "") == "digit":
            drawn[-1] = railroad.NonTerminal("2 digits")
            continue
        if name not in ("ASSERT", "ASSERT_NOT"):
            drawn.append(_pattern_part(name, argument))
    if letters:
        drawn.append(railroad.Terminal(letters))
    return drawn[0] if len(drawn) == 1 else railroad.Sequence(*drawn)


def _is_digit(members: list[Any]) -> bool:
    return [str(value) for _, value in members] == ["CATEGORY_DIGIT"]


def _pattern_part(name: str, argument: Any) -> Any:
    if name == "SUBPATTERN":
        return _pattern(list(argument[3]))
    if name == "BRANCH":
        return railroad.Choice(0, *(_pattern(list(branch)) for branch in argument[1]))
    if name == "ANY":
        return railroad.NonTerminal("any letter")
    if name == "IN":
        return _letters(argument)
    assert name == "MAX_REPEAT", name
    least, most, inner = argument
    part = list(inner)
    if (least, most) == (0, 1):
        return railroad.Optional(_pattern(part))
    if str(most) != "MAXREPEAT":
        words = f"{least} digits" if least == most else f"{least} to {most} digits"
        return railroad.NonTerminal(words)
    return (railroad.OneOrMore if least else railroad.ZeroOrMore)(_pattern(part))


def _letters(members: list[Any]) -> Any:
    """A class of letters: its name, or a choice of them."""
    described = "".join(f"{operation}:{value} " for operation, value in members)
    for pattern, words in _LETTERS.items():
        known = next(iter(_parser.parse(pattern)))
        if str(known[0]) == "IN" and described == "".join(f"{o}:{v} " for o, v in known[1]):
            return railroad.NonTerminal(words)
    return railroad.Choice(0, *(railroad.Terminal(chr(value)) for operation, value in members))


# -- pictures -------------------------------------------------------------------------------------


def drawings(source: str) -> dict[str, str]:
    """The pictures of a grammar by name, as SVG."""
    grammar = Grammar(source)
    return {
        name: _stacked([(called(rule), grammar.picture(rule)) for rule in rules], source)
        for name, rules in PICTURES.items()
    }


def not_drawn(source: str) -> set[str]:
    """The rules and tokens that are in no picture."""
    grammar = Grammar(source)
    for rules in PICTURES.values():
        for rule in rules:
            grammar.picture(rule)
    return set(grammar.bodies) - grammar.drawn


def mark(source: str) -> str:
    """The line in each picture that says what it was made from."""
    digest = hashlib.sha256(source.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return f"<!-- made by draw.py; with query.lark: {digest} -->"


def _stacked(rows: list[tuple[str, Any]], source: str) -> str:
    """Diagrams one below the other, each under its name."""
    parts, top, width = [], 0.0, 0.0
    for title, item in rows:
        diagram = railroad.Diagram(item, type="complex").format(8)
        written = io.StringIO()
        diagram.writeSvg(written.write)
        parts.append(f'<text class="title" x="10" y="{top + 16:g}">{html.escape(title)}</text>')
        parts.append(written.getvalue().replace("<svg ", f'<svg y="{top + 22:g}" ', 1))
        top += 22 + float(diagram.attrs["height"]) + 10
        width = max(width, float(diagram.attrs["width"]), 12 + 9 * len(title))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{top:g}" viewBox="0 0 {width:g} {top:g}">'
    )
    return "\n".join([head, mark(source), f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def main() -> None:
    """Write the pictures beside the grammar."""
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for name, svg in drawings((HERE / "query.lark").read_text(encoding="utf-8")).items():
        (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
