"""What is wrong with an adjustment among the other documents, or at this time: refused, or warned of.

Refused: an objective, SLO or service that there is not, a correction of what has not been counted yet or of a
composite, time that is longer than the windows of all that it is about, and two adjustments that would do different
things with the same minutes of an objective. Adjustments that do the same there are one. Whether recurring ones meet is
looked at for a year ahead and a month back; where they meet later than that (or among groups that come into being
later) leaving out wins over counting good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from setpoint.clock import Clock
from setpoint.errors import Problem
from setpoint.objective.adjustment.model import Adjustment
from setpoint.objective.adjustment.plan import time_of
from setpoint.objective.adjustment.spec import BudgetAdjustment
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Objective
from setpoint.objective.resolve import resolve
from setpoint.objective.spec.slo import Slo
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue, nearest

__all__ = ["Checks"]

_BACK, _AHEAD = 31 * 1440, 366 * 1440
_NAMED_MOST = 3


class Checks:
    """The checks of one registry. Without a clock (who only reads files has none) nothing is said about the time."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self._known: tuple[Catalogue, list[Objective], bool] | None = None

    def refer(self, document: Document, catalogue: Catalogue) -> Iterator[Problem]:
        """What is refused."""
        assert isinstance(document.spec, BudgetAdjustment)
        one, spec = document.spec.adjustment(), document.spec.spec
        objectives, has_groups = self._objectives(catalogue)
        declared = {name for kind, name in catalogue if kind == "Service"}
        yield from _unknown(document, one, objectives, declared, is_open=has_groups)
        chosen = [objective for objective in objectives if one.choice.chooses(objective)]
        if (
            not chosen
            and not has_groups
            and not (one.choice.objectives or one.choice.slos or one.choice.services)
        ):
            yield document.problem(
                "no objective is chosen; correct it, or apply the SLO first", "spec", "select"
            )
        if one.correction is not None:
            place = ("spec", "correction", "at" if spec.correction and spec.correction.at else "end")
            now = self._minute()
            if now is not None and one.correction.end > now + 1:
                message = "what lies in the future cannot be corrected yet; correct it when it was counted"
                yield document.problem(message, *place)
            for objective in chosen:
                if objective.kind == "composite":
                    message = f"'{objective.name}' is made of other objectives; correct these, or leave the time out"
                    yield document.problem(message, "spec", "select", "objectives")
        longest_s = max((objective.window_s for objective in chosen), default=0)
        length_s = 60 * _longest(one)
        if chosen and one.kind != "correction" and length_s > longest_s:
            message = (
                f"it lasts {spoken_duration(length_s)}, longer than the window of what it is about "
                f"({spoken_duration(longest_s)}): nothing would be left to judge; write a shorter one"
            )
            yield document.problem(message, "spec", one.kind, "end" if one.once else "duration")
        yield from self._contradictions(document, one, chosen, catalogue)

    def advise(self, document: Document, catalogue: Catalogue) -> Iterator[Problem]:
        """What is warned of."""
        assert isinstance(document.spec, BudgetAdjustment)
        one, now = document.spec.adjustment(), self._minute()
        chosen = [each for each in self._objectives(catalogue)[0] if one.choice.chooses(each)]
        if one.kind == "correction":
            return
        if one.once is not None and now is not None and one.once[0] > now:
            begins_s, length_s = 60 * (one.once[0] - now), 60 * (one.once[1] - one.once[0])
            message = (
                f"announced: it begins in {spoken_duration(begins_s)} and lasts {spoken_duration(length_s)}"
            )
            yield document.problem(message, "spec", "once", "start")
        much = [
            each.name
            for each in chosen
            if one.action_for(each.name) == "exclude"
            and 60 * _within(one, now, each.window_s // 60) * 2 > each.window_s
        ]
        if much:
            message = (
                f"more than half of the window of {_named(much)} is left out: a few bad minutes of the rest decide "
                "then; consider action: good, or a longer window"
            )
            yield document.problem(message, "spec", one.kind)

    def _contradictions(
        self, document: Document, one: Adjustment, chosen: Sequence[Objective], catalogue: Catalogue
    ) -> Iterator[Problem]:
        if one.correction is not None or not chosen:
            return
        for other_document in catalogue.values():
            if other_document.name == document.name or not isinstance(other_document.spec, BudgetAdjustment):
                continue
            other = other_document.spec.adjustment()
            # The one that is applied hears of it; of two, each does.
            if other.correction is not None or (document.line is None and other_document.line is not None):
                continue
            both = [
                each.name
                for each in chosen
                if other.choice.chooses(each) and other.action_for(each.name) != one.action_for(each.name)
            ]
            if both and _meet(one, other, self._minute()):
                message = (
                    f"'{other.name}' does {other.action_for(both[0])} with the same minutes of {_named(both)}, this "
                    f"one {one.action_for(both[0])}; change one of them, or which objectives it selects"
                )
                yield document.problem(message, "spec", one.kind)

    def _minute(self) -> int | None:
        return None if self._clock is None else self._clock.now_ms() // 60_000

    def _objectives(self, catalogue: Catalogue) -> tuple[list[Objective], bool]:
        """The objectives of the SLOs, and whether some are made for groups: those are known by their labels only."""
        if self._known is not None and self._known[0] is catalogue:
            return self._known[1:]
        found = resolve(catalogue.values(), lambda _, labels: [tuple(labels)], lambda _: None)
        has_groups = any(
            isinstance(one.spec, Slo) and one.spec.spec.group_by is not None for one in catalogue.values()
        )
        self._known = catalogue, found, has_groups
        return found, has_groups


def _unknown(
    document: Document,
    one: Adjustment,
    objectives: Sequence[Objective],
    declared: set[str],
    *,
    is_open: bool,
) -> Iterator[Problem]:
    names = {each.name for each in objectives}
    slos, services = {each.slo for each in objectives}, {each.service for each in objectives} | declared
    for field, wanted, known, word in (
        ("objectives", one.choice.objectives, names, "objective"),
        ("slos", one.choice.slos, slos, "SLO"),
        ("services", one.choice.services, services, "Service"),
    ):
        for number, name in enumerate(wanted):
            # Of a document that makes one for each group, only the samples tell the names.
            if name in known or (field == "objectives" and is_open and name.partition(".")[0] in slos):
                continue
            advice = nearest(name, known) or "'setpoint slo list' lists those that there are"
            yield document.problem(
                f"there is no {word} '{name}'; {advice.strip()}", "spec", "select", field, number
            )
    chosen = {each.name for each in objectives if one.choice.chooses(each)}
    for name in one.per_objective:
        if name not in chosen and not (is_open and name.partition(".")[0] in slos):
            message = f"'{name}' is not among the selected objectives; correct the name, or leave it out"
            yield document.problem(message, "spec", "perObjective", name)


def _longest(one: Adjustment) -> int:
    """How many minutes it lasts at once."""
    if one.recurrence is not None:
        return one.recurrence.duration_minutes
    return 0 if one.once is None else one.once[1] - one.once[0]


def _within(one: Adjustment, now: int | None, window: int) -> int:
    """How many minutes of a window it takes: of the one that ends when it does, or of an average one to come."""
    if one.once is not None:
        return min(window, one.once[1] - one.once[0])
    assert one.recurrence is not None
    low = max(now or 0, _begins(one) - 1440)
    spans = time_of(one, low, low + window)
    return sum(min(end, low + window) - max(first, low) for first, end in spans)


def _begins(one: Adjustment) -> int:
    """About the minute when it takes place for the first time."""
    if one.recurrence is None:
        return one.once[0] if one.once is not None else 0
    return int(datetime.fromisoformat(one.recurrence.start).replace(tzinfo=UTC).timestamp()) // 60


def _meet(one: Adjustment, other: Adjustment, now: int | None) -> bool:
    """Whether there is a minute that two adjustments have both."""
    now = max(_begins(one), _begins(other)) if now is None else now
    fixed = [span for each in (one, other) if (span := each.once) is not None]
    low = min([now - _BACK, *(span[0] for span in fixed)])
    high = max([now + _AHEAD, *(span[1] for span in fixed)])
    mine, theirs = time_of(one, low, high), time_of(other, low, high)
    place = 0
    for first, end in mine:
        while place < len(theirs) and theirs[place][1] <= first:
            place += 1
        if place < len(theirs) and theirs[place][0] < end:
            return True
    return False


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED_MOST])
    return shown if len(names) <= _NAMED_MOST else f"{shown} and {len(names) - _NAMED_MOST} more"
