"""Which groups there are among stored spans, or in the rows of SQL: `groups` asks for a stretch of time, in pieces.

One statement finds all groups of a declaration. It returns some thousands at most, so that a label which is new in
each span (an id) costs memory nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from setpoint.database import Limits, TelemetryDatabase, load_queries
from setpoint.errors import InvalidInput
from setpoint.objective.model import Objective
from setpoint.objective.source.labels import Group
from setpoint.objective.source.outcome import limits_of
from setpoint.objective.source.span_conditions import SpanConditions
from setpoint.objective.source.sql_statements import SqlStatements, bounds_of
from setpoint.objective.spec.source import read_spans

__all__ = ["StoredGroups"]

_QUERIES: Final = load_queries("setpoint.objective.source")
_MINUTE_MS = 60_000
_MOST = 10_000


class StoredGroups:
    """Looks for groups in the telemetry database; safe to use from several threads."""

    def __init__(self, database: TelemetryDatabase, limits: Limits | None = None) -> None:
        self._limited = database.limited(limits or limits_of(database))
        self._sql = SqlStatements(database, self._limited)

    def look(self, objective: Objective, labels: Sequence[str], start_ms: int, end_ms: int) -> set[Group]:
        """The groups of what the objective's total counts in (start, end], some with empty values.

        Raises InvalidInput when the SQL must not run, or that takes more than it may, and Unavailable when the
        database does not answer.
        """
        if objective.engine == "sql":
            return self._of_sql(objective.total_query, labels, start_ms, end_ms)
        return self._of_spans(objective.total_query, labels, start_ms, end_ms)

    def _of_spans(self, selection: str, labels: Sequence[str], start_ms: int, end_ms: int) -> set[Group]:
        conditions = SpanConditions()
        values = ", ".join(f"{conditions.value(label)} AS v{at}" for at, label in enumerate(labels))
        text = _QUERIES["span_groups"].replace("/* values */", values)
        text = text.replace("/* total */", conditions.whole(read_spans(selection)))
        bounds = {"from_ns": start_ms * 1_000_000, "to_ns": end_ms * 1_000_000}
        rows = self._limited.query(text, limit=_MOST, **bounds, **conditions.parameters)
        return {tuple(map(str, group)) for group in zip(*rows.values(), strict=True)}

    def _of_sql(self, text: str, labels: Sequence[str], start_ms: int, end_ms: int) -> set[Group]:
        bounds = bounds_of(start_ms // _MINUTE_MS, -(-end_ms // _MINUTE_MS))
        try:
            rows = self._limited.query(self._sql.groups(text, labels, bounds), limit=_MOST, **bounds)
        except InvalidInput as error:
            self._sql.forget(text)
            raise InvalidInput(f"the total query: {error.message}") from error
        return {tuple(map(str, group)) for group in zip(*rows.values(), strict=True)}
