"""`--endpoint`: where `matrix run`, `resume` and `fork` ask models; what `models=` is in Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from matrix.endpoint.endpoint import Endpoint

endpoint_option = click.option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="[MODEL=]URL",
    help="Where models are asked: all of them, or the one of that name; may be repeated. Default: OPENAI_BASE_URL. "
    "The key is OPENAI_API_KEY's.",
)


def endpoints_of(given: tuple[str, ...]) -> dict[str, Endpoint] | None:
    """The endpoints by the name of a model, "*" for all others; None when none is given, and the environment says.

    >>> endpoints_of(("http://localhost:8000/v1", "gpt-4.1=https://api.openai.com/v1"))
    {'*': Endpoint('http://localhost:8000/v1'), 'gpt-4.1': Endpoint('https://api.openai.com/v1')}
    """
    from matrix.endpoint.endpoint import Endpoint
    from matrix.errors import MatrixError

    found: dict[str, Endpoint] = {}
    for text in given:
        is_for_all = text.startswith(("http://", "https://"))
        name, _, url = ("*", "", text) if is_for_all else text.partition("=")
        if not name or not url:
            raise click.UsageError(f'--endpoint is URL or MODEL=URL, such as http://localhost:8000/v1, not "{text}"')
        if name in found:
            which = "all models" if name == "*" else f'the model "{name}"'
            raise click.UsageError(f"--endpoint is given twice for {which}")
        try:
            found[name] = Endpoint(url)
        except MatrixError as error:
            raise click.UsageError(f"--endpoint: {error}") from None
    return found or None
