"""What the adjustments mean for a list of objectives, minute by minute.

Objectives with the same adjustments share a profile, so that one maintenance window over ten thousand objectives is
computed once. `derive` asks for the codes of the minutes that it derives and lets `adjust` change what was counted;
`verdict` asks since when an objective is in adjusted time; `adopt` compares what a ledger was derived with (`content`)
with what it is to be.

A minute has one of three codes. Where adjustments of one objective overlap, leaving out wins over counting good: what
is not measured cannot be good. A composite follows its parts: their adjusted minutes are what it is made of, and its
own adjustments apply to each of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from setpoint.objective.adjustment.correct import corrected
from setpoint.objective.adjustment.model import Action, Adjustment, Correction, Recurrence, Span
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective
from setpoint.resource.recurrence import spans_of

__all__ = ["EXCLUDED", "GOOD", "Content", "Plan", "Profile", "Quiet", "spans_of_content"]

_Ints = npt.NDArray[np.int64]
_Codes = npt.NDArray[np.int8]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

Content = tuple[str, ...]
"""All that changes what is derived of an objective, each in JSON; sorted."""

PLAIN, GOOD, EXCLUDED = 0, 1, 2
_CODES: dict[Action, int] = {"good": GOOD, "exclude": EXCLUDED}
_KEPT = 8
_NEVER = -(2**62)
_LOOKED_BACK = 32 * 1440


@dataclass(frozen=True, slots=True)
class Profile:
    """Adjustments with what each does (None: it corrects), for all objectives that have just these."""

    items: tuple[tuple[Adjustment, Action | None], ...]

    def spans(self, low: int, high: int) -> list[tuple[Span, Adjustment, Action]]:
        """Adjusted time that holds a minute from `low` to before `high`."""
        return [
            (span, one, action)
            for one, action in self.items
            if action is not None
            for span in time_of(one, low, high)
        ]

    def corrections(self, low: int, high: int) -> list[Correction]:
        """The corrections of minutes from `low` to before `high`."""
        found = [one.correction for one, _ in self.items if one.correction is not None]
        return [one for one in found if one.first < high and one.end > low]

    def codes(self, low: int, high: int) -> _Codes:
        """int8[high − low]: what is done with each minute."""
        found = np.zeros(high - low, np.int8)
        for (first, end), _, action in self.spans(low, high):
            part = found[max(0, first - low) : max(0, end - low)]
            np.maximum(part, _CODES[action], out=part)
        return found


@dataclass(frozen=True, slots=True)
class Quiet:
    """Of n objectives, whether the running minute is adjusted (`now` bool[n]), and until when the last adjusted time
    that has begun lasts or lasted: `end` int64[n] is the minute after it, far in the past where there was none.
    """

    now: _Bools
    end: _Ints


class Plan:
    """The adjustments of n objectives; index i of every column is `objectives[i]`."""

    def __init__(self, objectives: Sequence[Objective] = (), adjustments: Iterable[Adjustment] = ()) -> None:
        self.adjustments = tuple(adjustments)
        size = len(objectives)
        self.profiles: list[Profile] = []
        self.own = np.full(size, -1, np.int64)
        """int64[n]: the profile of what chooses the objective itself, -1: none does."""
        self.quiet = np.full(size, -1, np.int64)
        """int64[n]: the same, and what its parts have."""
        self.content: list[Content] = [()] * size
        self._corrected: list[tuple[int, Correction]] = []
        self._windows: dict[tuple[int, int], tuple[_Bools, _Codes]] = {}
        self._moments: dict[int, tuple[_Bools, _Ints]] = {}
        if self.adjustments:
            self._choose(objectives)

    @property
    def is_adjusted(self) -> _Bools:
        """bool[n]: it, or a part of it, has adjustments."""
        return np.array([bool(one) for one in self.content], np.bool_)

    def touched(self, profile: _Ints, first: int, end: int) -> _Bools:
        """Which of k profiles (-1: none) do something in the minutes from `first` to before `end`, bool[k]."""
        if not self.profiles or first >= end:
            return np.zeros(len(profile), np.bool_)
        return self._window(first, end)[0][profile]

    def codes(self, profile: _Ints, first: int, end: int) -> _Codes:
        """int8[k, end − first]: what each of k profiles does with each minute."""
        if not self.profiles or first >= end:
            return np.zeros((len(profile), max(0, end - first)), np.int8)
        return self._window(first, end)[1][profile]

    def adjust(
        self,
        minutes: _Floats,
        first: int,
        own: _Ints,
        also: _Ints,
        counted: Callable[[int, int, int], Slots],
    ) -> None:
        """Change good, total and presence float64[3, k, m] of the minutes from `first` on: by the profile `own` of
        each of k rows, and by time that is adjusted in the profile `also`, too. `counted(position, first, end)` gives
        minutes of a row as they were counted.
        """
        end = first + minutes.shape[2]
        for at, number in enumerate(own.tolist()):
            corrections = self.profiles[number].corrections(first, end) if number >= 0 else ()
            if corrections:
                good, total, present = minutes[:, at]
                held = np.where(present > 0, good, 0.0), np.where(present > 0, total, 0.0)
                good, total = corrected(*held, first, corrections, partial(counted, at))
                minutes[0, at], minutes[1, at] = good, total
                minutes[2, at] = np.where(total > 0, 1.0, present)
        codes = np.maximum(self.codes(own, first, end), self.codes(also, first, end))
        minutes[0] = np.where(codes == GOOD, minutes[1], minutes[0])
        minutes[:, codes == EXCLUDED] = 0.0

    def widen(self, low: _Ints) -> None:
        """Where one minute of a correction changed, all of its minutes may: lower the first changed minute of each
        objective, `low` int64[n], to that.
        """
        for at, one in self._corrected:
            if one.first < low[at] < one.end:
                low[at] = one.first

    def widened(self, indices: _Ints, first: int, end: int) -> Span:
        """The same for a stretch of some objectives."""
        chosen = set(indices.tolist()) if self._corrected else set()
        met = [one for at, one in self._corrected if at in chosen and one.first < end and one.end > first]
        return min([first, *(one.first for one in met)]), max([end, *(one.end for one in met)])

    def quiet_at(self, now_minute: int) -> Quiet:
        """Who is in adjusted time in the running minute, and until when."""
        size = len(self.quiet)
        if not self.profiles:
            return Quiet(np.zeros(size, np.bool_), np.full(size, _NEVER, np.int64))
        if now_minute not in self._moments:
            self._moments = {now_minute: self._moment(now_minute)}
        now, end = self._moments[now_minute]
        return Quiet(now[self.quiet], end[self.quiet])

    def _moment(self, minute: int) -> tuple[_Bools, _Ints]:
        now, last = np.zeros(len(self.profiles) + 1, np.bool_), np.full(len(self.profiles) + 1, _NEVER)
        for at, profile in enumerate(self.profiles):
            for one, action in profile.items:
                ended = [
                    span[1]
                    for span in (time_of(one, minute - _LOOKED_BACK, minute + 1) if action else ())
                    if span[0] <= minute
                ]
                if ended:
                    last[at] = max(last[at], *ended)
            now[at] = last[at] > minute
        return now, last

    def _window(self, first: int, end: int) -> tuple[_Bools, _Codes]:
        known = self._windows.get((first, end))
        if known is None:
            while len(self._windows) >= _KEPT:
                self._windows.pop(next(iter(self._windows)), None)
            codes = np.zeros((len(self.profiles) + 1, end - first), np.int8)
            touched = np.zeros(len(self.profiles) + 1, np.bool_)
            for at, profile in enumerate(self.profiles):
                codes[at] = profile.codes(first, end)
                touched[at] = bool(codes[at].any()) or bool(profile.corrections(first, end))
            known = self._windows[first, end] = touched, codes
        return known

    def _choose(self, objectives: Sequence[Objective]) -> None:
        items: list[list[tuple[Adjustment, Action | None]]] = [[] for _ in objectives]
        for one in self.adjustments:
            for at, objective in enumerate(objectives):
                if one.choice.chooses(objective) and not (one.correction and objective.kind == "composite"):
                    items[at].append((one, None if one.correction else one.action_for(objective.name)))
        self._corrected = [
            (at, one.correction)
            for at, some in enumerate(items)
            for one, _ in some
            if one.correction is not None
        ]
        index = {one.name: at for at, one in enumerate(objectives)}
        numbers: dict[tuple[tuple[str, Action | None], ...], int] = {}

        def number(some: Iterable[tuple[Adjustment, Action | None]]) -> int:
            known = {(one.name, action): (one, action) for one, action in some}
            key = tuple(sorted(known, key=str))
            if not key:
                return -1
            if key not in numbers:
                numbers[key] = len(self.profiles)
                self.profiles.append(Profile(tuple(known[name] for name in key)))
            return numbers[key]

        def parts_of(at: int, seen: frozenset[int]) -> list[int]:
            found = [index[one.objective] for one in objectives[at].parts if one.objective in index]
            return [one for one in found if one not in seen]

        def everything(at: int, seen: frozenset[int]) -> list[tuple[Adjustment, Action | None]]:
            below = [
                item
                for one in parts_of(at, seen)
                for item in everything(one, seen | {at})
                if item[1] is not None
            ]
            return [*items[at], *below]

        def content(at: int, seen: frozenset[int]) -> list[str]:
            own = [_written(one, action) for one, action in items[at]]
            below = [
                json.dumps({"part": objectives[one].name} | json.loads(text), sort_keys=True)
                for one in parts_of(at, seen)
                for text in content(one, seen | {at})
            ]
            return [*own, *below]

        for at, objective in enumerate(objectives):
            if items[at] or objective.parts:
                self.own[at] = number(items[at])
                self.quiet[at] = number(everything(at, frozenset({at})))
                self.content[at] = tuple(sorted(set(content(at, frozenset({at})))))


def time_of(one: Adjustment, low: int, high: int) -> list[Span]:
    """When an adjustment takes place, as far as it holds a minute from `low` to before `high`."""
    if one.recurrence is not None:
        return spans_of(one.recurrence, low, high)
    span = one.once
    if one.correction is not None:
        span = one.correction.first, one.correction.end
    return [span] if span is not None and span[0] < high and span[1] > low else []


def _written(one: Adjustment, action: Action | None) -> str:
    body: dict[str, object] = {}
    if one.correction is not None:
        fix = one.correction
        # Equal stretches of time are one; equal corrections add up.
        body = {"correction": [fix.first, fix.end, fix.good, fix.bad], "name": one.name}
    elif one.recurrence is not None:
        rule = one.recurrence
        body = {"do": action, "rule": [rule.start, rule.time_zone, rule.rule, rule.duration_minutes]}
    elif one.once is not None:
        body = {"do": action, "once": list(one.once)}
    return json.dumps(body, sort_keys=True)


def spans_of_content(written: Iterable[str], low: int, high: int) -> list[Span]:
    """The minutes that some items of a content change, from `low` to before `high`: joined, ascending."""
    found: list[Span] = []
    for text in written:
        body = json.loads(text)
        if "rule" in body:
            found += spans_of(Recurrence(*body["rule"]), low, high)
        else:
            first, end = (body.get("once") or body["correction"])[:2]
            found.append((first, end))
    joined: list[Span] = []
    for first, end in sorted((max(first, low), min(end, high)) for first, end in found):
        if first >= end:
            continue
        if joined and first <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end)
        else:
            joined.append((first, end))
    return joined
