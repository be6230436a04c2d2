"""The stretches in which an objective lost budget that mattered: what an alert policy is there to tell of.

    burning   a minute is, when more than the allowed part of the events of the last half hour was bad (burn over 1)
    episode   consecutive such minutes; it begins and ends where its loss beyond what is allowed is greatest
    spent     its bad events / (the events of the objective's window at its end × (1 − target))

So an episode goes on until half an hour spends no more than is allowed, whatever single minutes do. One that spends
less than `least` of the budget is not worth a page, and nobody is blamed for not telling of it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.backtest.model import Episode
from setpoint.objective.backtest.tape import Tape

__all__ = ["QUIET_MINUTES", "episodes", "quiet_minutes"]

QUIET_MINUTES = 30

_Ints = npt.NDArray[np.int64]
_MINUTE_MS = 60_000
_ROUNDING = 1e-9


def quiet_minutes(tape: Tape) -> int:
    """How long it must be calm for an episode to be over: half an hour, for long slices three of them."""
    return max(QUIET_MINUTES, 3 * tape.slot_minutes)


def episodes(tape: Tape, start: int, end: int) -> list[Episode]:
    """All that have a minute of `start` to before `end`, in order, however little they spent."""
    allowed, quiet = tape.objective.allowed_ratio, quiet_minutes(tape)
    first = max(tape.first, start - 7 * 1440)  # one that began long ago is cut there
    minutes = np.arange(first, end)
    if not len(minutes):
        return []
    bad, total = tape.bad_and_total(minutes + 1 - quiet, minutes + 1)
    burning = bad > total * allowed * (1 + _ROUNDING) + _ROUNDING
    edges = np.flatnonzero(np.diff(burning, prepend=False, append=False))
    alone_bad, alone_total = tape.bad_and_total(minutes, minutes + 1)
    beyond = np.concatenate(([0.0], np.cumsum(alone_bad - alone_total * allowed)))
    found, stop = [], 0
    for low, high in edges.reshape(-1, 2).tolist():
        # `beyond[i]` is before minute i: the lowest before, and the highest after, hold the whole loss between them.
        early = min(low, max(stop, low + 1 - quiet))
        begin = low - int(beyond[early : low + 1][::-1].argmin())
        late = max(begin + 1, high - quiet)
        end_at = late + int(beyond[late : high + 1].argmax())
        if beyond[end_at] - beyond[begin] <= _ROUNDING:
            continue  # what burns is still the one before
        begin += int((alone_bad[begin:end_at] > 0).argmax())
        stop = end_at
        if stop + first > start:
            found.append(_episode(tape, begin + first, stop + first, is_open=high == len(minutes)))
    return found


def _episode(tape: Tape, begin: int, end: int, *, is_open: bool) -> Episode:
    edge = np.array([end])
    bad, total = (float(one[0]) for one in tape.bad_and_total(np.array([begin]), edge))
    window_total = float(tape.windows(edge).total[0])
    allowed = window_total * tape.objective.allowed_ratio
    return Episode(
        begin_ms=begin * _MINUTE_MS,
        end_ms=end * _MINUTE_MS,
        bad=bad,
        total=total,
        window_total=window_total,
        allowed=allowed,
        spent=bad / allowed if allowed > 0 else 0.0,
        burn=bad / total / tape.objective.allowed_ratio if total > 0 else 0.0,
        is_open=is_open,
    )
