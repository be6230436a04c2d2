"""Limits of contacts: nothing is dropped, what had to wait comes as one message, under one key over crashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from setpoint.alert.notify.channel import About, Answer
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.rate import Buckets
from setpoint.alert.route.model import Integration
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from tests.alert.notify.office import NOW_MS, Office, notification


class Pigeon:
    """A channel that carries six messages a minute, three at once."""

    can_bundle = True
    per_minute = 6.0

    def __init__(self, contact: str = "coop") -> None:
        self.contacts = (contact,)
        self.sent: list[tuple[str, Notification]] = []
        self.answers: list[Answer] = []

    def send(self, notification: Notification, about: About) -> Answer:
        self.sent.append((about.key, notification))
        return self.answers.pop(0) if self.answers else Answer("delivered")

    def close(self) -> None:
        pass


class Coop(Office):
    """Receivers `ops` and `dev`, each with a pigeon."""

    def __init__(self, database: StateDatabase, clock: VirtualClock | None = None, contact: str = "") -> None:
        self.pigeons = {"ops": Pigeon(contact or "ops"), "dev": Pigeon(contact or "dev")}
        super().__init__(
            database, clock, make_channel=lambda one: self.pigeons[one.settings["name"]], owner="coop"
        )
        names: Mapping[str, Any] = self.pigeons
        self.outbox.follow(
            {(one, "pigeon[0]"): Integration("pigeon", 0, True, {"name": one}) for one in names}
        )

    def put(self, numbers: range, receiver: str = "ops") -> None:
        for number in numbers:
            one = notification(f"A{number}", group=f"g{number}", receiver=receiver, integration="pigeon[0]")
            self.outbox.put([one])
        self.step()

    def sizes(self, receiver: str = "ops") -> list[int]:
        """How many notifications each message held."""
        return [one.bundled for _, one in self.pigeons[receiver].sent]


@pytest.fixture
def coop(state_database: StateDatabase) -> Coop:
    return Coop(state_database)


def test_what_a_limit_made_wait_comes_as_one_message(coop: Coop) -> None:
    coop.put(range(10))
    assert coop.sizes() == [1, 1, 1]
    coop.put(range(10, 20))
    coop.step(9)
    assert coop.sizes() == [1, 1, 1]
    coop.step(1)
    assert coop.sizes() == [1, 1, 1, 17]
    _, message = coop.pigeons["ops"].sent[-1]
    assert sorted(one.name for one in message.alerts) == sorted(f"A{number}" for number in range(3, 20))
    assert len(coop.told) == 20
    coop.step(60)
    coop.put(range(20, 22))
    assert coop.sizes() == [1, 1, 1, 17, 1, 1]  # there is room again: each for itself


def test_very_many_come_in_messages_of_a_hundred(coop: Coop) -> None:
    coop.put(range(253))
    for _ in range(6):
        coop.step(10)
    assert coop.sizes()[:6] == [1, 1, 1, 100, 100, 50]
    assert len(coop.told) == 253


def test_contacts_have_limits_of_their_own_and_share_them_between_receivers(
    state_database: StateDatabase,
) -> None:
    apart = Coop(state_database)
    apart.put(range(3))
    apart.put(range(3), "dev")
    assert (apart.sizes(), apart.sizes("dev")) == ([1, 1, 1], [1, 1, 1])
    shared = Coop(state_database, contact="the same address")
    shared.put(range(10, 13))
    shared.put(range(10, 13), "dev")
    assert (shared.sizes(), shared.sizes("dev")) == ([1, 1, 1], [])
    shared.step(10)
    assert shared.sizes("dev") == [3]


def test_a_bundle_keeps_its_name_and_its_content_over_a_crash(state_database: StateDatabase) -> None:
    coop = Coop(state_database)
    coop.put(range(6))
    coop.pigeons["ops"].answers = [Answer("retry", "tired")]
    coop.step(10)
    (first_key, first) = coop.pigeons["ops"].sent[-1]
    again = Coop(state_database, VirtualClock(coop.clock.now_ms()))
    again.put(range(6, 7))
    again.step(30)
    found = dict(again.pigeons["ops"].sent)
    assert [one.fingerprint for one in found[first_key].alerts] == [one.fingerprint for one in first.alerts]
    assert len(again.told) == 4


def test_a_bundle_that_is_refused_comes_apart(coop: Coop) -> None:
    coop.put(range(6))
    coop.pigeons["ops"].answers = [Answer("refused", "too large")]
    for _ in range(30):
        coop.step(10)
    assert sum(coop.sizes()) >= 6
    assert len(coop.told) == 6
    assert coop.outbox.dead() == []


def test_buckets() -> None:
    buckets = Buckets()
    assert [buckets.take(("a", "b"), 6, NOW_MS) for _ in range(4)] == [True, True, True, False]
    assert buckets.available(("a",), 6, NOW_MS) == 0
    assert buckets.ready_ms(("a",), 6, NOW_MS) == NOW_MS + 10_000
    assert buckets.take(("a",), 6, NOW_MS + 10_000)
    assert not buckets.take(("a",), 6, NOW_MS - 86_400_000)  # a clock that was set back gives nothing
    assert buckets.ready_ms(("a",), 6, NOW_MS - 86_400_000) == NOW_MS - 86_400_000 + 10_000
    assert buckets.available(("c",), 0, NOW_MS) > 1000
