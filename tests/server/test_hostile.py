"""Everything that a hostile client, or a hostile machine, does to the real ``matrix serve``, in a process of its own."""

from __future__ import annotations

from pathlib import Path

from tests.server.process import ask, process_of, shown

# -- the process -------------------------------------------------------------------------------------------


async def test_the_servers_own_process_loads_neither_arrow_nor_numpy(small_store: Path, tmp_path: Path) -> None:
    async with process_of(small_store, tmp_path) as server, await server.session() as raw:
        found = await ask(raw, type="query", id=1, text="agents | count")
        assert [reply["type"] for reply in found] == ["schema", "batch", "done"], shown(found)
        loaded = Path(f"/proc/{server.pid}/maps").read_text()
        assert "pyarrow" not in loaded and "numpy" not in loaded
        worker = next(pid for pid, module in server.children().items() if module == "matrix.server.work.child")
        assert "pyarrow" in Path(f"/proc/{worker}/maps").read_text(), "this is where it would be seen"
    assert server.said() == ""
