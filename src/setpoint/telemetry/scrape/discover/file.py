"""Targets in files (`file_sd_configs`): YAML or JSON, found by name or pattern, read again when they change.

Files are looked at every few seconds, which costs one `stat` each and works on every file system. A file that
cannot be read keeps the targets that it had.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape.discover.model import Refreshed, read_json_groups, read_yaml_groups
from setpoint.telemetry.scrape.load import read_text
from setpoint.telemetry.scrape.spec import FileDiscovery
from setpoint.telemetry.scrape.target import Group

__all__ = ["FileTargets"]

_LOOK_EVERY_MS = 5000

_Stamp = tuple[int, int, int]


class FileTargets:
    """The targets of one entry of `file_sd_configs`; relative names are those of `folder`."""

    def __init__(self, spec: FileDiscovery, folder: Path) -> None:
        self.every_ms = min(spec.refresh_interval, _LOOK_EVERY_MS)
        self._patterns = [folder / name for name in spec.files]
        self._known: dict[Path, tuple[_Stamp | None, tuple[Group, ...], str]] = {}

    async def refresh(self) -> Refreshed:
        """Look at the files, off the event loop: a disk may hang."""
        return await asyncio.to_thread(self._look)

    async def close(self) -> None:
        """Nothing is held."""

    def _look(self) -> Refreshed:
        found: dict[Path, tuple[_Stamp | None, tuple[Group, ...], str]] = {}
        for pattern in self._patterns:
            for path in sorted(pattern.parent.glob(pattern.name)):
                found[path] = self._read(path)
        self._known = found
        groups = tuple(group for _, groups, _ in found.values() for group in groups)
        return Refreshed(groups, tuple(fault for _, _, fault in found.values() if fault))

    def _read(self, path: Path) -> tuple[_Stamp | None, tuple[Group, ...], str]:
        stamp, groups, fault = self._known.get(path, (None, (), ""))
        try:
            status = path.stat()
            now = (status.st_mtime_ns, status.st_size, status.st_ino)
        except OSError as error:
            return None, groups, f"{path}: cannot be read: {(error.strerror or str(error)).lower()}"
        if stamp == now:
            return stamp, groups, fault
        read = read_json_groups if path.suffix.lower() == ".json" else read_yaml_groups
        try:
            return now, read(str(path), read_text(path), {"__meta_filepath": str(path)}), ""
        except InvalidInput as error:
            return now, groups, error.message
