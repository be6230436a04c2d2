"""Adjusted time as it passes: nobody is alerted by it, the state tells it, and what comes after counts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from setpoint.errors import Unavailable
from setpoint.objective.adjustment.store import MemoryLedgers
from setpoint.objective.alerting.table import AlertChange
from tests.objective.adjustment.documents import adjustment, iso
from tests.objective.documents import document
from tests.objective.memory import MemoryLedger
from tests.objective.test_book import T0, World, slo

FIRST = T0 // 60_000


class Desk:
    """A world whose alerts are written down."""

    def __init__(self, *documents: SimpleNamespace, **settings: Any) -> None:
        self.fired: list[tuple[str, str]] = []
        self.world = World.make(on_alert=self.note, **settings)
        self.world.born("200", "500")
        self.world.book.apply(documents)

    def note(self, changes: Sequence[AlertChange]) -> None:
        self.fired += [(one.state, one.severity) for one in changes]

    def minutes(self, count: int, each: Callable[[], None] | None = None) -> Any:
        return self.world.run(60 * count, each, step_s=10)


def watched(**spec: Any) -> SimpleNamespace:
    """An objective of a day that pages of burn, and of silence after five minutes."""
    one = slo("checkout", target=0.99, window="1d")
    body = one.spec.model_dump(by_alias=True, exclude_none=True)
    body["spec"] |= {"noData": {"action": "alert", "after": "5m"}} | spec
    one.spec = type(one.spec).model_validate(body)
    return one


def window(first: int, end: int, **spec: Any) -> SimpleNamespace:
    return adjustment("upgrade", once={"start": iso(FIRST + first), "end": iso(FIRST + end)}, **spec)


@pytest.mark.parametrize("action", ["exclude", "good"])
def test_silence_in_maintenance_alerts_nobody_until_it_lasts_beyond_it(action: str) -> None:
    desk = Desk(watched(), window(12, 32, action=action))
    healthy: Callable[[], None] = lambda: desk.world.report(c200=100)  # noqa: E731
    status = desk.minutes(12, healthy)
    assert (status.state, desk.fired) == ("healthy", [])
    status = desk.minutes(19)
    assert status.state == "healthy"
    assert status.reason.startswith("in maintenance until 14:"), status.reason
    assert "(upgrade: database upgrade)" in status.reason
    assert ", no data for 1" in status.reason
    assert desk.fired == []
    status = desk.minutes(4)
    assert (status.state, desk.fired) == ("healthy", []), "its end is the begin of the silence"
    assert "maintenance" not in status.reason
    status = desk.minutes(4)
    assert status.state == "no data"
    assert [state for state, _ in desk.fired] == ["no data"]


def test_an_outage_in_maintenance_burns_nothing_and_one_after_it_does() -> None:
    desk = Desk(watched(), window(12, 32))
    desk.minutes(12, lambda: desk.world.report(c200=100))
    status = desk.minutes(20, lambda: desk.world.report(c500=100))
    assert status.bad == 0
    assert status.state == "healthy"
    assert status.gap_minutes == 0
    assert desk.fired == []
    status = desk.minutes(5, lambda: desk.world.report(c500=100))
    assert status.state == "exhausted"
    assert ("firing", "page") in desk.fired
    assert status.bad == pytest.approx(3000, abs=100)


def test_an_alert_that_fires_does_not_end_because_maintenance_begins() -> None:
    desk = Desk(watched(), window(30, 60))
    desk.minutes(12, lambda: desk.world.report(c200=100))
    desk.minutes(18, lambda: desk.world.report(c200=50, c500=50))
    assert ("firing", "page") in desk.fired
    count = len(desk.fired)
    desk.minutes(25, lambda: desk.world.report(c500=100))
    assert not [one for one in desk.fired[count:] if one[0] == "resolved" and one[1] == "page"]


def test_counted_good_keeps_the_price_and_left_out_raises_it() -> None:
    found: dict[str, Any] = {}
    for action in ("exclude", "good"):
        desk = Desk(watched(), window(10, 20, action=action))
        desk.minutes(30, lambda: desk.world.report(c200=99, c500=1))  # noqa: B023 — run at once
        status = desk.world.book.status("checkout")
        (effect,) = desk.world.book.adjustments.statuses("upgrade")[0].effects
        found[action] = (status.total, status.bad, effect.cost)
    assert found["exclude"] == (
        pytest.approx(12_000, abs=100),
        pytest.approx(120, abs=1),
        pytest.approx(1.5, abs=0.01),
    )
    assert found["good"] == (pytest.approx(18_000, abs=100), pytest.approx(120, abs=1), 1.0)


def test_one_objective_may_count_good_what_others_leave_out() -> None:
    both = [document("first"), document("second")]
    one = window(0, 9, perObjective={"second": "good"})
    desk = Desk(*both, one)
    for _ in range(10):
        desk.world.samples.add("requests_total", desk.world.clock.now_ms(), 5.0 * _, service="a", code="500")
        desk.minutes(1)
    statuses = {status.name: status for status in desk.world.book.statuses()}
    assert statuses["first"].total < statuses["second"].total
    assert statuses["second"].bad == statuses["first"].bad


def test_a_database_that_does_not_answer_only_delays_it() -> None:
    class Moody(MemoryLedgers):
        broken = True

        def put(self, *given: Any, **named: Any) -> None:
            if self.broken:
                raise Unavailable("not now")
            super().put(*given, **named)

    kept = Moody()
    desk = Desk(watched(), store=MemoryLedger(), adjusted=kept)
    desk.minutes(12, lambda: desk.world.report(c200=90, c500=10))
    before = desk.world.book.status("checkout")
    desk.world.book.apply([watched(), window(2, 8)])
    assert desk.world.book.status("checkout").total == before.total
    kept.broken = False
    desk.minutes(1)
    assert desk.world.book.status("checkout").total == before.total - 6 * 600
    assert {one.state for one in kept.entries.values()} == {"kept"}
