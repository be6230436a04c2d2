"""Retention: how long samples are kept, by metric, and what goes when their time is over.

`housekeeping` enforces it at night. A UTC day goes when it ended `keep` days ago, so what is younger than
`keep` is always there. Days that no series keeps are dropped as partitions, which costs nothing; where some
series are kept longer than others, the rows of the others are deleted. Rollups go by months, spans and logs
by the TTL of their tables. A series of which nothing is left loses its row in `series`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.compact import NOTHING_EXPIRED, Expired
from setpoint.telemetry.conditions import condition_of
from setpoint.telemetry.match import matches
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.register import ReadSelector, read_match
from setpoint.telemetry.rollup import DAY_MS
from setpoint.telemetry.spec import RetentionKind, days_of

__all__ = ["Partition", "Policy", "Retention", "Retired", "Rule", "partitions", "policy_of"]

_QUERIES = load_queries("setpoint.telemetry")
_EXPIRED = "/* expired */"
_DAILY_TABLES = ("blocks", "histograms", "exemplars")
_SERIES_PER_SLICE = 500_000

_log = logging.getLogger(__name__)

RemoveSeries = Callable[[npt.NDArray[np.uint64]], int]
"""Deletes the rows of series without samples, given by fingerprint, but for those that have come back; tells how
many went."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The series that satisfy `matchers` are kept for `keep_days`."""

    matchers: tuple[Matcher, ...]
    keep_days: int


@dataclass(frozen=True, slots=True)
class Policy:
    """For how many days samples are kept: the first rule that matches a series counts, else `default_days`."""

    default_days: int
    rules: tuple[Rule, ...] = ()

    @property
    def shortest_days(self) -> int:
        """Samples younger than this are all there."""
        return min(self.default_days, *(rule.keep_days for rule in self.rules), 2**31)

    @property
    def longest_days(self) -> int:
        """Samples older than this are all gone."""
        return max(self.default_days, *(rule.keep_days for rule in self.rules), 0)

    def keep_days(self, labels: Labels) -> int:
        """For how many days the samples of a series are kept."""
        kept = (rule.keep_days for rule in self.rules if matches(rule.matchers, labels))
        return next(kept, self.default_days)

    def expired(self, age_days: int) -> Expired:
        """Which series lose a day that ended `age_days` days ago."""
        if age_days < self.shortest_days:
            return NOTHING_EXPIRED
        branches: list[str] = []
        parameters: dict[str, str] = {}
        for number, rule in enumerate(self.rules):
            condition, values = condition_of(rule.matchers, f"rule_{number}_")
            branches.append(f"{condition}, {rule.keep_days:d}, ")
            parameters |= values
        kept = f"multiIf({''.join(branches)}{self.default_days:d})" if branches else f"{self.default_days:d}"
        return f"{kept} <= {age_days:d}", parameters


class Partition(NamedTuple):
    """A partition of a table; `days` are the first and the last UTC day in it (numbers since 1970)."""

    table: str
    name: str
    days: tuple[int, int]
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Retired:
    """What a night's retention did: partitions dropped, rows deleted from others, series forgotten."""

    partitions: int = 0
    rows: int = 0
    series: int = 0


def policy_of(documents: Iterable[object], default_days: int, read_selector: ReadSelector) -> Policy:
    """The policy that the resources among `documents` (in the order of their names) declare."""
    found = [
        spec for spec in (getattr(one, "spec", None) for one in documents) if isinstance(spec, RetentionKind)
    ]
    rules = [
        Rule(read_match(rule.match, read_selector), days_of(rule.keep))
        for resource in sorted(found, key=lambda resource: resource.metadata.name)
        for rule in resource.spec.rules
    ]
    return Policy(default_days, tuple(rules))


def partitions(db: TelemetryDatabase, tables: Sequence[str]) -> list[Partition]:
    """The partitions of `tables` that have rows; those whose names say no day are left out."""
    found = db.query(_QUERIES["partitions"])
    columns = (found[name].tolist() for name in ("table", "partition", "bytes", "rows"))
    known = []
    for table, name, size, rows in zip(*columns, strict=True):
        days = _days_of_partition(table, name)
        if table in tables and days is not None:
            known.append(Partition(table, name, days, int(size), int(rows)))
    return known


def _days_of_partition(table: str, name: str) -> tuple[int, int] | None:
    if not name.isdigit():
        return None
    if table in _DAILY_TABLES:
        return int(name), int(name)
    if table == "rollups":
        year, month = divmod(int(name), 100)
        following = date(year + month // 12, month % 12 + 1, 1)
        return _day_number(date(year, month, 1)), _day_number(following) - 1
    if len(name) == 8:
        day = _day_number(datetime.strptime(name, "%Y%m%d").replace(tzinfo=UTC).date())
        return day, day
    return None


def _day_number(day: date) -> int:
    return day.toordinal() - date(1970, 1, 1).toordinal()


class Retention:
    """Enforces a policy. One thread at a time."""

    def __init__(
        self, db: TelemetryDatabase, policy: Policy, rollup_days: int, remove_series: RemoveSeries
    ) -> None:
        self.policy = policy
        """May be replaced at any time; the next `enforce` follows it."""
        self._db = db
        self._rollup_days = rollup_days
        self._remove_series = remove_series

    def expired(self, day: int, now_ms: int) -> Expired:
        """Which series are not to keep samples of a UTC day any more."""
        return self.policy.expired(_age_days(day, now_ms))

    def kept_from_ms(self, now_ms: int) -> int:
        """The start of the oldest day of which every series still has its samples, by the policy."""
        return (now_ms // DAY_MS - self.policy.shortest_days) * DAY_MS

    def oldest_day_ms(self) -> int | None:
        """The start of the oldest day of which samples are stored as they came, or None. Raises Unavailable."""
        return min((part.days[0] * DAY_MS for part in partitions(self._db, ("blocks",))), default=None)

    def enforce(self, now_ms: int) -> Retired:
        """Drop and delete what nobody is to keep. Raises Unavailable; it may be called again."""
        policy = self.policy
        dropped = rows = 0
        for part in partitions(self._db, (*_DAILY_TABLES, "rollups")):
            age_days = _age_days(part.days[1], now_ms)
            longest = self._rollup_days if part.table == "rollups" else policy.longest_days
            if age_days >= longest:
                self._db.command(f"ALTER TABLE {part.table} DROP PARTITION {part.name}")
                _log.info("%s: dropped %s rows of partition %s", part.table, f"{part.rows:,}", part.name)
                dropped += 1
            elif part.table in _DAILY_TABLES and age_days >= policy.shortest_days:
                rows += self._delete(part, policy.expired(age_days))
        series = self._forget_series() if dropped or rows else 0
        return Retired(dropped, rows, series)

    def _delete(self, part: Partition, expired: Expired) -> int:
        """Delete the rows of a day whose series are kept for less; how many they were."""
        condition, parameters = expired
        counted = self._db.query(
            _QUERIES[f"count_expired_{part.table}"].replace(_EXPIRED, condition),
            day=part.days[0],
            **parameters,
        )
        rows = int(counted["rows"][0])
        if rows:
            self._db.command(
                f"ALTER TABLE {part.table} DELETE IN PARTITION {part.name} "
                f"WHERE fingerprint IN (SELECT fingerprint FROM series WHERE {condition}) "
                "SETTINGS mutations_sync = 2",
                **parameters,
            )
            _log.info("%s: deleted %s rows of partition %s", part.table, f"{rows:,}", part.name)
        return rows

    def _forget_series(self) -> int:
        many = int(self._db.query(_QUERIES["count_series"])["rows"][0])
        slices = max(1, -(-many // _SERIES_PER_SLICE))
        found = []
        for number in range(slices):
            first, last = (number << 64) // slices, ((number + 1) << 64) // slices - 1
            part = self._db.query(_QUERIES["unused_series"], first=first, last=last)
            found.append(part["fingerprint"].astype(np.uint64))
        unused = np.concatenate(found)
        return self._remove_series(unused) if len(unused) else 0


def _age_days(day: int, now_ms: int) -> int:
    """How many whole days ago a UTC day ended; negative for today."""
    return now_ms // DAY_MS - day - 1
