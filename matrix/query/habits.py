"""x"""

from __future__ import annotations

from dataclasses import dataclass

from lark import Token

from .suggest import Refusal, refusal


@dataclass
class Failure:
    text: str
    tokens: list[Token]
    place: int | None

    @classmethod
    def at(cls, text: str, tokens: list[Token], place: int | None) -> Failure:
        return cls(text, tokens, place)


def diagnose(failure: Failure) -> Refusal:
    place = failure.place if failure.place is not None else len(failure.text)
    return refusal("unexpected", "unexpected", (place, place + 1))
