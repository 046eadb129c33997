"""The place of a store: which folder may become one, so that nothing is written among somebody's other things."""

from __future__ import annotations

from pathlib import Path

from matrix.errors import NotAStore

#: What may lie in a folder that has no log yet: an importer's lock.
_OURS = frozenset({"import.lock"})


def check_place(store: Path) -> None:
    """Refuse a file, or a folder that holds other things and no log; what is not there, or empty, is fine.

    >>> check_place(Path("/etc"))
    Traceback (most recent call last):
    matrix.errors.NotAStore: /etc: a folder with other things in it; give a store, or a new folder
    """
    if not store.exists() or (store / "log").is_dir():
        return
    if not store.is_dir():
        raise NotAStore(f"{store}: a store is a folder, and this is a file")
    if any(entry.name not in _OURS for entry in store.iterdir()):
        raise NotAStore(f"{store}: a folder with other things in it; give a store, or a new folder")
