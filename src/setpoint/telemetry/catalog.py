"""Which series, label names and label values there are: what completion and Grafana's menus ask for.

The Prometheus API calls it. What is in memory answers from the series table; a range that begins before the head's
first samples is asked of the database too. As in Prometheus the range is coarse: a series of the head counts as
present in every range that touches the head's horizon, one of the store in every chunk that touches the range.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from setpoint.database import Columns, TelemetryDatabase, load_queries
from setpoint.errors import NotFound
from setpoint.telemetry.columns import LabelKey, label_key
from setpoint.telemetry.conditions import MATCHERS, condition_of
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["Catalog"]

_QUERIES = load_queries("setpoint.telemetry")
_IN_RANGE = "/* stored in range */"
_DAY_MS = 86_400_000
_ALL = 2**62
_TRIES = 3

Selectors = Sequence[Sequence[Matcher]]
"""Alternatives: a series counts when it satisfies every matcher of one of them."""


class Catalog:
    """Series by what they are called. Thread-safe.

    Every method takes a range in Unix milliseconds, both ends inclusive, and raises InvalidInput for a bad
    expression, Unavailable when the database is needed and does not answer.
    """

    def __init__(self, head: Head, db: TelemetryDatabase) -> None:
        self._head = head
        self._db = db

    def series(self, selectors: Selectors, start_ms: int, end_ms: int, limit: int = 0) -> list[Labels]:
        """The label sets of the series that satisfy one of `selectors`, sorted; at most `limit`, if it is not 0.

        Do not change the mappings. With a limit, of the stored ones any that match may be among them.
        """
        answers = [self._recent(matchers, start_ms, end_ms, limit) for matchers in selectors]
        older = self._older("stored_series", selectors, start_ms, end_ms, most=limit or _ALL)
        if len(older):
            answers.append(older["labels"].tolist())
        if len(answers) == 1:  # in order already
            return list(answers[0])
        found: dict[LabelKey, Labels] = {}
        for answer in answers:
            for labels in answer:
                found.setdefault(label_key(labels), labels)
        ordered = [found[key] for key in sorted(found)]
        return ordered[:limit] if limit else ordered

    def label_names(self, selectors: Selectors, start_ms: int, end_ms: int) -> list[str]:
        """The names of the labels of those series, sorted; of all series when there is no selector."""
        names = set(self._older("stored_label_names", selectors, start_ms, end_ms)["name"].tolist())
        if self._touches_head(start_ms, end_ms):
            for matchers in selectors or [()]:
                names.update(self._head.table.label_names(matchers))
        return sorted(names)

    def label_values(self, name: str, selectors: Selectors, start_ms: int, end_ms: int) -> list[str]:
        """The values of one label among those series, sorted; of all series when there is no selector."""
        answers: list[Sequence[str]] = []
        if self._touches_head(start_ms, end_ms):
            table = self._head.table
            answers = [table.label_values(name, matchers) for matchers in selectors or [()]]
        if len(answers) == 1 and self._is_covered(start_ms):  # sorted already
            return list(answers[0])
        answers.append(
            self._older("stored_label_values", selectors, start_ms, end_ms, label=name)["value"].tolist()
        )
        return sorted(set().union(*answers))

    def _touches_head(self, start_ms: int, end_ms: int) -> bool:
        return end_ms >= max(start_ms, self._head.covers_from_ms)

    def _is_covered(self, start_ms: int) -> bool:
        return start_ms >= self._head.covers_from_ms

    def _recent(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int
    ) -> Sequence[Labels]:
        if not self._touches_head(start_ms, end_ms):
            return ()
        table = self._head.table
        for _ in range(_TRIES if limit else 0):
            refs = table.match(matchers)
            if len(refs) <= limit:
                break
            try:
                return table.labels_of(refs[:limit])  # takes the labels of these apart, not of all
            except NotFound:
                continue  # one was removed in between
        labels = table.match_labels(matchers)[1]
        return labels[:limit] if limit else labels

    def _older(
        self, query: str, selectors: Selectors, start_ms: int, end_ms: int, **parameters: Any
    ) -> Columns:
        """What the database adds, asked once for all `selectors`; nothing when the head reaches back to the start."""
        if self._is_covered(start_ms) or end_ms < start_ms:
            return Columns()
        conditions = []
        for number, matchers in enumerate(selectors or [()]):
            condition, values = condition_of(matchers, f"s{number}_")
            conditions.append(f"({condition})")
            parameters |= values
        statement = _QUERIES[query].replace(_IN_RANGE, _QUERIES["stored_in_range"])
        return self._db.query(
            statement.replace(MATCHERS, f"({' OR '.join(conditions)})"),
            start_ms=max(start_ms, -_ALL),
            end_ms=min(end_ms, _ALL),
            day_ms=max(start_ms, -_ALL) // _DAY_MS * _DAY_MS,
            **parameters,
        )
