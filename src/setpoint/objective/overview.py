"""Where every objective stands, as columns: what a page over thousands of objectives filters, sorts and shows.

`ObjectiveBook.overview` makes it from the arrays that a tick computes; nobody has to make ten thousand
`ObjectiveStatus` for a list of fifty. Row i of every column is the objective `names[i]`; rows are sorted by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import Objective, ObjectiveStatus, State

__all__ = ["SPARK_BUCKETS", "STATES", "Overview", "from_statuses"]

STATES: tuple[State, ...] = ("no data", "exhausted", "burning", "healthy")
"""What the numbers of `Overview.state` mean: the worst first."""

SPARK_BUCKETS = 72


@dataclass(frozen=True, slots=True)
class Overview:
    """n objectives by name, as they stood at `evaluated_at_ms`.

    `state` int8[n] indexes `STATES`. float64[n], NaN where nothing can be said: `budget_left` (1 whole, 0 gone),
    `sli`, `burn_now` (over `burn_now_s` int64[n] seconds), `exhaustion_s` (not being spent: NaN), `page_threshold`
    (the lowest burn that pages; NaN: none does). int64[n]: `window_s`; `last_event_ms`, `exhausted_since_ms` (−1:
    never). `spark` float32[n, 72] is the burn of 5-minute buckets over the last 6 h, NaN without events. `alerts`
    int64[n] counts the alerts that fire. Names, services and labels are those of `objectives`.
    """

    objectives: tuple[Objective, ...]
    names: tuple[str, ...]
    services: tuple[str, ...]
    display_names: tuple[str, ...]
    labels: tuple[Mapping[str, Sequence[str]], ...]
    state: npt.NDArray[np.int8]
    budget_left: npt.NDArray[np.float64]
    sli: npt.NDArray[np.float64]
    burn_now: npt.NDArray[np.float64]
    burn_now_s: npt.NDArray[np.int64]
    exhaustion_s: npt.NDArray[np.float64]
    exhausted_since_ms: npt.NDArray[np.int64]
    last_event_ms: npt.NDArray[np.int64]
    target: npt.NDArray[np.float64]
    window_s: npt.NDArray[np.int64]
    page_threshold: npt.NDArray[np.float64]
    backfilling: npt.NDArray[np.bool_]
    alerts: npt.NDArray[np.int64]
    spark: npt.NDArray[np.float32]
    evaluated_at_ms: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def counts(self) -> dict[State, int]:
        """How many are in each state."""
        return dict(zip(STATES, np.bincount(self.state, minlength=len(STATES)).tolist(), strict=True))


def from_statuses(
    objectives: Sequence[Objective], statuses: Sequence[ObjectiveStatus], now_ms: int
) -> Overview:
    """The columns of these objectives and their statuses, both in the order of their names."""

    def floats(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
        return np.array([np.nan if value is None else value for value in values], np.float64)

    def instants(values: Sequence[int | None]) -> npt.NDArray[np.int64]:
        return np.array([-1 if value is None else value for value in values], np.int64)

    pages = [
        min((rate.threshold for rate in one.burn if rate.severity == "page"), default=None)
        for one in statuses
    ]
    return Overview(
        objectives=tuple(objectives),
        names=tuple(one.name for one in statuses),
        services=tuple(one.service for one in statuses),
        display_names=tuple(one.display_name for one in statuses),
        labels=tuple(one.labels for one in objectives),
        state=np.array([STATES.index(one.state) for one in statuses], np.int8),
        budget_left=floats([one.budget_left for one in statuses]),
        sli=floats([one.sli for one in statuses]),
        burn_now=floats([one.burn_now for one in statuses]),
        burn_now_s=np.array([one.burn_now_s for one in statuses], np.int64),
        exhaustion_s=floats([one.exhaustion_s for one in statuses]),
        exhausted_since_ms=instants([one.exhausted_since_ms for one in statuses]),
        last_event_ms=instants([one.last_event_ms for one in statuses]),
        target=np.array([one.target for one in statuses], np.float64),
        window_s=np.array([one.window_s for one in statuses], np.int64),
        page_threshold=floats(pages),
        backfilling=np.array([one.backfilling for one in statuses], np.bool_),
        alerts=np.array([sum(a.state == "firing" for a in one.alerts) for one in statuses], np.int64),
        spark=np.array(
            [[np.nan if rate is None else rate for rate in one.spark] for one in statuses], np.float32
        ).reshape(len(statuses), SPARK_BUCKETS),
        evaluated_at_ms=now_ms,
    )
