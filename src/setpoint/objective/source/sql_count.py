"""Runs the SQL of objectives: `polled` asks for the numbers of a stretch of minutes.

A statement is taken apart by the engine and looked at before it is run (`sql_check`), through a connection that can
only read, within limits. It must return a column `minute` (or `time`), a date with a time, and `value`, a number,
with one row at most for each minute; a row counts in the minute [begin, end) that its time is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from setpoint.clock import rfc3339, stopwatch
from setpoint.database import Limits, TelemetryDatabase, load_queries
from setpoint.database.columns import Columns
from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective.model import Objective
from setpoint.objective.source.numbers import Numbers, events_of
from setpoint.objective.source.outcome import Outcome, limits_of, never
from setpoint.objective.source.sql_check import computing, refuse_text, refuse_tree

__all__ = ["SqlCounter"]

_QUERIES: Final = load_queries("setpoint.objective.source")
_DATABASE = "setpoint"
_TIMES = ("minute", "time")
_MINUTE_MS = 60_000


class SqlCounter:
    """Counts by SQL; safe to use from several threads."""

    def __init__(self, database: TelemetryDatabase, limits: Limits | None = None) -> None:
        self._database = database
        self.stopping: Callable[[], bool] = never
        self._limited = database.limited(limits or limits_of(database))
        self._functions: frozenset[str] = frozenset()
        self._checked: dict[str, str] = {}
        """By a user's text the statement to run, once it was let through."""

    def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        """What each objective's SQL gives for the minutes from `first` to before `end`; each text is run once."""
        found: dict[str, Numbers | SetpointError] = {}
        return [self._count(objective, first, end, found) for objective in objectives]

    def oldest_ms(self) -> int:
        """How far back SQL can be asked: nobody knows, so as far as anybody wants."""
        return 0

    def has_news(self) -> bool:
        """Whether another answer is possible than last time; of any table of the database that is not known."""
        return True

    def _count(
        self, objective: Objective, first: int, end: int, found: dict[str, Numbers | SetpointError]
    ) -> Outcome:
        part_role, part_text = (
            ("bad", objective.bad_query) if objective.good_query is None else ("good", objective.good_query)
        )
        role = {"raw": "ratio", "threshold": "value"}.get(objective.kind, "total")
        took_s = stopwatch()
        numbers: list[Numbers] = []
        for name, text in ((role, objective.total_query), (part_role, part_text)):
            if text is None:
                continue
            if text not in found:
                found[text] = self._ask(name, text, first, end)
            answer = found[text]
            if isinstance(answer, SetpointError):
                return Outcome(None, answer, None, took_s())
            numbers.append(answer)
        slots, fault = events_of(objective, numbers[0], numbers[1] if len(numbers) > 1 else None)
        return Outcome(slots, None, fault, took_s())

    def _ask(self, role: str, text: str, first: int, end: int) -> Numbers | SetpointError:
        try:
            if self.stopping():
                return Unavailable("Setpoint stops")
            return self.numbers(text, first, end)
        except InvalidInput as error:
            return InvalidInput(f"the {role} query: {error.message}")
        except SetpointError as error:
            return error

    def numbers(self, text: str, first: int, end: int) -> Numbers:
        """The numbers of the minutes from `first` to before `end`.

        Raises InvalidInput when the SQL is refused, fails, or gives something else than one number a minute,
        Unavailable when the database does not answer.
        """
        bounds = _bounds(first, end)
        statement = self._checked.get(text)
        if statement is None:
            statement = self._check(text, bounds)
            self._checked[text] = statement
        try:
            rows = self._limited.query(statement, **bounds)
        except InvalidInput:
            self._checked.pop(text, None)  # a table may have changed
            raise
        return _by_minute(rows, first, end)

    def _check(self, text: str, bounds: dict[str, int]) -> str:
        """The statement that runs a user's text. Raises InvalidInput when it must not, or is none."""
        refuse_text(text)
        tree = self._limited.query(_filled("tree_of", text), **bounds)
        lines = next(iter(tree.values())).tolist() if tree else []
        own = _DATABASE if self._database.is_embedded else None
        refuse_tree(lines, self._known_functions(), own_database=own)
        return _filled(
            "numbers_of", text, _time_column(self._limited.query(_filled("columns_of", text), **bounds))
        )

    def _known_functions(self) -> frozenset[str]:
        if not self._functions:
            rows = self._database.query(_QUERIES["functions"])
            columns = (rows[name].tolist() for name in ("name", "alias_to", "categories", "is_aggregate"))
            self._functions = computing(
                (str(name), str(alias), str(kinds), bool(is_aggregate))
                for name, alias, kinds, is_aggregate in zip(*columns, strict=True)
            )
        return self._functions


def _bounds(first: int, end: int) -> dict[str, int]:
    scales = {"s": 1, "ms": 1000, "ns": 1_000_000_000}
    return {
        f"{name}_{unit}": minute * 60 * scale
        for name, minute in (("from", first), ("to", end))
        for unit, scale in scales.items()
    }


def _filled(name: str, text: str, time: str = "") -> str:
    """A query with the time's column and the user's text in their places; the text last, as it may hold anything."""
    return _QUERIES[name].replace("/* time */", time).replace("/* query */", text)


def _time_column(described: Columns) -> str:
    """The name of the time's column. Raises InvalidInput where the columns are others than they must be."""
    types = dict(zip(described["name"].tolist(), described["type"].tolist(), strict=True))
    time = next((name for name in _TIMES if name in types), None)
    others = [name for name in types if name not in (time, "value")]
    if time is None or "value" not in types:
        raise InvalidInput(
            f"returns the columns {', '.join(types)}; name them minute and value, such as "
            "SELECT toStartOfMinute(…) AS minute, count() AS value"
        )
    if others:
        raise InvalidInput(
            f"returns {', '.join(others)} beside {time} and value, so it may hold several series; "
            "return one number a minute"
        )
    kind = types[time].replace("Nullable(", "")
    if not kind.startswith(("DateTime", "Date")):
        raise InvalidInput(
            f"'{time}' is a {types[time]}; make it a DateTime, such as toStartOfMinute(toDateTime(…))"
        )
    number = types["value"].replace("Nullable(", "").replace("LowCardinality(", "")
    if not number.startswith(("Int", "UInt", "Float", "Decimal", "Bool", "BFloat")):
        raise InvalidInput(f"'value' is a {types['value']}, which is no number")
    return time


def _by_minute(rows: Columns, first: int, end: int) -> Numbers:
    values, present = np.zeros(end - first), np.zeros(end - first, np.bool_)
    if not rows:
        return Numbers(first, values, present)
    minutes: npt.NDArray[np.int64] = rows["at_ms"].astype(np.int64) // _MINUTE_MS
    asked = (minutes >= first) & (minutes < end)
    at = minutes[asked] - first
    found, counts = np.unique(at, return_counts=True)
    if len(counts) and counts.max() > 1:
        minute = rfc3339((first + int(found[counts.argmax()])) * _MINUTE_MS)[:16].replace("T", " ")
        raise InvalidInput(
            f"returns {counts.max()} rows for {minute} UTC; GROUP BY the minute alone, so that there is one"
        )
    values[at] = rows["number"][asked].astype(np.float64)
    present[at] = True
    return Numbers(first, values, present)
