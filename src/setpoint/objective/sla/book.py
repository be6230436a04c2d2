"""All SLAs of a server and where they stand: `app` hands it the documents, pages and commands ask.

The minutes come from the budget ledgers (`Past.together`): what an adjustment left out has data as it was counted and
none in the budget, so it is excluded and not unseen.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import NotFound
from setpoint.objective.calendar_window import window_at
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Calendar
from setpoint.objective.past import Past
from setpoint.objective.resolve import Declared
from setpoint.objective.sla.decide import judge, worst
from setpoint.objective.sla.model import PromiseStatus, SlaPeriod, SlaStatus, Tier
from setpoint.objective.sla.spec import Credit, Promise, Sla

__all__ = ["PERIODS_MOST", "SlaBook"]

PERIODS_MOST = 24
_MINUTE_MS, _DAY_MINUTES = 60_000, 1440
_NOT_YET_MINUTES = 3


class SlaBook:
    """See above; safe to use from several threads. It may read the store."""

    def __init__(self, past: Past, clock: Clock) -> None:
        self._past, self._clock = past, clock
        self._slas: dict[str, Sla] = {}

    def follow(self, documents: Iterable[Declared]) -> None:
        """Every live document has changed to these."""
        found = [spec for spec in (document.spec for document in documents) if isinstance(spec, Sla)]
        self._slas = {sla.metadata.name: sla for sla in sorted(found, key=lambda one: one.metadata.name)}

    def promised(self) -> dict[str, tuple[str, float]]:
        """The highest target that is promised to customers, by objective, with the SLA's name."""
        found: dict[str, tuple[str, float]] = {}
        for name, sla in self._slas.items():
            for promise in sla.spec.objectives:
                if promise.objective not in found or promise.ratio > found[promise.objective][1]:
                    found[promise.objective] = name, promise.ratio
        return found

    def all(self, periods: int = 1) -> list[SlaStatus]:
        """Every SLA by name, with its newest periods. Raises Unavailable."""
        return [self._status(sla, periods) for sla in self._slas.values()]

    def show(self, name: str, periods: int = 3) -> SlaStatus:
        """One SLA. Raises NotFound and Unavailable."""
        sla = self._slas.get(name)
        if sla is None:
            raise NotFound(f"there is no SLA '{name}'; `setpoint sla list` lists those that exist")
        return self._status(sla, periods)

    def _status(self, sla: Sla, periods: int) -> SlaStatus:
        spec = sla.spec
        unit = "M" if spec.period == "month" else "Q"
        calendar = Calendar("2020-01-01T00:00:00", spec.time_zone, 1, unit)  # type: ignore[arg-type]
        found: list[SlaPeriod] = []
        at_ms = self._clock.now_ms()
        starts_ms = _starts_ms(sla)
        for _ in range(min(periods, PERIODS_MOST)):
            start_ms, end_ms = window_at(calendar, at_ms)
            if found and (end_ms <= starts_ms or not self._is_kept(sla, end_ms)):
                break
            found.append(self._period(sla, start_ms, end_ms))
            at_ms = start_ms
        return SlaStatus(
            name=sla.metadata.name,
            display_name=sla.metadata.display_name or sla.metadata.name,
            description=spec.description,
            service=spec.service,
            customer=spec.customer,
            period=spec.period,
            time_zone=spec.time_zone,
            periods=tuple(found),
        )

    def _is_kept(self, sla: Sla, end_ms: int) -> bool:
        """Whether any of the objectives has data from before an instant."""
        for promise in sla.spec.objectives:
            try:
                first_ms = self._past.first_ms(promise.objective)
            except NotFound:
                continue
            if first_ms is not None and first_ms < end_ms:
                return True
        return False

    def _period(self, sla: Sla, start_ms: int, end_ms: int) -> SlaPeriod:
        until_ms = min(end_ms, self._clock.now_ms())
        from_ms = min(max(start_ms, _starts_ms(sla)), until_ms)
        promises = tuple(
            self._promise(one, one.credits or sla.spec.credits, from_ms, end_ms, until_ms)
            for one in sla.spec.objectives
        )
        return SlaPeriod(
            label=_label(start_ms, sla.spec.period, sla.spec.time_zone),
            start_ms=start_ms,
            end_ms=end_ms,
            until_ms=until_ms,
            state=worst([one.state for one in promises]),
            credit=max(one.credit for one in promises),
            credit_highest=max(one.credit_highest for one in promises),
            promises=promises,
        )

    def _promise(
        self, promise: Promise, credits_: list[Credit], start_ms: int, end_ms: int, until_ms: int
    ) -> PromiseStatus:
        tiers = [Tier(float(one.below) / 100, float(one.percent) / 100) for one in credits_]
        try:
            budget, counted = self._past.together(promise.objective, start_ms, until_ms)
        except NotFound:  # it was deleted by somebody who did not look at the SLA
            budget = counted = Slots(0, np.zeros(0), np.zeros(0), np.zeros(0, np.bool_))
        low, high = start_ms // _MINUTE_MS - counted.first, until_ms // _MINUTE_MS - counted.first
        bad = budget.total - budget.good
        is_seen = counted.present[max(0, low) : max(0, high)]
        is_in = budget.present[max(0, low) : max(0, high)]
        # The newest minutes may be counted and not yet booked.
        left_out = (is_seen & ~is_in)[:-_NOT_YET_MINUTES]
        excluded = int(left_out.sum()) if left_out.any() and _is_by_minute(budget) else 0
        last_day = bad[max(0, high - _DAY_MINUTES) : max(0, high)]
        return judge(
            promise.objective,
            promise.ratio,
            tiers,
            good=float(budget.good.sum()),
            total=float(budget.total.sum()),
            seen_minutes=int(is_seen.sum()) - excluded,
            unseen_minutes=max(0, len(is_seen) - int(is_seen.sum())),
            excluded_minutes=excluded,
            left_minutes=max(0.0, (end_ms - until_ms) / _MINUTE_MS),
            last_day_bad=float(last_day.sum()),
            last_day_minutes=float(len(last_day)),
        )


def _starts_ms(sla: Sla) -> int:
    """From when it is promised, Unix milliseconds; 0 when it always was."""
    if sla.spec.starts_on is None:
        return 0
    day = datetime.fromisoformat(sla.spec.starts_on).replace(tzinfo=ZoneInfo(sla.spec.time_zone))
    return int(day.timestamp() * 1000)


def _label(start_ms: int, period: str, time_zone: str) -> str:
    """`January 2027`, `Q1 2027`, by the clock of the SLA."""
    begin = datetime.fromtimestamp(start_ms / 1000, UTC).astimezone(ZoneInfo(time_zone))
    return begin.strftime("%B %Y") if period == "month" else f"Q{(begin.month + 2) // 3} {begin.year}"


def _is_by_minute(budget: Slots) -> bool:
    """Whether a minute is booked by itself; of slices only the last minute ever has data."""
    return bool((budget.present[1:] & budget.present[:-1]).any())
