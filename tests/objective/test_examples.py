"""The examples: each file can be applied alone, and is what its comments say."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.app import default_registry
from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import StateDatabase, TelemetryDatabase
from setpoint.objective.model import Objective
from setpoint.objective.resolve import resolve
from setpoint.objective.source.sql_count import SqlCounter
from setpoint.resource import ResourceStore, load_paths, load_text
from setpoint.timeline import Timeline
from tests.objective.spans import Span, store_spans

EXAMPLES = Path(__file__).parents[2] / "examples" / "objectives"
ALONE = [
    one
    for folder in ("objectives", "teams", "adjustments")
    for one in EXAMPLES.with_name(folder).glob("*.yaml")
]
NOW_MS = 1_800_000_000_000


def _objectives(name: str = "") -> list[Objective]:
    documents = load_text(load_paths([EXAMPLES / name]), default_registry())
    return resolve(documents, lambda objective, labels: [("eu", "gold"), ("us", "gold")])


@pytest.mark.parametrize("path", sorted(ALONE), ids=lambda path: path.stem)
def test_each_can_be_applied_alone_without_a_warning(path: Path, sqlite_database: StateDatabase) -> None:
    registry, clock = default_registry(), VirtualClock(NOW_MS)
    store = ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, registry)
    changes = store.apply(load_text(load_paths([path]), registry), author="tester")
    assert {change.action for change in changes} == {"created"}
    assert not [warning for change in changes for warning in change.warnings]


def test_together_they_show_everything() -> None:
    found = _objectives()
    assert {one.kind for one in found} == {"ratio", "raw", "threshold", "composite"}
    assert {one.engine for one in found} == {"promql", "sql", "spans"}
    assert {one.method for one in found} == {"Occurrences", "Timeslices", "RatioTimeslices"}
    assert {one.is_rolling for one in found} == {True, False}
    assert len({one.name for one in found}) == len(found)
    policies = [policy for one in found for policy in one.policies or ()]
    assert {condition.kind for policy in policies for condition in policy.conditions} == {
        "burnrate",
        "timeToExhaustion",
        "budgetDrop",
        "remainingBudget",
    }


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("several-targets", ["search-answers.most", "search-answers.nearly-all"]),
        ("groups", ["mail-delivered.eu.gold", "mail-delivered.us.gold"]),
        ("span-groups", ["canteen-answers.eu.gold", "canteen-answers.us.gold"]),
        (
            "composite",
            [
                "till-journey",
                "till-journey.find",
                "till-journey.pay",
                "till-open",
                "till-open.door",
                "till-open.drawer",
            ],
        ),
        ("shared-indicator", ["lending-answers", "lending-contract"]),
        ("older-v1alpha", ["archive-answers"]),
        ("draft-v2alpha", ["gallery-quick.quick", "gallery-quick.bearable"]),
        ("threshold", ["returns-queue.short", "returns-queue.bearable", "returns-shelved"]),
    ],
)
def test_the_objectives_of_a_file(file: str, names: list[str]) -> None:
    assert [one.name for one in _objectives(f"{file}.yaml")] == names


def test_the_sql_of_the_howto_returns_groups(telemetry_database: TelemetryDatabase) -> None:
    howto = (EXAMPLES.parents[1] / "docs/howto/write-an-objective.md").read_text()
    text = howto.split("```sql\n")[1].split("```")[0]
    one = Objective(
        "shop.acme", "shop", 0.9, 3600, text, bad_query=text, engine="sql", group={"tenant": "acme"}
    )
    minute = SystemClock().now_ms() // 60_000
    span = Span(minute * 60_000 - 1000, attributes={"tenant": "acme"})
    store_spans(telemetry_database, [span], minute * 60_000)
    (outcome,) = SqlCounter(telemetry_database).count([one], minute - 10, minute)
    assert outcome.slots is not None
    assert outcome.slots.total.sum() == 1


def test_the_sql_of_the_example_runs(telemetry_database: TelemetryDatabase) -> None:
    (objective,) = _objectives("sql.yaml")
    minute = NOW_MS // 60_000
    (outcome,) = SqlCounter(telemetry_database).count([objective], minute - 10, minute)
    assert outcome.error is None
    assert outcome.slots is not None
    assert outcome.slots.total.sum() == 0
