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

__all__ = [
    "AlertPolicy",
    "AlertStatus",
    "BudgetHistory",
    "BurnRate",
    "Calendar",
    "Condition",
    "Counts",
    "LowTraffic",
    "NoData",
    "Objective",
    "ObjectiveStatus",
    "Part",
    "Severity",
    "State",
    "Target",
]

State = Literal["healthy", "burning", "exhausted", "no data"]
Severity = Literal["watch", "page", "ticket"]
Method = Literal["Occurrences", "Timeslices", "RatioTimeslices"]
Comparison = Literal["lte", "gte", "lt", "gt"]
ConditionKind = Literal["burnrate", "timeToExhaustion", "budgetDrop", "remainingBudget"]
AlertState = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class Calendar:
    """A window that begins anew: every `count` × `unit` from `start` on, by the clock of `time_zone`.

    `start` is ISO 8601 without an offset (2026-01-01T00:00:00); `unit` is one of OpenSLO's m h d w M Q Y, of
    which M, Q and Y are months, quarters and years of the calendar.
    """

    start: str
    time_zone: str
    count: int
    unit: Literal["m", "h", "d", "w", "M", "Q", "Y"]


@dataclass(frozen=True, slots=True)
class NoData:
    """What silence means, once it has lasted `after_s` (None: the server's setting): `alert` tells somebody, `ignore`
    tells nobody, `bad` counts the silent minutes as bad. The state is "no data" in each case.
    """

    action: Literal["alert", "ignore", "bad"] = "ignore"
    after_s: int | None = None


@dataclass(frozen=True, slots=True)
class LowTraffic:
    """How many events and bad events the longest window of an alert must hold before it may fire."""

    min_events: float = 0.0
    min_bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of an alert policy; all of a policy's must hold.

    - burnrate: the burn over `lookback_s` compares (`op`) with `threshold`;
    - timeToExhaustion: seconds until the budget is gone at the burn over `lookback_s`, with `threshold` seconds;
    - budgetDrop: the part of the whole budget (0.1 is 10 %) that went within `lookback_s`, with `threshold`;
    - remainingBudget: the part of the budget that is left, with `threshold`; `lookback_s` is 0.

    It holds once it was true for `after_s`.
    """

    kind: ConditionKind
    op: Comparison
    threshold: float
    lookback_s: int = 0
    after_s: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """Where an alert is sent: `kind` as the document names it (`webhook` is sent, others wait for routing)."""

    name: str
    kind: str
    url: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When somebody is told about an objective, and who. `is_default`: derived from the published tables."""

    name: str
    severity: str
    conditions: tuple[Condition, ...]
    low_traffic: LowTraffic = field(default_factory=LowTraffic)
    when_no_data: bool = False
    when_resolved: bool = True
    when_breaching: bool = True
    targets: tuple[Target, ...] = ()
    is_default: bool = False
    display_name: str = ""
    description: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What its alerts carry besides, such as `runbook_url`."""


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """Where an alert policy stands for an objective: since when, and the sentence with its numbers."""

    policy: str
    severity: str
    state: AlertState
    since_ms: int | None
    summary: str
    values: Mapping[str, float | None] = field(default_factory=dict)
    is_default: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a composite: the name of the objective that it is, and its weight."""

    objective: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Objective:
    """A promise: of the events that are counted, at least `target` are good over the window.

    What is counted, minute by minute, says `kind`:
    - ratio: `total_query` and one of `good_query` and `bad_query`. `is_counter`: the queries name counters that only
      grow, and Setpoint takes their exact increase; otherwise their value at the end of a minute is that minute's
      events.
    - raw: `total_query` gives a ready-made ratio of good (`raw_is_failure`: of bad); each minute with a value is
      one event.
    - threshold: `total_query` gives a value; each minute with one is an event, good where the value is `op` `value`.
    - composite: made of `parts`; each minute is one event, good by the weighted mean of the parts' ratios, or
      (`all_of`) good where every part met its own target.
    `engine` says in which language the queries are: PromQL, SQL on the telemetry database, or a selection of spans.

    `method` turns minutes into budget: Occurrences as they are; Timeslices makes each stretch of `slice_s` one event,
    good where its ratio reaches `slice_target`; RatioTimeslices makes it one event, good by its ratio.
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
    method: Method = "Occurrences"
    is_rolling: bool = True
    source: str = ""
    """The data source that its samples are read from; empty for Setpoint's own telemetry."""
    kind: Literal["ratio", "raw", "threshold", "composite"] = "ratio"
    engine: Literal["promql", "sql", "spans"] = "promql"
    raw_is_failure: bool = False
    op: Comparison | None = None
    value: float | None = None
    slice_s: int = 60
    slice_target: float | None = None
    calendar: Calendar | None = None
    """Set when `is_rolling` is False; `window_s` is then the longest that such a window can be."""
    no_data: NoData = field(default_factory=NoData)
    low_traffic: LowTraffic = field(default_factory=LowTraffic)
    policies: tuple[AlertPolicy, ...] | None = None
    """None: the default policies for its window and target. Empty: nobody is told."""
    parts: tuple[Part, ...] = ()
    all_of: bool = False
    slo: str = ""
    """The document that declares it; `name` differs where one document declares several."""
    group: Mapping[str, str] = field(default_factory=dict)
    """The labels that tell it from the other objectives of its document. PromQL has them in its queries; of what SQL
    and selections of spans give, those rows or spans count that have them."""
    awaits: str = ""
    """Set where it stands for groups of which none is known yet: why so. It is not counted then."""

    @property
    def allowed_ratio(self) -> float:
        """1 − target, subtracted in decimal: 0.001 for 0.999, where binary floats give 0.00100…09."""
        return float(1 - Decimal(repr(self.target)))

    @property
    def slot_minutes(self) -> int:
        """How many minutes are one event of its budget: a slice's, else one."""
        return 1 if self.method == "Occurrences" else max(1, self.slice_s // 60)

    @property
    def ledger_key(self) -> str:
        """`name/hash`: the same as long as the same events are counted, whatever the target or the
        window.
        """
        parts = [str(self.is_counter), self.good_query or "", self.bad_query or "", self.total_query]
        parts += [self.source] if self.source else []
        if (self.kind, self.engine) != ("ratio", "promql"):
            parts += [self.kind, self.engine, str(self.raw_is_failure), str(self.op), str(self.value)]
        if self.engine != "promql":
            parts += [text for label in self.group.items() for text in label]
        if self.kind == "composite":
            parts += [str(self.all_of), *(f"{part.objective} {part.weight!r}" for part in self.parts)]
        counted = "\0".join(parts)
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
    kind: str = "ratio"
    slo: str = ""
    group: Mapping[str, str] = field(default_factory=dict)
    alerts: tuple[AlertStatus, ...] = ()
    window_start_ms: int = 0
    history_done: float = 1.0
    """The part of the history that has been counted (0 to 1), while `backfilling`."""


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
