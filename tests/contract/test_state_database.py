"""What every state database must do, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from setpoint.database import StateDatabase
from setpoint.errors import StartupRefused, Unavailable
from tests.conftest import require
from tests.postgresql import PostgresqlServer

ADD = (
    "INSERT INTO events (at_ms, kind, service, actor, summary, data) "
    "VALUES (:at_ms, 'deploy', '', 'test', '', '{}')"
)
COUNT = "SELECT COUNT(*) AS count FROM events"


def count(database: StateDatabase) -> int:
    with database.read() as transaction:
        row = transaction.row(COUNT)
    assert row is not None
    return int(row["count"])


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The DSN of a database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.sqlite'}"
    server: PostgresqlServer = request.getfixturevalue("_postgresql")
    return server.new_database(migrated=False)


def test_an_empty_database_is_migrated_and_again_is_harmless(empty_dsn: str) -> None:
    for expected in (0, 1):
        database = StateDatabase(empty_dsn)
        assert count(database) == expected
        with database.begin() as transaction:
            transaction.execute(ADD, at_ms=1)
        database.close()


def test_servers_that_start_together_migrate_once(empty_dsn: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        databases = list(pool.map(lambda _: StateDatabase(empty_dsn), range(3)))
    assert [count(database) for database in databases] == [0, 0, 0]
    for database in databases:
        database.close()


def test_a_file_that_is_briefly_locked_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "state.sqlite"
    holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.5, holder.execute, ("ROLLBACK",))
    release.start()
    database = StateDatabase(f"sqlite:///{file}")
    assert count(database) == 0
    database.close()
    release.join()
    holder.close()


def test_a_newer_schema_is_refused(empty_dsn: str) -> None:
    database = StateDatabase(empty_dsn)
    with database.begin() as transaction:
        transaction.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(StartupRefused, match="schema 9999, newer than this Setpoint knows"):
        StateDatabase(empty_dsn)


def test_a_transaction_that_raises_leaves_nothing(state_database: StateDatabase) -> None:
    with pytest.raises(ZeroDivisionError), state_database.begin() as transaction:
        transaction.execute(ADD, at_ms=1)
        transaction.execute(ADD, at_ms=2)
        assert len(transaction.rows("SELECT id FROM events")) == 2
        raise ZeroDivisionError
    assert count(state_database) == 0


def test_concurrent_writers_lose_nothing(state_database: StateDatabase) -> None:
    with state_database.begin() as transaction:
        transaction.execute(ADD, at_ms=0)

    def increment(_: int) -> None:
        with state_database.begin() as transaction:
            transaction.lock("counter")
            row = transaction.row("SELECT at_ms FROM events")
            assert row is not None
            assert transaction.execute("UPDATE events SET at_ms = :at_ms", at_ms=row["at_ms"] + 1) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(increment, range(80)))
    with state_database.read() as transaction:
        assert transaction.rows("SELECT at_ms FROM events") == [{"at_ms": 80}]


def test_reading_waits_for_no_writer(state_database: StateDatabase) -> None:
    with state_database.begin() as writing:
        writing.execute(ADD, at_ms=1)
        assert count(state_database) == 0
    assert count(state_database) == 1


def test_a_reader_sees_one_state_to_its_end(state_database: StateDatabase) -> None:
    with state_database.read() as reading:
        assert reading.row(COUNT) == {"count": 0}
        with state_database.begin() as writing:
            writing.execute(ADD, at_ms=1)
        assert reading.row(COUNT) == {"count": 0}


def test_instants_beyond_32_bits_and_any_text_survive(state_database: StateDatabase) -> None:
    text = "é😀 \\ ' \" :name %s {}\n"
    with state_database.begin() as transaction:
        row = transaction.row(
            "INSERT INTO events (at_ms, kind, service, actor, summary, data) "
            "VALUES (:at_ms, :text, '', '', '', '{}') RETURNING at_ms, kind",
            at_ms=2**62,
            text=text,
        )
    assert row == {"at_ms": 2**62, "kind": text}


@pytest.fixture
def server(_postgresql: PostgresqlServer) -> Iterator[PostgresqlServer]:
    """The shared server, running again after the test whatever the test did to it."""
    yield _postgresql
    _postgresql.stop()
    _postgresql.start()


def test_a_lost_connection_is_unavailable_and_the_next_one_works(server: PostgresqlServer) -> None:
    dsn = server.new_database()
    database = StateDatabase(dsn)
    with pytest.raises(Unavailable, match="try again"), database.begin() as transaction:
        transaction.execute(ADD, at_ms=1)
        assert server.cut_connections(dsn) == 1
        transaction.execute(ADD, at_ms=2)
    assert count(database) == 0
    server.stop()
    with pytest.raises(Unavailable, match="does not answer"), database.begin() as transaction:
        transaction.execute(ADD, at_ms=1)
    with pytest.raises(Unavailable), database.read():
        pass
    server.start()
    with database.begin() as transaction:
        transaction.execute(ADD, at_ms=1)
    assert count(database) == 1
    database.close()


def test_a_locked_sqlite_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    holder, other = StateDatabase(f"sqlite:///{path}"), StateDatabase(f"sqlite:///{path}")
    with holder.begin(), pytest.raises(Unavailable, match="locked"), other.begin():
        pass
    with other.begin() as transaction:
        transaction.execute(ADD, at_ms=1)
    assert count(holder) == 1
    holder.close()
    other.close()


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://user:hunter2@host/db",
        "user:hunter2@host",
        "postgresql://user:hunter2@host:port/db",
        "postgresql://user:hun@ter2@127.0.0.1:1/db",
        "postgresql://user@127.0.0.1:1/db?password=hunter2",
        "postgresql://user:hunter2@127.0.0.1:1/db?nonsense=1",
    ],
)
def test_no_error_shows_a_password(dsn: str) -> None:
    with pytest.raises(StartupRefused) as caught:
        StateDatabase(dsn)
    assert "ter2" not in caught.value.message
    assert "state_dsn" in caught.value.message or "write " in caught.value.message


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    path.write_bytes(os.urandom(4096))
    with pytest.raises(StartupRefused, match="not a database"):
        StateDatabase(f"sqlite:///{path}")
    with pytest.raises(StartupRefused, match="check state_dsn"):
        StateDatabase(f"sqlite:///{tmp_path / 'missing' / 'state.sqlite'}")


def test_the_suite_ran_on_postgresql() -> None:
    require("PostgreSQL", PostgresqlServer.is_installed(), "postgresql")


def test_what_is_not_durable_is_seen_at_once_and_on_disk_after_sync(state_database: StateDatabase) -> None:
    """The fast kind of transaction commits like any other; `sync` may come from anybody, at any time."""
    state_database.sync()
    with state_database.begin(durable=False) as transaction:
        transaction.execute("CREATE TABLE fast (a BIGINT)")
        transaction.execute("INSERT INTO fast (a) VALUES (1)")
    with state_database.read() as transaction:
        assert transaction.rows("SELECT a FROM fast") == [{"a": 1}]
    state_database.sync()
    with pytest.raises(ZeroDivisionError), state_database.begin(durable=False) as transaction:
        transaction.execute("INSERT INTO fast (a) VALUES (2)")
        raise ZeroDivisionError
    with state_database.begin() as transaction:
        transaction.execute("INSERT INTO fast (a) VALUES (3)")
        assert transaction.rows("SELECT a FROM fast ORDER BY a") == [{"a": 1}, {"a": 3}]


def test_a_transaction_is_durable_unless_it_says_otherwise(sqlite_database: StateDatabase) -> None:
    """One that is not leaves nothing behind in its connection."""
    for durable, synchronous in ((True, 2), (False, 1), (True, 2), (False, 1)):
        with sqlite_database.begin(durable=durable) as transaction:
            assert transaction.row("PRAGMA synchronous") == {"synchronous": synchronous}


def test_writers_of_one_process_take_turns_without_sleeping(sqlite_database: StateDatabase) -> None:
    """Many threads that write at once: everyone gets its turn, and nothing of theirs is lost."""
    with sqlite_database.begin() as transaction:
        transaction.execute("CREATE TABLE counted (n BIGINT)")
        transaction.execute("INSERT INTO counted (n) VALUES (0)")

    def count() -> None:
        for _ in range(50):
            with sqlite_database.begin(durable=False) as transaction:
                found = transaction.row("SELECT n FROM counted")
                assert found is not None
                transaction.execute("UPDATE counted SET n = :n", n=found["n"] + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with sqlite_database.read() as transaction:
        assert transaction.row("SELECT n FROM counted") == {"n": 400}
