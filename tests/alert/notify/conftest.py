"""Fixtures of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from setpoint.database import StateDatabase
from tests.alert.notify.office import Office, Sink


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    for office in Office.open:
        office.outbox.close()
    Office.open.clear()


@pytest.fixture
def office(state_database: StateDatabase) -> Office:
    return Office(state_database)


@pytest.fixture
def sinks() -> Iterator[Callable[[], Sink]]:
    """Makes receivers."""
    made: list[Sink] = []

    def make() -> Sink:
        made.append(Sink())
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def sink(sinks: Callable[[], Sink]) -> Sink:
    return sinks()
