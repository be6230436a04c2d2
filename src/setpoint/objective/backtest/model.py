"""What a backtest finds: frozen values. Instants are Unix milliseconds, durations seconds, shares of a budget parts of
1; each share names the numbers that it was computed from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import AlertPolicy

__all__ = ["Alert", "Backtest", "BurnLine", "Episode", "Side", "Sight", "Totals"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that would have fired at `from_ms`, and ended at `until_ms` (None: it fires at the end of the stretch).

    `budget_left` is of the objective's window at that instant. `is_told` is False where the policy keeps it to itself.
    `is_noise`: it paged for no episode.
    """

    policy: str
    severity: str
    from_ms: int
    until_ms: int | None
    by_silence: bool
    is_told: bool
    budget_left: float | None
    summary: str
    values: Mapping[str, float | None]
    is_page: bool = False
    is_noise: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """How one side saw an episode: `page_ms` is the first page of it, None when it would have been missed; `ticket_ms`
    the first other alert. `delay_s` is from the begin of the episode to the page, `spent` the part of the whole budget
    that the episode had spent by then, `budget_left` what was left of the objective's window.
    """

    page_ms: int | None = None
    policy: str = ""
    delay_s: float | None = None
    spent: float | None = None
    budget_left: float | None = None
    ticket_ms: int | None = None
    ticket_policy: str = ""
    ticket_delay_s: float | None = None
    ticket_spent: float | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """A stretch in which the budget went faster than it may, until it did not for half an hour.

    `spent` = `bad` / `allowed`, the part of the whole budget; `allowed` = `window_total` × (1 − target), of the window
    that ends with the episode. `burn` is the mean over the episode. `is_open`: it still goes on at the end.
    `sights`: one for each side.
    """

    begin_ms: int
    end_ms: int
    bad: float
    total: float
    window_total: float
    allowed: float
    spent: float
    burn: float
    is_open: bool
    sights: tuple[Sight, ...] = ()


@dataclass(frozen=True, slots=True)
class Totals:
    """A side in figures. `delay_s` and `spent` are of the episodes that were paged: [median, most]; None: none was."""

    pages: int
    paged_s: float
    tickets: int
    ticketed_s: float
    seen: int
    missed: int
    unheard: int
    """Missed, and no other alert told of them either."""
    noise: int
    silences: int
    """Pages because there was no data; they stand for no episode."""
    delay_s: tuple[float, float] | None
    spent: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Side:
    """A set of policies and what it would have done. `alerts` are the first of `alerts_total`."""

    name: str
    policies: tuple[AlertPolicy, ...]
    warnings: tuple[str, ...]
    totals: Totals
    alerts: tuple[Alert, ...]
    alerts_total: int


@dataclass(frozen=True, slots=True)
class BurnLine:
    """The burn of buckets of `step_s` seconds that end at `times_ms` int64[b]; float64[b], NaN without events."""

    step_s: int
    times_ms: npt.NDArray[np.int64]
    burn: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Backtest:
    """One or two sides over the same stretch (start_ms, end_ms]. `asked_ms` is where it was to begin; it begins with
    the first minute that has data. `minutes` were replayed, `gap_minutes` of them had no data.
    """

    objective: str
    service: str
    target: float
    window_s: int
    asked_ms: int
    start_ms: int
    end_ms: int
    minutes: int
    gap_minutes: int
    least: float
    quiet_s: int
    sides: tuple[Side, ...]
    episodes: tuple[Episode, ...]
    small_episodes: int
    """Stretches that spent less than `least`; they count for nothing."""
    bad: float
    total: float
    line: BurnLine
    notes: tuple[str, ...]
