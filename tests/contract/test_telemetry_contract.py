"""One suite for the telemetry database on both transports: chdb in this process, and ClickHouse's HTTP protocol."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from bench.server import free_port

from setpoint.database import TelemetryDatabase
from setpoint.errors import StartupRefused, Unavailable

ROOT = Path(__file__).parent.parent.parent
NOW_MS = int(time.time() * 1000)


@pytest.fixture(scope="module")
def _over_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = tmp_path_factory.mktemp("clickhouse")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.clickhouse_http", str(folder), str(port)], cwd=ROOT
    )
    yield f"http://default@127.0.0.1:{port}?compress=false"
    server.terminate()
    server.wait(10)


@pytest.fixture(params=["chdb", "http"])
def database(request: pytest.FixtureRequest) -> Iterator[TelemetryDatabase]:
    if request.param == "chdb":
        yield request.getfixturevalue("telemetry_database")
        return
    dsn = request.getfixturevalue("_over_http")
    deadline = time.monotonic() + 20
    while True:
        try:
            opened = TelemetryDatabase(dsn)
            break
        except (StartupRefused, Unavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    for table in ("samples", "series"):
        opened.command(f"TRUNCATE TABLE {table}")
    yield opened
    opened.close()


def _insert(database: TelemetryDatabase, count: int, start: int = 0) -> None:
    database.insert(
        "samples",
        {
            "fingerprint": np.arange(start, start + count, dtype=np.uint64),
            "ts_ms": np.full(count, NOW_MS, dtype=np.int64),
            "value": np.linspace(0, 1, count),
        },
    )


def test_what_goes_in_comes_out(database: TelemetryDatabase) -> None:
    _insert(database, 100)
    columns = database.query(
        "SELECT fingerprint, ts_ms, value FROM samples "
        "WHERE fingerprint IN {wanted:Array(UInt64)} ORDER BY fingerprint",
        wanted=[3, 99],
    )
    assert columns["fingerprint"].tolist() == [3, 99]
    assert columns["fingerprint"].dtype == np.uint64
    assert columns["ts_ms"].tolist() == [NOW_MS, NOW_MS]
    assert columns["value"].tolist() == [np.linspace(0, 1, 100)[3], 1.0]


def test_text_and_maps_come_back_whole(database: TelemetryDatabase) -> None:
    labels = {"__name__": "books_total", "title": 'It\'s a \\ "quoted" title\nwith ünïcode'}
    database.insert("series", {"fingerprint": [2**64 - 1], "metric": ["books_total"], "labels": [labels]})
    columns = database.query(
        "SELECT labels, fingerprint FROM series WHERE labels['title'] = {t:String}", t=labels["title"]
    )
    assert columns["labels"].tolist() == [labels]
    assert columns["fingerprint"].tolist() == [2**64 - 1]


def test_an_empty_result_has_empty_columns(database: TelemetryDatabase) -> None:
    columns = database.query("SELECT fingerprint FROM samples")
    assert len(columns["fingerprint"]) == 0


def test_an_unknown_column_of_a_result_is_an_error(database: TelemetryDatabase) -> None:
    _insert(database, 1)
    with pytest.raises(KeyError):
        database.query("SELECT fingerprint FROM samples")["wrong"]


def test_a_row_that_is_sent_again_replaces_itself(database: TelemetryDatabase) -> None:
    _insert(database, 10)
    _insert(database, 10)
    assert database.query("SELECT count() AS rows FROM samples FINAL")["rows"].tolist() == [10]


def test_a_refused_statement_is_unavailable_and_harmless(database: TelemetryDatabase) -> None:
    with pytest.raises(Unavailable, match="refused"):
        database.query("SELECT nothing FROM nowhere")
    with pytest.raises(Unavailable, match="refused"):
        database.insert("samples", {"no_such_column": [1]})
    _insert(database, 1)
    assert database.query("SELECT count() AS rows FROM samples")["rows"].tolist() == [1]


def test_threads_share_the_database(database: TelemetryDatabase) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: _insert(database, 50, part * 50), range(8)))
    assert database.query("SELECT count() AS rows FROM samples FINAL")["rows"].tolist() == [400]


def test_migrating_again_changes_nothing(database: TelemetryDatabase) -> None:
    before = database.query("SELECT number FROM migrations ORDER BY number")["number"].tolist()
    database._migrate()
    assert database.query("SELECT number FROM migrations ORDER BY number")["number"].tolist() == before
    assert before == list(range(1, len(before) + 1))


def test_a_server_that_is_not_there_is_refused_with_what_to_check() -> None:
    with pytest.raises((StartupRefused, Unavailable)):
        TelemetryDatabase(f"http://default@127.0.0.1:{free_port()}")


def test_another_kind_of_address_is_refused() -> None:
    with pytest.raises(StartupRefused, match="clickhouse://"):
        TelemetryDatabase("duckdb:///tmp/x")
