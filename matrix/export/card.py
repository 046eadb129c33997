"""The data card: what an export holds, how it was made, and what was left out of it and why.

What always holds: the same export writes the same card. There is no moment in it, and no name of a machine or folder
but the store's own name; what says where the data is from are digests. ``card.json`` has all of it, and ``README.md``
the same for people, with the head that Hugging Face reads: which files are which split, how many rows, which columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from matrix.export import shards

CARD_VERSION: Final = 1
_TASKS: Final = {"chat": "text-generation", "pairs": "text-generation", "episodes": "reinforcement-learning"}
_SIZES: Final = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


def json_text(card: Mapping[str, Any]) -> str:
    """The card for machines."""
    return json.dumps(card, ensure_ascii=False, indent=1) + "\n"


def folder_text(card: Mapping[str, Any], features: Sequence[Mapping[str, Any]] | None) -> str:
    """The card of a folder for people and for Hugging Face; ``features`` where files do not say their types."""
    needed = [] if features is None else list(_list("To open it", _needed(card)))
    return "\n".join(["---", *_head(card, features), "---", "", *_body(card), *needed]) + "\n"


def _needed(card: Mapping[str, Any]) -> Iterator[str]:
    """What readers of JSON Lines must have."""
    yield (
        "`datasets` 4.7 or newer loads this folder, since it has a type for JSON; older ones take the files one by one,"
        ' `load_dataset("json", data_files=…)`, or an export to Parquet.'
    )
    if card["files"] and card["files"][0]["name"].endswith(".zst"):
        yield "`datasets` and pandas read `.zst` where the package `zstandard` is installed."


def file_text(card: Mapping[str, Any]) -> str:
    """The card of a single file, which ends with all of it for machines.

    It is no JSON file of its own: readers that take all JSON files of a folder would take it for data.
    """
    return "\n".join([*_body(card), "## For machines", "", "```json", json_text(card) + "```"]) + "\n"


def _head(card: Mapping[str, Any], features: Sequence[Mapping[str, Any]] | None) -> Iterator[str]:
    """YAML; names and the like are JSON texts, which YAML reads as such."""
    rows = card["counts"]["rows"]
    yield f"pretty_name: {json.dumps(_title(card))}"
    yield f"size_categories: [{json.dumps(_SIZES[max(0, len(str(rows)) - 3)])}]"
    if task := _TASKS.get(card["form"]):
        yield f"task_categories: [{task}]"
    yield f"tags: {json.dumps(['matrix', 'agents', card['form']])}"
    yield from ("configs:", "- config_name: default", "  data_files:")
    splits: dict[str, list[Mapping[str, Any]]] = {}
    for file in card["files"]:
        splits.setdefault(file["split"], []).append(file)
    for split, files in splits.items():
        yield f"  - split: {split}"
        suffix = files[0]["name"][len(shards.name(split, 0, 1, "")) :]
        yield f"    path: {json.dumps(f'{split}-*{suffix}')}"
    yield "dataset_info:"
    if features is not None:
        yield "  features:"
        yield from (f"  - {json.dumps(feature)}" for feature in features)
    yield "  splits:"
    for split, files in splits.items():
        yield f"  - name: {split}"
        yield f"    num_bytes: {sum(file['bytes'] for file in files)}"
        yield f"    num_examples: {sum(file['rows'] for file in files)}"


def _title(card: Mapping[str, Any]) -> str:
    return f"{card['store']['name']}: {card['form']}"


def _body(card: Mapping[str, Any]) -> Iterator[str]:
    counts = card["counts"]
    yield f"# {_title(card)}"
    yield ""
    yield f"Made by Matrix {card['matrix']} from the store `{card['store']['name']}`, as {card['form']}, of this query:"
    yield ""
    yield from (f"    {line}" for line in card["query"].strip().splitlines())
    yield ""
    yield from _parameters(card)
    yield from _table("", {name: value for name, value in counts.items() if isinstance(value, int)})
    splits = {name: f"{of['rows']:,} rows of {of['families']:,} families" for name, of in counts["by_split"].items()}
    yield from _table("Splits", splits)
    yield from _table("Rows by outcome", counts.get("by_outcome", {}))
    yield from _table("Rows by role", counts["by_role"])
    for part, title in (("taken", "Taken"), ("cut", "Cut"), ("left_out", "Left out"), ("kept", "Odd, and kept")):
        yield from _table(title, card[part])
    if repeats := card.get("duplicates"):
        dropped = {"the same as an earlier row": repeats["exact"], "nearly the same": repeats["near"]}
        yield from _table(f"Dropped as duplicates (similarity {repeats['threshold']} or more)", dropped)
    yield from _list("To know", card["notices"])
    yield from ("## Columns", "", "| column | type | what it is |", "|---|---|---|")
    for column in card["columns"]:
        yield f"| {column['name']} | {_cell(column['type'])} | {_cell(column['meaning'])} |"
    yield from ("", "## Files", "", "| file | rows | bytes | SHA-256 |", "|---|---|---|---|")
    for file in card["files"]:
        yield f"| {_cell(file['name'])} | {file['rows']:,} | {file['bytes']:,} | {file['sha256']} |"
    store = card["store"]
    yield from ("", f"Digest of the {store['simulations']:,} simulations in it: `{store['digest']}`", "")


def _parameters(card: Mapping[str, Any]) -> Iterator[str]:
    given = {f"${name}": value for name, value in card["parameters"].items()} | card["options"]
    if given:
        yield from (f"- {_cell(name)}: {_cell(json.dumps(value, ensure_ascii=False))}" for name, value in given.items())
        yield ""


def _table(title: str, values: Mapping[str, Any]) -> Iterator[str]:
    if not values:
        return
    yield from (f"## {title}", "") if title else ()
    yield from ("| | |", "|---|---|")
    for name, value in values.items():
        yield f"| {_cell(name)} | {value:,} |" if isinstance(value, int) else f"| {_cell(name)} | {_cell(value)} |"
    yield ""


def _list(title: str, texts: Iterable[str]) -> Iterator[str]:
    items = [f"- {text}" for text in texts]
    if items:
        yield from (f"## {title}", "", *items, "")


def _cell(value: Any) -> str:
    """Text inside of a table: names of agents and roles are anybody's."""
    return " ".join(str(value).replace("|", "\\|").replace("<", "&lt;").split())
