"""A desk to try alert policies on: objectives, a table, and one call that says what their windows hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from setpoint.objective.alerting.table import AlertChange, Measured, PolicyTable
from setpoint.objective.model import AlertPolicy, AlertStatus, Condition, Objective

START_MS = 1_800_000_000_000
DAY = 86_400
SLO = Objective(
    name="checkout",
    service="shop",
    target=0.999,
    window_s=30 * DAY,
    total_query="requests",
    good_query="good",
)
QUIET = replace(SLO, engine="sql")
"""As `SLO`, without the watch row."""

Held = Mapping[int, tuple[float, float]]
"""By window (seconds; 0 is the objective's own), bad and total events; what is not named holds 0 of 10,000."""


def burning(*lookbacks_s: int, over: float = 14.4, **changes: object) -> Objective:
    """An objective with one policy: burn over `over` in each of these windows."""
    return with_policy(policy_of(*lookbacks_s, over=over), **changes)


def policy_of(*lookbacks_s: int, over: float = 14.4) -> AlertPolicy:
    """Burn over `over` in each of these windows."""
    conditions = tuple(Condition("burnrate", "gt", over, lookback_s=each) for each in lookbacks_s)
    return AlertPolicy("hot", "page", conditions)


def with_policy(policy: AlertPolicy, **changes: object) -> Objective:
    """An objective with this policy only."""
    return replace(QUIET, policies=(policy,), **changes)  # type: ignore[arg-type]


class Desk:
    """One objective, judged second by second."""

    def __init__(self, objective: Objective, table: PolicyTable | None = None) -> None:
        self.table = table or PolicyTable([objective])
        self.now_ms = START_MS
        self.changes: list[AlertChange] = []

    def measured(self, held: Held, silent_s: float = 0.0) -> Measured:
        """What the windows hold."""
        windows = self.table.windows
        found = [held.get(int(each), (0.0, 10_000.0)) for each in windows.lookback_s]
        bad = np.array([one[0] for one in found], np.float64)
        total = np.array([one[1] for one in found], np.float64)
        whole_bad, whole = held.get(0, (0.0, 1e6))
        return Measured(
            good=total - bad,
            total=total,
            window_good=np.array([whole - whole_bad]),
            window_total=np.array([whole]),
            silent_s=np.array([silent_s]),
        )

    def after(self, seconds: float, held: Held, silent_s: float = 0.0) -> list[str]:
        """Judge `seconds` later; what changed, as `policy state`."""
        self.now_ms += round(1000 * seconds)
        self.changes = self.table.judge(self.now_ms, self.measured(held, silent_s))
        return [f"{change.policy} {change.state}" for change in self.changes]

    def through(self, seconds: int, held: Held, silent_s: float | None = 0.0, step_s: int = 10) -> list[str]:
        """Judge every `step_s` for `seconds`; all that changed. `silent_s` None: silence grows from 0."""
        found = []
        for passed in range(step_s, seconds + 1, step_s):
            found += self.after(step_s, held, passed if silent_s is None else silent_s)
        return found

    @property
    def status(self) -> AlertStatus:
        """Where the first policy stands."""
        return self.table.alerts(0)[0]

    @property
    def state(self) -> str:
        """The state of the first policy."""
        return self.status.state
