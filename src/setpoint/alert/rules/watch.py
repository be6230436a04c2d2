"""Rule files that the server follows: found by globs, read again when they change.

A file that is broken keeps the groups it had, also over a restart: its text as it was read last without a fault is in
the state database. A file that is gone takes its groups along, but only when it is missing twice in a row: editors and
volume mounts put a new file in place of the old one, and for a moment there is none.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from setpoint.alert.rules.read import read_rules
from setpoint.alert.rules.rule import RuleGroup
from setpoint.alert.rules.status import FileFault
from setpoint.clock import Clock
from setpoint.errors import InvalidInput, Problem, SetpointError

__all__ = ["WatchedRules"]

log = logging.getLogger(__name__)

_LARGEST_BYTES = 16 << 20
_MISSES_MOST = 2

Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _File:
    groups: tuple[RuleGroup, ...] = ()
    stamp: Stamp | None = None
    fault: FileFault | None = None
    misses: int = 0


class WatchedRules:
    """The files that `patterns` (globs with commas between) find. For one thread."""

    def __init__(
        self,
        patterns: str,
        clock: Clock,
        *,
        known: Callable[[], Mapping[str, str]] = dict,
        remember: Callable[[Mapping[str, str], list[str]], None] = lambda texts, gone: None,
    ) -> None:
        """`known` gives the texts by file that the process before had `remember`ed; `remember` takes new texts, and the
        names of files that are gone.
        """
        self._patterns = [part.strip() for part in patterns.split(",") if part.strip()]
        self._clock, self._known, self._remember = clock, known, remember
        self._files: dict[str, _File] = {}
        self._missing: dict[str, FileFault] = {}
        self._former: dict[str, str] | None = None
        self._texts: dict[str, str] = {}
        self._gone: list[str] = []

    @property
    def groups(self) -> tuple[RuleGroup, ...]:
        """The groups of all files, in order."""
        return tuple(group for _, file in sorted(self._files.items()) for group in file.groups)

    @property
    def faults(self) -> list[FileFault]:
        """What cannot be used as it is."""
        broken = [file.fault for _, file in sorted(self._files.items()) if file.fault is not None]
        return [*self._missing.values(), *broken]

    def look(self) -> bool:
        """Read what changed; whether there is anything new. Never raises."""
        if not self._patterns:
            return False
        if self._former is None:
            self._former = self._stored()
        names, changed = self._find(), False
        for name in names:
            file = self._files.setdefault(name, _File())
            file.misses = 0
            changed |= self._read(name, file)
        for name in [name for name in self._files if name not in names]:
            self._files[name].misses += 1
            if self._files[name].misses >= _MISSES_MOST:
                del self._files[name]
                self._gone.append(name)
                log.info("rule file %s is gone, and its groups with it", name)
                changed = True
        self._gone += [name for name in self._former if name not in self._files]
        self._former = {name: text for name, text in self._former.items() if name in self._files}
        self._write()
        return changed

    def _stored(self) -> dict[str, str]:
        try:
            return dict(self._known())
        except SetpointError as error:
            log.warning("rule files of the time before the start are not known: %s", error.message)
            return {}

    def _find(self) -> dict[str, None]:
        names: dict[str, None] = {}
        missing: dict[str, FileFault] = {}
        for pattern in self._patterns:
            found = sorted(glob.glob(pattern, recursive=True))
            names |= dict.fromkeys(name for name in found if Path(name).is_file())
            if not found and not glob.has_magic(pattern):
                known = self._missing.get(pattern)
                message = f"{pattern}: there is no such file; rule_files names it"
                missing[pattern] = known or FileFault(pattern, message, self._clock.now_ms())
                if known is None:
                    log.error("rule file %s", message)
        self._missing = missing
        return names

    def _read(self, name: str, file: _File) -> bool:
        """Read one file if it changed; whether its groups or its fault are new."""
        try:
            status = Path(name).stat()
            stamp = status.st_mtime_ns, status.st_size, status.st_ino
        except OSError:
            return False  # gone in between; the next look tells
        if stamp == file.stamp:
            return False
        former = file.stamp is not None
        file.stamp = stamp
        try:
            text = _text(name)
            file.groups, file.fault = read_rules(name, text), None
            self._texts[name] = text
            log.info("rule file %s: %d groups", name, len(file.groups))
        except InvalidInput as error:
            if not former:
                file.groups = self._as_before(name)
            goes_on = "its groups go on as they were" if file.groups else "none of its groups is evaluated"
            told = "\n".join(str(problem) for problem in error.problems) or f"{name}: {error.message}"
            file.fault = FileFault(name, told, self._clock.now_ms())
            log.error("rule file %s is not used, %s:\n%s", name, goes_on, told)
        return True

    def _as_before(self, name: str) -> tuple[RuleGroup, ...]:
        """The groups of a file that is broken, as they were before the start."""
        text = (self._former or {}).get(name)
        try:
            return () if text is None else read_rules(name, text)
        except InvalidInput:
            return ()  # this version reads rules more strictly

    def _write(self) -> None:
        if not self._texts and not self._gone:
            return
        former = self._former or {}
        texts = {name: text for name, text in self._texts.items() if former.get(name) != text}
        try:
            if texts or self._gone:
                self._remember(texts, self._gone)
        except SetpointError as error:
            log.warning("the texts of rule files are not stored yet: %s", error.message)
            return
        self._former = {**former, **texts}
        self._texts, self._gone = {}, []


def _text(name: str) -> str:
    """Raises InvalidInput."""
    try:
        with Path(name).open("rb") as file:
            body = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        problem = Problem(f"cannot be read: {error.strerror}", name)
        raise InvalidInput(problems=(problem,)) from error
    if len(body) > _LARGEST_BYTES:
        problem = Problem(f"is larger than {_LARGEST_BYTES >> 20} MB; split it", name)
        raise InvalidInput(problems=(problem,))
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = Problem(f"is not UTF-8 text (byte {error.start})", name)
        raise InvalidInput(problems=(problem,)) from error
