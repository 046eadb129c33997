"""What no log has: the functions that are guarded, and what an agent uses in their place.

One table. A row is a module (or a class in one), names in it, what to use instead, and which uses of them
read nothing (``time.localtime(seconds)``). Names that a version of Python lacks are passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Harmless = Callable[[tuple[Any, ...], dict[str, Any]], bool]

_CLOCK = "use {self}.now (virtual seconds), or for the wall clock: await {self}.call(time.time)"
_SLEEP = "use: await {self}.sleep(seconds)"
_TIMEOUT = "use {self}.move_on_after(seconds) or {self}.fail_after(seconds), which count virtual time"
_CHANCE = "use {self}.random"
_NUMPY = "use {self}.numpy_stream()"
_SECRET = "use {self}.random, or for a real secret: await {self}.call(os.urandom, 16)"
_NAME = "use {self}.uuid()"
_OUTSIDE = "put it into a function and use: await {self}.call(function, ...)"
_THREAD = "use: await {self}.call(function, ...), which runs a plain function in a thread"


def _never(_: tuple[Any, ...], __: dict[str, Any]) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Names:
    """Names in one place that are guarded alike."""

    module: str
    names: tuple[str, ...]
    instead: str
    cls: str = ""  # the class in the module whose methods they are
    harmless: Harmless = _never  # given arguments and named arguments: whether this use reads nothing
    said: str = ""  # how people know it, when that is not module.name


def _names(module: str, names: str, instead: str, **rest: Any) -> Names:
    return Names(module, tuple(names.split()), instead, **rest)


def _is_given(arguments: tuple[Any, ...], _: dict[str, Any]) -> bool:
    return bool(arguments) and arguments[0] is not None


def _is_seeded(arguments: tuple[Any, ...], named: dict[str, Any]) -> bool:
    return (arguments[1] if len(arguments) > 1 else named.get("a")) is not None


def _has_two(arguments: tuple[Any, ...], _: dict[str, Any]) -> bool:
    return len(arguments) > 1


TABLE: tuple[Names, ...] = (
    _names(
        "time",
        "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns thread_time "
        "thread_time_ns clock_gettime clock_gettime_ns",
        _CLOCK,
    ),
    _names("time", "localtime gmtime ctime asctime", _CLOCK, harmless=_is_given),
    _names("time", "strftime", _CLOCK, harmless=_has_two),
    _names("time", "sleep", _SLEEP),
    _names("datetime", "now utcnow", _CLOCK, cls="datetime"),
    _names("datetime", "today", _CLOCK, cls="date"),
    _names("trio", "current_time", _CLOCK),
    _names("trio", "move_on_after move_on_at fail_after fail_at", _TIMEOUT),
    _names(
        "random",
        "random seed getstate setstate getrandbits randbytes randrange randint choice choices shuffle sample uniform "
        "triangular betavariate binomialvariate expovariate gammavariate gauss lognormvariate normalvariate "
        "vonmisesvariate paretovariate weibullvariate",
        _CHANCE,
    ),
    _names("random", "random getrandbits", _CHANCE, cls="_inst", said="the module random"),
    _names("random", "seed", _CHANCE, cls="Random", harmless=_is_seeded, said="random.Random() without a seed"),
    _names("random", "random getrandbits randbytes", _SECRET, cls="SystemRandom"),
    _names("secrets", "token_bytes token_hex token_urlsafe randbits randbelow choice", _SECRET),
    _names("os", "urandom getrandom", _SECRET),
    _names("uuid", "uuid1 uuid4 uuid6 uuid7", _NAME),
    _names(
        "numpy.random",
        "beta binomial bytes chisquare choice dirichlet exponential f gamma geometric get_state gumbel hypergeometric "
        "laplace logistic lognormal logseries multinomial multivariate_normal negative_binomial noncentral_chisquare "
        "noncentral_f normal pareto permutation poisson power rand randint randn random random_integers random_sample "
        "ranf rayleigh sample seed set_state shuffle standard_cauchy standard_exponential standard_gamma "
        "standard_normal standard_t triangular uniform vonmises wald weibull zipf",
        _NUMPY,
    ),
    # What numpy asks for the seed of everything that is given none: default_rng(), PCG64(), RandomState(), ...
    _names("numpy.random.bit_generator", "randbits", _NUMPY, said="a generator of numpy.random without a seed"),
    _names(
        "socket",
        "connect connect_ex bind listen send sendall sendto sendmsg recv recv_into recvfrom recvfrom_into recvmsg",
        _OUTSIDE,
        cls="socket",
    ),
    _names("socket", "getaddrinfo gethostbyname gethostbyname_ex gethostbyaddr getnameinfo socketpair", _OUTSIDE),
    _names("subprocess", "__init__", _OUTSIDE, cls="Popen", said="subprocess"),
    _names("os", "system fork forkpty posix_spawn posix_spawnp", _OUTSIDE),
    _names("multiprocessing.process", "start", _OUTSIDE, cls="BaseProcess", said="multiprocessing"),
    _names("threading", "start", _THREAD, cls="Thread"),
    _names("_thread", "start_new_thread", _THREAD),
    _names("concurrent.futures.thread", "submit", _THREAD, cls="ThreadPoolExecutor"),
    _names("concurrent.futures.process", "submit", _THREAD, cls="ProcessPoolExecutor"),
    _names("trio.to_thread", "run_sync", _THREAD),
    _names("trio", "run_process open_tcp_stream open_unix_socket open_ssl_over_tcp_stream", _OUTSIDE),
    _names("asyncio.runners", "run", _OUTSIDE),
    _names("asyncio.base_events", "run_until_complete run_forever", _OUTSIDE, cls="BaseEventLoop", said="asyncio"),
    _names("asyncio", "run", _OUTSIDE),
    _names("builtins", "input", _OUTSIDE),
)
