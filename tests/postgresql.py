"""A real PostgreSQL for the tests, from Debian's packages: a server per pytest worker, a database per test.

`tests/conftest.py` starts it once and hands each test a database cloned from a migrated template, which takes
milliseconds where migrating takes seconds. PostgreSQL refuses to run as root, so root runs it as the user
`postgres`, in a folder that this user may enter (pytest's own folders are closed to others). It listens on a
Unix socket only, so that no port can be taken.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import psycopg
from psycopg import sql

from setpoint.database import StateDatabase

__all__ = ["PostgresqlServer"]

_CONFIGURATION = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "jit": "off",
    "autovacuum": "off",
}
_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 10


def _programs() -> Path | None:
    """The folder of the newest installed PostgreSQL's programs, or None."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


class PostgresqlServer:
    """A running PostgreSQL; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """`folder` takes the server's log; the data lies in a folder of its own, removed at the end."""
        programs = _programs()
        assert programs is not None, "check is_installed() first"
        self._programs = programs
        self._log = folder / "postgresql.log"
        self._data = Path(tempfile.mkdtemp(prefix="setpoint-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._template: str | None = None

    @staticmethod
    def is_installed() -> bool:
        """True when Debian's `postgresql` package is there (and, for root, its user)."""
        if _programs() is None or shutil.which("setpriv") is None:
            return False
        return os.geteuid() != 0 or any(entry.pw_name == "postgres" for entry in pwd.getpwall())

    def __enter__(self) -> PostgresqlServer:
        try:
            if os.geteuid() == 0:
                shutil.chown(self._data, "postgres", "postgres")
            self._run("initdb", "-D", "cluster", "-U", "setpoint", "-A", "trust", "-E", "UTF8", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._data, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers; used again by tests that stop it."""
        options = [part for name, value in _CONFIGURATION.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._command("postgres"), "-D", "cluster", "-k", str(self._data), *options],
                cwd=self._data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self._connect().close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{self._log.read_text()}") from error
                time.sleep(0.05)

    def stop(self) -> None:
        """End the server by its process id: fast (connections are cut), harder when that does not help."""
        if self._process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            self._process.send_signal(number)
            try:
                self._process.wait(_STOP_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process = None

    def new_database(self, *, migrated: bool = True) -> str:
        """A fresh database and its DSN: a clone of the migrated template, or an empty one."""
        if migrated and self._template is None:
            template = self._create("migrated", "template0")
            StateDatabase(self.dsn(template)).close()
            self._template = template
        name = f"test_{next(self._numbers)}"
        return self.dsn(self._create(name, self._template if migrated and self._template else "template0"))

    def dsn(self, database: str) -> str:
        """The DSN of `database`, as a user writes it."""
        return f"postgresql://setpoint@/{database}?host={quote(str(self._data), safe='')}"

    def cut_connections(self, dsn: str) -> int:
        """End every session of the database behind `dsn`, as a failover does; returns how many there were."""
        name = dsn.partition("@/")[2].partition("?")[0]
        with self._connect() as connection:
            return connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).rowcount

    def _create(self, name: str, template: str) -> str:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with self._connect() as connection:
            connection.execute(statement)
        return name

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(host=str(self._data), user="setpoint", dbname="postgres", autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*self._command(program), *arguments], cwd=self._data, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr}")

    def _command(self, program: str) -> list[str]:
        """The program as the user that may run it; it ends with the test process, however that one ends."""
        path = str(self._programs / program)
        if os.geteuid() != 0:
            return ["setpriv", "--pdeathsig", "INT", path]
        identity = ["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        return ["setpriv", *identity, "--pdeathsig", "INT", path]
