"""The browser, servers and stores that the tests of the page share.

A test opens a page with ``page_at(store, "view=query&q=…")``, or ``open_page(link)``; whatever the page then says in
the browser's console as a warning or an error, and every exception nobody caught, fails the test. ``shoot(page, name)``
takes its picture: in memory, and with MATRIX_SCREENSHOTS=1 into the page's folder, in both sizes and both looks.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.page import stores
from tests.page.pictures import Camera
from tests.page.serving import Server

sync_api = pytest.importorskip("playwright.sync_api", reason="the page is tested with playwright, which is not there")

SIZE = {"width": 1280, "height": 800}
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="session")
def browser() -> Iterator[tuple[Any, Any]]:
    """Chromium, or no test; and the event loop that playwright leaves running behind it, in this thread.

    It is taken away between tests of the page: other tests of this process want to run loops of their own.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("the page is tested in Chromium, which is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        loop = asyncio.events._get_running_loop()
        asyncio.events._set_running_loop(None)
        yield browser, loop
        asyncio.events._set_running_loop(loop)
        browser.close()


@pytest.fixture(scope="session")
def village(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A game of werewolf with three forks."""
    return stores.make_village(tmp_path_factory.mktemp("stores") / "village")


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clerk who says what a page may stumble over."""
    return stores.make_office(tmp_path_factory.mktemp("stores") / "office")


@pytest.fixture(scope="session")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A million events."""
    return stores.make_million(tmp_path_factory.mktemp("stores") / "million")


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[[Path], Server]]:
    """The server of a store, one for the whole session."""
    servers: dict[Path, Server] = {}

    def get(store: Path) -> Server:
        if store not in servers:
            servers[store] = Server(store)
        return servers[store]

    yield get
    for server in servers.values():
        server.stop()


class Complaints:
    """What pages said in the console or threw; ``expect`` names what a test is about, and must come."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._expected: list[str] = []
        self._allowed: list[str] = []

    def listen(self, page: Any) -> None:
        page.on("console", lambda said: self._said.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._said.append(f"not caught: {error}"))

    def expect(self, pattern: str) -> None:
        self._expected.append(pattern)

    def allow(self, pattern: str) -> None:
        """It may come, if the page is quick enough."""
        self._allowed.append(pattern)

    def check(self) -> None:
        known = [*self._expected, *self._allowed]
        unexpected = [text for text in self._said if not any(re.search(each, text) for each in known)]
        assert unexpected == [], f"the page complained: {unexpected}"
        for each in self._expected:
            assert any(re.search(each, text) for text in self._said), f"the page did not complain of {each!r}"


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """Checked after each test."""
    heard = Complaints()
    yield heard
    heard.check()


@pytest.fixture
def open_page(browser: Any, complaints: Complaints) -> Iterator[Callable[..., Any]]:
    """Opens a link in a browser that has nothing remembered."""
    chromium, loop = browser
    contexts = []
    asyncio.events._set_running_loop(loop)

    def open_link(link: str, *, dark: bool = False, size: dict[str, int] = SIZE, **options: Any) -> Any:
        context = chromium.new_context(viewport=size, color_scheme="dark" if dark else "light", **options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        complaints.listen(page)
        page.goto(link)
        return page

    yield open_link
    for context in contexts:
        context.close()
    asyncio.events._set_running_loop(None)


@pytest.fixture
def page_at(open_page: Callable[..., Any], served: Callable[[Path], Server]) -> Callable[..., Any]:
    """Opens a view of a store: ``page_at(village, view="query", q="agents")``."""

    def open_view(store: Path, *, dark: bool = False, size: dict[str, int] = SIZE, **fragment: Any) -> Any:
        return open_page(served(store).link(urlencode(fragment)), dark=dark, size=size)

    return open_view


@pytest.fixture(scope="session")
def shoot() -> Callable[..., bytes]:
    """Takes a picture of a page; see ``pictures``."""
    return Camera(is_kept=os.environ.get("MATRIX_SCREENSHOTS") == "1").shoot
