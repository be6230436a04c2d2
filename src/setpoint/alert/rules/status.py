"""What is known of rules that run in the server: what pages, the CLI and Prometheus's API show of them.

`RuleManager` gives these; they are copies of an instant, so whoever shows them holds nothing up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "AlertView",
    "ConditionWhy",
    "FileFault",
    "GroupStatus",
    "Health",
    "RuleStatus",
    "RuleWhy",
    "SeriesWhy",
    "WaitingAlert",
]

Health = Literal["unknown", "ok", "err"]
"""`unknown` before the first evaluation."""


@dataclass(frozen=True, slots=True)
class AlertView:
    """A pending or firing alert; instants are Unix milliseconds. `value` is a text where it is a native histogram."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    state: Literal["pending", "firing"]
    active_at_ms: int
    value: float | str
    fired_at_ms: int | None = None
    keeps_firing_since_ms: int | None = None
    fingerprint: str = ""
    is_restored: bool = False
    """True from a restart until its rule was evaluated: nothing is known of it since."""


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """One rule. `expr` is as written, `query` as Prometheus writes it; `labels` and `annotations` are templates' texts.

    `state` is that of its alerts, the worst of them; a recording rule has none.
    """

    kind: Literal["alerting", "recording"]
    name: str
    group: str
    file: str
    line: int
    expr: str
    query: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    for_ms: int
    keep_firing_for_ms: int
    state: Literal["", "unknown", "inactive", "pending", "firing"]
    alerts: tuple[AlertView, ...]
    health: Health
    last_error: str
    evaluated_ms: int | None
    took_s: float
    samples: int
    """Series that the last evaluation answered."""
    data_source: str
    """The data source that is asked; empty for Setpoint's own telemetry."""


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group and its rules in order. `file` is a rule file, or `PrometheusRule/NAME` of a resource.

    `missed` counts the evaluations that were left out because one took too long or the server was too busy.
    """

    name: str
    file: str
    line: int
    interval_ms: int
    limit: int
    query_offset_ms: int
    data_source: str
    rules: tuple[RuleStatus, ...]
    health: Health
    last_error: str
    evaluated_ms: int | None
    took_s: float
    next_ms: int
    evaluations: int
    missed: int


@dataclass(frozen=True, slots=True)
class FileFault:
    """A rule file, or a glob, that cannot be used as it is: the groups that it had before go on, if there were any."""

    file: str
    message: str
    """With file and line, one problem a line."""
    since_ms: int


@dataclass(frozen=True, slots=True)
class SeriesWhy:
    """One series of a condition: what stands left and right of its comparison; None where there is no sample.

    Where the condition compares nothing, `left` is its value, and that it is there is all it takes.
    """

    labels: Mapping[str, str]
    left: float | None
    right: float | None
    holds: bool


@dataclass(frozen=True, slots=True)
class ConditionWhy:
    """A part of a rule's expression that a series must meet: `left op right`, or just `left` (`op` empty).

    `join` says how it is tied to the conditions before it: empty for the first, then `and`, `or`, `unless`.
    `series` are the first of `total`, those that hold first, then those nearest to it.
    """

    text: str
    join: str
    left_text: str
    op: str
    right_text: str
    series: tuple[SeriesWhy, ...]
    total: int
    holding: int


@dataclass(frozen=True, slots=True)
class WaitingAlert:
    """An alert on its way: pending for `held_ms` of the rule's `for`; `fires_ms` is when it will fire if it lasts."""

    alert: AlertView
    held_ms: int
    for_ms: int
    fires_ms: int | None
    ends_ms: int | None
    """When it stops firing although its series is gone (`keep_firing_for`); None while the series is there."""
    text: str


@dataclass(frozen=True, slots=True)
class RuleWhy:
    """Why a rule fires or not, at `at_ms`: the values against the thresholds, the alerts on their way, what is missing.

    `summary` says it in a sentence; `missing` names the selectors that find nothing, and what is near;
    `error` is set when this could not be asked.
    """

    group: GroupStatus
    rule: RuleStatus
    at_ms: int
    summary: str
    conditions: tuple[ConditionWhy, ...]
    alerts: tuple[WaitingAlert, ...]
    missing: tuple[str, ...]
    error: str = ""
