"""Keeps the rhythm: every target is scraped at its interval, targets come and go, the configuration changes.

`app` makes one `Scraper` and runs it in a thread, which turns an event loop of its own; bodies are read in
two more threads, so that a large one holds up nobody. Instants come from the clock, so a virtual one drives
it; only how long a request may take is real time. Targets are spread over their interval and keep their
place in it, and a scrape that begins within a hundredth of its interval has exactly the instant that it was
due at, which makes timestamps regular and small on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, Problem, StartupRefused
from setpoint.telemetry.protect import Protection
from setpoint.telemetry.scrape.attempt import Attempts, Submit
from setpoint.telemetry.scrape.discover import Discovery
from setpoint.telemetry.scrape.fetch import Room
from setpoint.telemetry.scrape.load import Job, Loaded, load_file
from setpoint.telemetry.scrape.pool import Changes, DnsFor, Pool, TargetState, next_due_ms
from setpoint.telemetry.scrape.schedule import Schedule
from setpoint.telemetry.scrape.series import TargetSeries
from setpoint.telemetry.scrape.spec import DnsDiscovery
from setpoint.telemetry.scrape.status import ScrapeStatus
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Scraper"]

_log = logging.getLogger(__name__)

_READERS = 2
_RESOLVERS = 32
"""Threads that may wait for the name service: a name that hangs must not keep others from theirs."""

_STEP_S = 0.1
_LOOK_EVERY_MS = 5000
_ROOM_BYTES = 512 << 20
_NOTHING = Loaded((), (), ())


@dataclass(frozen=True, slots=True)
class _Configured:
    """A configuration as it was read; `stamps` tell when its files change."""

    loaded: Loaded
    stamps: tuple[tuple[int, int] | None, ...]
    at_ms: int | None


class Scraper:
    """Scrapes what the prometheus.yml `file` names, and `own`, a job of ours that the file may replace.

    `submit` stores a batch as `Ingest.submit` does. Raises StartupRefused when the file cannot be used.
    """

    def __init__(
        self,
        file: Path | None,
        table: SeriesTable,
        submit: Submit,
        clock: Clock,
        *,
        own: Job | None = None,
        body_limit_bytes: int = 64 << 20,
        protection: Protection | None = None,
        make_dns: DnsFor | None = None,
    ) -> None:
        self._file, self._clock, self._own = file, clock, own
        self._readers = ThreadPoolExecutor(_READERS, "scrape-reader")
        self._attempts = Attempts(table, submit, clock, self._readers, body_limit_bytes)
        self._make_series = partial(TargetSeries, table=table, protection=protection)
        self._make_dns = make_dns or _dns_targets
        self._room = Room(_ROOM_BYTES)
        self._pools: dict[str, Pool] = {}
        self._schedule = Schedule()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloading = threading.Lock()
        self._missed = 0
        self._fault = ""
        self._told: dict[str, tuple[int, tuple[str, ...]]] = {}
        try:
            self._configured = self._read()
        except InvalidInput as error:
            raise StartupRefused(
                f"{error.message}\nscrape_config cannot be used: correct it, or start without it"
            ) from error

    # ---- from any thread ---------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Scrape until `stop` is set; series do not end by that, since the server may be back in a moment."""
        try:
            with asyncio.Runner() as runner:
                runner.run(self._main(stop))
        except BaseException as error:
            self._fault = (
                f"scraping has ended by a fault of Setpoint ({error!r}); restart it, and report this"
            )
            raise

    def reload(self) -> None:
        """Read the configuration again and go on with it. Raises InvalidInput when it cannot be used: the
        former one stays, and `status` says so.
        """
        if self._file is None:
            raise InvalidInput("no scrape_config is set; start with 'setpoint up --scrape-config FILE'")
        with self._reloading:
            try:
                self._configured = self._read()
                self._fault = ""
            except InvalidInput as error:
                self._fault = error.message
                raise
            if self._loop is not None and not self._loop.is_closed():
                asyncio.run_coroutine_threadsafe(self._apply(), self._loop).result()

    @property
    def down(self) -> int:
        """How many targets are down."""
        states = (state for pool in self._pools.values() for state in pool.states)
        return sum(state.last is not None and bool(state.last.error) for state in states)

    @property
    def status(self) -> ScrapeStatus:
        """How everything is now; jobs in the order of their names."""
        configured = self._configured
        return ScrapeStatus(
            file=None if self._file is None else str(self._file),
            loaded_ms=configured.at_ms,
            fault=self._fault,
            warnings=(*configured.loaded.warnings, *self._own_warnings()),
            jobs=tuple(pool.status for _, pool in sorted(self._pools.items())),
            scrapes=self._attempts.total,
            failed=self._attempts.failed,
            missed=self._missed,
        )

    def _read(self) -> _Configured:
        if self._file is None:
            return _Configured(_NOTHING, (), None)
        stamps = _stamps((self._file,))
        loaded = load_file(self._file)
        if len(loaded.files) > 1:
            stamps = _stamps(loaded.files)
        return _Configured(loaded, stamps, self._clock.now_ms())

    def _own_warnings(self) -> tuple[Problem, ...]:
        names = [job.name for job in self._configured.loaded.jobs]
        if self._own is None or self._own.name not in names:
            return ()
        message = f"the job '{self._own.name}' of this file is used, and not the built-in one of that name"
        return (Problem(message, str(self._file)),)

    # ---- on the loop -------------------------------------------------------------------------------------

    async def _main(self, stop: threading.Event) -> None:
        _raise_file_limit()
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(_RESOLVERS, "scrape-resolver"))
        for warning in self._configured.loaded.warnings:
            _log.info("%s", warning)
        try:
            await self._apply()
            self._add_looking()
            before_ms = self._clock.now_ms()
            while not stop.is_set():
                now_ms = self._clock.now_ms()
                if now_ms < before_ms - 1000:
                    self._begin_anew(now_ms)
                before_ms = now_ms
                next_ms = self._schedule.run(now_ms)
                await asyncio.sleep(_STEP_S if next_ms is None else min(_STEP_S, next_ms / 1000))
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for pool in self._pools.values():
                await pool.close()
            self._readers.shutdown(cancel_futures=True)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply(self) -> None:
        """Make the pools what the configuration says."""
        jobs = {job.name: job for job in ([self._own] if self._own else [])}
        jobs |= {job.name: job for job in self._configured.loaded.jobs}
        pools = dict(self._pools)
        for name in [name for name in pools if name not in jobs]:
            gone = pools.pop(name)
            self._changed(Changes(went=tuple(gone.drop_all())))
            await gone.close()
        asking: list[tuple[Pool, Discovery]] = []
        changes = []
        for name, job in jobs.items():
            pool = pools.get(name)
            if pool is None:
                pool = pools[name] = Pool(job, self._room, self._make_series, self._make_dns)
                asking += [(pool, discovery) for discovery in pool.discoveries]
            elif pool.job != job:
                for discovery in await pool.configure(job):
                    self._discover_later(pool, discovery)
            else:
                continue
            changes.append(pool.sync(self._clock.now_ms()))
        self._pools = pools
        for change in changes:
            self._changed(change)
        for pool, discovery in asking:
            self._spawn(self._discover(pool, discovery))

    def _changed(self, changes: Changes) -> None:
        for state in changes.came:
            self._schedule.add(state.due_ms, partial(self._scrape, state))
        now_ms = self._clock.now_ms()
        for state in changes.went:
            # By then a successor of the same labels has been scraped, and its series are left alone.
            wait_ms = state.target.interval_ms + state.target.interval_ms // 10
            self._schedule.add(state.due_ms + wait_ms, partial(self._end, state, state.due_ms, now_ms))

    def _scrape(self, state: TargetState) -> None:
        if state.is_gone:
            return
        due_ms = state.due_ms
        state.due_ms = next_due_ms(state.target, max(due_ms, self._clock.now_ms()))
        self._schedule.add(state.due_ms, partial(self._scrape, state))
        if state.is_busy:
            self._missed += 1
        else:
            self._spawn(self._attempts.scrape(state, due_ms))

    def _end(self, state: TargetState, at_ms: int, gone_ms: int) -> None:
        others = [
            other
            for pool in self._pools.values()
            for other in pool.states
            if other.since_ms >= gone_ms or other.target.public == state.target.public
        ]
        self._spawn(self._attempts.end(state, at_ms, others))

    async def _discover(self, pool: Pool, discovery: Discovery) -> None:
        refreshed = await discovery.refresh()
        self._changed(pool.discovered(discovery, refreshed, self._clock.now_ms()))
        self._discover_later(pool, discovery)

    def _discover_later(self, pool: Pool, discovery: Discovery) -> None:
        def again() -> None:
            if discovery in pool.discoveries and self._pools.get(pool.job.name) is pool:
                self._spawn(self._discover(pool, discovery))

        self._schedule.add(self._clock.now_ms() + discovery.every_ms, again)

    def _begin_anew(self, now_ms: int) -> None:
        """The clock was set back: what is due in an hour now would not be scraped until then."""
        self._schedule.clear()
        for pool in self._pools.values():
            for state in pool.states:
                state.due_ms = next_due_ms(state.target, now_ms)
                self._schedule.add(state.due_ms, partial(self._scrape, state))
            for discovery in pool.discoveries:
                self._spawn(self._discover(pool, discovery))
        self._add_looking()

    # ---- looking after things ----------------------------------------------------------------------------

    def _add_looking(self) -> None:
        self._schedule.add(self._clock.now_ms() + _LOOK_EVERY_MS, lambda: self._spawn(self._look()))

    async def _look(self) -> None:
        """Read a configuration that has changed, use certificates that have, and log what is down."""
        files = self._configured.loaded.files or ((self._file,) if self._file else ())
        stamps = await asyncio.to_thread(_stamps, files)
        if self._file is not None and stamps != self._configured.stamps:
            await asyncio.to_thread(self._reload_changed, stamps)
        for pool in self._pools.values():
            try:
                await pool.fetcher.refresh()
            except InvalidInput as error:
                _log.warning("job %s goes on with its former certificates: %s", pool.job.name, error)
            self._tell(pool)
        self._add_looking()

    def _reload_changed(self, stamps: tuple[tuple[int, int] | None, ...]) -> None:
        try:
            self.reload()
            _log.info("scrape configuration read again: %d jobs", len(self._configured.loaded.jobs))
        except InvalidInput as error:
            _log.error("the changed scrape configuration is not used:\n%s", error.message)
            # Told once; the next change is looked at again.
            self._configured = _Configured(self._configured.loaded, stamps, self._configured.at_ms)

    def _tell(self, pool: Pool) -> None:
        """One line when the number of targets that are down changes, and one for each new fault."""
        status = pool.status
        down = [target for target in status.targets if target.health == "down"]
        before, faults_before = self._told.get(status.name, (0, ()))
        self._told[status.name] = (len(down), status.faults)
        if len(down) != before:
            level = logging.WARNING if down else logging.INFO
            first = f"; {down[0].url}: {down[0].error}" if down else ""
            _log.log(
                level, "job %s: %d of %d targets down%s", status.name, len(down), len(status.targets), first
            )
        for fault in status.faults:
            if fault not in faults_before:
                _log.warning("job %s: %s", status.name, fault)


def _dns_targets(spec: DnsDiscovery) -> Discovery:
    # A tenth of a second to import, for something that few configurations have.
    from setpoint.telemetry.scrape.discover.dns import DnsTargets

    return DnsTargets(spec)


def _stamps(files: tuple[Path, ...]) -> tuple[tuple[int, int] | None, ...]:
    found: list[tuple[int, int] | None] = []
    for path in files:
        try:
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return tuple(found)


def _raise_file_limit() -> None:
    """A connection is kept open to each target; many systems allow 1,024 files where 500,000 are possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
