"""Which series, label names and label values there are: what completion and Grafana's menus ask for.

The Prometheus API calls it. What is in memory answers from the series table; a range that begins before the head's
first samples is asked of the database too. As in Prometheus the range is coarse: a series of the head counts as
present in every range that touches the head's horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from setpoint.database import Columns, TelemetryDatabase, load_queries
from setpoint.telemetry.columns import label_key
from setpoint.telemetry.conditions import MATCHERS, condition_of
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["Catalog"]

_QUERIES = load_queries("setpoint.telemetry")
_DAY_MS = 86_400_000
_ALL = 2**62

Selectors = Sequence[Sequence[Matcher]]
"""Alternatives: a series counts when it satisfies every matcher of one of them."""


class Catalog:
    """Series by what they are called. Thread-safe.

    Every method takes a range in Unix milliseconds and raises InvalidInput for a bad expression, Unavailable when the
    database is needed and does not answer.
    """

    def __init__(self, head: Head, db: TelemetryDatabase) -> None:
        self._head = head
        self._db = db

    def series(self, selectors: Selectors, start_ms: int, end_ms: int, limit: int = 0) -> list[Labels]:
        """The label sets of the series that satisfy one of `selectors`, sorted; at most `limit`, if it is not 0."""
        found: dict[tuple[tuple[str, str], ...], Labels] = {}
        for matchers in selectors:
            for labels in self._recent(matchers, end_ms):
                found.setdefault(label_key(labels), labels)
            older = self._older("stored_series", matchers, start_ms, end_ms, most=limit or _ALL)
            for labels in older["labels"].tolist():
                found.setdefault(label_key(labels), labels)
        ordered = [found[key] for key in sorted(found)]
        return ordered[:limit] if limit else ordered

    def label_names(self, selectors: Selectors, start_ms: int, end_ms: int) -> list[str]:
        """The names of the labels of those series, sorted; of all series when there is no selector."""
        names: set[str] = set()
        if not selectors and self._touches_head(end_ms):
            names.update(self._head.table.label_names())
        for matchers in selectors:
            for labels in self._recent(matchers, end_ms):
                names.update(labels)
        for matchers in selectors or [()]:
            names.update(self._older("stored_label_names", matchers, start_ms, end_ms)["name"].tolist())
        return sorted(names)

    def label_values(self, name: str, selectors: Selectors, start_ms: int, end_ms: int) -> list[str]:
        """The values of one label among those series, sorted; of all series when there is no selector."""
        values: set[str] = set()
        if not selectors and self._touches_head(end_ms):
            values.update(self._head.table.label_values(name))
        for matchers in selectors:
            values.update(labels[name] for labels in self._recent(matchers, end_ms) if name in labels)
        for matchers in selectors or [()]:
            older = self._older("stored_label_values", matchers, start_ms, end_ms, label=name)
            values.update(older["value"].tolist())
        return sorted(values)

    def _touches_head(self, end_ms: int) -> bool:
        return end_ms >= self._head.covers_from_ms

    def _recent(self, matchers: Sequence[Matcher], end_ms: int) -> Sequence[Labels]:
        if not self._touches_head(end_ms):
            return ()
        return self._head.table.match_labels(matchers)[1]

    def _older(
        self, query: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int, **parameters: Any
    ) -> Columns:
        """What the database adds; nothing when the head reaches back to the start."""
        if start_ms >= self._head.covers_from_ms:
            return Columns()
        condition, values = condition_of(matchers)
        return self._db.query(
            _QUERIES[query].replace(MATCHERS, condition),
            start_ms=max(start_ms, -_ALL),
            end_ms=min(end_ms, _ALL),
            day_ms=max(start_ms, -_ALL) // _DAY_MS * _DAY_MS,
            **values,
            **parameters,
        )
