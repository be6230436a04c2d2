"""Counts spans of the telemetry database by service, operation, status and duration: `polled` asks for the numbers.

All objectives of a statement are counted in one pass over the spans, a column for each selection. A span counts in
the minute in which it ended, because then its outcome is known, and it is sent soon after. A minute in which a
service sent spans, and none of those that are selected, has zero events; one in which it sent none at all is not
known (decision 0027).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from setpoint.clock import stopwatch
from setpoint.database import Limits, TelemetryDatabase, load_queries
from setpoint.database.columns import Columns
from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective.model import Objective
from setpoint.objective.source.labels import Family, family_of
from setpoint.objective.source.numbers import Numbers, events_of
from setpoint.objective.source.outcome import GROUP_ROWS_MAX, Outcome, limits_of, never
from setpoint.objective.source.span_conditions import SpanConditions
from setpoint.objective.source.span_groups import count_span_groups
from setpoint.objective.spec.source import SpanSelection, read_spans

__all__ = ["SpanCounter"]

_QUERIES: Final = load_queries("setpoint.objective.source")
_Count = Callable[[Sequence[Objective], int, int, Callable[[], float]], list[Outcome]]
_AT_ONCE = 30
_MINUTE_NS = 60_000_000_000
_FINAL = {
    # A span that was sent twice is the same in both rows, so it is in the same day and found by the same index.
    "do_not_merge_across_partitions_select_final": 1,
    "use_skip_indexes_if_final_exact_mode": 0,
}


class SpanCounter:
    """Counts spans; safe to use from several threads, apart from `has_news`."""

    def __init__(self, database: TelemetryDatabase, limits: Limits | None = None) -> None:
        self._database = database
        self.stopping: Callable[[], bool] = never
        limits = replace(limits or limits_of(database), further=_FINAL)
        self._limited = database.limited(limits)
        self._many = database.limited(replace(limits, rows=max(limits.rows, GROUP_ROWS_MAX)))
        self._seen: int | None = None

    def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        """What each objective selects in the minutes from `first` to before `end`; the groups of a declaration are
        counted in one statement.
        """
        plain: list[int] = []
        families: dict[Family, list[int]] = {}
        for at, one in enumerate(objectives):
            family = family_of(one)
            (plain if family is None else families.setdefault(family, [])).append(at)
        outcomes: dict[int, Outcome] = {}
        for start in range(0, len(plain), _AT_ONCE):
            some = plain[start : start + _AT_ONCE]
            outcomes |= zip(
                some, self._tried(self._count, [objectives[at] for at in some], first, end), strict=True
            )
        for members in families.values():
            some_groups = [objectives[at] for at in members]
            outcomes |= zip(members, self._tried(self._count_groups, some_groups, first, end), strict=True)
        return [outcomes[at] for at in range(len(objectives))]

    def _tried(self, count: _Count, some: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        took_s = stopwatch()
        try:
            if self.stopping():
                raise Unavailable("Setpoint stops")
            return count(some, first, end, took_s)
        except InvalidInput as error:
            fault = InvalidInput(f"the spans cannot be counted: {error.message}")
            return [Outcome(None, fault, None, took_s())] * len(some)
        except SetpointError as error:
            return [Outcome(None, error, None, took_s())] * len(some)

    def oldest_ms(self) -> int | None:
        """When the oldest stored span began. Raises Unavailable."""
        row = self._database.query(_QUERIES["oldest_span"])
        return int(row["oldest_ns"][0]) // 1_000_000 if row["spans"][0] else None

    def has_news(self) -> bool:
        """Whether spans came since this was last asked; always, where others may write to the database."""
        revision = self._database.revision("spans")
        is_new, self._seen = revision != self._seen or not self._database.is_embedded, revision
        return is_new

    def _count_groups(
        self, family: Sequence[Objective], first: int, end: int, took_s: Callable[[], float]
    ) -> list[Outcome]:
        return count_span_groups(self._many, family, first, end, took_s)

    def _count(
        self, objectives: Sequence[Objective], first: int, end: int, took_s: Callable[[], float]
    ) -> list[Outcome]:
        statement = _Statement()
        places = [_Place(statement, objective) for objective in objectives]
        text, parameters = statement.written()
        rows = self._limited.query(text, from_ns=first * _MINUTE_NS, to_ns=end * _MINUTE_NS, **parameters)
        took = took_s()
        return [place.outcome(rows, first, end, took) for place in places]


class _Place:
    """Which columns of a statement belong to an objective."""

    def __init__(self, statement: _Statement, objective: Objective) -> None:
        self.objective = objective
        total = read_spans(objective.total_query)
        part = objective.bad_query if objective.good_query is None else objective.good_query
        whole = statement.whole(total)
        self._alive = statement.alive(total)
        self._total = statement.column(whole)
        self._part = (
            None if part is None else statement.column(f"{whole} AND {statement.whole(read_spans(part))}")
        )

    def outcome(self, rows: Columns, first: int, end: int, took_s: float) -> Outcome:
        present = _dense(rows, self._alive, first, end) > 0
        total = Numbers(first, _dense(rows, self._total, first, end), present)
        part = None if self._part is None else Numbers(first, _dense(rows, self._part, first, end), present)
        slots, fault = events_of(self.objective, total, part)
        return Outcome(slots, None, fault, took_s)


class _Statement(SpanConditions):
    """Conditions and columns of one statement; what is asked twice is there once."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: dict[str, str] = {}
        self._services: dict[str, None] = {}

    def column(self, condition: str) -> str:
        """The name of the column that counts the spans of a condition."""
        return self._columns.setdefault(condition, f"c{len(self._columns)}")

    def alive(self, selection: SpanSelection) -> str:
        """The name of the column that counts all spans of who sends those of a selection."""
        self._services.setdefault(self.service(selection))
        return self.column(self.sender(selection))

    def written(self) -> tuple[str, dict[str, Any]]:
        """The statement and its parameters."""
        counts = ", ".join(f"countIf({condition}) AS {name}" for condition, name in self._columns.items())
        text = _QUERIES["count_spans"].replace("/* counts */", counts)
        return text.replace("/* services */", " OR ".join(self._services)), self.parameters


def _dense(rows: Columns, name: str, first: int, end: int) -> npt.NDArray[np.float64]:
    found = np.zeros(end - first)
    if rows:
        found[rows["minute"].astype(np.int64) - first] = rows[name].astype(np.float64)
    return found
