"""What the ledgers have of the past, as it was counted and as the budget has it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from setpoint.errors import NotFound
from tests.objective.test_book import T0, World, slo

MINUTE_MS = 60_000


def _sliced() -> SimpleNamespace:
    """The requests of `slo`, as minutes of which 90 in 100 must be good."""
    one = slo("sliced", target=0.9)
    spec = one.spec.model_dump(by_alias=True, exclude_none=True)
    spec["spec"]["budgetingMethod"] = "Timeslices"
    spec["spec"]["objectives"] = [{"target": 0.9, "timeSliceTarget": 0.9, "timeSliceWindow": "5m"}]
    one.spec = type(one.spec).model_validate(spec)
    return one


def test_minutes_as_they_were_counted_and_as_the_budget_has_them() -> None:
    world = World.make()
    world.born("200", "500")
    world.book.apply([_sliced()])
    past = world.book.past
    assert past.first_ms("sliced") is None
    world.run(1800, lambda: world.report(c200=60, c500=40), step_s=10)
    now_ms = world.clock.now_ms()
    counted = past.events("sliced", T0, now_ms, raw=True)
    assert (counted.total.sum(), counted.good.sum()) == (18_000, 10_800)
    judged = past.events("sliced", T0, now_ms)
    assert judged.total.sum() == pytest.approx(6, abs=1)
    assert not judged.good.any()
    begun = past.events("sliced", T0 + 10 * MINUTE_MS, T0 + 12 * MINUTE_MS, raw=True)
    assert len(begun.total) == 2
    assert begun.first == T0 // MINUTE_MS + 10
    assert len(past.events("sliced", now_ms, now_ms + 60 * MINUTE_MS).total) <= 1, "nothing beyond now"
    assert past.first_ms("sliced") == pytest.approx(T0, abs=6 * MINUTE_MS)
    assert past.objective("sliced").target == 0.9
    with pytest.raises(NotFound, match="slo list"):
        past.events("none", T0, T0 + 1)
