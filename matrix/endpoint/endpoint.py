"""An endpoint: where a model server is, and how it may be asked. A value; what talks is a session (see session.py).

What always holds: nothing secret is in its ``repr``, in ``address`` or in an error; two endpoints that say the same
are the same, and share their limits in a runtime.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, unquote, unquote_plus, urlsplit, urlunsplit

from matrix.errors import UsageError
from matrix.limits import ENDPOINT_CONNECTIONS_MAX, ENDPOINT_TIMEOUT_S

BASE_URL: Final = "OPENAI_BASE_URL"
API_KEY: Final = "OPENAI_API_KEY"
_OPENAI: Final = "https://api.openai.com/v1"
_PATH: Final = "/chat/completions"
#: Headers whose values are no secrets; those of all others are hidden like keys.
_OPEN_HEADERS: Final = frozenset(
    {"accept", "user-agent", "http-referer", "referer", "x-title", "content-type", "openai-organization", "openai-beta"}
)
_OPEN_PARAMETERS: Final = frozenset({"api-version"})


@dataclass(frozen=True, repr=False)
class Endpoint:
    """A model server that speaks the OpenAI protocol: vLLM, Ollama, llama.cpp, or a hosted one.

    >>> endpoint = Endpoint("http://localhost:8000/v1", key="sk-secret", requests_per_minute=600)
    >>> endpoint
    Endpoint('http://localhost:8000/v1', requests_per_minute=600)
    >>> matrix.run(debate, models={"small": endpoint, "*": Endpoint("https://api.openai.com/v1")})  # doctest: +SKIP

    ``url`` is what stands before ``/chat/completions``. ``key`` is sent as ``Authorization: Bearer``; without one the
    variable OPENAI_API_KEY says, and ``key=""`` sends none. A name and password in the URL take the place of a key; its
    query, and ``headers``, go along with each request. None of these is ever recorded or shown, and where a server
    repeats one ``***`` takes its place.

    ``requests_per_minute`` and ``tokens_per_minute`` hold for all simulations of a runtime together (rates.py has the
    rule). ``timeout`` is in seconds, of each attempt; ``connections_max`` bounds the connections; they
    take at most three quarters of the files that the process may open (``ulimit -n``), and who finds none waits.
    A server with a thread for each connection, as llama.cpp has, wants no more of them than it has threads: one that
    is left over waits until an idle one is closed, which takes seconds.
    """

    url: str
    key: str | None = None
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout: float = ENDPOINT_TIMEOUT_S
    headers: Mapping[str, str] | None = None
    connections_max: int = ENDPOINT_CONNECTIONS_MAX
    _parts: SplitResult = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_parts", _checked_url(self.url))
        if self.key is None:
            object.__setattr__(self, "key", "" if self.login else os.environ.get(API_KEY, ""))
        if not isinstance(self.key, str) or not self.key.isascii() or not self.key.isprintable():
            raise UsageError("the key of an endpoint is a text that fits in a header: ASCII, in one line")
        _check_rate("requests_per_minute", self.requests_per_minute)
        _check_rate("tokens_per_minute", self.tokens_per_minute)
        if not _is_number(self.timeout) or not self.timeout > 0:
            raise UsageError(f"timeout is a number of seconds above 0, not {self.timeout!r}")
        if type(self.connections_max) is not int or self.connections_max < 1:
            raise UsageError(f"connections_max is a whole number of at least 1, not {self.connections_max!r}")
        if self.key and self.login:
            raise UsageError("an endpoint has a key, or a name and password in its URL: only one of them can be sent")
        object.__setattr__(self, "headers", _checked_headers(self.headers))

    @property
    def is_limited(self) -> bool:
        """Whether requests may have to wait for its limits."""
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    @property
    def address(self) -> str:
        """The URL as it is recorded and shown: without a name, a password or a query.

        >>> Endpoint("http://me:secret@localhost:8000/v1/?key=sk-1", key="").address
        'http://localhost:8000/v1'
        """
        host = self._parts.netloc.rpartition("@")[2]
        return urlunsplit((self._parts.scheme, host, self._path, "", ""))

    @property
    def target(self) -> str:
        """The URL that requests go to, its query included, and no name or password."""
        host = self._parts.netloc.rpartition("@")[2]
        return urlunsplit((self._parts.scheme, host, self._path + _PATH, self._parts.query, ""))

    @property
    def login(self) -> tuple[str, str] | None:
        """The name and password in the URL."""
        if self._parts.username is None:
            return None
        return unquote(self._parts.username), unquote(self._parts.password or "")

    @property
    def secrets(self) -> list[str]:
        """Every text that may be shown nowhere."""
        found = [self.key or "", *(self.login or ())[1:], self._parts.password or ""]
        if self.login:
            found.append(b64encode(":".join(self.login).encode()).decode())
        for part in self._parts.query.split("&"):
            name, is_named, value = part.partition("=")
            if not is_named:  # a query may be nothing but a key
                name, value = "", part
            if name.lower() not in _OPEN_PARAMETERS:
                found += [value, unquote_plus(value)]
        for name, value in (self.headers or {}).items():
            if name.lower() not in _OPEN_HEADERS:
                found += [value, value.partition(" ")[2]]  # "Bearer sk-..."
        return found

    @property
    def _path(self) -> str:
        return self._parts.path.rstrip("/").removesuffix(_PATH)

    def __hash__(self) -> int:
        return hash((self.url, self.key))

    def __repr__(self) -> str:
        said = [repr(self.address)]
        for name in ("requests_per_minute", "tokens_per_minute"):
            if getattr(self, name) is not None:
                said.append(f"{name}={getattr(self, name)!r}")
        return f"Endpoint({', '.join(said)})"


def from_environment() -> Endpoint | None:
    """What OPENAI_BASE_URL and OPENAI_API_KEY say; a key alone is one for OpenAI. None when neither is set."""
    url, key = os.environ.get(BASE_URL, ""), os.environ.get(API_KEY, "")
    return Endpoint(url or _OPENAI, key=key) if url or key else None


def _checked_url(url: Any) -> SplitResult:
    if not isinstance(url, str):
        raise UsageError(
            f"the URL of an endpoint is a text such as 'http://localhost:8000/v1', not {type(url).__name__}"
        )
    try:
        parts = urlsplit(url.strip())
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_right = False
    if not is_right:  # what it says is not shown: it may hold a password
        raise UsageError("the URL of an endpoint begins with http:// or https:// and has a host; this one does not")
    return parts


def _checked_headers(headers: Any) -> dict[str, str]:
    if headers is None:
        return {}
    if not isinstance(headers, Mapping) or not all(
        isinstance(text, str) and text.isascii() and text.isprintable() for item in headers.items() for text in item
    ):
        raise UsageError("headers map names to values, both of them ASCII texts of one line")
    return dict(headers)


def _check_rate(name: str, value: Any) -> None:
    if value is not None and (not _is_number(value) or not value >= 1):
        raise UsageError(f"{name} is a number of at least 1, or None for no limit, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
