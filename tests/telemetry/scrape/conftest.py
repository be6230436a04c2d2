"""Targets that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.telemetry.scrape.running import WebTarget


@pytest.fixture
def web() -> Iterator[Callable[..., WebTarget]]:
    """Makes web targets."""
    made: list[WebTarget] = []

    def make(**given: object) -> WebTarget:
        made.append(WebTarget(**given))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for target in made:
        target.close()
