"""The browser page: files that lie in the package, read when they are asked for.

What always holds: only files inside the page's folder are given, whatever a path looks like; none whose name begins
with a dot; and each with a type that its name says, so that the browser need not guess.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import trio

from matrix.server.http import Answer, Head, refusal

PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    "": "text/plain; charset=utf-8",  # LICENSE
}
# Plain names only, each beginning with a letter, a digit or a line: so there is no "..", and nothing to decode.
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


async def page_file(head: Head, folder: Path, threads: trio.CapacityLimiter) -> Answer:
    """The file that a request asks for; 404 when there is none, 304 when the browser has it already."""
    path = "/index.html" if head.path == "/" else head.path
    if not _PLAIN_PATH.fullmatch(path):
        return refusal(404, "there is no such page")
    body = await trio.to_thread.run_sync(_read, folder, path[1:], limiter=threads)
    if body is None:
        return _missing(head.path)
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}  # the browser asks each time, and is mostly told 304
    if tag in head.words("if-none-match"):
        return Answer(304, headers=headers)
    return Answer(200, body, _TYPES[Path(path).suffix.lower()], headers)


def _read(folder: Path, name: str) -> bytes | None:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or path.suffix.lower() not in _TYPES or not path.is_file():
        return None
    return path.read_bytes()


def _missing(path: str) -> Answer:
    if path == "/":
        return refusal(404, "this Matrix was installed without its browser page; matrix query and others reach it")
    return refusal(404, "there is no such page")
