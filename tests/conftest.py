"""Fixtures that every test may use: one telemetry database per pytest worker, both state databases, a real PostgreSQL.

A missing Debian component skips the tests that need it, by name; with `CI=true` it fails them instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint.database import StateDatabase, TelemetryDatabase
from setpoint.telemetry.journal import Journal
from tests.postgresql import PostgresqlServer

_TABLES = (
    "series", "spans", "logs", "ledger_keys", "ledger_hours", "ledger_minutes", "blocks", "flushes", "exemplars",
    "histograms", "metadata", "rollups", "blocks_staged", "series_unused",
)  # fmt: skip


def require(component: str, present: bool, package: str) -> None:
    """Skip the test when `component` is missing, or fail it under CI."""
    if present:
        return
    message = f"{component} is missing; install it with: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def _telemetry_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TelemetryDatabase]:
    database = TelemetryDatabase(f"chdb://{tmp_path_factory.mktemp('telemetry')}")
    yield database
    database.close()


@pytest.fixture
def telemetry_database(_telemetry_engine: TelemetryDatabase) -> TelemetryDatabase:
    """An empty telemetry database (chdb); one engine per worker, because a process can open only one path."""
    for table in _TABLES:
        _telemetry_engine.command(f"TRUNCATE TABLE {table}")
    journal = Journal(_telemetry_engine)
    journal.drop(list(journal.stored()))
    return _telemetry_engine


@pytest.fixture(scope="session")
def _postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresqlServer]:
    require("PostgreSQL", PostgresqlServer.is_installed(), "postgresql")
    with PostgresqlServer(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def state_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateDatabase]:
    """An empty, migrated state database: the test runs once on SQLite and once on a real PostgreSQL."""
    if request.param == "sqlite":
        dsn = f"sqlite:///{tmp_path / 'state.sqlite'}"
    else:
        dsn = request.getfixturevalue("_postgresql").new_database()
    database = StateDatabase(dsn)
    yield database
    database.close()


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[StateDatabase]:
    """An empty, migrated SQLite state database, for tests that are not about the database."""
    database = StateDatabase(f"sqlite:///{tmp_path / 'state.sqlite'}")
    yield database
    database.close()
