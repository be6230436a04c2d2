"""Which series there are, over head and store, against a list; what the head covers is never asked of the database."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.telemetry import Labels, Matcher
from setpoint.telemetry.catalog import Catalog
from tests.telemetry.engine import Engine
from tests.telemetry.naive import Sample, batch

NOW_MS = SystemClock().now_ms()
HORIZON_MS = 60_000
OLD_MS = NOW_MS - 10 * HORIZON_MS
ALWAYS = (-(2**53), 2**53)

OLD: list[Labels] = [{"__name__": "old", "pod": str(pod), "gone": "yes"} for pod in range(3)]
NEW: list[Labels] = [{"__name__": "new", "pod": str(pod), "zone": f"z{pod % 2}"} for pod in range(12)]
BOTH: list[Labels] = [{"__name__": "both", "pod": "1"}]

Query = tuple[list[list[Matcher]], set[str]]
SELECTIONS: list[list[list[Matcher]]] = [
    [[Matcher("__name__", "!=", "")]],
    [[Matcher("pod", "=", "1")]],
    [[Matcher("zone", "=~", "z1|z9")], [Matcher("pod", "=", "1")]],
    [[Matcher("gone", "=", "yes"), Matcher("pod", "!~", "0|1")], [Matcher("__name__", "=", "nothing")]],
    [[Matcher("pod", "=", "nowhere")]],
]


class Unreachable:
    """A database that must not be asked."""

    def query(self, *_: Any, **__: Any) -> Any:
        raise Unavailable("the database was asked")


def accepts(matchers: list[Matcher], labels: Labels) -> bool:
    """Matching once more, for these selections only."""
    said = {"=": lambda a, b: a == b, "!=": lambda a, b: a != b}
    said |= {"=~": lambda a, b: a in b.split("|"), "!~": lambda a, b: a not in b.split("|")}
    return all(said[one.op](labels.get(one.name, ""), one.value) for one in matchers)


def chosen(selectors: list[list[Matcher]], among: list[Labels]) -> list[Labels]:
    found = [dict(labels) for labels in among if any(accepts(matchers, labels) for matchers in selectors)]
    return sorted(found, key=lambda labels: sorted(labels.items()))


@pytest.fixture
def engine(telemetry_database: TelemetryDatabase) -> Any:
    engine = Engine(telemetry_database, OLD_MS, HORIZON_MS)
    old: list[Sample] = [(labels, OLD_MS, 1.0) for labels in OLD + BOTH]
    engine.send(batch(old))
    engine.flush()
    engine.head.evict(NOW_MS)
    new: list[Sample] = [(labels, NOW_MS - 1000, 1.0) for labels in NEW + BOTH]
    engine.send(batch(new))
    yield engine
    engine.close()


RANGES = [
    (*ALWAYS, OLD + NEW + BOTH),
    (OLD_MS - 5000, OLD_MS + 5000, OLD + BOTH),
    (OLD_MS - 9000, OLD_MS - 5000, []),
    (NOW_MS - 2000, NOW_MS, NEW + BOTH),
    (NOW_MS, NOW_MS - 2000, []),
]


@pytest.mark.parametrize("selectors", SELECTIONS)
@pytest.mark.parametrize("within", RANGES)
def test_head_and_store_are_one_list(
    engine: Engine,
    telemetry_database: TelemetryDatabase,
    selectors: list[list[Matcher]],
    within: tuple[int, int, list[Labels]],
) -> None:
    start_ms, end_ms, there = within
    catalog = Catalog(engine.head, telemetry_database)
    expected = chosen(selectors, there)
    assert [dict(one) for one in catalog.series(selectors, start_ms, end_ms)] == expected
    assert catalog.label_names(selectors, start_ms, end_ms) == sorted(
        {name for one in expected for name in one}
    )
    for name in ("__name__", "pod", "zone", "gone", "nowhere"):
        values = sorted({one[name] for one in expected if name in one})
        assert catalog.label_values(name, selectors, start_ms, end_ms) == values, name


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "there"), RANGES, ids=range(len(RANGES))
)  # ids without a time
def test_without_a_selector_all_series_count(
    engine: Engine, telemetry_database: TelemetryDatabase, start_ms: int, end_ms: int, there: list[Labels]
) -> None:
    catalog = Catalog(engine.head, telemetry_database)
    assert catalog.label_names([], start_ms, end_ms) == sorted({name for one in there for name in one})
    assert catalog.label_values("pod", [], start_ms, end_ms) == sorted({one["pod"] for one in there})


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13, 14, 1000])
def test_a_limit_gives_the_first(engine: Engine, telemetry_database: TelemetryDatabase, limit: int) -> None:
    recent = Catalog(engine.head, Unreachable())  # type: ignore[arg-type]
    for selectors in SELECTIONS:
        expected = chosen(selectors, NEW + BOTH)[:limit]
        assert [dict(one) for one in recent.series(selectors, NOW_MS - 2000, NOW_MS, limit)] == expected
        found = Catalog(engine.head, telemetry_database).series(selectors, *ALWAYS, limit)
        everything = chosen(selectors, OLD + NEW + BOTH)
        assert len(found) == min(limit, len(everything))
        assert all(dict(one) in everything for one in found)


def test_what_the_head_covers_is_not_asked_of_the_database(engine: Engine) -> None:
    catalog = Catalog(engine.head, Unreachable())  # type: ignore[arg-type]
    covered = (NOW_MS - 2000, NOW_MS)
    for selectors in SELECTIONS:
        catalog.series(selectors, *covered)
        catalog.label_names(selectors, *covered)
        catalog.label_values("pod", selectors, *covered)
    with pytest.raises(Unavailable):
        catalog.label_names([], OLD_MS, NOW_MS)


def test_a_bad_expression_is_refused_everywhere(
    engine: Engine, telemetry_database: TelemetryDatabase
) -> None:
    catalog = Catalog(engine.head, telemetry_database)
    bad = [[Matcher("pod", "=~", "(")]]
    for start_ms, end_ms in (ALWAYS, (NOW_MS - 2000, NOW_MS), (OLD_MS - 5000, OLD_MS)):
        with pytest.raises(InvalidInput):
            catalog.series(bad, start_ms, end_ms)
        with pytest.raises(InvalidInput):
            catalog.label_names(bad, start_ms, end_ms)
        with pytest.raises(InvalidInput):
            catalog.label_values("pod", bad, start_ms, end_ms)
