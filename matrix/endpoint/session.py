"""A session: one endpoint, asked by all simulations of a runtime, over httpx on Trio.

What always holds: one call of ``ask`` is one attempt, and ends with an answer or an ``EndpointError``; nothing that
comes from the server is shown before what is secret is hidden in it; httpx is imported when somebody asks, so a
replay needs none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import trio

from matrix.endpoint.answer import fields_of, shown
from matrix.endpoint.endpoint import Endpoint
from matrix.endpoint.pools import Pools, imported_httpx
from matrix.endpoint.rates import Charge, Rates
from matrix.endpoint.reply import Reply
from matrix.endpoint.secrets import Secrets
from matrix.endpoint.stream import Assembly, Lines
from matrix.endpoint.trouble import trouble_of
from matrix.errors import EndpointError, EndpointGarbled, EndpointLost, EndpointRefused
from matrix.limits import (
    ENDPOINT_ANSWER_BYTES_MAX,
    ENDPOINT_BYTES_PER_TOKEN,
    ENDPOINT_ERROR_BYTES_MAX,
    ENDPOINT_LAST_WORDS_S,
)

if TYPE_CHECKING:
    import httpx

OnText = Callable[[str], Any]
_DIAGNOSTICS: Final = [logging.getLogger(name) for name in ("httpx", "httpcore.connection", "httpcore.http11")]
_USAGE_WANTED: Final = b'"stream":true,"stream_options":{"include_usage":true}'


class Question(NamedTuple):
    """A request as it is sent: ``body`` is its JSON, without what makes it a stream."""

    model: str
    body: bytes
    is_streamed: bool = False
    on_text: OnText | None = None  #: is given the text of the first choice, piece by piece
    max_tokens: int | None = None
    n: int = 1


class Session:
    """Asks one endpoint; open in one Trio program.

    >>> session = Session(Endpoint("http://localhost:8000/v1"))                              # doctest: +SKIP
    >>> charge = await session.admit(question)                                               # doctest: +SKIP
    >>> (await session.ask(question, charge))["message"]                                     # doctest: +SKIP
    {'role': 'assistant', 'content': 'Hello!'}
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.address = endpoint, endpoint.address
        self._rates = Rates(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._secrets = Secrets(endpoint.secrets)
        self._tells_usage = True  # of streams: until the server refuses to be asked for it
        self._pools = Pools(endpoint)
        for log in _DIAGNOSTICS:
            log.addFilter(self._secrets.hide_in)

    def __repr__(self) -> str:
        return f"<Session with {self.address}>"

    async def admit(self, question: Question) -> Charge:
        """Wait until the endpoint's limits let the question go."""
        guess = self._rates.estimate(len(question.body), question.max_tokens, question.n)
        return await self._rates.admit(guess)

    async def ask(self, question: Question, charge: Charge | None = None) -> dict[str, Any]:
        """One attempt: what ``model.completed`` says of the answer. Raises an ``EndpointError``."""
        try:
            found = await self._asked_once(question)
        except EndpointError as error:
            if charge is not None:
                charge.correct(0)
            trouble = type(error)(self._secrets.hidden(str(error)), status=error.status, retry_after=error.retry_after)
        else:
            if charge is not None:
                self._settle(question, charge, found)
            open_fields: dict[str, Any] = self._secrets.hidden(found)
            return open_fields
        raise trouble  # outside of the handler: what it stems from may hold what is secret, and is let go of

    async def close(self) -> None:
        """Close the connections."""
        await self._pools.close()
        for log in _DIAGNOSTICS:
            log.removeFilter(self._secrets.hide_in)

    def _settle(self, question: Question, charge: Charge, found: dict[str, Any]) -> None:
        """The answer corrects what was guessed."""
        completion = found.get("completion_tokens")
        if completion is None:
            completion = len(json.dumps(found["message"])) // ENDPOINT_BYTES_PER_TOKEN
        self._rates.learn(completion // question.n)
        guess = self._rates.estimate(len(question.body), 0) + completion
        charge.correct(found.get("tokens", guess))

    # -- over HTTP -----------------------------------------------------------------------------

    async def _asked_once(self, question: Question) -> dict[str, Any]:
        httpx = imported_httpx()
        begun = trio.current_time()
        try:
            if not question.is_streamed:
                return await self._whole(question)
            return await self._streamed(question, begun)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = str(error) or "no further words"
            raise EndpointLost(f"{self.address}: {type(error).__name__}: {what}") from None

    async def _whole(self, question: Question) -> dict[str, Any]:
        async with self._response(question.body) as response:
            return self._answer(await _body(response, ENDPOINT_ANSWER_BYTES_MAX), question)

    def _answer(self, raw: bytes, question: Question) -> dict[str, Any]:
        """What an answer in one piece says."""
        text = raw.decode("utf-8", "replace")
        said = self._secrets.hidden(text)
        try:
            answer = json.loads(raw if said is text else said)
        except (ValueError, RecursionError):
            raise EndpointGarbled(f"{self.address} did not answer with JSON: {shown(said)}", status=200) from None
        return fields_of(answer, question.model)

    async def _streamed(self, question: Question, begun: float) -> dict[str, Any]:
        wanted = _USAGE_WANTED if self._tells_usage else b'"stream":true'
        body = question.body.removesuffix(b"}") + b"," + wanted + b"}"
        try:
            async with self._response(body) as response:
                if response.headers.get("content-type", "").startswith("application/json"):
                    return self._unstreamed(await _body(response, ENDPOINT_ANSWER_BYTES_MAX), question)
                return await self._assembled(response, question, begun)
        except EndpointRefused as error:
            if not self._tells_usage or not _is_about_usage(error):
                raise
        self._tells_usage = False  # the next ones are not asked for it at once
        return await self._streamed(question, begun)

    async def _assembled(self, response: httpx.Response, question: Question, begun: float) -> dict[str, Any]:
        lines, assembly, size = Lines(), Assembly(), 0
        unread = bytearray()  # what came, until it proves to be a stream
        first_ms: float | None = None

        def take(some: bytes) -> bool:
            nonlocal size, first_ms
            size += len(some)
            if size > ENDPOINT_ANSWER_BYTES_MAX:
                raise EndpointGarbled(f"the stream is longer than {ENDPOINT_ANSWER_BYTES_MAX:,} bytes")
            if not lines.have_begun:
                unread.extend(some)
            for data in lines.feed(some) if some else lines.end():
                text = assembly.add(self._secrets.hidden(data))
                if first_ms is None and assembly.has_begun:
                    first_ms = round((trio.current_time() - begun) * 1_000, 3)
                if text and question.on_text is not None:
                    question.on_text(text)
            return assembly.is_done

        try:
            await _read(response, take)
        except imported_httpx().HTTPError:
            if not assembly.is_whole:  # else it broke after the last word
                raise
        if not lines.have_begun and not response.headers.get("content-type", "").startswith("text/event-stream"):
            return self._unstreamed(bytes(unread), question)
        found = fields_of(assembly.answer(), question.model)
        return found if first_ms is None else {**found, "first_ms": first_ms}

    def _unstreamed(self, raw: bytes, question: Question) -> dict[str, Any]:
        """What a server said that was asked for a stream, and does not stream."""
        found = self._answer(raw, question)
        if question.on_text is not None:
            question.on_text(Reply.of(self._secrets.hidden(found)).text)
        return found

    @asynccontextmanager
    async def _response(self, body: bytes) -> AsyncIterator[httpx.Response]:
        """An answer with status 200, not read yet; the error for any other."""
        async with self._pools.post(body) as response:
            if response.status_code != 200:
                raw = await _body(response, ENDPOINT_ERROR_BYTES_MAX, is_cut=True)
                text = raw.decode("utf-8", "replace")
                is_cut = len(raw) == ENDPOINT_ERROR_BYTES_MAX
                said = self._secrets.hidden_beginning(text) if is_cut else self._secrets.hidden(text)
                raise trouble_of(response.status_code, response.headers, said, self.address)
            yield response


async def _read(response: httpx.Response, take: Callable[[bytes], bool]) -> None:
    """Give a body to ``take`` as it comes, at its end no bytes; when that says that it is enough, the rest may go.

    Who leaves httpx's generators in their middle leaves them to the garbage collector, and Trio warns of that. So the
    reading is cancelled, also when ``take`` raises: then they end from within.
    """
    failure: Exception | None = None
    with trio.CancelScope() as scope:
        async for some in response.aiter_bytes():
            try:
                if some and failure is None and take(some):
                    scope.deadline = min(scope.deadline, trio.current_time() + ENDPOINT_LAST_WORDS_S)
            except Exception as error:
                failure = error
                scope.cancel()
    if failure is not None:
        raise failure
    take(b"")


async def _body(response: httpx.Response, limit: int, *, is_cut: bool = False) -> bytes:
    """A whole body, up to a number of bytes; what is longer is cut, or refused."""
    found = bytearray()

    def take(some: bytes) -> bool:
        if len(found) + len(some) > limit and not is_cut:
            raise EndpointGarbled(f"the answer is longer than {limit:,} bytes")
        found.extend(some[: limit - len(found)])
        return len(found) == limit

    await _read(response, take)
    return bytes(found)


def _is_about_usage(error: EndpointRefused) -> bool:
    said = str(error)
    return error.status in (400, 422) and ("stream_options" in said or "include_usage" in said)
