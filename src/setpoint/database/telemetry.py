"""The telemetry database: ClickHouse, embedded (chdb) by default, a server or cluster by DSN.

The same client library, SQL and tables serve both. Facts that shape this module (design, section 3): one
process per chdb path; a shared client serialises, so each thread gets its own; the memory limits are set
once, by a native connection that is opened first and kept; forking after use hangs, so the server never
forks.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import clickhouse_connect
import numpy as np
import numpy.typing as npt
from clickhouse_connect.driver.exceptions import ClickHouseError

from setpoint.database.columns import Columns, run_query
from setpoint.database.limited import LimitedQueries, Limits
from setpoint.database.state import without_password
from setpoint.errors import StartupRefused, Unavailable

__all__ = ["Columns", "TelemetryDatabase"]


DATABASE = "setpoint"
_MIGRATIONS = Path(__file__).parent / "migrations" / "telemetry"
_COMMANDS = ""
_MARK_CACHE_BYTES = 16 << 20


class TelemetryDatabase:
    """A migrated telemetry database; safe to use from several threads (one client each)."""

    def __init__(self, dsn: str, memory_bytes: int = 256 << 20) -> None:
        """Open `dsn` (`chdb:///path` or `clickhouse://user@host:port`) and create what is missing.

        `memory_bytes` bounds what the embedded engine may hold at once; a server keeps its own limits.
        """
        self._dsn = dsn
        self._local = threading.local()
        # Weak, so that the client of a thread that ended goes with it: web servers start threads for ever.
        self._clients: weakref.WeakSet[Any] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._revisions = {_COMMANDS: 0}
        self._engine: Any = None
        if dsn.startswith("chdb://"):
            self._engine = _open_embedded(Path(dsn.removeprefix("chdb://")), memory_bytes)
        elif not dsn.startswith(("clickhouse://", "clickhouses://", "http://", "https://")):
            raise StartupRefused(
                f"'{without_password(dsn)}' is no telemetry database; write chdb:///PATH or clickhouse://USER@HOST:PORT"
            )
        try:
            with clickhouse_connect.get_client(dsn=dsn) as client:
                client.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE} ENGINE = Atomic")
            self._migrate()
        except ClickHouseError as error:
            raise StartupRefused(
                f"the telemetry database cannot be used: {error}; check telemetry_dsn"
            ) from error

    @property
    def is_embedded(self) -> bool:
        """True for the engine in this process, False for a server."""
        return self._dsn.startswith("chdb://")

    @property
    def folder(self) -> Path | None:
        """Where the embedded engine keeps its files, and its owner may keep others; None for a server."""
        return Path(self._dsn.removeprefix("chdb://")) if self.is_embedded else None

    def revision(self, table: str) -> int:
        """Another number after every insert into `table` through this object, and after every command."""
        with self._guard:
            return self._revisions.setdefault(table, 0) + self._revisions[_COMMANDS]

    def _note_change(self, table: str) -> None:
        with self._guard:
            if table in self._revisions:  # only those that somebody asks for
                self._revisions[table] += 1

    def query(self, statement: str, **parameters: Any) -> Columns:
        """Run a query (parameters as `{name:Type}`) and return its columns. Raises Unavailable on failure."""
        try:
            return run_query(self._client(), statement, parameters)
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database refused a query: {error}") from error

    def limited(self, limits: Limits | None = None) -> LimitedQueries:
        """For queries that others wrote, which may only read, within limits."""
        return LimitedQueries(self._open_client, limits or Limits())

    def command(self, statement: str, **parameters: Any) -> None:
        """Run a statement that returns nothing. Raises Unavailable on failure."""
        try:
            self._client().command(statement, parameters=parameters)
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database refused a command: {error}") from error
        finally:
            self._note_change(_COMMANDS)

    def insert(self, table: str, columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> None:
        """Insert equally long columns as one block; when it returns, the rows are stored.

        Raises Unavailable when the engine refuses it: nothing of the block was stored then.
        """
        try:
            self._client().insert(
                table, list(columns.values()), column_names=list(columns), column_oriented=True
            )
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database refused {table}: {error}") from error
        finally:
            self._note_change(table)

    def insert_rows(self, table: str, names: Sequence[str], rows: npt.NDArray[np.uint8]) -> None:
        """Insert `rows` uint8[k], already encoded as ClickHouse's RowBinary of the columns `names`; as `insert`."""
        try:
            self._client().raw_insert(table, names, rows.data, fmt="RowBinary")
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database refused {table}: {error}") from error
        finally:
            self._note_change(table)

    def query_rows(self, statement: str, **parameters: Any) -> bytes:
        """Run a query and return its rows as RowBinary: no Python object per value. Raises Unavailable on failure."""
        try:
            return bytes(self._client().raw_query(statement, parameters=parameters, fmt="RowBinary"))
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database refused a query: {error}") from error

    def close(self) -> None:
        """Close every thread's client, then the engine."""
        with self._guard:
            for client in list(self._clients):
                client.close()
            self._clients.clear()
            if self._engine is not None:
                self._engine.close()
                self._engine = None

    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._open_client()
        return client

    def _open_client(self, settings: Mapping[str, Any] | None = None) -> Any:
        try:
            client = clickhouse_connect.get_client(
                dsn=self._dsn, database=DATABASE, settings=dict(settings or {})
            )
        except ClickHouseError as error:
            raise Unavailable(f"the telemetry database does not answer: {error}") from error
        with self._guard:
            self._clients.add(client)
        return client

    def _migrate(self) -> None:
        client = self._client()
        client.command(
            f"CREATE TABLE IF NOT EXISTS {DATABASE}.migrations (number UInt32, "
            "applied DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY number"
        )
        applied = {row[0] for row in client.query(f"SELECT number FROM {DATABASE}.migrations").result_rows}
        scripts = {int(path.name.split("_")[0]): path for path in sorted(_MIGRATIONS.glob("[0-9]*.sql"))}
        if applied and max(applied) > max(scripts):
            raise StartupRefused(
                f"the telemetry database has schema {max(applied)}, newer than this Setpoint knows "
                f"({max(scripts)}); install a newer Setpoint, or restore a backup"
            )
        for number, path in scripts.items():
            if number in applied:
                continue
            for statement in path.read_text(encoding="utf-8").split(";\n"):
                if statement.strip():
                    client.command(statement)
            client.insert(f"{DATABASE}.migrations", [[number]], column_names=["number"])


def _open_embedded(path: Path, memory_bytes: int) -> Any:
    # chdb and its client import pyarrow and pandas where they find them, for formats that Setpoint does not use;
    # without them the process is 70 MB smaller. None in sys.modules makes an import fail.
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    import chdb

    options = (
        f"max_server_memory_usage={memory_bytes}&mark_cache_size={_MARK_CACHE_BYTES}&background_pool_size=2"
    )
    try:
        return chdb.connect(f"file:{path}?{options}")
    except RuntimeError as error:
        raise StartupRefused(
            f"the telemetry folder {path} cannot be opened: {error}; "
            "check its rights, or choose another with --data"
        ) from error
