"""HTML made of elements: what is not an element is text, and is escaped.

What always holds: text from data cannot become markup, since only this file makes ``Html``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from pathlib import Path


class Html(str):
    """Markup; every other text is escaped when it gets into an element."""

    __slots__ = ()


_EMPTY = frozenset({"meta", "rect", "line", "circle", "path", "polyline"})
# What HTML and XML have no room for, and half surrogate pairs, which UTF-8 has none for: shown as the sign for it.
_FORBIDDEN = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, *range(55296, 57344)), "�")

Part = str | Iterable["Part"] | None


def tag(name: str, /, *parts: Part, **attributes: str | float | None) -> Html:
    """An element. ``class_`` is the attribute ``class``, ``stroke_width`` is ``stroke-width``; None leaves one out.

    >>> tag("p", "1 < 2 ", tag("b", "true"), class_="note")
    '<p class="note">1 &lt; 2 <b>true</b></p>'
    """
    return element(name, {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}, *parts)


def element(name: str, attributes: Mapping[str, str | float | None], *parts: Part) -> Html:
    """The same, with attributes by their own names."""
    written = "".join(f' {key}="{_escaped(_plain(value))}"' for key, value in attributes.items() if value is not None)
    if name in _EMPTY and not parts:
        return Html(f"<{name}{written}>" if name == "meta" else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(parts)}</{name}>")


def join(parts: Iterable[Part]) -> Html:
    """Parts one after the other."""
    return Html("".join(_written(part) for part in parts))


def style_of(file: Path) -> Html:
    """A style sheet of ours, as it is."""
    return Html(f"<style>\n{file.read_text(encoding='utf-8')}</style>")


def _written(part: Part) -> str:
    if part is None:
        return ""
    if isinstance(part, Html):
        return part
    return _escaped(part) if isinstance(part, str) else join(part)


def _plain(value: str | float | None) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _escaped(text: str) -> str:
    return html.escape(text.translate(_FORBIDDEN))
