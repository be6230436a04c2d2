"""What an attribution is made of: causes, what each of them spent, and the rest that nobody can be named for.

Events are floats that are whole multiples of `Attribution.unit`, a power of two so small that no sum of them needs
more than 53 bits: causes and the unexplained rest add up to what was spent exactly, in whatever order they are added,
also by who reads the JSON. Instants are Unix milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Attribution", "Cause", "CauseKind", "Share", "Stretch"]

CauseKind = Literal["experiment", "fault", "deploy", "dependency", "incident"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that happened and may have cost events.

    `key` tells it from the others: `event:<id>` of the timeline event that began it, or `dependency:<service>`. `via`
    is the way of calls from the objective's service to the one it happened at, both included; of one service where it
    happened at home. `event_ids` are the timeline events that tell of it, the first of them begins it; `objectives`
    those of a dependency that burned. `end_ms` is None where it went on to the end.
    """

    key: str
    kind: CauseKind
    title: str
    service: str
    start_ms: int
    end_ms: int | None
    event_ids: tuple[int, ...] = ()
    via: tuple[str, ...] = ()
    version: str = ""
    objectives: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Minutes in a row in which a cause spent: excess = (bad − expected) / among.

    `bad` and `total` are the events as they were counted in these minutes, without the bad ones that more specific
    causes explain; `expected` = total × `baseline` of them would be bad without the cause. `baseline` is the ratio of
    bad events in `reference_minutes` quiet minutes before the cause began; where there are none (0), what the target
    allows. `among`: how many causes share the excess, on average. `attributed` is what the excess is in events of the
    budget, within the window that was asked for: the same number where each event counts by itself and the window
    holds the whole stretch.
    """

    start_ms: int
    end_ms: int
    total: float
    bad: float
    expected: float
    baseline: float
    reference_minutes: int
    among: float
    excess: float
    attributed: float


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """What a cause spent: `bad` events of the budget, `of_budget` as a part of the allowed bad events (None when none
    are allowed), `of_spent` as a part of all that was spent (0 to 1).

    `stretches` say how it comes about, oldest first; `related` are timeline events that overlap it and spent nothing
    of their own, such as an incident. `minutes` int64[k] are minutes since 1970, ascending, and `spent` float64[k] the
    bad events of each.
    """

    cause: Cause
    bad: float
    of_budget: float | None
    of_spent: float
    stretches: tuple[Stretch, ...]
    related: tuple[int, ...]
    minutes: _Ints
    spent: _Floats

    @property
    def first_ms(self) -> int:
        """When it began to spend."""
        return int(self.minutes[0]) * 60_000 if len(self.minutes) else self.cause.start_ms

    @property
    def last_ms(self) -> int:
        """When it spent last."""
        return (int(self.minutes[-1]) + 1) * 60_000 if len(self.minutes) else self.cause.start_ms


@dataclass(frozen=True, slots=True, eq=False)
class Attribution:
    """Who spent the budget of an objective in (start_ms, end_ms], most first.

    `bad` = Σ share.bad + `unexplained`, exactly, over all of it and in each minute. `good`, `total` and `bad` are the
    events of the budget, `allowed` the bad ones that its target allows for so many events; `of_budget` is bad /
    allowed. `first` is the first minute since 1970; `spent`, `rest` float64[n] are the bad events of each minute from
    there on, and those that nobody is named for. `harmless`: how many causes were looked at and spent nothing.
    """

    name: str
    service: str
    start_ms: int
    end_ms: int
    target: float
    good: float
    total: float
    bad: float
    allowed: float
    of_budget: float | None
    unexplained: float
    unexplained_of_budget: float | None
    shares: tuple[Share, ...]
    harmless: int
    unit: float
    first: int
    spent: _Floats
    rest: _Floats

    def bands(self, edges: _Ints) -> tuple[_Floats, _Floats]:
        """Bad events of the minutes from each edge (minutes since 1970, ascending, int64[p + 1]) to before the next:
        float64[shares, p] of the causes, in their order, and float64[p] of the rest.
        """
        places = np.clip(edges - self.first, 0, len(self.rest))
        sums = np.concatenate(([0.0], np.cumsum(self.rest)))
        found = np.zeros((len(self.shares), len(edges) - 1))
        for row, share in zip(found, self.shares, strict=True):
            known = np.concatenate(([0.0], np.cumsum(share.spent)))
            row[:] = np.diff(known[np.searchsorted(share.minutes, edges)])
        return found, np.diff(sums[places])
