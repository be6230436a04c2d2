"""What is written down of adjustments, on every state database: entries of ledgers, and what the timeline was told."""

from __future__ import annotations

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.objective.adjustment.store import AdjustedLedgers, Entry
from setpoint.objective.adjustment.told import AdjustmentLog
from setpoint.timeline import Timeline
from tests.objective.adjustment.documents import adjustment, iso
from tests.objective.test_book import T0, World, slo

FIRST = T0 // 60_000


def test_entries_of_ledgers_are_all_or_nothing(state_database: StateDatabase) -> None:
    kept = AdjustedLedgers(state_database)
    one, other = Entry("dirty", frozenset({'{"do": "good"}', "ü"})), Entry("kept", frozenset())
    kept.put({"a/1": one, "b/2": other})
    assert AdjustedLedgers(state_database).read() == {"a/1": one, "b/2": other}
    kept.put({"a/1": Entry("leaving", one.items)}, gone=["b/2", "c/3"])
    assert kept.read() == {"a/1": Entry("leaving", one.items)}


def test_the_timeline_is_told_once_also_of_what_a_stop_missed(state_database: StateDatabase) -> None:
    """Time that began and ended while nobody looked has its own instants."""
    world = World.make(adjusted=AdjustedLedgers(state_database))
    timeline = Timeline(state_database, world.clock)
    daily = adjustment(
        "daily", recurring={"start": iso(FIRST + 30)[:19], "rrule": "FREQ=DAILY", "duration": "20m"}
    )

    def look() -> None:
        world.book.tick()
        AdjustmentLog(state_database, timeline, world.clock, world.book.adjustments).look()

    world.born("200")
    world.book.apply([slo(), daily])
    for _ in range(3):
        world.run(5, lambda: world.report(c200=1))
        look()
    assert isinstance(world.clock, VirtualClock)
    world.clock.advance(86_400 + 3600)
    look()
    look()
    world.book.apply([slo()])
    look()
    told = [(one.kind, (one.at_ms - T0) // 60_000) for one in timeline.query()][::-1]
    assert told == [
        ("adjustment.applied", 0),
        ("adjustment.began", 30),
        ("adjustment.ended", 50),
        ("adjustment.began", 1470),
        ("adjustment.ended", 1490),
        ("adjustment.removed", 1500),
    ]


def test_a_window_of_the_calendar_has_its_own_adjusted_budget() -> None:
    """The day before does not count, nor what is left out of this one."""
    world = World.make(start_ms=T0 - T0 % 86_400_000 + 86_400_000 - 1_800_000)
    world.born("200", "500")
    one = slo(target=0.9)
    body = one.spec.model_dump(by_alias=True, exclude_none=True)
    calendar = {"startTime": "2026-01-01 00:00:00", "timeZone": "UTC"}
    body["spec"]["timeWindow"] = [{"duration": "1d", "isRolling": False, "calendar": calendar}]
    one.spec = type(one.spec).model_validate(body)
    midnight = (world.clock.now_ms() + 1_800_000) // 60_000
    left_out = adjustment("night", once={"start": iso(midnight - 10), "end": iso(midnight + 10)})
    world.book.apply([one, left_out])
    status = world.run(3600, lambda: world.report(c200=9, c500=1), step_s=10)
    assert status.total == 20 * 6 * 10
    (effect,) = world.book.adjustments.statuses("night")[0].effects
    assert (effect.minutes, effect.bad) == (10, 60)
    assert effect.budget_with == status.budget_left
    assert effect.cost == 1.5
