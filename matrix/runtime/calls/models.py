"""Models: which endpoint a runtime asks for which model, and the sessions that talk to them.

What always holds: no endpoint is opened, and httpx not imported, before a model is asked live; endpoints that are
equal have one session, so their limits hold for all simulations of the runtime together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from matrix.endpoint.endpoint import BASE_URL, Endpoint, from_environment
from matrix.endpoint.session import Session
from matrix.endpoint.trouble import is_worth_another_try
from matrix.errors import ProgramError, UsageError
from matrix.limits import ENDPOINT_ATTEMPTS, ENDPOINT_BACKOFF_MAX_S, ENDPOINT_BACKOFF_S, ENDPOINT_TIMEOUT_S
from matrix.runtime.calls.policy import CallPolicy

GivenModels: TypeAlias = "Endpoint | Mapping[str, Endpoint] | None"

#: How models are asked where nobody says otherwise. To ask twice does no harm: what a crash cut off is sent again.
MODEL_POLICY = CallPolicy(
    attempts=ENDPOINT_ATTEMPTS,
    backoff=ENDPOINT_BACKOFF_S,
    backoff_max=ENDPOINT_BACKOFF_MAX_S,
    timeout=ENDPOINT_TIMEOUT_S,
    retry_on=is_worth_another_try,
    repeatable=True,
)


class Models:
    """The endpoints of one runtime: one for all models, or one by the name of each, "*" for all others."""

    def __init__(self, given: GivenModels = None) -> None:
        self._others: Endpoint | None = None
        self._named: dict[str, Endpoint] = {}
        self._unset = ""  # why there is none
        self._sessions: dict[Endpoint, Session] = {}
        self._policies: dict[float, CallPolicy] = {}
        if given is None:
            try:
                self._others = from_environment()
            except UsageError as error:  # only who asks a model is concerned
                self._unset = f"{BASE_URL} is not right: {error}"
        elif isinstance(given, Endpoint):
            self._others = given
        else:
            self._named = _checked(given)
            self._others = self._named.pop("*", None)

    def endpoint(self, model: str) -> Endpoint | None:
        """Who is asked for a model; None when nobody has said."""
        return self._named.get(model, self._others)

    def address(self, model: str) -> str:
        """What is recorded of that: a URL without anything secret, or an empty text."""
        endpoint = self.endpoint(model)
        return endpoint.address if endpoint is not None else ""

    def session(self, model: str) -> Session:
        """Who asks it; ``ProgramError`` when there is no endpoint."""
        endpoint = self.endpoint(model)
        if endpoint is None:
            known = f"; models has {', '.join(map(repr, self._named))}" if self._named else ""
            raise ProgramError(
                self._unset
                or f"no endpoint is known for the model {model!r}{known}: give models=matrix.models.Endpoint(url) to "
                f"matrix.run or open_runtime, or set {BASE_URL}"
            )
        session = self._sessions.get(endpoint)
        if session is None:
            session = self._sessions[endpoint] = Session(endpoint)
        return session

    def policy(self, model: str) -> CallPolicy:
        """How it is asked, as far as the endpoint says."""
        endpoint = self.endpoint(model)
        if endpoint is None:
            return MODEL_POLICY
        policy = self._policies.get(endpoint.timeout)
        if policy is None:
            policy = self._policies[endpoint.timeout] = CallPolicy(timeout=endpoint.timeout).over(MODEL_POLICY)
        return policy

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()


def _checked(given: Any) -> dict[str, Endpoint]:
    said = 'models is a matrix.models.Endpoint(...), or maps names of models (or "*" for all others) to such'
    if not isinstance(given, Mapping):
        raise ProgramError(f"{said}, not {type(given).__name__}")
    for name, endpoint in given.items():
        if not isinstance(name, str) or not name or not isinstance(endpoint, Endpoint):
            raise ProgramError(f"{said}; {name!r} is mapped to {type(endpoint).__name__}")
    return dict(given)
