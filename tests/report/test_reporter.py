"""Who makes reports: scopes, what is due, and that a restart makes nothing twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound, Unavailable
from setpoint.objective.register import register as register_objectives
from setpoint.report import Scope, period_at
from setpoint.report.model import Report
from setpoint.report.reporter import Reporter
from setpoint.report.spec import register
from setpoint.report.store import ReportStore
from setpoint.resource import Document, Registry, load_text
from setpoint.timeline import Timeline
from tests.objective.test_book import World, slo

DOCUMENTS = """
apiVersion: setpoint/v1
kind: Team
metadata: {name: shop}
spec: {}
---
apiVersion: setpoint/v1
kind: Team
metadata: {name: till}
spec: {services: [checkout], partOf: shop}
---
apiVersion: setpoint/v1
kind: Report
metadata: {name: shop-weekly}
spec: {period: week, team: shop, timeZone: Europe/Berlin}
---
apiVersion: setpoint/v1
kind: Report
metadata: {name: monthly}
spec: {period: month}
"""
HOUR_S = 3600


def _documents(text: str = DOCUMENTS) -> list[Document]:
    registry = Registry()
    register_objectives(registry)
    register(registry)
    return load_text([("r.yaml", text)], registry)


@pytest.fixture
def world() -> Iterator[World]:
    world = World.make()
    world.born("200", "500")
    world.book.apply([*_documents(), slo("answers", target=0.9)])
    world.run(HOUR_S, lambda: world.report(c200=95, c500=5), step_s=60)
    yield world
    world.book.close()


def _reporter(world: World, database: StateDatabase) -> Reporter:
    timeline = Timeline(database, world.clock)
    made = Reporter(ReportStore(database), world.book.overview, world.book.past, timeline, world.clock)
    made.apply(_documents())
    return made


def test_scopes(world: World, sqlite_database: StateDatabase) -> None:
    reporter = _reporter(world, sqlite_database)
    for scope in (
        reporter.scope(team="shop"),
        reporter.scope(team="till"),
        reporter.scope(service="checkout"),
        reporter.scope(),
    ):
        assert [one.name for one in reporter.objectives(scope)] == ["answers"]
    with pytest.raises(NotFound, match="team list"):
        reporter.scope(team="nobody")
    with pytest.raises(NotFound, match="slo list"):
        reporter.scope(service="nothing")


def test_what_is_due_is_made_once_and_stays_as_it_was_said(
    world: World, sqlite_database: StateDatabase
) -> None:
    reporter = _reporter(world, sqlite_database)
    ended = period_at("week", world.clock.now_ms(), "Europe/Berlin")
    assert {report.period.kind for report in reporter.make_due()} == {"week", "month"}, (
        "of before there was anything"
    )
    assert reporter.make_due() == []
    world.clock.advance((ended.end_ms - world.clock.now_ms()) / 1000 + 60)
    assert reporter.make_due() == [], "late data may come still"
    world.clock.advance(15 * 60)
    made = reporter.make_due()
    assert [(one.period, one.scope, one.is_final) for one in made] == [(ended, Scope("team", "shop"), True)]
    assert made[0].objectives[0].total == 6000
    again = _reporter(world, sqlite_database)
    assert again.make_due() == []
    kept = again.get(Scope("team", "shop"), ended)
    assert kept == made[0]
    assert again.store.stored()[0].period == ended.name
    told = Timeline(sqlite_database, world.clock).query(kinds=["report.made"])
    assert len(told) == 3
    assert "0 kept, 0 missed, 1 unknown" in told[0].summary, "an hour of traffic, and days of silence"


def test_what_was_kept_is_told_although_the_process_ended_between(
    world: World, sqlite_database: StateDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = _reporter(world, sqlite_database)

    def refuse(*_: object) -> None:
        raise Unavailable("the database does not answer; try again")

    with monkeypatch.context() as patch:
        patch.setattr(reporter, "_tell", refuse)
        with pytest.raises(Unavailable):
            reporter.make_due()
    assert len(reporter.store.stored()) == 2, "one that fails keeps no other waiting"
    timeline = Timeline(sqlite_database, world.clock)
    assert timeline.query(kinds=["report.made"]) == []
    assert _reporter(world, sqlite_database).make_due() == []
    assert len(timeline.query(kinds=["report.made"])) == 2


def test_old_reports_are_dropped(world: World, sqlite_database: StateDatabase) -> None:
    reporter = _reporter(world, sqlite_database)
    reporter.make_due()
    assert len(reporter.store.stored()) == 2
    reporter.store.drop(world.clock.now_ms())
    assert reporter.store.stored() == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("{period: week, team: shop, service: till}", "one scope"),
        ("{period: day}", "week"),
        ("{period: week, timeZone: Mars}", "time zone"),
        ("{period: week, to: ann}", "to"),
    ],
)
def test_what_cannot_be_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        _documents(f"apiVersion: setpoint/v1\nkind: Report\nmetadata: {{name: r}}\nspec: {spec}")
    assert any(message in str(problem) for problem in refused.value.problems)


def test_a_report_is_handed_over_once_and_again_only_if_that_failed(
    world: World, sqlite_database: StateDatabase
) -> None:
    text = """
apiVersion: setpoint/v1
kind: Report
metadata: {name: weekly}
spec: {period: week, notify: [managers, nobody]}
"""
    handed: list[tuple[tuple[str, ...], str, str]] = []

    def reporter() -> Reporter:
        made = Reporter(
            ReportStore(sqlite_database),
            world.book.overview,
            world.book.past,
            Timeline(sqlite_database, world.clock),
            world.clock,
        )
        made.apply(_documents(text))
        return made

    def send(receivers: Sequence[str], name: str, report: Report) -> str:
        handed.append((tuple(receivers), name, report.period.name))
        if len(handed) == 1:
            raise Unavailable("the state database does not answer")
        return "the routing has no receiver 'nobody'"

    first = reporter()
    first.send = send
    with pytest.raises(Unavailable):
        first.make_due()
    first.make_due()
    first.make_due()
    again = reporter()
    again.send = send
    again.make_due()
    assert len(handed) == 2
    assert handed[0] == handed[1]
    assert handed[0][:2] == (("managers", "nobody"), "weekly")
    (told,) = Timeline(sqlite_database, world.clock).query(kinds=["report.sent"])
    assert told.summary.endswith("goes to managers, nobody: the routing has no receiver 'nobody'")
