"""The data folder: made when missing, locked while in use, refused when a newer Setpoint wrote it.

Opened first by the server process, before either database, because chdb allows one process per path.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from setpoint import __version__
from setpoint.errors import StartupRefused

__all__ = ["FORMAT", "DataFolder"]

FORMAT = 1
"""Number of the folder's layout; raised when an older Setpoint could no longer read it."""


class DataFolder:
    """An open, locked data folder; `close` gives the lock back (so does the end of the process)."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _unusable(self.path, error) from error
        try:
            self._take_lock()
            self._check_format()
        except OSError as error:
            self.close()
            raise _unusable(self.path, error) from error
        except StartupRefused:
            self.close()
            raise

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "unknown"
            raise StartupRefused(
                f"the data folder {self.path} is in use by process {owner}; "
                "end that one, or choose another folder with --data"
            ) from error
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _check_format(self) -> None:
        marker = self.path / "format.json"
        if not marker.exists():
            partial = marker.with_suffix(".new")
            with partial.open("w", encoding="utf-8") as file:
                file.write(json.dumps({"format": FORMAT, "setpoint": __version__}) + "\n")
                file.flush()
                os.fsync(file.fileno())  # else a power cut can leave an empty marker, which looks damaged
            partial.rename(marker)
            return
        try:
            found = json.loads(marker.read_text())
            number, version = int(found["format"]), str(found["setpoint"])
        except (ValueError, KeyError, TypeError) as error:
            raise StartupRefused(f"{marker} is damaged ({error}); restore it from a backup") from error
        if number > FORMAT:
            raise StartupRefused(
                f"the data folder {self.path} was written by Setpoint {version} (format {number}); "
                f"this is {__version__} (format {FORMAT}): "
                f"install {version} or newer, or choose another folder with --data"
            )

    @property
    def telemetry(self) -> Path:
        """Where chdb keeps its files."""
        return self.path / "telemetry"

    @property
    def state(self) -> Path:
        """The SQLite file."""
        return self.path / "state.sqlite"

    def close(self) -> None:
        """Give the lock back."""
        os.close(self._lock)


def _unusable(path: Path, error: OSError) -> StartupRefused:
    return StartupRefused(
        f"the data folder {path} cannot be used: {error.strerror}; "
        "give yourself the right to write there, or choose another with --data"
    )
