"""Attribution over a real book: what the ledger spent is what is shared out, for every method and when data is late."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound
from setpoint.objective.attribution.model import Attribution
from setpoint.objective.attribution.who import Attributions
from setpoint.objective.dependencies import Dependencies
from setpoint.timeline import Timeline
from tests.objective.documents import composite, document
from tests.objective.test_book import T0, World

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


@dataclass
class Shop:
    """A book over requests of the services a and b, a timeline, and who spent what."""

    world: World
    timeline: Timeline
    who: Attributions

    @classmethod
    def make(cls, database: StateDatabase, *documents: SimpleNamespace) -> Shop:
        world = World.make()
        timeline = Timeline(database, world.clock)
        world.book.apply(documents)
        return cls(
            world, timeline, Attributions(world.book, timeline, lambda: Dependencies({"shop": ("b",)}))
        )

    def send(self, minutes: int, bad: int = 0, service: str = "a", *, late: bool = False) -> None:
        """100 requests a minute, `bad` of them answered 500; `late`: none of it is seen before the next ones."""
        clock = self.world.clock
        for _ in range(minutes):
            for _ in range(4):
                clock.advance(15)
                for code, count in (("200", 25 - bad / 4), ("500", bad / 4)):
                    counters = self.world.counters
                    key = f"{service} {code}"
                    counters[key] = counters.get(key, 0.0) + count
                    self.world.samples.add(
                        "requests_total", clock.now_ms(), counters[key], service=service, code=code
                    )
            if not late:
                self.world.book.tick()

    def both(self, minutes: int, bad: int, of_b: int | None = None) -> None:
        """The same minutes of a and b."""
        for _ in range(minutes):
            before_ms = self.world.clock.now_ms()
            self.send(1, bad, late=True)
            for step in range(1, 5):
                for code in ("200", "500"):
                    wrong = bad if of_b is None else of_b
                    count = wrong / 4 if code == "500" else 25 - wrong / 4
                    self.world.counters[f"b {code}"] += count
                    value = self.world.counters[f"b {code}"]
                    self.world.samples.add(
                        "requests_total", before_ms + step * 15_000, value, service="b", code=code
                    )
            self.world.book.tick()

    def of(self, name: str = "web", start_ms: int = T0, end_ms: int | None = None) -> Attribution:
        self.world.book.tick()
        found = self.who.of(name, start_ms, end_ms or self.world.clock.now_ms())
        parts = [*(share.bad for share in found.shares), found.unexplained]
        assert sum(map(Fraction, parts)) == Fraction(found.bad) == Fraction(sum(parts))
        return found

    def deploy(self, version: str, **data: Any) -> None:
        self.timeline.append("deploy", version, service="shop", data={"version": version} | data)


def born(shop: Shop) -> None:
    """Counters begin at zero, so that their first increase is known."""
    for service in ("a", "b"):
        for code in ("200", "500"):
            shop.world.counters[f"{service} {code}"] = 0.0
            shop.world.samples.add(
                "requests_total", shop.world.clock.now_ms(), 0.0, service=service, code=code
            )


@pytest.fixture
def shop(sqlite_database: StateDatabase, tmp_path: Path) -> Shop:
    del tmp_path
    made = Shop.make(sqlite_database, document("web", target=0.9))
    born(made)
    return made


def test_a_bad_version_and_its_rollback(shop: Shop) -> None:
    shop.deploy("1")
    shop.send(70)
    shop.deploy("2")
    shop.send(20, bad=40)
    shop.deploy("1")
    shop.send(30)
    found = shop.of()
    assert found.bad == 800
    assert [share.cause.title for share in found.shares] == ["shop 2"]
    assert found.shares[0].bad == pytest.approx(800)
    status = shop.world.book.status("web")
    assert (found.bad, found.total, found.allowed) == (status.bad, status.total, status.allowed_bad)
    assert found.of_budget == pytest.approx(1 - (status.budget_left or 0))
    assert found.shares[0].last_ms - found.shares[0].first_ms == 20 * MINUTE_MS


def test_late_data_and_late_events_change_what_is_told(shop: Shop) -> None:
    shop.send(70)
    shop.deploy("2")
    shop.send(10, bad=40, late=True)
    shop.send(1)
    assert [share.bad for share in shop.of().shares] == [pytest.approx(400)]
    begun = shop.world.clock.now_ms() - 12 * MINUTE_MS
    shop.timeline.append(
        "experiment.started", "on purpose", service="shop", at_ms=begun, data={"experiment": "x"}
    )
    assert [share.cause.title for share in shop.of().shares] == ["on purpose"]


def test_a_gap_spends_nothing(shop: Shop) -> None:
    shop.send(70)
    shop.deploy("2")
    shop.world.clock.advance(1800)
    shop.send(5, bad=60)
    found = shop.of()
    # What was bad while nobody reported is in the first increase after it.
    assert found.bad == 300
    assert sum(share.bad for share in found.shares) == pytest.approx(300)


def test_nothing_bad_and_no_data(shop: Shop, sqlite_database: StateDatabase) -> None:
    shop.deploy("2")
    shop.send(10)
    found = shop.of()
    assert (found.bad, found.shares, found.unexplained) == (0, (), 0)
    empty = shop.of(start_ms=T0 - HOUR_MS, end_ms=T0)
    assert (empty.total, empty.of_budget) == (0, None)
    with pytest.raises(NotFound):
        shop.who.of("none", T0, T0 + 1)
    with pytest.raises(InvalidInput, match="before until"):
        shop.who.of("web", T0, T0)
    with pytest.raises(InvalidInput, match="400 days"):
        shop.who.of("web", 0, T0)


def test_a_dependency_that_burned_and_what_made_it(sqlite_database: StateDatabase) -> None:
    behind = document("behind", target=0.9, service="b")
    spec = behind.spec.model_dump(by_alias=True, exclude_none=True)
    spec["spec"]["service"] = "b"
    behind.spec = type(behind.spec).model_validate(spec)
    shop = Shop.make(sqlite_database, document("web", target=0.9), behind)
    born(shop)
    clock = shop.world.clock
    both = shop.both
    both(70, 0)
    both(10, 40)
    both(5, 0)
    shop.world.book.tick()
    (share,) = shop.of().shares
    assert (share.cause.key, share.cause.objectives) == ("dependency:b", ("behind",))
    assert share.bad == pytest.approx(400)
    begun, ended = clock.now_ms() - 15 * MINUTE_MS, clock.now_ms() - 5 * MINUTE_MS
    shop.timeline.append("demo.fault", "b is broken", service="b", at_ms=begun, data={"fault": "errors"})
    shop.timeline.append("demo.heal", "b is healed", service="b", at_ms=ended, data={"faults": ["errors"]})
    (share,) = shop.of().shares
    assert (share.cause.title, share.cause.via) == ("b is broken", ("shop", "b"))
    assert share.bad == pytest.approx(400)
    assert share.cause.objectives == ("behind",)


@pytest.mark.parametrize("method", ["Timeslices", "RatioTimeslices"])
def test_slices(sqlite_database: StateDatabase, method: str) -> None:
    entry = {"timeSliceWindow": "5m"} | ({"timeSliceTarget": 0.95} if method == "Timeslices" else {})
    shop = Shop.make(sqlite_database, document("web", target=0.9, method=method, entry=entry))
    born(shop)
    shop.send(70)
    shop.deploy("2")
    shop.send(3, bad=40)  # fails a slice of five minutes
    shop.deploy("1")
    shop.send(17)
    found = shop.of()
    if method == "Timeslices":  # they may lie in two slices
        assert found.bad in (1, 2)
    else:
        assert found.bad == pytest.approx(0.4 * 3 / 5, rel=0.01)
    assert sum(share.bad for share in found.shares) == pytest.approx(found.bad)
    assert all((minute + 1) % 5 == 0 for minute in found.shares[0].minutes.tolist())


def test_composites(sqlite_database: StateDatabase) -> None:
    shop = Shop.make(sqlite_database, composite("web"))
    born(shop)
    shop.both(70, 0)
    shop.deploy("2")
    shop.both(10, 40, of_b=0)
    found = shop.of()
    assert found.bad == pytest.approx(10 * 0.4 / 2, rel=0.15)
    assert sum(share.bad for share in found.shares) == pytest.approx(found.bad, rel=0.01)


def test_halves_make_the_whole_and_the_bands_too(shop: Shop) -> None:
    shop.send(70)
    shop.deploy("2")
    shop.send(30, bad=20)
    now_ms = shop.world.clock.now_ms()
    middle = now_ms - 17 * MINUTE_MS
    whole, first, second = shop.of(), shop.of(end_ms=middle), shop.of(start_ms=middle)
    assert first.bad + second.bad == whole.bad
    assert first.shares[0].bad + second.shares[0].bad == pytest.approx(whole.shares[0].bad, rel=1e-9)
    edges = np.arange(whole.first, whole.first + len(whole.rest) + 10, 10)
    bands, rest = whole.bands(edges)
    assert bands.sum(axis=1).tolist() == [share.bad for share in whole.shares]
    assert rest.sum() == whole.unexplained


def test_a_page_that_is_looked_at_again_is_answered_from_memory(shop: Shop) -> None:
    shop.send(5, bad=10)
    now_ms = shop.world.clock.now_ms()
    first = shop.who.lately("web", now_ms - HOUR_MS, now_ms)
    assert shop.who.lately("web", now_ms - HOUR_MS + 2000, now_ms + 2000) is first
    assert shop.who.lately("web", now_ms - 2 * HOUR_MS, now_ms) is not first
    shop.world.clock.advance(60)
    later = shop.world.clock.now_ms()
    assert shop.who.lately("web", later - HOUR_MS, later) is not first
