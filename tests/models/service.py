"""A server that speaks the OpenAI protocol over real HTTP: for tests and benches.

with Service() as service:                                    # in a thread, on a free port
    endpoint = Endpoint(service.url, key="sk-test")
    service.next(Fault(429, retry_after="0.05"), Fault("reset"))     # what becomes of the next two requests
    ...
    service.requests[0].body["messages"]

    python -m tests.models.service --answer-ms 200            # in a process of its own; prints its URL

It serves ``/v1/chat/completions`` (answers and streams) and ``/v1/models``. What the model says is in answers.py.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from tests.models.answers import answers_to, usage_of


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    ``kind`` is an HTTP status, or "reset" (the connection breaks before the answer), "cut" (a stream ends after
    ``pieces``, a whole answer in its middle), "undone" (the stream ends in good order, without its last words),
    "slow" (``seconds`` before the answer), "garbage" (200, and no JSON), "echo" (401, with the request's headers).
    """

    kind: int | str
    retry_after: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 0.0
    pieces: int = 2


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: Any


class Service:
    """The server, in a thread of its own while the ``with`` block lasts."""

    def __init__(
        self,
        *,
        answer_s: float = 0.0,
        refuses_stream_options: bool = False,
        keeps_requests: bool = True,
        answer: Callable[[dict[str, Any]], list[dict[str, Any]]] = answers_to,
    ) -> None:
        """``answer_s`` is how long each answer takes; ``answer`` gives the choices for a request."""
        self.answer_s, self.refuses_stream_options, self.answer = answer_s, refuses_stream_options, answer
        self.requests: list[Received] = []
        self.served = 0  #: requests, faults included
        self.at_once_max = 0  #: requests under way at one time
        self.port = 0
        self._keeps_requests = keeps_requests
        self._at_once = 0
        self._faults: deque[Fault] = deque()
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread: threading.Thread

    @property
    def url(self) -> str:
        """What an endpoint is given: ``http://127.0.0.1:40000/v1``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def next(self, *faults: Fault | None) -> None:
        """What becomes of the next requests, one each; None is a request that goes well."""
        self._faults.extend(fault or Fault("none") for fault in faults)

    def __enter__(self) -> Service:
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), name="model service")
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the model service did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def serve(self, port: int = 0, started: Callable[[], None] = lambda: None) -> None:
        """Serve until somebody stops it."""
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None, "this runs in a task"
            tasks.add(task)
            try:
                await self._talk(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", port, backlog=4_096)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        started()
        async with server:
            await self._stop.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next pass

    # -- one connection ------------------------------------------------------------------------

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode("latin-1").split("\r\n")
            path = line.split(" ")[1]
            headers = {name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields if f)}
            raw = await reader.readexactly(int(headers.get("content-length", 0)))
            self.served += 1
            self._at_once += 1
            self.at_once_max = max(self.at_once_max, self._at_once)
            try:
                goes_on = await self._one(path, headers, raw, writer)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                goes_on = await _whole(writer, 500, {"error": {"message": f"{type(error).__name__}: {error}"}})
            finally:
                self._at_once -= 1
            if not goes_on or headers.get("connection", "").lower() == "close":
                return

    async def _one(self, path: str, headers: dict[str, str], raw: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False when the connection is over then."""
        if path.partition("?")[0].endswith("/models"):
            return await _whole(writer, 200, {"object": "list", "data": [{"id": "test-model", "object": "model"}]})
        try:
            body = json.loads(raw)
            body["messages"][0]
        except (ValueError, KeyError, TypeError, IndexError):
            return await _whole(writer, 400, {"error": {"message": "this is no request with messages", "code": 400}})
        if self._keeps_requests:
            self.requests.append(Received(path, headers, body))
        fault = self._faults.popleft() if self._faults else Fault("none")
        if (fault.seconds or self.answer_s) > 0:
            await asyncio.sleep(fault.seconds or self.answer_s)
        if fault.kind not in ("none", "slow", "cut", "undone"):
            return await _trouble(writer, fault, headers)
        if body.get("stream"):
            if self.refuses_stream_options and "stream_options" in body:
                said = "Unrecognized request argument supplied: stream_options"
                return await _whole(writer, 400, {"error": {"message": said, "type": "invalid_request_error"}})
            return await self._stream(writer, body, fault)
        whole = json.dumps(self._whole_answer(body)).encode()
        if fault.kind == "cut":
            writer.write(_head(200, {"content-length": str(len(whole))}) + whole[: len(whole) // 2])
            await writer.drain()
            return False
        return await _whole(writer, 200, whole)

    def _whole_answer(self, body: dict[str, Any]) -> dict[str, Any]:
        choices = self.answer(body)
        return {
            "id": f"chatcmpl-{choices[0]['finish_reason']}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": body.get("model"),
            "choices": choices,
            "usage": usage_of(body, choices),
            "system_fingerprint": "fp_test",
        }

    async def _stream(self, writer: asyncio.StreamWriter, body: dict[str, Any], fault: Fault) -> bool:
        writer.write(_head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}))
        pieces = list(self._pieces(body))
        if fault.kind in ("cut", "undone"):
            pieces = pieces[: fault.pieces]
        for piece in pieces:
            data = f"data: {piece}\n\n".encode()
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if fault.kind == "cut":
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True

    def _pieces(self, body: dict[str, Any]) -> Iterator[str]:
        whole = self._whole_answer(body)
        base = {name: whole[name] for name in ("id", "created", "model", "system_fingerprint")}
        base["object"] = "chat.completion.chunk"
        for choice in whole["choices"]:
            for delta, finish, logprobs in _deltas(choice):
                piece = {"index": choice["index"], "delta": delta, "logprobs": logprobs, "finish_reason": finish}
                yield json.dumps({**base, "choices": [piece]})
        if (body.get("stream_options") or {}).get("include_usage"):
            yield json.dumps({**base, "choices": [], "usage": whole["usage"]})
        yield "[DONE]"


def _deltas(choice: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str | None, Any]]:
    """The pieces of a choice: some letters of its text at a time, and of the arguments of its calls."""
    message, logprobs = choice["message"], (choice.get("logprobs") or {}).get("content")
    yield {"role": "assistant", "content": "" if message.get("content") is not None else None}, None, None
    if logprobs is not None:
        for entry in logprobs:
            yield {"content": entry["token"]}, None, {"content": [entry]}
    else:
        content = message.get("content") or ""
        for start in range(0, len(content), 7):
            yield {"content": content[start : start + 7]}, None, None
    for index, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        begun = {"index": index, "id": call["id"], "type": "function", "function": {"name": function["name"]}}
        yield {"tool_calls": [{**begun, "function": {"name": function["name"], "arguments": ""}}]}, None, None
        arguments = function["arguments"]
        for start in range(0, len(arguments), 5):
            part = {"index": index, "function": {"arguments": arguments[start : start + 5]}}
            yield {"tool_calls": [part]}, None, None
    yield {}, choice["finish_reason"], None


def _head(status: int, headers: dict[str, str]) -> bytes:
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {'OK' if status == 200 else 'Trouble'}\r\n{said}\r\n".encode("latin-1")


async def _whole(writer: asyncio.StreamWriter, status: int, body: Any, **headers: str) -> bool:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = {"content-type": "application/json", "content-length": str(len(data)), **headers}
    writer.write(_head(status, told) + data)
    await writer.drain()
    return True


async def _trouble(writer: asyncio.StreamWriter, fault: Fault, headers: dict[str, str]) -> bool:
    """An answer that is none."""
    if fault.kind == "reset":
        sock: Any = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing it sends RST
        return False
    if fault.kind == "garbage":
        return await _whole(writer, 200, (fault.body or "<html>It works!</html>").encode(), **fault.headers)
    if fault.kind == "echo":
        said = {"error": {"message": f"Incorrect API key provided: {headers}", "code": "invalid_api_key"}}
        return await _whole(writer, 401, said)
    assert isinstance(fault.kind, int), f"there is no fault {fault.kind!r}"
    told = dict(fault.headers)
    if fault.retry_after:
        told["retry-after"] = fault.retry_after
    said = fault.body.encode() if fault.body else {"error": {"message": f"trouble {fault.kind}", "type": "test"}}
    return await _whole(writer, fault.kind, said, **told)


def main() -> None:
    """Serve in this process until it is told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--answer-ms", type=float, default=0.0, help="that each answer takes")
    options = parser.parse_args()
    service = Service(answer_s=options.answer_ms / 1_000, keeps_requests=False)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(service.serve(options.port, lambda: print(service.url, flush=True)))


if __name__ == "__main__":
    main()
