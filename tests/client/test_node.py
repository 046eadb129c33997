"""Node's own WebSocket, without a line of ours: rows as JSON, and Arrow batches read by apache-arrow.

Node 22 has WebSocket as it stands, 20 and 21 with a flag. apache-arrow is the copy that the page brings along.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import matrix
from tests.client.served import Served

ARROW = Path(matrix.__file__).parent / "server" / "page" / "vendor" / "apache-arrow" / "Arrow.es2015.min.js"

PROGRAM = """
const [url, token, text, arrow] = process.argv.slice(2);
const socket = new WebSocket(url, ["matrix.v1+json"]);
socket.binaryType = "arraybuffer";
const pieces = [], rows = [];
let columns;
socket.onopen = () => {
  socket.send(JSON.stringify({type: "hello", token}));
  socket.send(JSON.stringify({type: "query", id: 1, text, page: 40, ...(arrow ? {format: "arrow"} : {})}));
};
socket.onmessage = async ({data}) => {
  if (typeof data !== "string") { pieces.push(new Uint8Array(data)); return; }
  const message = JSON.parse(data);
  if (message.type === "error") { console.error(message.code); process.exit(1); }
  if (message.type === "schema") columns = message.columns.map((column) => column.name);
  if (message.type === "batch") {
    if (!arrow) rows.push(...message.rows);
    socket.send(JSON.stringify({type: "grant", id: 1, credit: 1}));
  }
  if (message.type === "done") {
    if (arrow) {
      const {tableFromIPC} = require(arrow);
      const whole = tableFromIPC(pieces), part = tableFromIPC([pieces[0], pieces[2]]);
      const told = (table) => table.toArray().map((row) => [row.seq, row.kind, row.data].map(String));
      console.log(JSON.stringify({columns, rows: told(whole), part: told(part)}));
    } else console.log(JSON.stringify({columns, rows}));
    socket.close();
  }
};
"""


def _node() -> list[str]:
    """Node with a WebSocket of its own; skips where there is none."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=20).stdout
    match = re.match(r"v(\d+)", said)
    version = int(match[1]) if match else 0
    if version < 20:
        pytest.skip(f"node {said.strip()} has no WebSocket; 20 and later have")
    return [found] if version >= 22 else [found, "--experimental-websocket"]


def asked(served: Served, folder: Path, text: str, arrow: str = "") -> Any:
    """What the program prints."""
    program = folder / "client.cjs"
    program.write_text(PROGRAM)
    command = [*_node(), str(program), served.url, served.token, text, *([arrow] if arrow else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_rows_as_json(served: Served, local: matrix.Store, tmp_path: Path) -> None:
    text = "events | select seq, kind, data | limit 100"
    found = asked(served, tmp_path, text)
    assert found["columns"] == ["seq", "kind", "data"]
    assert found["rows"] == [list(row.values()) for row in local.query(text).rows()]


def test_arrow_batches_are_read_by_apache_arrow_whole_and_in_parts(
    served: Served, local: matrix.Store, tmp_path: Path
) -> None:
    text = "events | select seq, kind, data | limit 100"
    if not ARROW.is_file():
        pytest.skip("the page brings no apache-arrow along")
    found = asked(served, tmp_path, text, str(ARROW))
    right = [[str(seq), kind, data] for seq, kind, data in zip(*local.query(text).table.to_pydict().values())]
    assert found["rows"] == right
    assert found["part"] == right[40:80]
