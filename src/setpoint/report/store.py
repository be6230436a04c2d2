"""Reports that were made, in the state database: what was said of a period stays as it was said."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter

from setpoint.database import StateDatabase, load_queries
from setpoint.report.model import Report, Scope
from setpoint.report.period import Period

__all__ = ["ReportStore", "Stored"]

_SQL = load_queries("setpoint.report")
_REPORT = TypeAdapter(Report)


@dataclass(frozen=True, slots=True)
class Stored:
    """A report that is kept; instants in Unix milliseconds."""

    scope_kind: str
    scope_name: str
    period: str
    time_zone: str
    start_ms: int
    made_ms: int


class ReportStore:
    """See above; safe to use from several threads. Every method raises Unavailable."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def put(self, report: Report) -> None:
        """Keep a report; another one of the same scope and period goes."""
        with self._database.begin() as transaction:
            transaction.execute(
                _SQL["put_report"],
                **_key(report.scope, report.period),
                start_ms=report.period.start_ms,
                made_ms=report.made_ms,
                body=json.dumps(asdict(report), separators=(",", ":"), allow_nan=False),
            )

    def get(self, scope: Scope, period: Period) -> Report | None:
        """The report of a scope and period, where it is kept."""
        with self._database.read() as transaction:
            row = transaction.row(_SQL["get_report"], **_key(scope, period))
        return None if row is None else _REPORT.validate_json(row["body"])

    def stored(self, limit: int = 100, offset: int = 0) -> list[Stored]:
        """What is kept, newest first."""
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["list_reports"], limit=limit, offset=offset)
        return [Stored(**row) for row in rows]

    def drop(self, before_ms: int) -> None:
        """Forget the reports of periods that began before an instant."""
        with self._database.begin() as transaction:
            transaction.execute(_SQL["drop_reports"], before_ms=before_ms)


def _key(scope: Scope, period: Period) -> dict[str, str]:
    return {
        "scope_kind": scope.kind,
        "scope_name": scope.name,
        "period": period.name,
        "time_zone": period.time_zone,
    }
