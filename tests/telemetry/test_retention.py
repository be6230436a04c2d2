"""What is too old goes, what is to be kept longer stays, and a series of which nothing is left is forgotten."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Matcher
from setpoint.telemetry.compact import Compactor
from setpoint.telemetry.retention import Policy, Retention, Retired, Rule, partitions
from setpoint.telemetry.rollup import DAY_MS
from setpoint.telemetry.rollup_store import Rollups
from setpoint.telemetry.series_removal import SeriesRemoval
from tests.telemetry.flushes import PRINTS, Flusher, labels_of, quarter
from tests.telemetry.rollups import DAY

DEBUG = (Matcher("__name__", "=~", "debug_.*"),)


def _nothing_live() -> np.ndarray:
    return np.empty(0, np.uint64)


@pytest.fixture
def flusher(telemetry_database: TelemetryDatabase) -> Flusher:
    flusher = Flusher(telemetry_database)
    flusher.write_series()
    return flusher


def _retention(db: TelemetryDatabase, policy: Policy, live=_nothing_live) -> Retention:  # type: ignore[no-untyped-def]
    return Retention(db, policy, 400, SeriesRemoval(db, live).remove)


def _series(db: TelemetryDatabase) -> set[int]:
    found = set(db.query("SELECT DISTINCT fingerprint FROM series")["fingerprint"].tolist())
    return {number for number, print_ in enumerate(PRINTS) if print_ in found}


def test_whole_days_go_when_they_ended_long_enough_ago(flusher: Flusher) -> None:
    for day in range(DAY, DAY + 4):
        flusher.flush(quarter(0, day=day))
    retention = _retention(flusher.db, Policy(2))
    noon = (
        DAY + 3
    ) * DAY_MS + DAY_MS // 2  # DAY ended two days and a half ago, the day after that less than two
    assert retention.enforce(noon).partitions == 1
    kept = [day for day in range(DAY, DAY + 4) if flusher.stored(day)]
    assert kept == [DAY + 1, DAY + 2, DAY + 3]
    assert retention.kept_from_ms(noon) == (DAY + 1) * DAY_MS
    assert retention.enforce(noon) == Retired()


def test_metrics_are_kept_for_less_or_for_longer(flusher: Flusher) -> None:
    for day in (DAY, DAY + 5):
        flusher.flush(quarter(0, day=day))
    now_ms = (DAY + 6) * DAY_MS
    shorter = _retention(flusher.db, Policy(35, (Rule(DEBUG, 4),)))
    assert shorter.enforce(now_ms).rows == 4  # chunks
    assert {series for series, _ in flusher.stored()} == {0, 2, 4, 6}
    assert len(flusher.stored(DAY + 5)) == 120
    assert shorter.enforce(now_ms).rows == 0
    longer = _retention(flusher.db, Policy(3, (Rule((Matcher("pod", "=", "2"),), 100), Rule(DEBUG, 1))))
    assert longer.enforce(now_ms).partitions == 0
    assert {series for series, _ in flusher.stored()} == {2}
    assert {series for series, _ in flusher.stored(DAY + 5)} == set(range(8))
    assert longer.enforce(now_ms + 200 * DAY_MS).partitions == 2


keeps = st.integers(1, 6)
selectors = st.sampled_from([
    (Matcher("pod", "=", "1"),),
    (Matcher("pod", "=~", "[0-3]"),),
    (Matcher("__name__", "!=", "m"), Matcher("pod", "!~", "5|it's")),
    (Matcher("none", "=", ""),),
    (Matcher("none", "=~", ".+"),),
])  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rules=st.lists(st.builds(Rule, selectors, keeps), max_size=3), default=keeps, age=st.integers(0, 7))
def test_the_database_and_the_policy_agree_on_who_expires(
    flusher: Flusher, rules: list[Rule], default: int, age: int
) -> None:
    if not len(flusher.db.query("SELECT fingerprint FROM series")["fingerprint"]):
        flusher.write_series()
    policy = Policy(default, tuple(rules))
    condition, parameters = policy.expired(age)
    found = flusher.db.query(f"SELECT fingerprint FROM series WHERE {condition}", **parameters)
    expired = {series for series in range(len(PRINTS)) if policy.keep_days(labels_of(series)) <= age}
    assert set(found["fingerprint"].tolist()) == {PRINTS[series] for series in expired}
    assert policy.shortest_days <= policy.default_days <= policy.longest_days


def test_histograms_and_exemplars_go_with_the_samples_of_their_series(flusher: Flusher) -> None:
    times = [DAY * DAY_MS, DAY * DAY_MS + 1, (DAY + 3) * DAY_MS]
    for table, rest in (("histograms", {"payload": ["x"] * 3}), ("exemplars", {"value": [1.0] * 3})):
        prints = np.array([PRINTS[0], PRINTS[1], PRINTS[0]], np.uint64)
        flusher.db.insert(table, {"fingerprint": prints, "ts_ms": np.array(times), **rest})
    retention = _retention(flusher.db, Policy(35, (Rule(DEBUG, 2),)))
    assert retention.enforce((DAY + 3) * DAY_MS).rows == 2
    for table in ("histograms", "exemplars"):
        left = flusher.db.query(f"SELECT fingerprint FROM {table} ORDER BY ts_ms")["fingerprint"].tolist()
        assert left == [PRINTS[0], PRINTS[0]]


def test_rollups_go_by_months_long_after_the_samples(flusher: Flusher) -> None:
    compactor = Compactor(flusher.db, flusher.blocks, Rollups(flusher.db))
    for day in (DAY, DAY + 40):
        flusher.flush(quarter(0, day=day))
        compactor.compact(day)
    retention = _retention(flusher.db, Policy(35))
    assert retention.enforce((DAY + 100) * DAY_MS).partitions == 2
    found = partitions(flusher.db, ("rollups",))
    assert [
        part.days[0] <= day <= part.days[1] for part, day in zip(found, (DAY, DAY + 40), strict=True)
    ] == [True] * 2
    assert retention.enforce((found[0].days[1] + 401) * DAY_MS).partitions == 1
    assert [part.days for part in partitions(flusher.db, ("rollups",))] == [found[1].days]
    assert Rollups(flusher.db).oldest_day() == DAY + 40


def test_a_series_is_forgotten_when_nothing_of_it_is_left(flusher: Flusher) -> None:
    flusher.flush(quarter(0, range(4)))
    flusher.flush(quarter(0, range(2, 6), DAY + 10))
    flusher.db.insert(
        "exemplars", {"fingerprint": np.array(PRINTS[9:10], np.uint64), "ts_ms": [(DAY + 10) * DAY_MS]}
    )
    live = np.array(
        [PRINTS[7], PRINTS[8]], np.uint64
    )  # in memory, in the journal perhaps, and not in chunks yet
    retention = _retention(flusher.db, Policy(5), lambda: live)
    assert retention.enforce((DAY + 11) * DAY_MS) == Retired(partitions=1, series=len(PRINTS) - 7)
    assert _series(flusher.db) == {2, 3, 4, 5, 7, 8, 9}


def test_rollups_keep_their_series(flusher: Flusher) -> None:
    flusher.flush(quarter(0, range(3)))
    Compactor(flusher.db, flusher.blocks, Rollups(flusher.db)).compact(DAY)
    _retention(flusher.db, Policy(5)).enforce((DAY + 11) * DAY_MS)
    assert not flusher.stored()
    assert _series(flusher.db) == {0, 1, 2}


def test_a_series_that_comes_back_waits_until_its_old_row_is_gone(flusher: Flusher) -> None:
    deleting, written = threading.Event(), threading.Event()

    class Slow:
        """A database whose deletion takes until a row wants to be written."""

        def __getattr__(self, name: str) -> object:
            return getattr(flusher.db, name)

        def command(self, statement: str) -> None:
            if statement.startswith("ALTER"):
                deleting.set()
                assert not written.wait(0.3), "the row was written while its deletion was going on"
            flusher.db.command(statement)

    removal = SeriesRemoval(Slow(), _nothing_live)  # type: ignore[arg-type]

    def come_back() -> None:
        deleting.wait(20)
        removal.wait_for(np.array(PRINTS[20:], np.uint64))  # others need not wait
        removal.wait_for(np.array(PRINTS[:1], np.uint64))
        written.set()
        flusher.write_series()

    writer = threading.Thread(target=come_back)
    writer.start()
    assert removal.remove(np.array(PRINTS[:20], np.uint64)) == 20
    writer.join(20)
    assert _series(flusher.db) == set(range(len(PRINTS)))
