"""What may be said: payload values are CBOR values with text keys, copied when they are said.

Later changes of a list or a map that was emitted do not change history; a value that the log cannot
hold is refused where it is said, with the field's name, not at a commit much later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matrix.errors import ProgramError
from matrix.limits import CBOR_DEPTH_MAX

#: Exactly these types go into the log as they are; they cannot change, so they are not copied.
SCALARS = frozenset({int, float, str, bool, bytes, type(None)})
_PLAIN = SCALARS - {str}  # a text must be looked at: half a letter cannot be written down


def check_text(text: str, place: str) -> str:
    """The text itself; ``ProgramError`` for one with half a letter in it, as a broken decoding leaves them."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            shown = ascii(text[max(0, error.start - 10) : error.end + 10])
            raise ProgramError(
                f"{place} has half a letter in it, near {shown}; decode with errors='replace' before saying it"
            ) from None
    return text


def mended(text: str) -> str:
    """A text that is not ours to refuse, such as an error's, with ? for each half letter."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def snapshot(value: Any, place: str, depth: int = 1) -> Any:
    """A copy of ``value`` in plain CBOR types, or a ``ProgramError`` that names ``place``.

    >>> snapshot({"price": 40, "items": ("lamp", "rug")}, "offer.deal")
    {'price': 40, 'items': ['lamp', 'rug']}
    >>> snapshot({1, 2}, "offer.deal")
    Traceback (most recent call last):
    matrix.errors.ProgramError: offer.deal is a set, whose order differs between processes; give sorted(...) instead
    """
    kind = type(value)
    if kind is str:
        return check_text(value, place)
    if kind in _PLAIN:
        return value
    if depth > CBOR_DEPTH_MAX:
        raise ProgramError(f"{place} is nested deeper than {CBOR_DEPTH_MAX} levels")
    if kind is list or kind is tuple:
        return [v if type(v) in _PLAIN else snapshot(v, f"{place}[{i}]", depth + 1) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(k, place): snapshot(v, f"{place}.{k}", depth + 1) for k, v in value.items()}
    return _unusual(value, place, depth)


def snapshot_payload(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """A copy of a whole payload of ``kind``."""
    return {
        name if name.isascii() else check_text(name, f"the name of a field of {kind}"): v
        if type(v) in _PLAIN or (type(v) is str and v.isascii())
        else snapshot(v, f"{kind}.{name}")
        for name, v in data.items()
    }


def _key(key: Any, place: str) -> str:
    if not isinstance(key, str):
        raise ProgramError(f"{place} has the key {key!r}; the keys of a map in the log are text")
    return check_text(key if type(key) is str else str.__str__(key), f"a key of {place}")


def _unusual(value: Any, place: str, depth: int) -> Any:
    """Kin of the plain types: enums, named tuples, numpy scalars; anything else is refused."""
    if isinstance(value, str):
        return check_text(str.__str__(value), place)
    for plain in (int, float):
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, (list, tuple)):
        return snapshot(list(value), place, depth)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if type(value).__module__ == "numpy":
        return _numpy(value, place, depth)
    if isinstance(value, (set, frozenset)):
        raise ProgramError(
            f"{place} is a {type(value).__name__}, whose order differs between processes; give sorted(...) instead"
        )
    raise ProgramError(
        f"{place} is a {type(value).__name__}; "
        "the log holds numbers, text, bytes, true, false, None, lists and maps of them"
    )


def _numpy(value: Any, place: str, depth: int) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if type(plain) is not type(value) and (type(plain) in SCALARS or type(plain) is list):
        return snapshot(plain, place, depth)
    raise ProgramError(f"{place} is a {type(value).__name__} that has no plain value; convert it first")
