"""Runs the SQL of objectives: `polled` asks for the numbers of a stretch of minutes.

A statement is taken apart by the engine and looked at before it is run (`sql_check`), through a connection that can
only read, within limits. It must return a column `minute` (or `time`), a date with a time, and `value`, a number,
with one row at most for each minute; a row counts in the minute [begin, end) that its time is in. The SQL of a
grouped objective returns the groups' columns, too, with a row at most for each minute and group, and is run once for
all groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.clock import rfc3339, stopwatch
from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective.model import Objective
from setpoint.objective.source.labels import Group, key_of
from setpoint.objective.source.numbers import Numbers, events_of
from setpoint.objective.source.outcome import GROUP_ROWS_MAX, Outcome, limits_of, never
from setpoint.objective.source.sql_statements import SqlStatements, bounds_of

__all__ = ["SqlCounter"]

_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a text gave, by group (() where it has none), or why nothing; and how long the database worked for it."""

    numbers: Mapping[Group, Numbers]
    error: SetpointError | None
    took_s: float


class SqlCounter:
    """Counts by SQL; safe to use from several threads."""

    def __init__(self, database: TelemetryDatabase, limits: Limits | None = None) -> None:
        self.stopping: Callable[[], bool] = never
        limits = limits or limits_of(database)
        self._limited = database.limited(limits)
        self._many = database.limited(replace(limits, rows=max(limits.rows, GROUP_ROWS_MAX)))
        self.statements = SqlStatements(database, self._limited)

    def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        """What each objective's SQL gives for the minutes from `first` to before `end`; each text is run once."""
        groups: dict[tuple[str, Group], dict[Group, None]] = {}
        for one in objectives:
            for _, text in _texts(one):
                groups.setdefault((text, tuple(one.group)), {})[tuple(one.group.values())] = None
        found: dict[tuple[str, Group], _Answer] = {}
        outcomes = []
        for one in objectives:
            for role, text in _texts(one):
                key = text, tuple(one.group)
                if key not in found:
                    found[key] = self._ask(role, text, tuple(one.group), list(groups[key]), first, end)
                if found[key].error is not None:
                    break
            outcomes.append(_outcome(one, found))
        return outcomes

    def oldest_ms(self) -> int:
        """How far back SQL can be asked: nobody knows, so as far as anybody wants."""
        return 0

    def has_news(self) -> bool:
        """Whether another answer is possible than last time; of any table of the database that is not known."""
        return True

    def _ask(  # noqa: PLR0917 — what is asked, and of which minutes
        self, role: str, text: str, labels: Group, groups: Sequence[Group], first: int, end: int
    ) -> _Answer:
        took_s = stopwatch()
        try:
            if self.stopping():
                return _Answer({}, Unavailable("Setpoint stops"), 0.0)
            if labels:
                found: Mapping[Group, Numbers] = self.group_numbers(text, labels, groups, first, end)
            else:
                found = {(): self.numbers(text, first, end)}
            return _Answer(found, None, took_s())
        except InvalidInput as error:
            return _Answer({}, InvalidInput(f"the {role} query: {error.message}"), took_s())
        except SetpointError as error:
            return _Answer({}, error, took_s())

    def numbers(self, text: str, first: int, end: int) -> Numbers:
        """The numbers of the minutes from `first` to before `end`.

        Raises InvalidInput when the SQL is refused, fails, or gives something else than one number a minute,
        Unavailable when the database does not answer.
        """
        bounds = bounds_of(first, end)
        statement = self.statements.numbers(text, bounds)
        try:
            rows = self._limited.query(statement, **bounds)
        except InvalidInput:
            self.statements.forget(text)
            raise
        if not rows:
            return _none(first, end)
        return _by_minute(rows["at_ms"], rows["number"], first, end)

    def group_numbers(
        self, text: str, labels: Sequence[str], groups: Sequence[Group], first: int, end: int
    ) -> dict[Group, Numbers]:
        """The numbers of each of `groups`, of which `labels` are the columns. Raises as `numbers`."""
        bounds = bounds_of(first, end)
        statement = self.statements.group_numbers(text, labels, bounds)
        try:
            rows = self._many.query(statement, groups=[key_of(group) for group in groups], **bounds)
        except InvalidInput:
            self.statements.forget(text)
            raise
        if not rows:
            return {group: _none(first, end) for group in groups}
        place = rows["__place"].astype(np.int64)
        order = np.argsort(place, kind="stable")
        edges = np.searchsorted(place[order], np.arange(1, len(groups) + 2))
        at_ms, number = rows["__at_ms"][order], rows["__number"][order]
        found = {}
        for at, group in enumerate(groups):
            some = slice(edges[at], edges[at + 1])
            found[group] = _by_minute(
                at_ms[some], number[some], first, end, dict(zip(labels, group, strict=True))
            )
        return found


def _texts(objective: Objective) -> Iterator[tuple[str, str]]:
    """The queries of an objective with what they are for; the total, or the only one, first."""
    yield {"raw": "ratio", "threshold": "value"}.get(objective.kind, "total"), objective.total_query
    if objective.good_query is not None:
        yield "good", objective.good_query
    elif objective.bad_query is not None:
        yield "bad", objective.bad_query


def _outcome(objective: Objective, found: Mapping[tuple[str, Group], _Answer]) -> Outcome:
    labels, group = tuple(objective.group), tuple(objective.group.values())
    answers = [found[text, labels] for _, text in _texts(objective) if (text, labels) in found]
    took_s = sum(answer.took_s for answer in answers)
    for answer in answers:
        if answer.error is not None:
            return Outcome(None, answer.error, None, took_s)
    numbers = [answer.numbers[group] for answer in answers]
    slots, fault = events_of(objective, numbers[0], numbers[1] if len(numbers) > 1 else None)
    return Outcome(slots, None, fault, took_s)


def _none(first: int, end: int) -> Numbers:
    return Numbers(first, np.zeros(end - first), np.zeros(end - first, np.bool_))


def _by_minute(
    at_ms: npt.NDArray[np.generic],
    number: npt.NDArray[np.generic],
    first: int,
    end: int,
    group: Mapping[str, str] | None = None,
) -> Numbers:
    found = _none(first, end)
    minutes: npt.NDArray[np.int64] = at_ms.astype(np.int64) // _MINUTE_MS
    asked = (minutes >= first) & (minutes < end)
    at = minutes[asked] - first
    twice, counts = np.unique(at, return_counts=True)
    if len(counts) and counts.max() > 1:
        minute = rfc3339((first + int(twice[counts.argmax()])) * _MINUTE_MS)[:16].replace("T", " ")
        raise InvalidInput(
            f"returns {counts.max()} rows for {minute} UTC{_told(group)}, so that there is one"
        )
    found.values[at] = number[asked].astype(np.float64)
    found.present[at] = True
    return found


def _told(group: Mapping[str, str] | None) -> str:
    if group is None:
        return "; GROUP BY the minute alone"
    values = ", ".join(f"{label} '{value[:80]}'" for label, value in group.items())
    return f" and {values}; GROUP BY minute, {', '.join(group)}"
