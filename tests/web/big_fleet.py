"""A fleet of any size as the book would report it: real model objects with made-up numbers, to test pages with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from setpoint.errors import NotFound
from setpoint.objective import BudgetHistory, Objective, ObjectiveStatus
from setpoint.objective.adjustment.view import AdjustedTime
from setpoint.objective.overview import STATES, Overview

__all__ = ["NOW_MS", "BigBook", "big_overview", "status_of"]

NOW_MS = 1_799_496_000_000
_TEAMS = ("payments", "web", "logistics", "identity", "data platform")


def big_overview(count: int, seed: int = 7) -> Overview:
    """`count` objectives of `count / 8` services and five teams, every twentieth not healthy, by name."""
    random = np.random.default_rng(seed)
    objectives = tuple(
        Objective(
            name=f"service-{number // 8:04}-slo-{number % 8}",
            service=f"service-{number // 8:04}",
            target=(0.99, 0.999, 0.9995)[number % 3],
            window_s=30 * 86400,
            good_query=f'sum(requests_total{{service="{number}",code!~"5.."}})',
            total_query=f'sum(requests_total{{service="{number}"}})',
            display_name=f"Promise {number % 8} of service {number // 8}",
            labels={"team": (_TEAMS[number // 8 % 5],)} if number % 9 else {},
            slo=f"service-{number // 8:04}",
            group={"region": ("eu", "us")[number % 2]},
        )
        for number in range(count)
    )
    state = np.where(
        random.random(count) < 0.05, random.integers(0, 3, count), STATES.index("healthy")
    ).astype(np.int8)
    left = np.where(state == STATES.index("exhausted"), -random.random(count), random.random(count))
    silent = state == STATES.index("no data")
    spark = random.gamma(1.0, 0.6, (count, 72)).astype(np.float32)
    return Overview(
        objectives=objectives,
        names=tuple(one.name for one in objectives),
        services=tuple(one.service for one in objectives),
        display_names=tuple(one.display_name for one in objectives),
        labels=tuple(one.labels for one in objectives),
        state=state,
        budget_left=np.where(silent, np.nan, left),
        sli=np.where(silent, np.nan, 1 - 0.001 * (1 - left)),
        burn_now=np.where(silent, np.nan, random.gamma(1.0, 1.0, count)),
        burn_now_s=np.full(count, 300),
        exhaustion_s=np.where(state == STATES.index("burning"), random.random(count) * 86400, np.nan),
        exhausted_since_ms=np.where(state == STATES.index("exhausted"), NOW_MS - 3_600_000, -1),
        last_event_ms=np.where(silent, -1, NOW_MS - 5000),
        target=np.array([one.target for one in objectives]),
        window_s=np.array([one.window_s for one in objectives], np.int64),
        page_threshold=np.full(count, 14.4),
        backfilling=np.zeros(count, np.bool_),
        alerts=(state == STATES.index("burning")).astype(np.int64),
        spark=spark,
        evaluated_at_ms=NOW_MS,
    )


def status_of(objective: Objective, **told: Any) -> ObjectiveStatus:
    """A status of this objective with plausible figures; what `told` says stands in their place."""
    total, bad = 100_000.0, 40.0
    figures: dict[str, Any] = {
        "name": objective.name,
        "display_name": objective.display_name or objective.name,
        "service": objective.service,
        "description": objective.description,
        "labels": objective.labels,
        "target": objective.target,
        "window_s": objective.window_s,
        "is_rolling": objective.is_rolling,
        "method": objective.method,
        "state": "healthy",
        "reason": "60.0 % of the budget left",
        "sli": 1 - bad / total,
        "budget_left": 1 - bad / (total * objective.allowed_ratio),
        "good": total - bad,
        "total": total,
        "bad": bad,
        "allowed_bad": total * objective.allowed_ratio,
        "burn": (),
        "burn_now": 0.4,
        "burn_now_s": 300,
        "exhaustion_s": None,
        "exhausted_since_ms": None,
        "covered_s": float(objective.window_s),
        "gap_minutes": 0,
        "last_event_ms": NOW_MS,
        "evaluated_at_ms": NOW_MS,
        "good_query": objective.good_query,
        "bad_query": objective.bad_query,
        "total_query": objective.total_query,
        "spark": (0.4,) * 72,
        "explanation": "left = 1 − bad / (total × (1 − target))",
        "source": objective.source,
        "kind": objective.kind,
        "slo": objective.slo,
        "group": objective.group,
    }
    return ObjectiveStatus(**(figures | told))


class Unadjusted:
    """What is asked of adjustments where there are none."""

    all = ()

    def time(self, name: str, start_ms: int, end_ms: int) -> list[AdjustedTime]:
        """Nothing."""
        del name, start_ms, end_ms
        return []


class BigBook:
    """What pages ask of an `ObjectiveBook`, answered from one `Overview`."""

    def __init__(self, count: int) -> None:
        self._overview = big_overview(count)

    adjustments = Unadjusted()

    def overview(self) -> Overview:
        """The columns."""
        return self._overview

    def show(self, overview: Overview) -> None:
        """From now on these."""
        self._overview = overview

    def statuses(self, names: Collection[str] | None = None) -> list[ObjectiveStatus]:
        """The statuses of these objectives, by name."""
        wanted = set(self._overview.names if names is None else names)
        return [self._status(index) for index, name in enumerate(self._overview.names) if name in wanted]

    def status(self, name: str) -> ObjectiveStatus:
        """The status of one."""
        if name not in self._overview.names:
            raise NotFound(f"there is no objective '{name}'")
        return self._status(self._overview.names.index(name))

    @property
    def past(self) -> BigBook:
        """Itself."""
        return self

    def history(self, name: str, start_ms: int, end_ms: int, points: int = 240) -> BudgetHistory:
        """A line that falls evenly."""
        del name
        times = np.linspace(start_ms, end_ms, points).astype(np.int64)
        level = np.linspace(1.0, 0.4, points)
        whole = np.full(points, 100.0)
        return BudgetHistory(times, level, level, level, 300, whole - 1, whole, np.full(points, True))

    def _status(self, index: int) -> ObjectiveStatus:
        seen, objective = self._overview, self._overview.objectives[index]
        state = STATES[int(seen.state[index])]
        known = state != "no data"
        return status_of(
            objective,
            state=state,
            sli=float(seen.sli[index]) if known else None,
            budget_left=float(seen.budget_left[index]) if known else None,
            burn_now=float(seen.burn_now[index]) if known else None,
            spark=tuple(seen.spark[index].tolist()),
        )
