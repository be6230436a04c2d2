"""A report of a running book: what was kept, told and what happened."""

from __future__ import annotations

import pytest

from setpoint.database import StateDatabase
from setpoint.report import Scope, compile_report, period_at
from setpoint.report.model import CauseLine
from setpoint.timeline import Timeline
from tests.objective import documents
from tests.objective.test_book import T0, World, slo

EVERYTHING = Scope("organisation")


def test_what_was_kept_told_and_happened(sqlite_database: StateDatabase) -> None:
    world = World.make()
    world.born("200", "500")
    good, bad = slo("good", target=0.9), slo("bad", target=0.99)
    silent = slo("silent", good='sum(nothing{code!~"5.."})', total="sum(nothing)")
    world.book.apply([good, bad, silent])
    world.run(3600, lambda: world.report(c200=95, c500=5), step_s=60)
    timeline = Timeline(sqlite_database, world.clock)
    now_ms = world.clock.now_ms()
    alert = {"objective": "bad", "policy": "fast burn", "severity": "page"}
    timeline.append("alert.fired", "bad: fast burn", service="checkout", at_ms=now_ms - 60_000, data=alert)
    timeline.append("alert.fired", "other", service="mail", at_ms=now_ms, data=alert | {"objective": "mail"})
    timeline.append("deploy", "checkout 1.2.3", service="checkout", at_ms=now_ms - 1000)
    period = period_at("week", now_ms)
    timeline.append("deploy", "checkout 1.2.2", service="checkout", at_ms=period.start_ms)

    def causes(names: object, start_ms: int, until_ms: int) -> list[CauseLine]:
        assert names == ["bad", "good"]
        assert (start_ms, until_ms) == (period.start_ms, now_ms)
        return [CauseLine("deploy 1.2.3", "deploy", "checkout", "bad", 3.0, 0.5, 1, now_ms)]

    objectives = list(world.book.overview().objectives)
    report = compile_report(
        EVERYTHING, period, objectives, past=world.book.past, timeline=timeline, now_ms=now_ms, causes=causes
    )
    assert not report.is_final
    assert [(line.name, line.verdict) for line in report.objectives] == [
        ("bad", "missed"),
        ("silent", "no data"),
        ("good", "kept"),
    ]
    assert report.verdicts == {"missed": 1, "don't know": 0, "no data": 1, "kept": 1}
    worst, unseen, kept = report.objectives
    assert worst.total == kept.total == 6000
    assert worst.bad == 300
    assert worst.sli == pytest.approx(0.95)
    assert worst.used == pytest.approx(5)
    assert worst.left_before is None
    assert worst.left_after == pytest.approx(world.book.status("bad").budget_left)
    assert kept.left_after == pytest.approx(0.5)
    assert (unseen.sli, unseen.used, unseen.left_after) == (None, None, None)
    assert unseen.unseen_minutes == unseen.minutes > 60
    assert (report.pages, report.counts["deploy"]) == (1, 1)
    assert [one.summary for one in report.happened] == ["checkout 1.2.3"]
    assert report.services == ("checkout",)
    assert report.causes[0].bad == 3


def test_slices_that_were_seen_are_seen_in_all_of_their_minutes(sqlite_database: StateDatabase) -> None:
    world = World.make()
    world.born("200", "500")
    ratio = {"counter": True} | {
        role: {"metricSource": {"spec": {"query": text}}}
        for role, text in (("good", 'sum(requests_total{code!~"5.."})'), ("total", "sum(requests_total)"))
    }
    sliced = documents.slo(
        "sliced",
        service="checkout",
        indicator={"spec": {"ratioMetric": ratio}},
        budgetingMethod="Timeslices",
        objectives=[{"target": 0.9, "timeSliceTarget": 0.9, "timeSliceWindow": "5m"}],
    )
    world.book.apply([slo("events", target=0.9), sliced])
    world.run(3600, lambda: world.report(c200=95, c500=5), step_s=60)
    now_ms = world.clock.now_ms()
    report = compile_report(
        EVERYTHING,
        period_at("week", now_ms),
        list(world.book.overview().objectives),
        past=world.book.past,
        timeline=Timeline(sqlite_database, world.clock),
        now_ms=now_ms,
    )
    seen = {line.name: line.minutes - line.unseen_minutes for line in report.objectives}
    assert seen["events"] >= 55, "but for the newest minutes, which may not be counted yet"
    assert abs(seen["sliced"] - seen["events"]) <= 10, "but for the slices at its begin and end"


def test_the_week_before_ends_where_this_one_begins(sqlite_database: StateDatabase) -> None:
    world = World.make()
    world.born("200", "500")
    world.book.apply([slo("good", target=0.9, window="7d")])
    world.run(3600, lambda: world.report(c200=95, c500=5), step_s=60)
    report = compile_report(
        EVERYTHING,
        period_at("week", T0).before,
        list(world.book.overview().objectives),
        past=world.book.past,
        timeline=Timeline(sqlite_database, world.clock),
        now_ms=world.clock.now_ms(),
    )
    assert report.is_final
    assert [line.verdict for line in report.objectives] == ["no data"]
    assert report.objectives[0].minutes == 7 * 1440


def test_what_was_not_seen_is_not_taken_for_good(sqlite_database: StateDatabase) -> None:
    world = World.make()
    world.born("200", "500")
    world.book.apply([slo("strict", target=0.96), slo("loose", target=0.3), slo("hopeless", target=0.999)])
    world.run(3600, lambda: world.report(c200=97, c500=3), step_s=60)
    world.clock.advance(3600)  # nobody reports
    world.run(600, lambda: world.report(c200=97, c500=3), step_s=60)
    report = compile_report(
        EVERYTHING,
        period_at("week", world.clock.now_ms()),
        list(world.book.overview().objectives),
        past=world.book.past,
        timeline=Timeline(sqlite_database, world.clock),
        now_ms=world.clock.now_ms(),
    )
    found = {line.name: line for line in report.objectives}
    assert found["loose"].unseen_minutes > 50
    # Bad ones: 3 %. With the silent hour all bad nearly half, with it all good about 1.6 %.
    assert {name: line.verdict for name, line in found.items()} == {
        "strict": "don't know",
        "loose": "kept",
        "hopeless": "missed",
    }
    assert report.verdicts["don't know"] == 1
