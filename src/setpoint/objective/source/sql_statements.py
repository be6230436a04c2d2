"""The SELECT of a user as statements that run: looked at by the engine and refused where it must not run
(`sql_check`), its columns known, its text put into a statement of ours.

`sql_count` counts with them, `stored_groups` looks for groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from setpoint.database import LimitedQueries, TelemetryDatabase, load_queries
from setpoint.database.columns import Columns
from setpoint.errors import InvalidInput
from setpoint.objective.source.labels import Group, missing_column, place_expression
from setpoint.objective.source.sql_check import computing, refuse_text, refuse_tree

__all__ = ["SqlStatements", "bounds_of"]

_QUERIES: Final = load_queries("setpoint.objective.source")
_DATABASE = "setpoint"
_TIMES = ("minute", "time")


def bounds_of(first: int, end: int) -> dict[str, int]:
    """The stretch of minutes from `first` to before `end` as the parameters that a user's SQL names."""
    scales = {"s": 1, "ms": 1000, "ns": 1_000_000_000}
    return {
        f"{name}_{unit}": minute * 60 * scale
        for name, minute in (("from", first), ("to", end))
        for unit, scale in scales.items()
    }


class SqlStatements:
    """Statements over users' SQL; safe to use from several threads. Every method raises InvalidInput where the SQL
    must not run, fails or returns other columns than it must, and Unavailable when the database does not answer.
    """

    def __init__(self, database: TelemetryDatabase, limited: LimitedQueries) -> None:
        self._database, self._limited = database, limited
        self._functions: frozenset[str] = frozenset()
        self._times: dict[tuple[str, Group], str] = {}
        """By a user's text, and the groups it returns, the name of its time's column, once it was let through."""

    def numbers(self, text: str, bounds: dict[str, int]) -> str:
        """The statement that gives rows of `at_ms` and `number`."""
        return _filled("numbers_of", text, time=self._time(text, (), bounds))

    def group_numbers(self, text: str, labels: Sequence[str], bounds: dict[str, int]) -> str:
        """The same with `__at_ms`, `__number` and `__place`, of the groups whose keys are the parameter `groups`."""
        place = place_expression([_value(label) for label in labels], "{groups:Array(String)}")
        return _filled("group_numbers_of", text, time=self._time(text, tuple(labels), bounds), place=place)

    def groups(self, text: str, labels: Sequence[str], bounds: dict[str, int]) -> str:
        """The statement that gives `__0`, `__1`, …: the values of these columns; `limit` is a parameter."""
        self._time(text, tuple(labels), bounds)
        values = ", ".join(f"{_value(label)} AS __{at}" for at, label in enumerate(labels))
        return _filled("groups_of", text, values=values)

    def forget(self, text: str) -> None:
        """Look at this text again before it is run: a table may have changed."""
        for known in [one for one in self._times if one[0] == text]:
            self._times.pop(known, None)

    def known_functions(self) -> frozenset[str]:
        """The functions of the engine that only compute."""
        if not self._functions:
            rows = self._database.query(_QUERIES["functions"])
            columns = (rows[name].tolist() for name in ("name", "alias_to", "categories", "is_aggregate"))
            self._functions = computing(
                (str(name), str(alias), str(kinds), bool(is_aggregate))
                for name, alias, kinds, is_aggregate in zip(*columns, strict=True)
            )
        return self._functions

    def _time(self, text: str, labels: Group, bounds: dict[str, int]) -> str:
        found = self._times.get((text, labels))
        if found is None:
            refuse_text(text)
            lines = self._limited.lines(_filled("tree_of", text), **bounds)
            own = _DATABASE if self._database.is_embedded else None
            refuse_tree(lines, self.known_functions(), own_database=own)
            found = _time_column(self._limited.query(_filled("columns_of", text), **bounds), labels)
            self._times[text, labels] = found
        return found


def _value(label: str) -> str:
    """A column as text; empty where it is null. `spec` lets only identifiers through."""
    return f"ifNull(toString(`{label}`), '')"


def _filled(name: str, text: str, **places: str) -> str:
    """A query with what belongs in its places; the user's text last, as it may hold anything."""
    statement = _QUERIES[name]
    for place, sql in places.items():
        statement = statement.replace(f"/* {place} */", sql)
    return statement.replace("/* query */", text)


def _time_column(described: Columns, labels: Group) -> str:
    """The name of the time's column. Raises InvalidInput where the columns are others than they must be."""
    types = dict(zip(described["name"].tolist(), described["type"].tolist(), strict=True))
    time = next((name for name in _TIMES if name in types), None)
    others = [name for name in types if name not in (time, "value", *labels)]
    if time is None or "value" not in types:
        raise InvalidInput(
            f"returns the columns {', '.join(types)}; name them minute and value, such as "
            "SELECT toStartOfMinute(…) AS minute, count() AS value"
        )
    for label in labels:
        if label not in types:
            raise InvalidInput(missing_column(label))
    if others:
        kept = " and ".join((time, "value")) if not labels else ", ".join((time, "value", *labels))
        instead = (
            "return one number a minute, or name it as groupBy of the SLO"
            if not labels
            else "return one number a minute and group, or name it in groupBy, too"
        )
        raise InvalidInput(
            f"returns {', '.join(others)} beside {kept}, so it may hold several series; {instead}"
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
