"""The adjustments of a server as pages, commands and the timeline's log see them: when, about what, and what they do.

The book has one; its methods may be called from any thread, and some read the store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from setpoint.clock import Clock
from setpoint.errors import NotFound, Unavailable
from setpoint.objective.adjustment.effect import Effect, Window, effect_of
from setpoint.objective.adjustment.model import Action, Adjustment, Span
from setpoint.objective.adjustment.plan import Plan, time_of
from setpoint.objective.adjustment.words import what_it_does, when_it_is
from setpoint.objective.fleet import Fleet, windows_at
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.live import slot_of
from setpoint.resource.recurrence import next_spans

__all__ = ["AdjustedTime", "AdjustmentStatus", "Adjustments"]

_NEXT, _AHEAD = 3, 366 * 1440
_NAMED_MOST = 1000
_DRAWN_MOST = 400
_READ_MOST = 12


@dataclass(frozen=True, slots=True)
class AdjustedTime:
    """A stretch in which the budget of an objective is adjusted, (start, end] in Unix ms; for its chart."""

    name: str
    action: Action | Literal["correction"]
    reason: str
    link: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class AdjustmentStatus:
    """An adjustment now. `state`: active, upcoming, or past; `until_ms` until when it is active, `next_ms` when it
    takes place next; `objectives` names those that it is about (at most a thousand of `objective_count`).
    `is_derived` is False while some of their ledgers still are to be derived anew.
    """

    name: str
    display_name: str
    kind: str
    action: str
    reason: str
    link: str
    description: str
    what: str
    when: str
    state: Literal["active", "upcoming", "past"]
    until_ms: int | None
    next_ms: tuple[int, ...]
    last_ms: int | None
    duration_s: int
    objective_count: int
    objectives: tuple[str, ...]
    services: tuple[str, ...]
    effects: tuple[Effect, ...]
    is_derived: bool


class Adjustments:
    """See above. `fleet` gives the objectives of this moment, `is_settled` whether all ledgers are derived."""

    def __init__(
        self, ledgers: Ledgers, clock: Clock, fleet: Callable[[], Fleet], is_settled: Callable[[], bool]
    ) -> None:
        self._ledgers, self._clock, self._fleet = ledgers, clock, fleet
        self.is_settled = is_settled
        self._read: dict[tuple[int, str, int, int], Slots] = {}
        self._effects: dict[tuple[str, str], tuple[int, Plan, Effect]] = {}

    @property
    def all(self) -> tuple[Adjustment, ...]:
        """What is declared, by name."""
        return self._fleet().adjustments.adjustments

    def objectives_of(self, one: Adjustment) -> list[int]:
        """The numbers of the objectives that it is about, in the present fleet."""
        return [at for at, objective in enumerate(self._fleet().objectives) if one.choice.chooses(objective)]

    def statuses(self, about: str = "", effects: int = 3) -> list[AdjustmentStatus]:
        """All of them, or those called `about` or about the objective of that name: active ones first, then upcoming,
        then past ones. Each with its effects on that objective, or on the first `effects` ones. Raises NotFound and
        Unavailable.
        """
        fleet = self._fleet()
        known, number = self.all, fleet.index.get(about)
        chosen = [one for one in known if one.name == about]
        if about and not chosen:
            if number is None:
                raise NotFound(
                    f"there is no adjustment and no objective '{about}'; `setpoint slo adjustments` lists what there is"
                )
            chosen = [one for one in known if self._touches(fleet, one, number)]
        found = [self._status(fleet, one, number, effects) for one in (chosen if about else known)]
        rank = {"active": 0, "upcoming": 1, "past": 2}
        return sorted(found, key=lambda one: (rank[one.state], *one.next_ms[:1], one.name))

    def time(self, name: str, start_ms: int, end_ms: int) -> list[AdjustedTime]:
        """When the budget of an objective is adjusted, in (start_ms, end_ms]; also by what its parts have. Raises
        NotFound.
        """
        fleet = self._fleet()
        at = fleet.index.get(name)
        if at is None:
            raise NotFound(f"there is no objective '{name}'; `setpoint slo list` lists those that exist")
        number, first, end = int(fleet.adjustments.quiet[at]), start_ms // 60_000, slot_of(end_ms) + 1
        if number < 0:
            return []
        found = [
            AdjustedTime(one.name, action or "correction", one.reason, one.link, 60_000 * low, 60_000 * high)
            for one, action in fleet.adjustments.profiles[number].items
            for low, high in time_of(one, first, end)
        ]
        return sorted(found, key=lambda one: one.start_ms)[-_DRAWN_MOST:]

    def effect(self, one: Adjustment, name: str) -> Effect:
        """What it does to the window of an objective. Raises NotFound and Unavailable."""
        fleet = self._fleet()
        at = fleet.index.get(name)
        if at is None:
            raise NotFound(f"there is no objective '{name}'; `setpoint slo list` lists those that exist")
        minute = slot_of(self._clock.now_ms())
        known = self._effects.get((one.name, name))
        if known is not None and known[0] == minute and known[1] is fleet.adjustments:
            return known[2]
        windows = windows_at(fleet, self._clock.now_ms())
        first, end = int(windows.start[at]), int(windows.end[at])

        found = effect_of(
            one,
            at,
            Window(fleet.objectives, fleet.adjustments, first, end, partial(self._counted, fleet, minute)),
        )
        if len(self._effects) > _NAMED_MOST:
            self._effects.clear()
        self._effects[one.name, name] = minute, fleet.adjustments, found
        return found

    def _counted(self, fleet: Fleet, minute: int, of: str, low: int, high: int) -> Slots:
        """The minutes of an objective as they were counted; those of the last few reads are kept for a minute."""
        row = int(fleet.raw[fleet.index[of]])
        key = minute, fleet.keys[fleet.index[of]].raw, low, high
        known = self._read.get(key)
        if known is not None:
            return known
        try:
            found = self._ledgers.minutes(row, low, high)
        except KeyError as error:  # its row was given back meanwhile
            raise Unavailable("the objectives change at this moment; ask again") from error
        if len(self._read) >= _READ_MOST:
            self._read.clear()
        self._read[key] = found
        return found

    @staticmethod
    def _touches(fleet: Fleet, one: Adjustment, at: int) -> bool:
        number = int(fleet.adjustments.quiet[at])
        own = int(fleet.adjustments.own[at])
        return any(
            item[0].name == one.name
            for profile in {number, own} - {-1}
            for item in fleet.adjustments.profiles[profile].items
        )

    def _status(self, fleet: Fleet, one: Adjustment, about: int | None, effects: int) -> AdjustmentStatus:
        minute = slot_of(self._clock.now_ms())
        chosen = self.objectives_of(one)
        shown = chosen[:effects] if about is None else [about]
        span = _now(one, minute)
        coming = _next(one, minute)
        state: Literal["active", "upcoming", "past"] = "active" if span else "upcoming" if coming else "past"
        spans = time_of(one, minute - 62 * 1440, minute + 1)
        lasts = one.recurrence.duration_minutes if one.recurrence else 0
        if fixed := one.once or (one.correction and (one.correction.first, one.correction.end)):
            lasts, spans = fixed[1] - fixed[0], [fixed]
        return AdjustmentStatus(
            name=one.name,
            display_name=one.display_name or one.name,
            kind=one.kind,
            action="correct" if one.correction is not None else one.action,
            reason=one.reason,
            link=one.link,
            description=one.description,
            what=what_it_does(one),
            when=when_it_is(one),
            state=state,
            until_ms=60_000 * span[1] if span else None,
            next_ms=tuple(60_000 * first for first, _ in coming),
            last_ms=max((60_000 * first for first, _ in spans if first <= minute), default=None),
            duration_s=60 * lasts,
            objective_count=len(chosen),
            objectives=tuple(fleet.objectives[at].name for at in chosen[:_NAMED_MOST]),
            services=tuple(sorted({fleet.objectives[at].service for at in chosen})),
            effects=tuple(self.effect(one, fleet.objectives[at].name) for at in shown),
            is_derived=self.is_settled(),
        )


def _now(one: Adjustment, minute: int) -> Span | None:
    if one.correction is not None:
        return None
    return next(iter(time_of(one, minute, minute + 1)), None)


def _next(one: Adjustment, minute: int) -> list[Span]:
    if one.recurrence is not None:
        return next_spans(one.recurrence, minute, _NEXT, _AHEAD)
    return [one.once] if one.once is not None and one.once[0] > minute else []
