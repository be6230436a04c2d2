"""The state database: resources, revisions, events, due work. SQLite by default, PostgreSQL by DSN.

Stores open a transaction and run their named queries in it; one test suite runs on both databases
(`tests/contract`). Statements use what both share: `RETURNING`, `ON CONFLICT`, BIGINT milliseconds, JSON as TEXT.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from setpoint.errors import StartupRefused, Unavailable

__all__ = ["StateDatabase", "Transaction"]

_SCRIPTS = Path(__file__).parent / "migrations" / "state"


class Transaction:
    """One open transaction; rows come back as plain dictionaries."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows that `statement` returns."""
        result = self._connection.execute(sa.text(statement), parameters)
        return [dict(row) for row in result.mappings()]

    def row(self, statement: str, **parameters: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        result = self._connection.execute(sa.text(statement), parameters).mappings().first()
        return None if result is None else dict(result)

    def execute(self, statement: str, **parameters: Any) -> int:
        """Run a statement and return the number of rows it touched."""
        return self._connection.execute(sa.text(statement), parameters).rowcount

    def execute_many(self, statement: str, parameters: Sequence[dict[str, Any]]) -> None:
        """Run a statement once for each set of parameters."""
        if parameters:
            self._connection.execute(sa.text(statement), list(parameters))


class StateDatabase:
    """A migrated state database; safe to use from several threads."""

    def __init__(self, dsn: str) -> None:
        """Open `dsn` (`sqlite:///path` or `postgresql://…`) and bring its schema up to date."""
        if dsn.startswith("postgresql://"):
            dsn = "postgresql+psycopg://" + dsn.removeprefix("postgresql://")
        try:
            self._engine = sa.create_engine(dsn, pool_pre_ping=not dsn.startswith("sqlite"))
        except ArgumentError as error:
            raise StartupRefused(
                f"'{dsn}' is no state database; write sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"
            ) from error
        if self.dialect == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)
            sa.event.listen(self._engine, "begin", _begin_immediate)
        self._migrate()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Raises Unavailable when the database cannot be reached or stays locked.
        """
        try:
            with self._engine.begin() as connection:
                yield Transaction(connection)
        except OperationalError as error:
            raise Unavailable(f"the state database does not answer: {error.orig}") from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _migrate(self) -> None:
        known = sorted(path.stem for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))
        try:
            current = self._revision()
        except DatabaseError as error:
            raise StartupRefused(
                f"the state database cannot be opened: {error.orig}; check state_dsn and the data folder"
            ) from error
        if current == known[-1].split("_")[0]:
            return
        if current is not None and current not in {name.split("_")[0] for name in known}:
            raise StartupRefused(
                f"the state database has schema {current}, newer than this Setpoint knows ({known[-1]}); "
                "install a newer Setpoint, or restore a backup"
            )
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS))
        config.set_main_option("path_separator", "os")
        with self._engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            return None if found is None else str(found)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """WAL so that readers never wait for the writer; FULL so that a commit is on disk (design, section 3)."""
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    """Take the write lock at the start, so that two writers queue instead of failing in the middle."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
