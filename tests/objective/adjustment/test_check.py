"""What is refused and what is warned of when an adjustment is applied, with the line."""

from __future__ import annotations

import pytest

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.resource import ResourceStore, load_text
from setpoint.timeline import Timeline

NOW_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC

SLOS = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: till, labels: {team: front}}
spec:
  service: desk
  indicator: {spec: {ratioMetric: {counter: true, good: {metricSource: {spec: {query: sum(g)}}}, total: {metricSource: {spec: {query: sum(t)}}}}}}
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: both}
spec:
  service: desk
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  composite: {allOf: true}
  objectives:
    - {displayName: a, target: 0.9, indicator: {spec: {ratioMetric: {counter: true, good: {metricSource: {spec: {query: sum(g)}}}, total: {metricSource: {spec: {query: sum(t)}}}}}}}
    - {displayName: b, target: 0.9, indicator: {spec: {ratioMetric: {counter: true, good: {metricSource: {spec: {query: sum(g)}}}, total: {metricSource: {spec: {query: sum(t)}}}}}}}
"""  # noqa: E501 — documents


def document(name: str, select: str, *lines: str) -> str:
    head = ["apiVersion: setpoint/v1", "kind: BudgetAdjustment", f"metadata: {{name: {name}}}", "spec:"]
    return "\n".join(
        [*head, "  reason: because of it", f"  select: {select}", *(f"  {line}" for line in lines)]
    )


@pytest.fixture
def store(sqlite_database: StateDatabase) -> ResourceStore:
    clock = VirtualClock(NOW_MS)
    made = ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, default_registry(clock))
    made.apply(load_text([("slos.yaml", SLOS)], default_registry(clock)), author="tester")
    return made


def apply(store: ResourceStore, *texts: str) -> list[str]:
    """The warnings; raises InvalidInput."""
    registry = default_registry(VirtualClock(NOW_MS))
    documents = load_text([("a.yaml", "\n---\n".join(texts))], registry)
    return [warning for change in store.apply(documents, author="tester") for warning in change.warnings]


ONCE = "once: {start: 2027-01-14T08:00:00Z, end: 2027-01-14T09:00:00Z}"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        (document("x", "{objectives: [tll]}", ONCE), 6, "did you mean 'till'"),
        (document("x", "{slos: [tll]}", ONCE), 6, "there is no SLO 'tll'; did you mean 'till'"),
        (document("x", "{services: [dsk]}", ONCE), 6, "there is no Service 'dsk'; did you mean 'desk'"),
        (document("x", "{labels: {team: back}}", ONCE), 6, "no objective is chosen"),
        (document("x", "{}", ONCE), 6, "choose some objectives"),
        (document("x", "{all: true, slos: [till]}", ONCE), 6, "either all or some"),
        (document("x", "{all: true}"), 4, "exactly one of once, recurring and correction"),
        (
            document("x", "{all: true}", "once: {start: 2027-01-14 08:00:00, end: 2027-01-14T09:00:00Z}"),
            7,
            "offset",
        ),
        (
            document("x", "{all: true}", "once: {start: 2027-01-14T08:00:30Z, end: 2027-01-14T09:00:00Z}"),
            7,
            "minute",
        ),
        (
            document("x", "{all: true}", "once: {start: 2027-01-01T00:00:00Z, end: 2027-01-09T00:00:00Z}"),
            7,
            "longer",
        ),
        (
            document(
                "x",
                "{all: true}",
                "recurring: {start: 2027-01-14T08:00:00, rrule: FREQ=HOURLY, duration: 2h}",
            ),
            7,
            "one begins 60 min after another",
        ),
        (
            document("x", "{objectives: [both]}", "correction: {at: 2027-01-14T08:00:00Z, badEvents: -1}"),
            6,
            "is made of other objectives",
        ),
        (
            document("x", "{objectives: [till]}", "correction: {at: 2027-01-15T08:10:00Z, badEvents: -1}"),
            7,
            "the future cannot be corrected yet",
        ),
        (
            document("x", "{all: true}", "correction: {at: 2027-01-14T08:00:00Z, badEvents: -1}"),
            6,
            "its name",
        ),
        (
            document("x", "{objectives: [till]}", ONCE, "perObjective: {both: good}"),
            8,
            "not among the selected",
        ),
    ],
)
def test_what_is_refused(store: ResourceStore, text: str, line: int, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        apply(store, text)
    problem = caught.value.problems[0]
    assert told in problem.message
    assert (problem.file, problem.line) == ("a.yaml", line)


def test_contradictions_are_refused_and_equal_ones_are_one(store: ResourceStore) -> None:
    daily = "recurring: {start: 2027-01-01T08:30:00, rrule: FREQ=DAILY, duration: 1h}"
    apply(store, document("daily", "{services: [desk]}", daily))
    assert apply(store, document("same", "{objectives: [till]}", ONCE)) == []
    with pytest.raises(
        InvalidInput, match="'daily' does exclude with the same minutes of till, this one good"
    ):
        apply(store, document("other", "{objectives: [till]}", "action: good", ONCE))
    other = ONCE.replace("T08:", "T10:").replace("T09:", "T11:")
    assert apply(store, document("apart", "{objectives: [till]}", "action: good", other)) == []
    with pytest.raises(InvalidInput, match="needs it: there is no objective 'till'"):
        store.delete("SLO", "till", "tester")


def test_what_is_warned_of(store: ResourceStore) -> None:
    ahead = "once: {start: 2027-01-16T08:00:00Z, end: 2027-01-16T09:00:00Z}"
    (told,) = apply(store, document("ahead", "{objectives: [till]}", ahead))
    assert "announced: it begins in 1 d and lasts 1 h" in told
    long = "once: {start: 2027-01-05T08:00:00Z, end: 2027-01-09T09:00:00Z}"
    (told,) = apply(store, document("long", "{objectives: [till]}", long))
    assert "more than half of the window of till is left out" in told
    often = "recurring: {start: 2026-01-01T08:00:00, rrule: FREQ=DAILY, duration: 13h}"
    (told,) = apply(store, document("often", "{objectives: [both]}", often))
    assert "more than half of the window of both is left out" in told
    assert apply(store, document("often", "{objectives: [both]}", often, "action: good")) == []
