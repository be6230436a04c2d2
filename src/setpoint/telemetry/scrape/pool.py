"""One job at work: its discoveries, its targets, and what is known of each target. `scraper` drives it.

Everything here runs on the scraper's event loop; `status` may be called from any thread, because what it
reads is replaced and never changed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from setpoint.telemetry.scrape.discover import Discovery, Refreshed
from setpoint.telemetry.scrape.discover.file import FileTargets
from setpoint.telemetry.scrape.discover.http import HttpTargets
from setpoint.telemetry.scrape.fetch import Fetcher, Room, accept_header
from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.series import TargetSeries
from setpoint.telemetry.scrape.spec import DnsDiscovery, FileDiscovery, HttpDiscovery
from setpoint.telemetry.scrape.status import Health, JobStatus, TargetStatus
from setpoint.telemetry.scrape.target import Found, Group, Target, make_targets

__all__ = ["DnsFor", "LastScrape", "Pool", "TargetState"]

_Entry = FileDiscovery | HttpDiscovery | DnsDiscovery
_PATIENCE_S = 10.0
"""How long a changed configuration waits for a discovery that is new."""

DnsFor = Callable[[DnsDiscovery], Discovery]
"""Makes the discovery of one entry of `dns_sd_configs`."""


@dataclass(frozen=True, slots=True)
class LastScrape:
    """How a scrape went; `error` is empty when it went well. `body_bytes` is -1 for a body that is too large."""

    at_ms: int
    duration_s: float
    error: str = ""
    note: str = ""
    samples: int = 0
    stored: int = 0
    body_bytes: int = 0


@dataclass(eq=False, slots=True)
class TargetState:
    """One target while it is there. `due_ms` is its next scrape; a state that `is_gone` is scraped no more."""

    pool: Pool
    target: Target
    series: TargetSeries
    due_ms: int
    since_ms: int
    last: LastScrape | None = None
    is_busy: bool = False
    is_gone: bool = False

    @property
    def status(self) -> TargetStatus:
        """What a page shows of it."""
        target, last = self.target, self.last
        health: Health = "unknown" if last is None else "down" if last.error else "up"
        return TargetStatus(
            job=target.job.name,
            url=target.url,
            labels=target.public,
            discovered=target.discovered,
            health=health,
            error=last.error if last else "",
            note=last.note if last else "",
            last_scrape_ms=last.at_ms if last else None,
            due_ms=self.due_ms,
            duration_s=last.duration_s if last else 0.0,
            samples=last.samples if last else 0,
            stored=last.stored if last else 0,
            body_bytes=last.body_bytes if last else 0,
            interval_ms=target.interval_ms,
            timeout_ms=target.timeout_ms,
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """The states that came and went with a refresh of targets."""

    came: tuple[TargetState, ...] = ()
    went: tuple[TargetState, ...] = ()


@dataclass(slots=True)
class _Source:
    """A discovery, the entry that it is made of, and what it knew last; static targets have no discovery."""

    spec: _Entry | None = None
    discovery: Discovery | None = None
    refreshed: Refreshed = field(default_factory=lambda: Refreshed(()))


class Pool:
    """The targets of one job. `make_series` makes the memory of a new target."""

    def __init__(
        self, job: Job, room: Room, make_series: Callable[[Target], TargetSeries], make_dns: DnsFor
    ) -> None:
        self._room, self._make_series, self._make_dns = room, make_series, make_dns
        self._states: dict[bytes, TargetState] = {}
        self._sources: list[_Source] = []
        self._found = Found((), (), ())
        self._take(job)

    def _take(self, job: Job) -> None:
        spec, before = job.spec, self._sources
        self.job = job
        self.fetcher = Fetcher(spec, job.folder, self._room)
        self.headers = {
            "Accept": accept_header(spec.scrape_protocols or ()),
            "Accept-Encoding": "gzip" if spec.enable_compression else "identity",
        }
        entries: list[_Entry] = [*spec.file_sd_configs, *spec.http_sd_configs, *spec.dns_sd_configs]
        static = tuple(Group.of(one.targets, one.labels) for one in spec.static_configs)
        self._sources = [_Source(refreshed=Refreshed(static))]
        for entry in entries:
            known = next((source for source in before if source.spec == entry), None)
            self._sources.append(known or _Source(entry, self._discovery(entry)))

    def _discovery(self, entry: _Entry) -> Discovery:
        if isinstance(entry, FileDiscovery):
            return FileTargets(entry, self.job.folder)
        if isinstance(entry, HttpDiscovery):
            return HttpTargets(entry, self.job.folder, self._room)
        return self._make_dns(entry)

    async def configure(self, job: Job) -> Sequence[Discovery]:
        """Go on as `job` says; targets that it still has keep what is known of them, so discoveries that are
        new are asked first. Returns those.
        """
        fetcher, before = self.fetcher, self.discoveries
        self._take(job)
        await fetcher.close()
        for gone in [one for one in before if one not in self.discoveries]:
            await gone.close()
        new = [source for source in self._sources if source.discovery and source.discovery not in before]
        await asyncio.gather(*(self._ask(source) for source in new))
        return [source.discovery for source in new if source.discovery is not None]

    async def _ask(self, source: _Source) -> None:
        assert source.discovery is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                source.refreshed = await source.discovery.refresh()

    async def close(self) -> None:
        """Close every connection."""
        await self.fetcher.close()
        for one in self.discoveries:
            await one.close()

    @property
    def discoveries(self) -> Sequence[Discovery]:
        """What has to be refreshed, each at its interval."""
        return [source.discovery for source in self._sources if source.discovery is not None]

    @property
    def states(self) -> Sequence[TargetState]:
        """The targets that are there."""
        return tuple(self._states.values())

    def over_limit(self) -> str:
        """Why nothing of this job is scraped, or nothing."""
        limit, count = self.job.spec.target_limit, len(self._states)
        if not limit or count <= limit:
            return ""
        return f"target_limit exceeded: {count:,} targets, {limit:,} are allowed"

    def discovered(self, discovery: Discovery, refreshed: Refreshed, now_ms: int) -> Changes:
        """Take what a discovery found; one of a former configuration is not heard."""
        source = next((one for one in self._sources if one.discovery is discovery), None)
        if source is None:
            return Changes()
        is_same = source.refreshed.groups == refreshed.groups
        source.refreshed = refreshed
        return Changes() if is_same else self.sync(now_ms)

    def sync(self, now_ms: int) -> Changes:
        """Make targets of everything that is known."""
        groups = chain.from_iterable(source.refreshed.groups for source in self._sources)
        self._found = make_targets(self.job, groups)
        states: dict[bytes, TargetState] = {}
        came = []
        for target in self._found.targets:
            state = self._states.get(target.identity)
            if state is None:
                due_ms = next_due_ms(target, now_ms)
                state = TargetState(self, target, self._make_series(target), due_ms, now_ms)
                came.append(state)
            elif state.target.job is not target.job:
                state.target = target
                state.series.configure(target)
            states[target.identity] = state
        went = [state for identity, state in self._states.items() if identity not in states]
        for state in went:
            state.is_gone = True
        self._states = states
        return Changes(tuple(came), tuple(went))

    def drop_all(self) -> Sequence[TargetState]:
        """The job is gone: every state that it had."""
        went, self._states = tuple(self._states.values()), {}
        for state in went:
            state.is_gone = True
        return went

    @property
    def status(self) -> JobStatus:
        """What a page shows of it."""
        found, keep = self._found, self.job.spec.keep_dropped_targets
        faults = chain(found.faults, *(source.refreshed.faults for source in self._sources))
        return JobStatus(
            self.job.name,
            tuple(state.status for state in self.states),
            found.dropped[:keep] if keep else found.dropped,
            len(found.dropped),
            tuple(faults),
        )


def next_due_ms(target: Target, after_ms: int) -> int:
    """The first instant after `after_ms` that is the target's: at its offset in an interval since the epoch."""
    return after_ms + target.interval_ms - (after_ms - target.offset_ms) % target.interval_ms
