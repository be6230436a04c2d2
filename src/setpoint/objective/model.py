"""What an objective is and what is known about it at an instant: frozen values, no behaviour beyond
arithmetic.

`spec` turns a user's YAML into an `Objective`; `state` turns the ledger's counts into an `ObjectiveStatus`,
which pages, commands and later decisions read. Ratios are between 0 and 1, durations seconds, instants Unix
milliseconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["BudgetHistory", "BurnRate", "Counts", "Objective", "ObjectiveStatus", "Severity", "State"]

State = Literal["healthy", "burning", "exhausted", "no data"]
Severity = Literal["watch", "page", "ticket"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise: of the events that `total_query` counts, at least `target` are good over `window_s`.

    Exactly one of `good_query` and `bad_query` is set. `is_counter`: the queries name counters that only
    grow, and Setpoint takes their exact increase; otherwise their value at the end of a minute is that
    minute's events.
    """

    name: str
    service: str
    target: float
    window_s: int
    total_query: str
    good_query: str | None = None
    bad_query: str | None = None
    is_counter: bool = True
    display_name: str = ""
    description: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    method: str = "Occurrences"
    is_rolling: bool = True
    source: str = ""
    """The data source that its samples are read from; empty for Setpoint's own telemetry."""

    @property
    def allowed_ratio(self) -> float:
        """1 − target, subtracted in decimal: 0.001 for 0.999, where binary floats give 0.00100…09."""
        return float(1 - Decimal(repr(self.target)))

    @property
    def ledger_key(self) -> str:
        """`name/hash`: the same as long as the same events are counted, whatever the target or the
        window.
        """
        parts = [str(self.is_counter), self.good_query or "", self.bad_query or "", self.total_query]
        counted = "\0".join([*parts, self.source] if self.source else parts)
        return f"{self.name}/{hashlib.blake2b(counted.encode(), digest_size=8).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Events of one stretch of time; `good` ≤ `total`. `minutes` had data (for fine slices: slices)."""

    good: float = 0.0
    total: float = 0.0
    minutes: int = 0

    @property
    def bad(self) -> float:
        """Events that were not good."""
        return self.total - self.good


@dataclass(frozen=True, slots=True)
class BurnRate:
    """How fast the budget goes over two windows, against a threshold; both must exceed it to fire.

    A burn of 1 spends exactly the budget over the objective's window. None: no events in that window.
    `reachable` is False when even an outage of everything could not exceed the threshold (1/(1 − target) is
    the most there is).
    """

    long_s: int
    short_s: int
    threshold: float
    long_burn: float | None
    short_burn: float | None
    firing: bool
    severity: Severity
    reachable: bool = True


@dataclass(frozen=True, slots=True)
class ObjectiveStatus:
    """All that is known about an objective at `evaluated_at_ms`.

    `sli` and `budget_left` are None when the window holds no events; `budget_left` is 1 for a whole budget
    and negative when more than all of it is spent. `covered_s` is how much of the window lies after the first
    data, and `gap_minutes` how many minutes of that had none. `burn_now` is the burn over the last
    `burn_now_s` seconds (the one that `reason` names, else the newest), None without data; `spark` is the
    burn of 5-minute buckets over the last 6 h.
    """

    name: str
    display_name: str
    service: str
    description: str
    labels: Mapping[str, tuple[str, ...]]
    target: float
    window_s: int
    is_rolling: bool
    method: str
    state: State
    reason: str
    sli: float | None
    budget_left: float | None
    good: float
    total: float
    bad: float
    allowed_bad: float
    burn: tuple[BurnRate, ...]
    burn_now: float | None
    burn_now_s: int
    exhaustion_s: float | None
    exhausted_since_ms: int | None
    covered_s: float
    gap_minutes: int
    last_event_ms: int | None
    evaluated_at_ms: int
    good_query: str | None
    bad_query: str | None
    total_query: str
    spark: tuple[float | None, ...]
    explanation: str
    backfilling: bool = False
    warnings: tuple[str, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class BudgetHistory:
    """Budget and burn at p instants, and the events of the p buckets that end there.

    `times_ms` int64[p] ascending. `budget_left` float64[p]: over the objective's window that ends there, as
    far as there is history; `covered` float64[p] is the part of that window (0 to 1) which has history.
    `burn` float64[p]: over the `burn_s` seconds that end there. NaN where there are no events. `good`, `total`
    float64[p] and `has_data` bool[p] belong to the bucket (previous instant, instant].
    """

    times_ms: npt.NDArray[np.int64]
    budget_left: npt.NDArray[np.float64]
    covered: npt.NDArray[np.float64]
    burn: npt.NDArray[np.float64]
    burn_s: int
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    has_data: npt.NDArray[np.bool_]
