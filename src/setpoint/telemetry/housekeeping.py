"""Housekeeping: one thread that keeps stored telemetry small: compaction, retention, the disk budget.

`app` makes one, hands it the resources when they change (`apply`), and runs `run` in a thread; `/api/status`
shows `status`. Once a night, when the last day is over and the head has let go of it, the days with
something new are compacted and rolled up, then what is too old goes. Every minute the disk budget is kept. One
step that fails is logged and tried again later, and never keeps the others from their turn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.telemetry.compact import Compacted, Compactor, Stopped
from setpoint.telemetry.disk import DiskBudget, DiskState
from setpoint.telemetry.retention import Policy, Retention, Retired
from setpoint.telemetry.rollup import DAY_MS

__all__ = ["Housekeeping", "HousekeepingStatus"]

_log = logging.getLogger(__name__)

_TICK_S = 60.0
_RETRY_MS = 3_600_000
_GRACE_MS = 2 * 3_600_000
"""How long after midnight a day may still get samples that are not late."""


@dataclass(frozen=True, slots=True)
class HousekeepingStatus:
    """`night_ms` is when the last nightly work ended, None before the first; `compacted` the last day that was
    compacted, `retired` what retention did that night; `error` what went wrong last, until it goes well.
    """

    night_ms: int | None = None
    compacted: Compacted | None = None
    retired: Retired | None = None
    evictions: int = 0
    disk: DiskState | None = None
    error: str | None = None


class Housekeeping:
    """Runs the steps in order. `tick` belongs to one thread, the rest to any."""

    def __init__(  # noqa: PLR0917 — its steps
        self,
        compactor: Compactor,
        retention: Retention,
        budget: DiskBudget,
        clock: Clock,
        read_policy: Callable[[Iterable[object]], Policy],
        grace_ms: int = _GRACE_MS,
    ) -> None:
        """`grace_ms` is how long after its end a day is left alone, at least two hours: as long as the head may
        show samples of it, so that it never takes over chunks that are longer than its own.
        """
        self._compactor = compactor
        self._retention = retention
        self._budget = budget
        self._clock = clock
        self._read_policy = read_policy
        self._grace_ms = max(grace_ms, _GRACE_MS)
        self._stop = threading.Event()
        self._status = HousekeepingStatus(disk=budget.state)
        self._night: int | None = None
        self._retry_ms: int | None = None
        self._policy_changed = False
        self._oldest_day_ms: int | None = None
        self._try("a look at the stored days", self._look)

    @property
    def status(self) -> HousekeepingStatus:
        """What was done last."""
        return self._status

    def kept_from_ms(self) -> int:
        """The instant from which every sample that was stored is there: neither retention nor the disk budget
        has taken any.
        """
        return self._not_evicted(self._retention.kept_from_ms(self._clock.now_ms()))

    def mostly_kept_from_ms(self) -> int:
        """As `kept_from_ms`, for the series that no rule has kept for less than the others."""
        return self._not_evicted(
            (self._clock.now_ms() // DAY_MS - self._retention.policy.default_days) * DAY_MS
        )

    def _not_evicted(self, from_ms: int) -> int:
        return from_ms if self._oldest_day_ms is None else max(from_ms, self._oldest_day_ms)

    def apply(self, documents: Iterable[object]) -> None:
        """Follow the `Retention` resources among these documents (all that exist) from the next tick on."""
        policy = self._read_policy(documents)
        if policy != self._retention.policy:
            self._retention.policy = policy
            self._policy_changed = True

    def tick(self) -> None:
        """Do what is due now."""
        now_ms = self._clock.now_ms()
        night = (now_ms - self._grace_ms) // DAY_MS
        waits = self._retry_ms is not None and 0 <= self._retry_ms - now_ms <= _RETRY_MS
        if night != self._night and not waits:
            self._work_through(night, now_ms)
        elif self._policy_changed:
            self._policy_changed = False
            self._try("retention", self._retire)
        self._try("the disk budget", self._keep_budget)
        self._try("a look at the stored days", self._look)

    def run(self, stop: threading.Event) -> None:
        """Tick every minute until `stop` is set; the body of the housekeeping thread."""
        self._stop = stop
        while not self._clock.wait(stop, _TICK_S):
            try:
                self.tick()
            except Stopped:
                return
            except Exception:  # noqa: BLE001 — the loop must outlive any fault: without it the disk would fill
                _log.exception("housekeeping failed; it tries again in a minute")

    def _work_through(self, night: int, now_ms: int) -> None:
        self._policy_changed = False
        went_well = self._try("compaction", lambda: self._compact(night))
        went_well = self._try("retention", self._retire) and went_well
        self._retry_ms = None if went_well else now_ms + _RETRY_MS
        if went_well:
            self._night = night
            self._status = replace(self._status, night_ms=self._clock.now_ms(), error=None)

    def _compact(self, before_day: int) -> None:
        errors = []
        for day in self._compactor.dirty_days(before_day):
            try:
                done = self._compactor.compact(
                    day, self._retention.expired(day, self._clock.now_ms()), self._rest
                )
            except SetpointError as error:  # such as a damaged chunk: the other days can do without it
                errors.append(f"day {day}: {error.message}")
                continue
            self._status = replace(self._status, compacted=done)
            _log.info(
                "compacted UTC day %d: %s samples of %s series, %s chunks became %s, in %.0f s",
                day,
                f"{done.samples:,}",
                f"{done.series:,}",
                f"{done.chunks_before:,}",
                f"{done.chunks_after:,}",
                done.took_s,
            )
        if errors:
            raise SetpointError("; ".join(errors))

    def _rest(self, took_s: float) -> bool:
        """Rest as long as the last slice of work took, so that the other threads have the processor half of the
        time; True when everything is to end.
        """
        return self._stop.wait(took_s)

    def _retire(self) -> None:
        retired = self._retention.enforce(self._clock.now_ms())
        self._status = replace(self._status, retired=retired)

    def _keep_budget(self) -> None:
        evicted = self._budget.enforce(self._clock.now_ms())
        evictions = self._status.evictions + len(evicted)
        self._status = replace(self._status, evictions=evictions, disk=self._budget.state)

    def _look(self) -> None:
        self._oldest_day_ms = self._retention.oldest_day_ms()

    def _try(self, what: str, step: Callable[[], None]) -> bool:
        """Do a step; whether it went well."""
        try:
            step()
        except SetpointError as error:
            _log.error("%s did not go well: %s", what, error.message)
            self._status = replace(self._status, error=f"{what}: {error.message}")
            return False
        return True
