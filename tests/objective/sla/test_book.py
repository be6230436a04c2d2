"""SLAs over a real book: months that are over and one that lasts, adjustments left out, what was not seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from setpoint.errors import NotFound
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.sla.book import SlaBook
from setpoint.objective.sla.spec import Sla
from tests.objective.documents import document
from tests.objective.test_book import World

DAY = 1440


def at(day: str) -> int:
    return round(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)


def sla(**spec: Any) -> SimpleNamespace:
    body = {
        "metadata": {"name": "gold"},
        "spec": {
            "service": "shop",
            "objectives": [{"objective": "web", "targetPercent": 99}],
            "credits": [{"below": 99, "percent": 10}, {"below": 90, "percent": 50}],
        }
        | spec,
    }
    return SimpleNamespace(spec=Sla.model_validate(body))


def slas(world: World, document_: SimpleNamespace) -> SlaBook:
    book = SlaBook(world.book.past, world.clock)
    book.follow([document_])
    return book


def world_until(now: str, days: Sequence[tuple[str, int, float | None]]) -> World:
    """A book whose objective `web` counts 10 events a minute; of the days from each one on, so many, bad ones or None
    for no data.
    """
    world = World.make(start_ms=at(now))
    world.book.apply([document("web", target=0.995, window={"duration": "90d", "isRolling": True})])
    for day, count, bad in days:
        size = count * DAY
        present = np.full(size, bad is not None)
        total = np.where(present, 10.0, 0.0)
        good = np.where(present, 10.0 - (bad or 0.0), 0.0)
        world.book.put("web", Slots(at(day) // 60_000, good, total, present))
    return world


def test_months_that_are_over_and_the_one_that_lasts() -> None:
    world = world_until(
        "2027-03-11",
        [("2027-01-01", 31, 0.05), ("2027-02-01", 28, 0.2), ("2027-03-01", 10, 0.0)],
    )
    found = slas(world, sla()).show("gold", 12)
    assert [(one.label, one.state, one.is_over) for one in found.periods] == [
        ("March 2027", "kept", False),
        ("February 2027", "broken", True),
        ("January 2027", "kept", True),
    ]
    _, february, january = found.periods
    assert february.credit == february.credit_highest == 0.1
    assert february.promises[0].sli == pytest.approx(0.98)
    assert february.promises[0].bad == pytest.approx(0.2 * 28 * DAY)
    assert january.promises[0].unseen_minutes == 0
    assert january.promises[0].allowed == pytest.approx(0.01 * 10 * 31 * DAY)


def test_a_quarter_by_a_clock_of_its_own() -> None:
    world = world_until("2027-03-11", [("2026-12-30", 71, 0.0)])
    found = slas(world, sla(period="quarter", timeZone="America/New_York")).show("gold", 2)
    assert [one.label for one in found.periods] == ["Q1 2027", "Q4 2026"]
    assert found.periods[0].start_ms == at("2027-01-01") + 5 * 3600_000


def test_what_was_not_seen_may_have_been_bad() -> None:
    world = world_until(
        "2027-02-02", [("2027-01-01", 10, 0.0), ("2027-01-11", 5, None), ("2027-01-16", 17, 0.0)]
    )
    january = slas(world, sla()).show("gold", 2).periods[1]
    assert (january.state, january.credit, january.credit_highest) == ("don't know", 0, 0.5)
    assert january.promises[0].unseen_minutes == 5 * DAY


def test_an_objective_that_is_gone_or_new_is_not_known() -> None:
    world = world_until("2027-02-02", [])
    book = slas(world, sla(objectives=[{"objective": "nobody", "target": 0.99}]))
    (status,) = book.all()
    assert (status.periods[0].state, status.periods[0].credit) == ("don't know", 0)
    assert book.promised() == {"nobody": ("gold", 0.99)}
    assert slas(world, sla()).show("gold").periods[0].state == "don't know"
    with pytest.raises(NotFound, match="sla list"):
        book.show("none")
