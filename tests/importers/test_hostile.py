"""Whatever stands in a file: it is imported, or refused with its place and nothing of it is in the store."""

from __future__ import annotations

import copy
import functools
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matrix.importers import Refusal, Source, import_files, importer_of
from tests.importers.recorded import call, events_in, ids_in, message

#: Those of JSON text; the others have hostile tests of their own.
FORMATS = ["tau2", "casino", "tau-bench", "cicero", "llm-deliberation", "openai", "meta-matrix"]
Path_ = tuple[str | int, ...]
DELETED = object()

#: What a field is replaced by; every kind of JSON value, and some that are only just JSON.
WRONG: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, -0.0, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, "", "x", "user", "tool",
    "é\u0000\U0001f642", "\ud800", "2025-08-01", "9999-12-31T23:59:59.999999", "0001-01-01T00:00:00+14:00", "12" * 200,
    [], [None], ["x"], [[]], [{}], {},
    {"": None}, {"id": "x"}, {"a": {"b": [1, "x", None, 1.5]}}, {"\ud800": 1}, DELETED,
]  # fmt: skip
DEEP: Any = 0
for _ in range(60):
    DEEP = [DEEP]
WRONG.append(DEEP)


def paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every value in a JSON value, its own first."""
    yield path
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in steps:
        yield from paths(child, (*path, key))


def put(value: Any, path: Path_, wrong: Any) -> Any:
    """The value with what is at this path replaced."""
    if not path:
        return None if wrong is DELETED else wrong
    value = copy.deepcopy(value)
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if wrong is DELETED:
        del inner[path[-1]]
    else:
        inner[path[-1]] = wrong
    return value


importer = functools.cache(importer_of)


def read_all(format: str, path: Path) -> str | None:
    """None when the file was read to its end, else what it was refused for."""
    try:
        for history in importer(format)(Source(path)):
            assert [event.seq for event in history.events] == list(range(1, len(history.events) + 1))
            times = [event.time for event in history.events]
            assert times == sorted(times) and times[0] >= 0
    except Refusal as refusal:
        return str(refusal)
    return None


@pytest.fixture
def tau2(tau2: dict[str, Any]) -> dict[str, Any]:
    """The small tau2 file with one of everything: a user's tool, an error, text beside calls, a system message."""
    simulation = tau2["simulations"][0]
    simulation["messages"][2:2] = [
        message("system", "You are helpful.", 2.25),
        message("user", "Let me look.", 2.5, tool_calls=[call("u", "look", "user"), call("u", "look", "user")]),
        message("tool", "dark", 2.75, id="u", requestor="user", error=True),
        message("assistant", "", 2.875, tool_calls=[]),
    ]
    return tau2


@pytest.mark.parametrize("format", FORMATS)
def test_any_value_anywhere_is_taken_or_refused_with_its_place(format, request, write):
    recorded = request.getfixturevalue(format.replace("-", "_"))
    outcomes = []
    for path in paths(recorded):
        for wrong in WRONG:
            refused = read_all(format, write(put(recorded, path, wrong)))
            outcomes.append(refused is None)
            if refused and path and wrong is not DELETED:
                named = [f"[{step}]" if isinstance(step, int) else step for step in path]
                assert any(name in refused for name in named) or "line " in refused, (path, wrong, refused)
    assert outcomes.count(True) > 200 and outcomes.count(False) > 200


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bent_file_is_in_the_store_whole_or_not_at_all(format, request, tmp_path_factory, data):
    recorded = request.getfixturevalue(format.replace("-", "_"))
    folder = tmp_path_factory.mktemp("bent")
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(list(paths(recorded))))
        recorded = put(recorded, path, data.draw(st.sampled_from(WRONG)))
    (folder / "bent.json").write_text(json.dumps(recorded))
    (report,) = import_files(folder / "store", format, [folder / "bent.json"])
    assert len(ids_in(folder / "store")) == report.simulations
    if (folder / "store").exists():
        assert len(events_in(folder / "store")) == report.events
    if report.is_refused:
        assert report.simulations == 0 and report.message.startswith(f"{folder / 'bent.json'}: ")
    else:
        (again,) = import_files(folder / "store", format, [folder / "bent.json"])
        assert again.status == ("already there" if report.simulations else "imported")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_cut_at_any_place_is_refused(format, zipped, request, tmp_path: Path):
    content = json.dumps(request.getfixturevalue(format.replace("-", "_"))).encode()
    content = gzip.compress(content, mtime=0) if zipped else content
    for kept in range(0, len(content), 1 if zipped else 3):
        (tmp_path / "cut").write_bytes(content[:kept])
        with pytest.raises(Refusal, match=r"byte|line"):
            read_to_end(format, tmp_path / "cut")


@pytest.mark.parametrize("format", FORMATS)
def test_any_byte_changed_is_taken_or_refused(format, request, tmp_path: Path):
    content = json.dumps(request.getfixturevalue(format.replace("-", "_"))).encode()
    for at in range(0, len(content), 7):
        for byte in (0, 0x22, 0x5B, 0x7D, 0x39, 0xFF):
            (tmp_path / "bent").write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
            read_all(format, tmp_path / "bent")


def test_trailing_garbage_is_refused(casino, write: Callable[..., Path], tmp_path: Path):
    content = json.dumps(casino).encode()
    for tail, place in ((b"]", "line 1, byte"), (b"\n\n{}", "line 3, byte"), (b"\0", "line 1, byte")):
        assert place in str(read_all("casino", write(content + tail)))
    (report,) = import_files(tmp_path / "store", "casino", [write(content + b" \n ")])
    assert report.status == "imported"


def read_to_end(format: str, path: Path) -> None:
    for _ in importer(format)(Source(path)):
        pass
