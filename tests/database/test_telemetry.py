"""The embedded telemetry engine, each test in processes of its own, because chdb allows one path for each."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

_PRELUDE = """
import gc, os, sys, threading, time
import numpy as np
from setpoint.database import TelemetryDatabase
from setpoint.errors import SetpointError
DSN = "chdb://" + sys.argv[1]
def add(database, start, count=1):
    database.insert("samples", {"fingerprint": np.arange(start, start + count, dtype=np.uint64),
        "ts_ms": np.full(count, int(time.time() * 1000)), "value": np.zeros(count)})
def rows(database):
    return int(database.query("SELECT count() AS n FROM samples FINAL")["n"][0])
"""


def start(program: str, path: Path) -> subprocess.Popen[str]:
    code = _PRELUDE + textwrap.dedent(program)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(program: str, path: Path) -> list[str]:
    """The lines that `program` printed."""
    process = start(program, path)
    output, errors = process.communicate(timeout=45)
    assert process.returncode == 0, errors
    return output.splitlines()


def test_each_thread_has_its_own_client_and_ended_threads_leave_none(tmp_path: Path) -> None:
    program = """
    database = TelemetryDatabase(DSN)
    seen, both = [], threading.Barrier(2)
    def work(number):
        seen.append(id(database._client())); both.wait()
        add(database, number)
    for batch in range(5):
        threads = [threading.Thread(target=work, args=(batch * 2 + number,)) for number in range(2)]
        [thread.start() for thread in threads]; [thread.join() for thread in threads]
    gc.collect()
    print(len(set(seen[:2])), id(database._client()) in seen[:2], rows(database), len(database._clients) <= 3)
    database.close()
    """
    assert run(program, tmp_path) == ["2 False 10 True"]


def test_what_stands_for_a_dropped_journal_is_synced(tmp_path: Path) -> None:
    program = """
    database = TelemetryDatabase(DSN)
    tables = database.query("SELECT name FROM system.tables WHERE database = 'setpoint' "
        "AND engine_full LIKE '%fsync_after_insert = 1, fsync_part_directory = 1%' ORDER BY name")
    print(*tables["name"].tolist())
    database.close()
    """
    assert run(program, tmp_path) == ["blocks blocks_staged flushes ledger_hours rollups series"]


def test_the_memory_limit_is_set(tmp_path: Path) -> None:
    program = """
    database = TelemetryDatabase(DSN, memory_bytes=200 << 20)
    value = database.query("SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'")
    print(value["value"][0])
    try:
        database.query("SELECT groupArray(number) AS a FROM numbers(100000000)")
    except SetpointError as error:
        print(error.code, "memory limit" in error.message.lower())
    add(database, 1)
    print(rows(database))
    """
    assert run(program, tmp_path) == [str(200 << 20), "unavailable True", "1"]


def test_opening_again_finds_the_rows_and_migrates_nothing(tmp_path: Path) -> None:
    program = """
    database = TelemetryDatabase(DSN)
    add(database, rows(database))
    migrations = database.query("SELECT number FROM migrations ORDER BY number")
    print(rows(database), migrations["number"].tolist())
    database.close()
    """
    first, second = run(program, tmp_path), run(program, tmp_path)
    assert first[0].startswith("1 [1, 2")
    assert second == [first[0].replace("1 ", "2 ", 1)]


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    run(
        """
        database = TelemetryDatabase(DSN)
        database.insert("migrations", {"number": [9999]})
        database.close()
        """,
        tmp_path,
    )
    program = """
    try:
        TelemetryDatabase(DSN)
    except SetpointError as error:
        print(error.code, error.message)
    """
    (line,) = run(program, tmp_path)
    assert line.startswith(
        "startup_refused the telemetry database has schema 9999, newer than this Setpoint knows"
    )


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "telemetry"
    path.write_text("mine")
    program = """
    try:
        TelemetryDatabase(DSN)
    except SetpointError as error:
        print(error.code, "choose another with --data" in error.message)
    """
    assert run(program, path) == ["startup_refused True"]
    assert path.read_text() == "mine"


def test_kill_nine_keeps_every_acknowledged_row(tmp_path: Path) -> None:
    program = """
    database = TelemetryDatabase(DSN)
    number = 0
    while True:
        add(database, number * 50, 50)
        number += 1
        print(number * 50, flush=True)
    """
    process = start(program, tmp_path)
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 2000:
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        acknowledged = int(line)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    acknowledged = max([acknowledged, *map(int, rest.split())])
    (line,) = run("print(rows(TelemetryDatabase(DSN)))", tmp_path)
    assert acknowledged <= int(line) <= acknowledged + 50
