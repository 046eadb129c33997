"""A plain WebSocket client on the command line, and a person who types: hello, then a query."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.client.served import Served

pytest.importorskip("websockets.__main__", reason="websockets is not installed (pip install websockets)")


class Typing:
    """`websockets URL`, with our hands on its keyboard."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "websockets", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TERM": "dumb", "PYTHONUNBUFFERED": "1"},
        )

    def type(self, message: dict[str, object]) -> None:
        """A line and Enter."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def seen(self) -> Iterator[dict[str, object]]:
        """What it shows of the server's messages, one after the other; no progress."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match = re.search(r"< (\{.*\})", line)
            if match is not None and '"progress"' not in match[1]:
                yield json.loads(match[1])

    def close(self) -> None:
        """Ctrl-D."""
        self._process.communicate(timeout=20)


@pytest.fixture
def typing(served: Served) -> Iterator[Typing]:
    typing = Typing(served.url)
    yield typing
    typing.close()


def test_hello_and_a_query_typed_by_hand(served: Served, typing: Typing) -> None:
    seen = typing.seen()
    typing.type({"type": "hello", "token": served.token})
    assert next(seen)["type"] == "welcome"
    typing.type({"type": "query", "id": 1, "text": "agents | count by role"})
    schema, batch, done = next(seen), next(seen), next(seen)
    assert (schema["type"], batch["rows"], done["type"]) == ("schema", [["buyer", 120], ["seller", 3]], "done")


def test_a_client_that_names_no_subprotocol_is_answered_in_json_and_told_of_a_wrong_token(typing: Typing) -> None:
    typing.type({"type": "hello", "token": "wrong"})
    assert next(typing.seen())["code"] == "unauthorized"
