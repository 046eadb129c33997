"""Causes: why a replay may have left its history, guessed from what differs and from where both were run.

What always holds: each cause names its evidence (which versions, which hash, which value); what the
values themselves tell comes before what merely has changed since the run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from matrix.event import CALL_FAMILIES
from matrix.runtime.again.changes import Change, is_reordered, shown

CALLED: Final = frozenset(f"{family}.called" for family in CALL_FAMILIES)
Environment = Mapping[str, Any]

_NUMBER = r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,16}\b")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b")
_HEX = re.compile(r"\b(?=[0-9a-fA-F]*[0-9])(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{16,}\b")
_CLOCK = r"\d\d:\d\d:\d\d(?:\.\d+)?"
_INSTANT = re.compile(rf"\b\d{{4}}-\d\d-\d\d(?:[T ](?:\d\d:\d\d|{_CLOCK})(?:Z|[+-]\d\d:?\d\d)?)?(?![\d:])|\b{_CLOCK}\b")
_EPOCH = re.compile(r"(?<![\w.])1\d{9}(?:\.\d+|\d{3}|\d{6}|\d{9})?(?![\w.])")
_TIMELY = re.compile(
    r"time|clock|stamp|date|when|elapsed|took|duration|seconds|latency|_at$|_m?s$|_us$|_ns$|^ms$", re.IGNORECASE
)
_WORD = re.compile(r"[\w-]+")
_SHIFTS: Final = {
    "more": "is what was drawn later in the run: self.random is asked more often before this",
    "less": "comes later than in the run: self.random is asked less often before this",
}
_DIGITS_RANDOM: Final = 12  # significant digits that a number has which nobody typed


def likely_causes(
    kind: str,
    changes: Iterable[Change],
    then: Environment,
    now: Environment,
    *,
    called: str,
    shifted: Mapping[str, str],
) -> Iterator[str]:
    """What may have led to a divergence of this kind with these changes, most likely first.

    ``called`` is the name of the call whose request changed, or nothing; ``shifted`` says of paths that their numbers
    come at another place among those drawn: because of "more" or "less" draws before.
    """
    listed = list(changes)
    yield from _another_program(then, now)
    yield from (f"{path} {_SHIFTS[often]}" for path, often in shifted.items())
    yield from _of_values([change for change in listed if change.path not in shifted], then, now)
    yield from _changed_code(then, now)
    yield from _of_order(kind, listed, then, now)
    yield from _of_request(kind, listed, called)
    yield from _versions(then, now)
    yield from _guard_off(then, now)


# -- where both were run --------------------------------------------------------------------------


def _another_program(then: Environment, now: Environment) -> Iterator[str]:
    before, after = str(then.get("program", "")), str(now.get("program", ""))
    # Only the function: its module is called otherwise when it is run as a script, or loaded from a file.
    if before and after and before.partition(":")[2] != after.partition(":")[2]:
        yield f"another program is replayed: {before} was recorded, this is {after}"
    for name in ("parameters", "seed"):
        if name in now and then.get(name, {}) != now[name]:
            yield f"{name} differ: {shown(then.get(name, {}), now[name])} then, {shown(now[name], then.get(name))} now"


def _changed_code(then: Environment, now: Environment) -> Iterator[str]:
    before, after = str(then.get("code", "")), str(now.get("code", ""))
    if before and after and before != after:
        file = now.get("file") or then.get("file") or then.get("program", "")
        yield f"the code has changed since the run: {file} had the hash {before[:8]}, has {after[:8]}"


def _versions(then: Environment, now: Environment) -> Iterator[str]:
    before, after = then.get("versions", {}), now.get("versions", {})
    changed = [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in dict.fromkeys([*before, *after])
        if before and after and before.get(name) != after.get(name)
    ]
    if changed:
        yield f"versions differ: {', '.join(changed)}"


def _guard_off(then: Environment, now: Environment) -> Iterator[str]:
    for told, when in ((then, "was off in the run"), (now, "is off now")):
        if _guard(told) == "off":
            yield f"the guard {when}: clocks, chance and threads inside turns went unseen"
            return


def _guard(told: Environment) -> str:
    options = told.get("options") or {}
    return str(told.get("guard") or options.get("guard") or "")


def _hash_seeds(then: Environment, now: Environment) -> str:
    """How the order of sets may differ between the two; "" when it may not."""
    before, after = str(then.get("hash_seed", "random")), str(now.get("hash_seed", "random"))
    if before == after != "random":
        return ""
    if before == after:
        return "PYTHONHASHSEED was and is random"
    return f"PYTHONHASHSEED was {before}, is {after}" + (f"; try PYTHONHASHSEED={before}" if before.isdecimal() else "")


# -- what differs -------------------------------------------------------------------------------


def _of_values(changes: list[Change], then: Environment, now: Environment) -> Iterator[str]:
    for change in changes:
        if change.path.startswith("data."):
            cause = _of_value(change, then, now)
            if cause:
                yield cause


def _of_value(change: Change, then: Environment, now: Environment) -> str:
    before, after = change.recorded, change.actual
    if is_reordered(before, after) or _is_reordered_text(before, after):
        seeds = _hash_seeds(then, now) or "the order of a set of objects is that of their addresses"
        return f"{change.path} has the same elements in another order: a set? ({seeds}; sort what is iterated)"
    if isinstance(before, str) and isinstance(after, str):
        return _of_text(change.path, before, after)
    if _is_number(before) and _is_number(after):
        return _of_number(change.path, before, after)
    return ""


def _of_text(path: str, before: str, after: str) -> str:
    """What two texts have in common but for something that changes from run to run."""
    marks: list[tuple[re.Pattern[str], str]] = [
        (_ADDRESS, "a memory address, as in the repr of an object"),
        (_UUID, "a UUID that self.uuid() did not give"),
        (_INSTANT, "a wall clock instant; self.now is virtual and replays"),
        (_EPOCH, "a wall clock instant; self.now is virtual and replays"),
        (_HEX, "a random-looking number in hexadecimal; draw from self.random"),
    ]
    for pattern, what in marks:
        if pattern.sub("·", before) == pattern.sub("·", after):
            return f"{path} holds {what} ({_first(pattern, before, after)})"
    number = re.compile(_NUMBER)
    if number.sub("·", before) == number.sub("·", after) and _TIMELY.search(f"{path} {before}"):
        return f"{path} holds what looks like a measured time; clocks differ from run to run"
    return ""


def _first(pattern: re.Pattern[str], before: str, after: str) -> str:
    pairs = zip(pattern.findall(before), pattern.findall(after))
    return next(f"{one} then, {other} now" for one, other in pairs if one != other)


def _of_number(path: str, before: float, after: float) -> str:
    name = path.rsplit(".", 1)[-1]
    if _is_epoch(before) and _is_epoch(after):
        return f"{path} looks like a wall clock instant; self.now is virtual and replays"
    is_odd = is_untyped(before) and is_untyped(after)
    if _TIMELY.search(name) and (is_odd or isinstance(before, int)):
        return f"{path} looks like a duration taken from a wall clock; self.now is virtual and replays"
    if is_odd:
        return (
            f"{path} looks random: drawn from something else than self.random,"
            " or the agent drew from it more or less often before"
        )
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_epoch(value: float) -> bool:
    """Between 2001 and 2100 in seconds, or in milli-, micro- or nanoseconds."""
    return any(1e9 * unit <= value < 4.1e9 * unit for unit in (1, 1e3, 1e6, 1e9))


def is_untyped(value: Any) -> bool:
    """Whether a value is a number with more digits than people type.

    >>> is_untyped(0.8444218515250481), is_untyped(0.25), is_untyped(12)
    (True, False, False)
    """
    if not isinstance(value, float):
        return False
    digits = repr(value).partition("e")[0].replace(".", "").lstrip("-0")
    return len(digits) >= _DIGITS_RANDOM


def _is_reordered_text(before: Any, after: Any) -> bool:
    if not isinstance(before, str) or not isinstance(after, str) or before == after:
        return False
    words = _WORD.findall(before)
    return len(words) > 1 and sorted(words) == sorted(_WORD.findall(after))


def _of_order(kind: str, changes: list[Change], then: Environment, now: Environment) -> Iterator[str]:
    seeds = _hash_seeds(then, now)
    if kind == "order" or any(
        is_reordered(change.recorded, change.actual) for change in changes if change.path == "to"
    ):
        why = f" ({seeds})" if seeds else ""
        yield f"agents or messages taken from a set, whose order is not the program's own; sort them{why}"


def _of_request(kind: str, changes: list[Change], called: str) -> Iterator[str]:
    if kind == "request" and any(change.path.startswith("data.arguments") for change in changes):
        yield f'the prompt or arguments of "{called}" are put together differently than in the run'
