"""The rule by which bad events are shared out among causes, pure: columns of minutes in, parts of each cause out.

`who` calls `split`; decision 0032 says why it is so. Causes are taken rank by rank, the most specific first, and each
rank explains what those before it left:

1. What would be bad anyhow: the ratio of bad events in the last hour with data before the cause, or as much of the
   day before it as holds 20 bad events, without minutes that a cause of the same rank explains.
2. Minutes in which there is more: windows of 5, 60 and 360 minutes in which the bad events exceed the expected by
   more than chance does (three standard deviations and one event).
3. What such a stretch has beyond the expected is the cause's, minute by minute; causes of one rank that are active in
   the same minute share it equally.

A slice's event belongs to causes as the bad events of its minutes do. Parts are multiples of a power of two and never
exceed their minute, so parts and rest add up to what was spent without any rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Candidate", "Minutes", "Part", "Reference", "Run", "Split", "elevated", "split"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Interval = tuple[int, int]

REFERENCE_MINUTES = 60
REFERENCE_BACK_MINUTES = 1440
REFERENCE_BAD = 20
REFERENCE_LEAST_MINUTES = 10
WINDOWS_MINUTES = (5, 60, 360)
DEVIATIONS = 3.0
QUIET_MINUTES = 60
"""A deploy is over once it has spent nothing for so long."""

_BITS, _LEAST = 52, -200
_NOTHING = 1e-200
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Minutes:
    """Minutes from `first` (since 1970) on, a multiple of `slot_minutes`, as many as whole slots.

    `bad`, `total` float64[n], `present` bool[n]: events as they were counted. `spent` float64[n]: bad events of the
    budget, booked in the last minute of their slot. `allowed_ratio`: 1 − target. `by_chance`: bad events come one by
    one, as counted requests do, so that a few more or less mean nothing; False where each minute is one verdict.
    `whole_slots`: `bad` is booked in the last minute of a slot, too.
    """

    first: int
    bad: _Floats
    total: _Floats
    present: _Bools
    spent: _Floats
    allowed_ratio: float
    slot_minutes: int = 1
    by_chance: bool = True
    whole_slots: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """When a cause may have cost events: `intervals` of minutes (since 1970, end exclusive), ascending. Lower ranks go
    first. `until_quiet`: it ends earlier, when it has spent nothing for `QUIET_MINUTES`. `within`: it can only spend
    in these minutes, if given.
    """

    rank: int
    intervals: tuple[_Interval, ...]
    until_quiet: bool = False
    within: tuple[_Interval, ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A stretch in which a candidate spends: positions `low` to before `high`, and what is to be told of it (see
    `model.Stretch`)."""

    low: int
    high: int
    total: float
    bad: float
    expected: float
    baseline: float
    reference_minutes: int
    among: float
    excess: float


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one candidate spent: bad events of the budget `spent` float64[k] in `minutes` int64[k] since 1970."""

    minutes: _Ints
    spent: _Floats
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """All parts in the order of the candidates; `spent` and `rest` float64[n] in multiples of `unit`."""

    parts: tuple[Part, ...]
    spent: _Floats
    rest: _Floats
    unit: float


@dataclass(frozen=True, slots=True)
class Reference:
    """What is usual: the ratio of bad events, the one that it may as well be, the variance of bad events per minute,
    and of how many minutes this is known.
    """

    ratio: float
    likely: float
    variance: float
    minutes: int


@dataclass(slots=True)
class _Found:
    """A run before it is shared with others: `excess` float64[high − low]."""

    owner: int
    low: int
    high: int
    excess: _Floats
    reference: Reference


def split(minutes: Minutes, candidates: Sequence[Candidate]) -> Split:
    """Share out what was spent among the candidates."""
    minutes, certain = _with_silence(minutes)
    size = len(minutes.bad)
    left = np.maximum(minutes.bad, 0.0)
    pieces: list[list[tuple[int, _Floats, Run]]] = [[] for _ in candidates]
    for rank in sorted({one.rank for one in candidates}):
        found = _of_rank(minutes, certain, left, candidates, rank)
        among = np.zeros(size, np.int64)
        for one in found:
            among[one.low : one.high] += 1
        before = left.copy()
        for one in found:
            place = slice(one.low, one.high)
            share = one.excess / among[place]
            left[place] -= share
            pieces[one.owner].append((one.low, share, _run(one, before, minutes.total, share)))
        np.maximum(left, 0.0, out=left)
    return _booked(minutes, pieces)


def _of_rank(
    minutes: Minutes, certain: _Bools, left: _Floats, candidates: Sequence[Candidate], rank: int
) -> list[_Found]:
    """The runs of the candidates of a rank, from the earliest on."""
    chosen = [at for at, one in enumerate(candidates) if one.rank == rank]
    places = [(low, high, at) for at in chosen for low, high in _places(minutes, candidates[at])]
    explained = np.zeros(len(left), np.bool_)
    found: list[_Found] = []
    for low, high, at in sorted(places):
        candidate = candidates[at]
        reference = _reference(minutes, left, explained, low)
        if candidate.until_quiet:
            flagged = _until_quiet(minutes, left, certain, reference, low, high)
        else:
            flagged = elevated(left[low:high], minutes.total[low:high], reference, minutes.by_chance)
            flagged |= certain[low:high]
        if candidate.within is not None:
            flagged &= _mask(minutes, candidate.within, low, low + len(flagged))
        runs = [_Found(at, *run, reference) for run in _runs(flagged, low, left, minutes.total, reference)]
        for one in runs:
            explained[one.low : one.high] = True
        found += runs
    return found


def _places(minutes: Minutes, candidate: Candidate) -> Iterator[_Interval]:
    """Positions of a candidate's intervals, cut to the minutes there are."""
    size, each = len(minutes.bad), minutes.slot_minutes if minutes.whole_slots else 1
    for start, end in candidate.intervals:
        low = max(0, start // each * each - minutes.first)
        high = min(size, -(-end // each) * each - minutes.first)
        if low < high:
            yield low, high


def _mask(minutes: Minutes, intervals: Sequence[_Interval], low: int, high: int) -> _Bools:
    found = np.zeros(high - low, np.bool_)
    for start, end in intervals:
        found[max(0, start - minutes.first - low) : max(0, end - minutes.first - low)] = True
    return found


def _reference(minutes: Minutes, left: _Floats, explained: _Bools, low: int) -> Reference:
    """What is usual before a position."""
    back = slice(max(0, low - REFERENCE_BACK_MINUTES), low)
    quiet = np.flatnonzero(minutes.present[back] & ~explained[back])[::-1] + back.start
    enough = int(np.searchsorted(np.cumsum(left[quiet]), REFERENCE_BAD)) + 1
    quiet = quiet[: max(REFERENCE_MINUTES, enough)]
    total = float(minutes.total[quiet].sum())
    if len(quiet) < REFERENCE_LEAST_MINUTES or total <= 0:
        return Reference(minutes.allowed_ratio, minutes.allowed_ratio, 0.0, 0)
    bad = left[quiet]
    counted = float(bad.sum())
    likely = (counted + math.sqrt(counted) + 1.0) / total if minutes.by_chance else counted / total
    return Reference(counted / total, min(1.0, likely), float(bad.var()), len(quiet))


def elevated(
    bad: _Floats,
    total: _Floats,
    reference: Reference,
    by_chance: bool,
    windows: Sequence[int] = WINDOWS_MINUTES,
) -> _Bools:
    """Where there is more than chance makes of the usual: in short windows first, then in what these leave."""
    size = len(bad)
    found = np.zeros(size, np.bool_)
    slack = 1.0 if by_chance else 0.0
    bads, totals = _prefix(bad), _prefix(total)
    for window in windows:
        width = min(window, size)
        if width == 0 or bads[-1] <= slack:
            break
        expected = reference.likely * (totals[width:] - totals[:-width])
        deviation = np.sqrt(np.maximum(expected * slack, reference.variance * width))
        limit = (expected + DEVIATIONS * deviation) * (1 + _ROUNDING) + slack
        starts = np.flatnonzero(bads[width:] - bads[:-width] > limit)
        if len(starts):
            steps = np.zeros(size + 1, np.int64)
            steps[starts] += 1
            steps[starts + width] -= 1
            covered = np.cumsum(steps[:-1]) > 0
            found |= covered
            bads, totals = _prefix(np.where(found, 0.0, bad)), _prefix(np.where(found, 0.0, total))
        if width == size:
            break
    return found


def _prefix(values: _Floats) -> _Floats:
    sums = np.zeros(len(values) + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _until_quiet(  # noqa: PLR0917 — the columns of a rank
    minutes: Minutes, left: _Floats, certain: _Bools, reference: Reference, low: int, high: int
) -> _Bools:
    """`elevated` up to the first `QUIET_MINUTES` without; more is looked at only as far as it goes on."""
    looked = QUIET_MINUTES + WINDOWS_MINUTES[-1]
    length = looked
    while True:
        length = min(length, high - low)
        part = slice(low, low + length)
        flagged = elevated(left[part], minutes.total[part], reference, minutes.by_chance) | certain[part]
        more = flagged & (left[part] > reference.ratio * minutes.total[part])
        active = np.concatenate(([-1], np.flatnonzero(more), [length + QUIET_MINUTES]))
        end = int(active[np.argmax(np.diff(active) > QUIET_MINUTES)]) + 1
        if end + looked <= length or length == high - low:
            return flagged[:end]
        length *= 2


def _runs(
    flagged: _Bools, low: int, left: _Floats, total: _Floats, reference: Reference
) -> Iterator[tuple[int, int, _Floats]]:
    """Stretches of flagged minutes, from the first to the last that has more than usual, with what is more."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flagged, [False])).astype(np.int8))) + low
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        more = np.maximum(0.0, left[start:end] - reference.ratio * total[start:end])
        over = np.flatnonzero(more)
        if not len(over):
            continue
        first, last = start + int(over[0]), start + int(over[-1]) + 1
        more = more[over[0] : over[-1] + 1]
        surplus = float(left[first:last].sum() - reference.ratio * total[first:last].sum())
        if surplus > 0:
            yield first, last, more * min(1.0, surplus / float(more.sum()))


def _run(found: _Found, left: _Floats, total: _Floats, share: _Floats) -> Run:
    place = slice(found.low, found.high)
    events, whole, own = float(total[place].sum()), float(found.excess.sum()), float(share.sum())
    return Run(
        low=found.low,
        high=found.high,
        total=events,
        bad=float(left[place].sum()),
        expected=events * found.reference.ratio,
        baseline=found.reference.ratio,
        reference_minutes=found.reference.minutes,
        among=whole / own if own > 0 else 1.0,
        excess=own,
    )


def _with_silence(minutes: Minutes) -> tuple[Minutes, _Bools]:
    """Bad events of the budget in slots that counted none, such as silence that counts as bad: they are spread over
    the slot, and need no further evidence.
    """
    each = minutes.slot_minutes
    spent, bad = (np.reshape(column, (-1, each)).sum(axis=1) for column in (minutes.spent, minutes.bad))
    silent = (spent > 0) & (bad <= _NOTHING)
    certain = np.repeat(silent, each)
    if not silent.any():
        return minutes, certain
    spread = np.repeat(spent / each, each)
    changed = Minutes(
        minutes.first,
        np.where(certain, spread, minutes.bad),
        np.where(certain, np.maximum(spread, minutes.total), minutes.total),
        minutes.present & ~certain,
        minutes.spent,
        minutes.allowed_ratio,
        each,
        minutes.by_chance,
        minutes.whole_slots,
    )
    return changed, certain


def _booked(minutes: Minutes, pieces: Sequence[Sequence[tuple[int, _Floats, Run]]]) -> Split:
    """From bad events as they were counted to those of the budget, in whole units."""
    each = minutes.slot_minutes
    spent = minutes.spent.reshape(-1, each).sum(axis=1)
    counted = minutes.bad.reshape(-1, each).sum(axis=1)
    price = np.divide(spent, counted, out=np.zeros_like(spent), where=(counted > _NOTHING) & (spent > 0))
    unit = _unit(float(np.abs(spent).sum()))
    whole = np.rint(spent / unit) * unit
    rest = whole.copy()
    parts = []
    for own in pieces:
        slots, amounts = _slots(own, each)
        amounts = np.floor(amounts * price[slots] / unit) * unit
        amounts = np.maximum(0.0, np.minimum(amounts, rest[slots]))
        rest[slots] -= amounts
        some = amounts > 0
        booked = minutes.first + (slots[some] + 1) * each - 1
        parts.append(Part(booked, amounts[some], tuple(run for _, _, run in own)))
    return Split(tuple(parts), _spread(whole, each), _spread(rest, each), unit)


def _slots(pieces: Sequence[tuple[int, _Floats, Run]], each: int) -> tuple[_Ints, _Floats]:
    """Slots (ascending, each once) and what was counted in them."""
    if not pieces:
        return np.zeros(0, np.int64), np.zeros(0)
    positions = np.concatenate([np.arange(low, low + len(share)) for low, share, _ in pieces]) // each
    amounts = np.concatenate([share for _, share, _ in pieces])
    slots, place = np.unique(positions, return_inverse=True)
    summed = np.zeros(len(slots))
    np.add.at(summed, place, amounts)
    return slots, summed


def _spread(slots: _Floats, each: int) -> _Floats:
    """Booked in the last minute of each slot."""
    found = np.zeros((len(slots), each))
    found[:, -1] = slots
    return found.reshape(-1)


def _unit(total: float) -> float:
    """The power of two of which `total` has fewer than 2^52; what is next to nothing is nothing."""
    return math.ldexp(1.0, max(math.frexp(total)[1] - _BITS, _LEAST)) if total > 0 else 1.0
