"""Queries that somebody else wrote, run so that they can only read, and only so much.

`TelemetryDatabase.limited` makes one. Its clients have settings of their own for as long as they live: `readonly`,
and limits of time, memory and rows, which no query can change then. What readonly does not forbid (files by the
function `file`, the system tables) its caller must refuse before, as `objective.source.sql_check` does.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clickhouse_connect.driver.exceptions import ClickHouseError

from setpoint.database.columns import Columns, run_query
from setpoint.errors import InvalidInput, Unavailable

__all__ = ["LimitedQueries", "Limits"]

_CODE = re.compile(r"Code: (\d+)\. DB::(?:\w*)Exception: (.*)", re.DOTALL)
_ENDS = re.compile(r"\s*(?:\([A-Z_]+\)|\(version [^)]*\)|In scope .*)\s*$", re.DOTALL)
_BUSY = frozenset({202, 209, 210, 242, 279, 394, 425, 439, 999})
"""Codes of ClickHouse that say nothing of the query: too many of them, the network, a server that stops."""

_TOO_LARGE = {
    158: "it reads more than {rows_read:,} rows",
    159: "it takes longer than {seconds:g} s",
    160: "it would take longer than {seconds:g} s",
    241: "it needs more than {memory_mb:,.0f} MB of memory",
    396: "it returns more than {rows:,} rows",
}
_TEXT_MAX = 300

_ESCAPED = re.compile(r"\\(.)")
_UNESCAPED = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take, and further settings of the engine for its queries."""

    seconds: float = 10.0
    memory_bytes: int = 128 << 20
    rows_read: int = 1_000_000_000
    rows: int = 20_000
    further: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """As settings of ClickHouse; `readonly` comes last, because nothing can be set after it."""
        return {
            "max_execution_time": self.seconds,
            "max_memory_usage": self.memory_bytes,
            "max_rows_to_read": self.rows_read,
            "max_result_rows": self.rows,
            "max_threads": 1,
            "session_timezone": "UTC",
            **self.further,
            "readonly": 1,
        }


class LimitedQueries:
    """See above; safe to use from several threads (one client each)."""

    def __init__(self, open_client: Callable[[Mapping[str, Any]], Any], limits: Limits) -> None:
        self.limits = limits
        self._open_client = open_client
        self._local = threading.local()

    def query(self, statement: str, **parameters: Any) -> Columns:
        """Run a query (parameters as `{name:Type}`) and return its columns.

        Raises InvalidInput when the query is wrong or takes more than it may, Unavailable when the database cannot
        answer any.
        """
        try:
            return run_query(self._client(), statement, parameters)
        except ClickHouseError as error:
            raise self._told(str(error)) from error

    def lines(self, statement: str, **parameters: Any) -> list[str]:
        """Run an EXPLAIN and return its lines. A format behind it would be part of what is explained, so it has none,
        and a server answers in its default one. Raises what `query` raises.
        """
        try:
            answer = bytes(self._client().raw_query(statement, parameters=parameters))
        except ClickHouseError as error:
            raise self._told(str(error)) from error
        lines = answer.decode(errors="replace").removesuffix("\n").split("\n")
        return [_ESCAPED.sub(lambda found: _UNESCAPED.get(found[1], found[1]), line) for line in lines]

    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open_client(self.limits.settings())
        return client

    def _told(self, message: str) -> InvalidInput | Unavailable:
        found = _CODE.search(message)
        code = int(found.group(1)) if found else 0
        is_of_others = code == 241 and "(total)" in message
        if found is None or code in _BUSY or is_of_others:
            return Unavailable(f"the telemetry database cannot answer: {_short(message)}")
        limits = self.limits
        if code in _TOO_LARGE:
            reason = _TOO_LARGE[code].format(
                rows_read=limits.rows_read,
                seconds=limits.seconds,
                memory_mb=limits.memory_bytes / 1e6,
                rows=limits.rows,
            )
            return InvalidInput(f"{reason}; let it read less")
        return InvalidInput(_short(found.group(2)))


def _short(message: str) -> str:
    """The sentence of an error of ClickHouse, without what follows it."""
    before = ""
    while before != message:
        before, message = message, _ENDS.sub("", message)
    message = " ".join(message.split("Expected one of:")[0].split()).rstrip(". ")
    return message if len(message) <= _TEXT_MAX else message[: _TEXT_MAX - 1] + "…"
