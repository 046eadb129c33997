"""What tests of models share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.models.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    """A model server on a free port."""
    with Service() as running:
        yield running
