"""Call policies: how often, how long and how many at once the outside may be asked.

A policy says only what is given; what it leaves open, the next one down says:

    self.call(..., policy=)  >  open_runtime(calls={name: ...})  >  @call_policy(...)  >  calls={"*": ...}  >  DEFAULTS

What always holds: a policy is a value, checked when it is made; ``DEFAULTS`` leaves nothing open, and
so does every policy that ``Policies.of`` returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from matrix.errors import MatrixError, ProgramError
from matrix.limits import CALL_ATTEMPTS_MAX

if TYPE_CHECKING:
    from matrix.runtime.inputs import Stream

Function = TypeVar("Function", bound=Callable[..., Any])
Seconds = float | timedelta
RetryOn = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

_ATTRIBUTE = "__matrix_call_policy__"

#: Mistakes in a program: asking again would only make them again.
PROGRAMMING_ERRORS = (
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    SyntaxError,
    AssertionError,
    NotImplementedError,
    MatrixError,
)


def is_worth_another_try(error: Exception) -> bool:
    """The default of ``retry_on``: every exception but a programming error; being too slow is worth it.

    >>> is_worth_another_try(ConnectionError("reset")), is_worth_another_try(TypeError("missing argument"))
    (True, False)
    """
    return not isinstance(error, PROGRAMMING_ERRORS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPolicy:
    """How calls of one name are made; None leaves a field to the next policy (see the head of this file).

    >>> policy = CallPolicy(in_flight=8, per_second=20, timeout=30, attempts=3)
    >>> matrix.run(debate, calls={"ask_model": policy, "*": CallPolicy(timeout=60)})    # doctest: +SKIP

    ``in_flight`` and ``per_second`` bound the requests of one name in the whole runtime, over all its simulations,
    first come, first served: so many at once, and never more than so many begun in any one second (0.2 is one in
    five seconds). ``math.inf`` lifts a bound that another policy sets.

    ``timeout`` is for each attempt, in seconds of real time. ``attempts`` counts the first one. Between attempts
    ``backoff`` seconds pass, doubled each time up to ``backoff_max``, of which a seeded part between none and half is
    taken off, so that agents that failed together do not return together. An exception with an attribute
    ``retry_after`` (seconds) asks for a longer wait, and gets up to ``backoff_max``. ``retry_on`` names the exceptions
    that are worth another attempt (types, or a function of the exception): without it all but programming errors.

    ``repeatable`` says that a request whose answer a crash has cut off may be sent again.
    """

    in_flight: float | None = None
    per_second: float | None = None
    timeout: Seconds | None = None
    attempts: int | None = None
    backoff: Seconds | None = None
    backoff_max: Seconds | None = None
    retry_on: RetryOn | None = None
    repeatable: bool | None = None

    def __post_init__(self) -> None:
        _check_in_flight(self.in_flight)
        _check_rate(self.per_second)
        _check_attempts(self.attempts)
        self._set_seconds("timeout")
        backoff, backoff_max = self._set_seconds("backoff"), self._set_seconds("backoff_max")
        if backoff is not None and backoff_max is not None and backoff_max < backoff:
            raise ProgramError(f"backoff_max is {backoff_max} seconds, less than backoff, which is {backoff}")
        if self.retry_on is not None:
            _check_retry_on(self.retry_on)
        if self.repeatable is not None and type(self.repeatable) is not bool:
            raise ProgramError(f"repeatable is True or False, not {self.repeatable!r}")

    def _set_seconds(self, name: str) -> float | None:
        """A duration is kept as a number of seconds, however it was given."""
        value = getattr(self, name)
        if value is None:
            return None
        seconds = seconds_of(name, value, may_be_zero=name != "timeout")
        if seconds == math.inf and name != "timeout":
            raise ProgramError(f"{name} is finite: after an endless wait there is no next attempt")
        object.__setattr__(self, name, seconds)
        return seconds

    def over(self, other: CallPolicy) -> CallPolicy:
        """This policy, with ``other`` for what it leaves open.

        >>> CallPolicy(attempts=3).over(CallPolicy(attempts=1, timeout=5)).timeout
        5.0
        """
        said = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if "backoff" in said or "backoff_max" in said:  # one of them alone moves the other's bound, and is no mistake
            longest = said.get("backoff_max", max(_number(other.backoff_max), said.get("backoff", 0.0)))
            said["backoff_max"], said["backoff"] = longest, min(longest, said.get("backoff", _number(other.backoff)))
        return replace(other, **said)

    # -- of a policy that leaves nothing open --------------------------------------------------

    @property
    def is_limited(self) -> bool:
        """Whether requests may have to wait for others."""
        return self.in_flight != math.inf or self.per_second != math.inf

    @property
    def window(self) -> tuple[int, float]:
        """The rate as a number of requests and the seconds in which no more may begin.

        >>> CallPolicy(per_second=20).window, CallPolicy(per_second=0.2).window
        ((20, 1.0), (1, 5.0))
        """
        rate = self.per_second
        assert rate is not None and rate != math.inf, "asked only of a policy with a rate"
        return (int(rate), 1.0) if rate >= 1 else (1, 1 / rate)

    def retries(self, error: Exception, attempt: int) -> bool:
        """Whether another attempt follows the ``attempt``-th, which ended with ``error``."""
        retry_on = self.retry_on
        assert self.attempts is not None and retry_on is not None, "asked only of a policy that leaves nothing open"
        if attempt >= self.attempts:
            return False
        if isinstance(retry_on, (type, tuple)):
            return isinstance(error, retry_on)
        return bool(retry_on(error))

    def delay(self, error: Exception, attempt: int, chance: Stream) -> float:
        """Seconds between the ``attempt``-th attempt, which ended with ``error``, and the next."""
        longest = _number(self.backoff_max)
        backoff = min(longest, _number(self.backoff) * 2.0 ** min(attempt - 1, 60)) * (1 - chance.random() / 2)
        return min(longest, max(backoff, _retry_after(error)))


def call_policy(
    *,
    in_flight: float | None = None,
    per_second: float | None = None,
    timeout: Seconds | None = None,
    attempts: int | None = None,
    backoff: Seconds | None = None,
    backoff_max: Seconds | None = None,
    retry_on: RetryOn | None = None,
    repeatable: bool | None = None,
) -> Callable[[Function], Function]:
    """A ``CallPolicy`` that travels with a function; the fields are those of ``CallPolicy``.

    @matrix.call_policy(in_flight=8, attempts=3)
    async def ask_model(prompt: str) -> str: ...
    """
    policy = CallPolicy(
        in_flight=in_flight,
        per_second=per_second,
        timeout=timeout,
        attempts=attempts,
        backoff=backoff,
        backoff_max=backoff_max,
        retry_on=retry_on,
        repeatable=repeatable,
    )

    def decorate(function: Function) -> Function:
        if not callable(function):
            raise ProgramError(f"call_policy(...) decorates a function, not {function!r}")
        setattr(function, _ATTRIBUTE, policy)
        return function

    return decorate


class Policies:
    """What a runtime was told about calls, and what follows from it for one call."""

    def __init__(self, calls: Mapping[str, CallPolicy] | None = None) -> None:
        if calls is not None and not isinstance(calls, Mapping):
            raise ProgramError(f"calls maps names of calls to policies, as in calls={{'ask': ...}}; {calls!r} does not")
        self._named = dict(calls or {})
        for name, policy in self._named.items():
            if type(name) is not str or not name:
                raise ProgramError(f'calls maps names of calls, or "*", to policies; {name!r} is no name')
            if not isinstance(policy, CallPolicy):
                raise ProgramError(f"calls[{name!r}] is a matrix.CallPolicy(...), not {policy!r}")
        self._others = self._named.pop("*", None)
        self._default = DEFAULTS if self._others is None else self._others.over(DEFAULTS)
        self._made: dict[tuple[CallPolicy | None, ...], CallPolicy] = {}

    def of(
        self,
        name: str,
        function: Callable[..., Any] | None,
        given: CallPolicy | None,
        decorated: CallPolicy | None = None,
    ) -> CallPolicy:
        """The policy of a call: nothing in it is open. ``decorated`` stands in for what a function would carry."""
        named = self._named.get(name)
        if function is not None:
            decorated = getattr(function, _ATTRIBUTE, None)
        if given is None and named is None and decorated is None:
            return self._default
        key = (given, named, decorated)
        made = self._made.get(key)
        if made is None:
            made = self._default
            for policy in (decorated, named, given):
                if policy is not None:
                    made = policy.over(made)
            if len(self._made) < 1_000:  # a program may make a policy for each call
                self._made[key] = made
        return made

    @property
    def repeatable(self) -> dict[str, bool]:
        """What the runtime, rather than the program, says of calls being repeatable; a replay must know it."""
        said = {"*": self._others, **self._named}
        return {name: p.repeatable for name, p in said.items() if p is not None and p.repeatable is not None}

    def with_repeatable(self, said: Mapping[str, bool]) -> Policies:
        """These policies, but repeatable is what a history says: a program that is run again says the same."""
        if said == self.repeatable:
            return self
        whole = {**self._named, **({} if self._others is None else {"*": self._others})}
        calls = {name: replace(policy, repeatable=said.get(name)) for name, policy in whole.items()}
        return Policies(calls | {name: CallPolicy(repeatable=said[name]) for name in said if name not in whole})


def check_given(policy: object) -> None:
    """Refuse what is no policy where one is given with a call."""
    if not isinstance(policy, CallPolicy):
        raise ProgramError(f"policy is a matrix.CallPolicy(...), not {policy!r}")


def seconds_of(name: str, value: object, *, may_be_zero: bool = False) -> float:
    """A duration of real time, given in seconds or as a timedelta.

    >>> seconds_of("timeout", timedelta(minutes=2))
    120.0
    """
    found = value.total_seconds() if isinstance(value, timedelta) else value
    if (
        isinstance(found, bool)
        or not isinstance(found, (int, float))
        or not (found > 0 or (found == 0 and may_be_zero))
    ):
        least = "0 or more" if may_be_zero else "above 0"
        raise ProgramError(f"{name} is a number of seconds {least}, or a timedelta, not {value!r}")
    return float(found)


def _check_in_flight(value: float | None) -> None:
    if value is not None and value != math.inf and (type(value) is not int or value < 1):
        raise ProgramError(f"in_flight is a whole number of at least 1, or math.inf, not {value!r}")


def _check_attempts(value: int | None) -> None:
    if value is not None and (type(value) is not int or not 1 <= value <= CALL_ATTEMPTS_MAX):
        raise ProgramError(f"attempts is a whole number from 1 to {CALL_ATTEMPTS_MAX}, not {value!r}")


def _check_rate(value: float | None) -> None:
    if value is None or value == math.inf:
        return
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not value > 0 or (value > 1 and value != int(value)):
        raise ProgramError(
            "per_second is a whole number of requests, a fraction below 1 (0.2: one in five seconds), or math.inf, "
            f"not {value!r}"
        )


def _check_retry_on(value: object) -> None:
    kinds = value if isinstance(value, tuple) else (value,)
    for kind in kinds:
        is_kind = isinstance(kind, type) and issubclass(kind, Exception)
        if not is_kind and (isinstance(value, tuple) or isinstance(kind, type) or not callable(kind)):
            raise ProgramError(
                f"retry_on is an Exception type, a tuple of them, or a function of the exception, not {value!r}"
            )


def _number(seconds: Seconds | None) -> float:
    """Of a policy's duration, which is a number of seconds by now."""
    return seconds if isinstance(seconds, (int, float)) else 0.0


def _retry_after(error: Exception) -> float:
    """What the exception asks for; something else of that name is no request of that kind."""
    try:
        asked = getattr(error, "retry_after", None)
    except Exception:  # a property that cannot be had is no request either
        return 0.0
    if isinstance(asked, timedelta):
        asked = asked.total_seconds()
    if isinstance(asked, bool) or not isinstance(asked, (int, float)) or not asked > 0:
        return 0.0
    return float(asked)


#: What nobody has said: no limit, one attempt.
DEFAULTS = CallPolicy(
    in_flight=math.inf,
    per_second=math.inf,
    timeout=math.inf,
    attempts=1,
    backoff=0.5,
    backoff_max=60.0,
    retry_on=is_worth_another_try,
    repeatable=False,
)
