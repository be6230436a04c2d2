"""What is found in a service's telemetry and what is made of it: frozen values, no behaviour.

Ratios are between 0 and 1, instants Unix milliseconds, durations seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["Advice", "Candidate", "Count", "Dependency", "History", "Kind", "Mean", "Suggestion"]

Kind = Literal["availability", "latency", "reachability"]

Count = Callable[[str, int, int], Mapping[str, list[float]]]
"""(query of counters, step_s, steps): what they rose by in each of the last `steps` stretches of `step_s` seconds, the
oldest first, by the value of their label `le` (empty where there is none); NaN where there was nothing.
"""

Mean = Callable[[str, int, int], list[float]]
"""The same for a query of a ratio: its mean over each stretch."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An SLI that a convention gives: `good` and `total` are PromQL of counters; `raw` instead of both is a ratio.

    For latency, `buckets` is a query whose labels `le` are `bounds` (ascending, as text and in seconds), and `good` is
    written with `{le}` where the bound goes.
    """

    name: str
    kind: Kind
    convention: str
    metric: str
    unit: str
    sentence: str
    good: str = ""
    total: str = ""
    raw: str = ""
    buckets: str = ""
    bounds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """What was kept over `steps` stretches of `step_s` seconds that had events; `worst` is the least ratio of a stretch
    that began at `worst_ms`, and `worst_bad` its bad events.
    """

    step_s: int
    steps: int
    good: float
    total: float
    worst: float
    worst_ms: int
    worst_bad: float

    @property
    def ratio(self) -> float:
        """The part that was good."""
        return self.good / self.total


@dataclass(frozen=True, slots=True)
class Dependency:
    """A service that is called, and the best that it promises: the highest target of its objectives, and of which."""

    service: str
    target: float
    objective: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """An objective to declare, with the reasons for its target; `declared` is an objective that counts the same."""

    name: str
    kind: Kind
    convention: str
    metric: str
    target: float
    window: str
    good: str
    total: str
    raw: str
    threshold_s: float | None
    history: History
    reasons: tuple[str, ...]
    declared: str
    yaml: str


@dataclass(frozen=True, slots=True)
class Advice:
    """All that is suggested to a service; `left_out` says what was seen and makes no objective, and why. `yaml` is the
    whole text, ready to be applied.
    """

    service: str
    at_ms: int
    days: int
    is_declared: bool
    suggestions: tuple[Suggestion, ...]
    dependencies: tuple[Dependency, ...]
    left_out: tuple[str, ...]
    yaml: str
