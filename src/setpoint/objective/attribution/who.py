"""Who spent the budget: `app` makes one `Attributions`; pages, commands and reports ask it for a stretch of time.

It reads the budget's minutes and those that were counted (`book.past`), the timeline's events of the service and of
what it depends on, and lets `split` share the bad events out. What comes before the stretch is read, too: a cause may
have begun a week earlier, and is compared with the day before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.objective.attribution.causes import (
    KINDS,
    LOOKBACK_MS,
    Burned,
    Possible,
    all_burned,
    burned,
    possible_causes,
)
from setpoint.objective.attribution.model import Attribution, Cause, Share, Stretch
from setpoint.objective.attribution.split import Minutes, Part, Split, split
from setpoint.objective.book import ObjectiveBook
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.live import slot_of
from setpoint.objective.model import Objective
from setpoint.timeline import Event, Timeline

__all__ = ["MOST_DAYS", "Attributions", "attribution_of"]

_MINUTE_MS = 60_000
_BEFORE_MINUTES = LOOKBACK_MS // _MINUTE_MS + 1440
_EVENTS_AT_ONCE, _EVENT_PAGES = 1000, 5
_SERVICES_MOST = 20
_OBJECTIVES_MOST = 4
_LINKS_MOST = 20
_LATELY_MS, _LATELY_MOST = 20_000, 50
MOST_DAYS = 400

_Floats = npt.NDArray[np.float64]


class Attributions:
    """See above; its methods may be called from any thread, and may read the store."""

    def __init__(
        self, book: ObjectiveBook, timeline: Timeline, dependencies: Callable[[], Dependencies]
    ) -> None:
        """`dependencies` gives those of this moment."""
        self._book, self._timeline, self._dependencies = book, timeline, dependencies
        self._lately: dict[str, Attribution] = {}

    def lately(self, name: str, start_ms: int, end_ms: int) -> Attribution:
        """`of` for a page that is looked at again and again: what was found for as long a stretch that ended a few
        seconds ago will do.
        """
        kept = self._lately.get(name)
        if (
            kept is not None
            and 0 <= end_ms - kept.end_ms < _LATELY_MS
            and abs(start_ms - kept.start_ms) <= _LATELY_MS + _MINUTE_MS
        ):
            return kept
        found = self.of(name, start_ms, end_ms)
        while len(self._lately) >= _LATELY_MOST:
            self._lately.pop(next(iter(self._lately)), None)
        self._lately[name] = found
        return found

    def of(self, name: str, start_ms: int, end_ms: int) -> Attribution:
        """Who spent the budget of an objective in (start_ms, end_ms], in whole minutes, not beyond now.

        Raises NotFound; InvalidInput where the stretch is none, or longer than `MOST_DAYS`; Unavailable when minutes
        that are on disk cannot be read.
        """
        if not 0 <= start_ms < end_ms:
            raise InvalidInput("the stretch ends before it begins; write a since that lies before until")
        if end_ms - start_ms > MOST_DAYS * 86_400_000:
            raise InvalidInput(f"the stretch has more than {MOST_DAYS} days; ask for a shorter one")
        past = self._book.past
        objective = past.objective(name)
        each = objective.slot_minutes
        first_ms = max(0, start_ms // _MINUTE_MS - _BEFORE_MINUTES) // each * each * _MINUTE_MS
        dependencies = self._dependencies()
        services = dependencies.all_of(objective.service)[:_SERVICES_MOST]
        others = self._objectives_of(services)
        budget, counted = past.together(name, first_ms, end_ms)
        possible: list[Possible] = []
        if ((budget.total - budget.good)[slot_of(start_ms + 1) - budget.first :] > 0).any():
            burning = self._burning(others, first_ms, end_ms)
            events = self._events((objective.service, *services), first_ms, end_ms)
            possible = possible_causes(events, objective.service, dependencies, burning, end_ms)
        return attribution_of(objective, budget, counted, possible, start_ms, end_ms, self._links)

    def _objectives_of(self, services: Sequence[str]) -> list[Objective]:
        """A few objectives of each of these services; composites are left out, as their parts are among them."""
        if not services:
            return []
        room = dict.fromkeys(services, _OBJECTIVES_MOST)
        found = []
        for one in self._book.overview().objectives:
            if room.get(one.service) and one.kind != "composite":
                room[one.service] -= 1
                found.append(one)
        return found

    def _burning(self, objectives: Sequence[Objective], start_ms: int, end_ms: int) -> dict[str, Burned]:
        """When the objectives of services burned, by service; one ledger after the other, as they may be many."""
        known = {one.name: one for one in objectives}
        found: dict[str, dict[str, tuple[tuple[int, int], ...]]] = {}
        for name, slots in self._book.past.counted(list(known), start_ms, end_ms):
            one = known[name]
            own = found.setdefault(one.service, {})
            own[name] = burned(slots, one.allowed_ratio, one.kind == "ratio")
        return {service: all_burned(own) for service, own in found.items()}

    def _events(self, services: Sequence[str], start_ms: int, end_ms: int) -> list[Event]:
        found: list[Event] = []
        for service in services:
            before_id: int | None = None
            for _ in range(_EVENT_PAGES):
                page = self._timeline.query(
                    service,
                    KINDS,
                    since_ms=start_ms,
                    until_ms=end_ms,
                    before_id=before_id,
                    limit=_EVENTS_AT_ONCE,
                )
                found += page
                if len(page) < _EVENTS_AT_ONCE:
                    break
                before_id = page[-1].id
        return found

    def _links(self, cause: Cause, start_ms: int, end_ms: int) -> tuple[int, ...]:
        """The events that tell of a dependency's burning, newest first."""
        events = self._timeline.query(
            cause.service,
            ("objective.state", "alert.fired"),
            since_ms=start_ms - 5 * _MINUTE_MS,
            until_ms=end_ms + 5 * _MINUTE_MS,
            limit=_LINKS_MOST,
        )
        # Alerts of other senders may be about anything.
        return tuple(one.id for one in events if one.kind != "alert.fired" or "objective" in one.data)


def _no_links(cause: Cause, start_ms: int, end_ms: int) -> tuple[int, ...]:
    del cause, start_ms, end_ms
    return ()


def attribution_of(  # noqa: PLR0917 — what an attribution is made of
    objective: Objective,
    budget: Slots,
    counted: Slots,
    possible: Sequence[Possible],
    start_ms: int,
    end_ms: int,
    links: Callable[[Cause, int, int], tuple[int, ...]] = _no_links,
) -> Attribution:
    """Share out what the budget's minutes of (start_ms, end_ms] have spent; pure.

    `budget` and `counted` are the same minutes, from a multiple of the objective's slices on, and reach back before
    the stretch as far as causes do.
    """
    found = split(_columns(objective, budget, counted), [one.candidate for one in possible])
    low, high = slot_of(start_ms + 1), min(slot_of(end_ms) + 1, budget.end)
    high = max(low, high)
    window = slice(low - budget.first, high - budget.first)
    good, total = float(budget.good[window].sum()), float(budget.total[window].sum())
    allowed = total * objective.allowed_ratio
    spent, rest = found.spent[window], found.rest[window]
    bad = float(spent.sum())
    shares = _shares(possible, found, (budget.first, low, high, objective.slot_minutes), bad, allowed, links)
    unexplained = float(rest.sum())
    return Attribution(
        name=objective.name,
        service=objective.service,
        start_ms=low * _MINUTE_MS,
        end_ms=max(low * _MINUTE_MS, min(high * _MINUTE_MS, end_ms)),
        target=objective.target,
        good=good,
        total=total,
        bad=bad,
        allowed=allowed,
        of_budget=bad / allowed if allowed > 0 else None,
        unexplained=unexplained,
        unexplained_of_budget=unexplained / allowed if allowed > 0 else None,
        shares=tuple(shares),
        harmless=len(possible) - len(shares),
        unit=found.unit,
        first=low,
        spent=spent,
        rest=rest,
    )


def _columns(objective: Objective, budget: Slots, counted: Slots) -> Minutes:
    """Both ledgers as columns of whole slots."""
    each = objective.slot_minutes
    size = -(-max(len(budget.total), len(counted.total)) // each) * each

    def column(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return np.concatenate((values, np.zeros(size - len(values), values.dtype)))

    bad = np.asarray(column(counted.total - counted.good), np.float64)
    return Minutes(
        first=budget.first,
        bad=bad,
        total=np.asarray(column(counted.total), np.float64),
        present=np.asarray(column(counted.present), np.bool_),
        spent=np.asarray(column(budget.total - budget.good), np.float64),
        allowed_ratio=objective.allowed_ratio,
        slot_minutes=each,
        by_chance=objective.kind == "ratio",
        whole_slots=objective.kind == "composite" and each > 1,
    )


def _shares(  # noqa: PLR0917 — the window and what was spent in it
    possible: Sequence[Possible],
    found: Split,
    window: tuple[int, int, int, int],
    bad: float,
    allowed: float,
    links: Callable[[Cause, int, int], tuple[int, ...]],
) -> list[Share]:
    """Those that spent something in the window, most first: its minutes are from the second to before the third number,
    the first one is that of position 0, the last the length of a slice.
    """
    first, low, high, each = window
    incidents = [one.cause for one in possible if one.cause.kind == "incident"]
    shares = []
    for one, part in zip(possible, found.parts, strict=True):
        some = (part.minutes >= low) & (part.minutes < high)
        if not some.any():
            continue
        minutes, spent = part.minutes[some], part.spent[some]
        own = float(spent.sum())
        begin_ms, end_ms = int(minutes[0]) * _MINUTE_MS, (int(minutes[-1]) + 1) * _MINUTE_MS
        cause = one.cause
        if cause.kind == "dependency":
            cause = replace(cause, event_ids=links(cause, begin_ms, end_ms))
        shares.append(
            Share(
                cause=cause,
                bad=own,
                of_budget=own / allowed if allowed > 0 else None,
                of_spent=own / bad if bad > 0 else 0.0,
                stretches=tuple(_stretches(part, first, low, high, each)),
                related=_related(cause, incidents, begin_ms, end_ms),
                minutes=minutes,
                spent=spent,
            )
        )
    return sorted(shares, key=lambda share: (-share.bad, share.cause.start_ms, share.cause.key))


def _related(cause: Cause, incidents: Sequence[Cause], start_ms: int, end_ms: int) -> tuple[int, ...]:
    """The incidents that were open while a cause spent."""
    return tuple(
        one.event_ids[0]
        for one in incidents
        if one.key != cause.key and one.start_ms < end_ms and (one.end_ms is None or one.end_ms > start_ms)
    )


def _stretches(part: Part, first: int, low: int, high: int, each: int) -> list[Stretch]:
    """The runs of a part that touch the window, each with what it spent there; a slice counts with the first run that
    is in it.
    """
    found, told = [], low
    for run in sorted(part.runs, key=lambda run: run.low):
        start, end = first + run.low, first + run.high
        begin, told = max(told, start // each * each), max(told, -(-end // each) * each)
        some = (part.minutes >= begin) & (part.minutes < min(told, high))
        attributed = float(part.spent[some].sum())
        if attributed > 0:
            found.append(
                Stretch(
                    start_ms=start * _MINUTE_MS,
                    end_ms=end * _MINUTE_MS,
                    total=run.total,
                    bad=run.bad,
                    expected=run.expected,
                    baseline=run.baseline,
                    reference_minutes=run.reference_minutes,
                    among=run.among,
                    excess=run.excess,
                    attributed=attributed,
                )
            )
    return found
