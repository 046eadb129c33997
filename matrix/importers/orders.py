"""Diplomacy's orders as they are written, ``A MUN S A KIE - RUH``: what kind, of which unit, where to, about whom.

    move     A VIE - GAL, A KIE - SWE VIA         support  A BUD S A SER, A BUD S F ALB - TRI
    hold     F DEN H                              convoy   F NTH C A EDI - NWY
    retreat  A SER R ALB                          build    F STP/NC B
    disband  F TRI D                              waive    WAIVE

What an order is about is read off the board as the phase begins: a unit that has to retreat stands nowhere, and a coast
(``STP/NC``) is its province.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: The kinds of orders, by the word after the unit.
TYPES = {"-": "move", "H": "hold", "S": "support", "C": "convoy", "R": "retreat", "D": "disband", "B": "build"}


def board(units: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Which power has a unit in which province.

    >>> board({"ITALY": ["F NAP", "*A VEN"], "RUSSIA": ["F STP/SC"]})
    {'NAP': 'ITALY', 'STP': 'RUSSIA'}
    """
    return {
        province(unit.split()[1]): power
        for power, of_power in units.items()
        for unit in of_power
        if not unit.startswith("*") and len(unit.split()) == 2
    }


def province(place: str) -> str:
    """A place without its coast."""
    return place.partition("/")[0]


def read_order(order: str, on: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an order; ``on`` is the board. An order that is written otherwise is of the type ``other``.

    ``against`` is the power whose unit stands where a unit moves to, ``helped_power`` that of the unit which is
    supported or convoyed.

    >>> read_order("A VIE - GAL", {"VIE": "AUSTRIA", "GAL": "RUSSIA"})
    {'type': 'move', 'unit': 'A VIE', 'province': 'VIE', 'target': 'GAL', 'against': 'RUSSIA'}
    >>> read_order("F NTH C A EDI - NWY", {"EDI": "ENGLAND"}) # doctest: +NORMALIZE_WHITESPACE
    {'type': 'convoy', 'unit': 'F NTH', 'province': 'NTH', 'helped': 'A EDI', 'helped_power': 'ENGLAND',
     'target': 'NWY'}
    """
    words = order.split()
    if words == ["WAIVE"]:
        return {"type": "waive"}
    if len(words) < 3 or words[2] not in TYPES:
        return {"type": "other"}
    type, rest = TYPES[words[2]], words[3:]
    fields: dict[str, Any] = {"type": type, "unit": " ".join(words[:2]), "province": province(words[1])}
    if type in ("support", "convoy") and len(rest) >= 2:
        fields["helped"] = " ".join(rest[:2])
        if province(rest[1]) in on:
            fields["helped_power"] = on[province(rest[1])]
        rest = rest[3:]
    if rest:
        fields["target"] = province(rest[0])
    if type == "move" and rest:
        fields |= {"via_convoy": True} if rest[1:] == ["VIA"] else {}
        fields |= {"against": on[fields["target"]]} if fields["target"] in on else {}
    return fields
