"""The state database: resources, revisions, events, due work. SQLite by default, PostgreSQL by DSN.

Stores open a transaction and run their named queries in it; one test suite runs on both databases
(`tests/contract`). Statements use what both share: `RETURNING`, `ON CONFLICT`, BIGINT milliseconds, JSON as
TEXT.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import stamina
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError

from setpoint.errors import StartupRefused, Unavailable

__all__ = ["StateDatabase", "Transaction", "without_password"]

_BUSY_S = 5
_SCRIPTS = Path(__file__).parent / "migrations" / "state"
_PASSWORD = re.compile(r"(?P<user>(?:^|//)[^:@/]*:).*@|(?P<option>password=)[^&]+", re.IGNORECASE)


# Reading its parameters costs as much as running a short statement.
_text = lru_cache(maxsize=2000)(sa.text)


class Transaction:
    """One open transaction; rows come back as plain dictionaries.

    SQLite is asked directly: it names parameters as the statements do, and SQLAlchemy takes ten times as long to hand a
    short statement on as SQLite to run it, and as long again to begin and to end.
    """

    def __init__(self, connection: sa.Connection | sqlite3.Connection) -> None:
        if isinstance(connection, sa.Connection):
            self._connection = connection
            driver = connection.connection.driver_connection
            self._sqlite = driver if isinstance(driver, sqlite3.Connection) else None
        else:
            self._sqlite = connection

    def rows(self, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows that `statement` returns."""
        if self._sqlite is not None:
            cursor = self._sqlite.execute(statement, parameters)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        result = self._connection.execute(_text(statement), parameters)
        return [dict(row) for row in result.mappings()]

    def row(self, statement: str, **parameters: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        if self._sqlite is not None:
            found = self.rows(statement, **parameters)
            return found[0] if found else None
        result = self._connection.execute(_text(statement), parameters).mappings().first()
        return None if result is None else dict(result)

    def execute(self, statement: str, **parameters: Any) -> int:
        """Run a statement and return the number of rows it touched."""
        if self._sqlite is not None:
            return self._sqlite.execute(statement, parameters).rowcount
        return self._connection.execute(_text(statement), parameters).rowcount

    def execute_many(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once for each of `rows`, which hold its parameters by name; nothing when there are none."""
        if not rows:
            return
        if self._sqlite is not None:
            self._sqlite.executemany(statement, rows)
        else:
            self._connection.execute(_text(statement), list(rows))

    def lock(self, name: str) -> None:
        """Wait until no other transaction holds the lock `name`, and hold it until this one ends.

        For changes that read first and write after. SQLite needs none: `begin` admits one writer at a time.
        """
        if self._sqlite is None:
            self._connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": name})


class StateDatabase:
    """A migrated state database; safe to use from several threads."""

    def __init__(self, dsn: str) -> None:
        """Open `dsn` (`sqlite:///path` or `postgresql://…`) and bring its schema up to date."""
        if not dsn.startswith(("sqlite:///", "postgresql://")):
            raise StartupRefused(
                f"'{without_password(dsn)}' is no state database; "
                "write sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE"
            )
        if dsn.partition("?")[0].count("@") > 1:  # the driver would take the rest for a host, and show it
            raise StartupRefused(
                f"'{without_password(dsn)}' has several '@'; write %40 for those in the password"
            )
        url = dsn.replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=not dsn.startswith("sqlite"))
        except (ArgumentError, ValueError) as error:
            raise StartupRefused(
                f"'{without_password(dsn)}' cannot be read as a state database; "
                "write postgresql://USER@HOST:PORT/DATABASE, special characters as %XX"
            ) from error
        if self.dialect == "sqlite":
            sa.event.listen(self._engine, "connect", _configure_sqlite)
            sa.event.listen(self._engine, "begin", _begin_immediate)
        # SQLite lets a second writer sleep for milliseconds, however soon the first is done.
        self._turn = threading.RLock()
        self._writer: sa.PoolProxiedConnection | None = None
        self._is_closed = False
        self._migrate()

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Transaction]:
        """A transaction: committed at the end of the block, rolled back when it raises.

        Unless it is `durable`, SQLite does not wait for the disk: it survives the death of this process at once, and a
        loss of power when a later durable transaction, or `sync`, has returned. PostgreSQL's are always durable. Raises
        Unavailable when the database cannot be reached or stays locked.
        """
        with _as_unavailable():
            if self.dialect == "sqlite":
                with self._turn_of_writer() as writer:
                    writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                    # The write lock at the start, so that two processes queue instead of failing in the middle.
                    with _ended(writer, "BEGIN IMMEDIATE"):
                        yield Transaction(writer)
            else:
                with self._connected() as connection, connection.begin():
                    yield Transaction(connection)

    def sync(self) -> None:
        """Wait until all that was committed is on the disk. Raises Unavailable."""
        path = self._engine.url.database
        if self.dialect != "sqlite" or not path:
            return
        try:
            log = os.open(f"{path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            return  # who closed it has brought all of it into the database
        try:
            os.fsync(log)
        except OSError as error:
            raise Unavailable(
                f"the state database cannot be written: {error.strerror}; look at the disk"
            ) from error
        finally:
            os.close(log)

    @contextmanager
    def _turn_of_writer(self) -> Iterator[sqlite3.Connection]:
        """SQLite's one connection that writes, for one writer of this process at a time."""
        self._refuse_closed()
        if not self._turn.acquire(timeout=_BUSY_S):
            raise Unavailable(
                "the state database does not answer: another transaction does not end; try again"
            )
        try:
            if self._writer is None:
                self._writer = self._engine.raw_connection()
            connection = self._writer.driver_connection
            assert isinstance(connection, sqlite3.Connection)
            yield connection
        finally:
            self._turn.release()

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads, of one state of the database; on SQLite it waits for no writer.

        Raises Unavailable when the database cannot be reached.
        """
        if self.dialect == "sqlite":
            self._refuse_closed()
            with _as_unavailable(), closing(self._engine.raw_connection()) as borrowed:
                driver = borrowed.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                with _ended(driver, "BEGIN"):
                    yield Transaction(driver)
            return
        with _as_unavailable(), self._connected() as connection:
            connection.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
            with connection.begin():
                yield Transaction(connection)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """A connection to PostgreSQL; one that is in use when the database is closed is closed after it."""
        self._refuse_closed()
        with self._engine.connect() as connection:
            try:
                yield connection
            finally:
                if self._is_closed:
                    connection.detach()

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise Unavailable("the state database is closed, as the server ends; try again")

    def close(self) -> None:
        """Close every connection; who comes later is refused."""
        self._is_closed = True
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._engine.dispose()

    def _migrate(self) -> None:
        known = sorted(path.stem for path in (_SCRIPTS / "versions").glob("[0-9]*.py"))
        try:
            with self._engine.begin() as connection:
                self._upgrade(connection, known)
        except StartupRefused:
            self.close()
            raise
        except DatabaseError as error:
            self.close()
            raise StartupRefused(
                f"the state database cannot be opened: {_reason(error)}; check state_dsn and the data folder"
            ) from error

    def _upgrade(self, connection: sa.Connection, known: list[str]) -> None:
        """Migrate inside one transaction, under a lock: two servers that start together do it once."""
        Transaction(connection).lock("migrations")
        current = _revision(connection)
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
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def without_password(dsn: str) -> str:
    """`dsn` as it may be shown: the password is replaced by `***`, also in a DSN that does not parse."""
    return _PASSWORD.sub(
        lambda found: f"{found['user']}***@" if found["user"] else f"{found['option']}***", dsn
    )


@contextmanager
def _as_unavailable() -> Iterator[None]:
    """Lost connections and locks become Unavailable; wrong statements stay what they are, faults of ours."""
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(f"the state database does not answer: {_reason(error)}; try again") from error
    except (sqlite3.OperationalError, sqlite3.InterfaceError) as error:
        raise Unavailable(f"the state database does not answer: {error}; try again") from error


def _reason(error: DBAPIError) -> str:
    """The driver's own sentence, on one line (it names host and port, never the password)."""
    return " ".join(str(error.orig).split())


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """WAL so that readers never wait for the writer; FULL so that a commit is on disk (design, section 3)."""
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={_BUSY_S * 1000}")
    # Making a new file WAL needs it alone, and SQLite does not apply its busy timeout to that step.
    for attempt in stamina.retry_context(
        on=_is_locked, attempts=None, timeout=_BUSY_S, wait_initial=0.01, wait_jitter=0.02, wait_max=0.2
    ):
        with attempt:
            connection.execute("PRAGMA journal_mode=WAL")
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _is_locked(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _begin_immediate(connection: sa.Connection) -> None:
    """Migrations take the write lock at the start, so that two servers that start together queue."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _ended(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """A transaction of SQLite that begins so."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
