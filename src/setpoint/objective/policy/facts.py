"""What is known of objectives when a policy is judged: columns, one row per objective, made from the book's overview,
the ledgers' counts and the timeline's incidents.

`gather` makes them for the board and for the gate; `Facts.take` cuts out a service's rows, `as_json` writes them into
an event, and `from_json` reads them back, so that a decision can be made again from exactly what it was made from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import Objective
from setpoint.objective.overview import STATES, Overview
from setpoint.objective.policy.model import Incident

__all__ = ["CountOver", "Facts", "Share", "gather"]

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]

CountOver = Callable[[Sequence[Objective], _Ints], _Floats]
"""Good, total and minutes with data, float64[3, n], of the last so many seconds of each of n objectives."""


@dataclass(frozen=True, slots=True)
class Share:
    """What an incident spent of an objective's budget: bad events, and these as a part of what the window allows."""

    bad: float
    allowed: float

    @property
    def ratio(self) -> float:
        """The part of the whole budget; NaN where no events are known."""
        return self.bad / self.allowed if self.allowed > 0 else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """n objectives at `at_ms`, judged by the book at `evaluated_ms`.

    `state` int8[n] indexes `overview.STATES`. float64[n], NaN where nothing can be said: `left`, `sli`,
    `exhaustion_s` (not being spent: NaN), `silent_s` (since the last event; inf: there never was one). `counting`
    bool[n]: history is still being counted. `counts`: by seconds, good, total and minutes float64[3, n] of the last
    so many seconds, at most the objective's window. `shares`: by incident and objective, what it spent.
    """

    at_ms: int
    evaluated_ms: int
    names: tuple[str, ...]
    services: tuple[str, ...]
    target: _Floats
    window_s: _Ints
    state: npt.NDArray[np.int8]
    left: _Floats
    sli: _Floats
    exhaustion_s: _Floats
    silent_s: _Floats
    counting: npt.NDArray[np.bool_]
    counts: Mapping[int, _Floats] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    shares: Mapping[tuple[str, str], Share] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def allowed(self) -> _Floats:
        """1 − target, rounded so that 0.999 gives 0.001, where binary floats give 0.00100…09."""
        allowed: _Floats = np.round(1 - self.target, 12)
        return allowed

    @property
    def has_data(self) -> npt.NDArray[np.bool_]:
        """Whose newest events are known, and whose history is counted."""
        known: npt.NDArray[np.bool_] = (self.state != STATES.index("no data")) & ~self.counting
        return known

    def take(self, rows: Sequence[int] | _Ints) -> Facts:
        """Some rows, with the incidents of their services."""
        at = np.asarray(rows, np.int64)
        chosen = at.tolist()
        names = tuple(self.names[row] for row in chosen)
        services = tuple(self.services[row] for row in chosen)
        of_services, of_names = set(services), set(names)
        return replace(
            self,
            names=names,
            services=services,
            **{name: getattr(self, name)[at] for name in _COLUMNS},
            counts={over_s: columns[:, at] for over_s, columns in self.counts.items()},
            incidents=tuple(one for one in self.incidents if one.service in of_services),
            shares={key: share for key, share in self.shares.items() if key[1] in of_names},
        )

    def as_json(self) -> dict[str, Any]:
        """All of it, with None for NaN and "never" for an infinite silence."""
        return {
            "at_ms": self.at_ms,
            "evaluated_ms": self.evaluated_ms,
            "objectives": [self._row(at) for at in range(len(self))],
            "incidents": [asdict(one) for one in self.incidents],
        }

    def _row(self, at: int) -> dict[str, Any]:
        silent_s = float(self.silent_s[at])
        return {
            "name": self.names[at],
            "service": self.services[at],
            "state": STATES[self.state[at]],
            "target": float(self.target[at]),
            "window_s": int(self.window_s[at]),
            "budget_left": _plain(self.left[at]),
            "sli": _plain(self.sli[at]),
            "exhaustion_s": _plain(self.exhaustion_s[at]),
            "silent_s": "never" if math.isinf(silent_s) else _plain(silent_s),
            "counting": bool(self.counting[at]),
            "counts": {
                str(over_s): dict(zip(("good", "total", "minutes"), columns[:, at].tolist(), strict=True))
                for over_s, columns in self.counts.items()
            },
            "incidents": {
                key[0]: asdict(one) for key, one in self.shares.items() if key[1] == self.names[at]
            },
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Facts:
        """What `as_json` wrote, also after it was written as text."""
        rows: Sequence[Mapping[str, Any]] = given["objectives"]
        stretches = [int(over_s) for over_s in rows[0]["counts"]] if rows else []

        def floats(name: str) -> _Floats:
            return np.array([_number(row[name]) for row in rows], np.float64)

        return cls(
            at_ms=int(given["at_ms"]),
            evaluated_ms=int(given["evaluated_ms"]),
            names=tuple(row["name"] for row in rows),
            services=tuple(row["service"] for row in rows),
            target=floats("target"),
            window_s=np.array([row["window_s"] for row in rows], np.int64),
            state=np.array([STATES.index(row["state"]) for row in rows], np.int8),
            left=floats("budget_left"),
            sli=floats("sli"),
            exhaustion_s=floats("exhaustion_s"),
            silent_s=floats("silent_s"),
            counting=np.array([row["counting"] for row in rows], np.bool_),
            counts={
                over_s: np.array(
                    [
                        [row["counts"][str(over_s)][name] for row in rows]
                        for name in ("good", "total", "minutes")
                    ]
                )
                for over_s in stretches
            },
            incidents=tuple(Incident(**one) for one in given["incidents"]),
            shares={
                (incident, row["name"]): Share(**share)
                for row in rows
                for incident, share in row["incidents"].items()
            },
        )


_COLUMNS = ("target", "window_s", "state", "left", "sli", "exhaustion_s", "silent_s", "counting")


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _number(value: float | str | None) -> float:
    return math.nan if value is None else math.inf if value == "never" else float(value)


def gather(  # noqa: PLR0917 — where facts come from
    overview: Overview,
    rows: _Ints,
    stretches: Sequence[int],
    count_over: CountOver,
    at_ms: int,
    incidents: Sequence[Incident] = (),
    shares: Mapping[tuple[str, str], Share] | None = None,
) -> Facts:
    """The facts of some rows of an overview, with counts over these stretches (seconds)."""
    objectives = [overview.objectives[row] for row in rows.tolist()]
    window_s = overview.window_s[rows]
    event_ms = overview.last_event_ms[rows]
    silent_s = np.where(event_ms < 0, np.inf, np.maximum(0, at_ms - event_ms) / 1000)
    return Facts(
        at_ms=at_ms,
        evaluated_ms=overview.evaluated_at_ms,
        names=tuple(one.name for one in objectives),
        services=tuple(one.service for one in objectives),
        target=overview.target[rows],
        window_s=window_s,
        state=overview.state[rows],
        left=overview.budget_left[rows],
        sli=overview.sli[rows],
        exhaustion_s=overview.exhaustion_s[rows],
        silent_s=silent_s,
        counting=overview.backfilling[rows],
        counts={over_s: count_over(objectives, np.minimum(window_s, over_s)) for over_s in stretches},
        incidents=tuple(incidents),
        shares=shares or {},
    )
