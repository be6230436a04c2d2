"""All data sources of a server: one `Source` and one thread for each resource `DataSource`.

`app` makes it, hands it documents when resources change (`apply`) and the functions of a source, by name, to who
evaluates. Those functions look the source up each time, so that a changed address or a new password takes effect
without anything else being made anew. A source that changes begins with an empty head, which is full again seconds
later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, SetpointError
from setpoint.telemetry.datasource.client import IoLoop
from setpoint.telemetry.datasource.source import Source
from setpoint.telemetry.datasource.spec import DataSource
from setpoint.telemetry.datasource.status import SourceStatus

__all__ = ["DataSources"]

log = logging.getLogger(__name__)


class _Declared(Protocol):
    @property
    def spec(self) -> object: ...


class DataSources:
    """The sources by name. Thread-safe."""

    def __init__(self, clock: Clock, secrets: Path, *, patience_ms: int = 90_000) -> None:
        """`secrets` is the folder of the files that resources name. Nothing is asked before `start`."""
        self._clock, self._secrets, self._patience_ms = clock, secrets, patience_ms
        self._loop = IoLoop()
        self._lock = threading.Lock()
        self._sources: dict[str, Source] = {}
        self._is_started = self._is_closed = False

    def apply(self, documents: Iterable[_Declared]) -> None:
        """Keep exactly the sources of these documents (all that exist)."""
        wanted = {one.spec.metadata.name: one.spec for one in documents if isinstance(one.spec, DataSource)}
        with self._lock:
            if self._is_closed:
                return
            former, now = self._sources, dict[str, Source]()
            for name, resource in wanted.items():
                details, known = resource.spec.connection_details, former.get(name)
                now[name] = known if known is not None and known.details == details else self._make(resource)
            self._sources = now  # at once: who evaluates looks sources up meanwhile
            gone = [one for one in former.values() if one not in self._sources.values()]
            fresh = [one for one in self._sources.values() if one not in former.values()]
            if self._is_started:
                self._run(fresh)
        _close(gone)

    def start(self) -> None:
        """Begin to read."""
        with self._lock:
            self._is_started = True
            self._run(self._sources.values())

    def close(self) -> None:
        """Stop reading; requests that are under way are given up."""
        with self._lock:
            self._is_closed = True
            sources, self._sources = list(self._sources.values()), {}
        _close(sources)
        self._loop.close()

    def get(self, name: str) -> Source:
        """The source of that name now. Raises InvalidInput."""
        found = self._sources.get(name)
        if found is None:
            raise InvalidInput(
                f"there is no data source '{name}'; `setpoint datasources` lists those that exist, and one is "
                "declared by a resource of kind DataSource"
            )
        return found

    def take_oldest_write_ms(self, name: str) -> int | None:
        """The oldest sample that came since the last call; None when none came, or there is no such source."""
        source = self._sources.get(name)
        return None if source is None else source.take_oldest_write_ms()

    def fault(self, name: str) -> str | None:
        """Why nothing comes from a source at present; None when nothing is known to be wrong."""
        source = self._sources.get(name)
        return None if source is None else source.fault

    def statuses(self) -> Sequence[SourceStatus]:
        """What is known of each, by name."""
        sources = self._sources
        return [sources[name].status for name in sorted(sources)]

    def _make(self, resource: DataSource) -> Source:
        return Source(
            resource.metadata.name,
            resource.spec.connection_details,
            self._clock,
            loop=self._loop,
            secrets=self._secrets,
            patience_ms=self._patience_ms,
        )

    @staticmethod
    def _run(sources: Iterable[Source]) -> None:
        for source in sources:
            threading.Thread(target=source.run, name=f"datasource-{source.name}", daemon=True).start()


def _close(sources: Iterable[Source]) -> None:
    for source in sources:
        try:
            source.close()
        except SetpointError as error:
            log.warning("data source %s: closing failed: %s", source.name, error.message)
