"""The compiled rules by which alerts fire and resolve, for one instant or for thousands in a row.

`table` calls `advance` with the one instant of a tick, for all objectives; a backtest with every minute of its history,
for one. So what a backtest says of the past is what live evaluation says of the present: there is no second copy of the
rules. `table`'s docstring has them in words (decision 0026).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled

__all__ = [
    "FALSE",
    "FIRED",
    "FIRING",
    "HELD",
    "INACTIVE",
    "NEVER",
    "PENDING",
    "RESOLVED",
    "TRUE",
    "UNKNOWN",
    "advance",
    "warm",
]

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]
_Bytes = npt.NDArray[np.int8]

FALSE, UNKNOWN, TRUE, HELD = 0, 1, 2, 3
"""How true a condition is: HELD once it was true for its `after_s`. A policy is as true as its least."""

INACTIVE, PENDING, FIRING = 0, 1, 2
"""Where a policy stands."""

FIRED, RESOLVED = 1, 2
"""What happened to a policy at an instant; 0: nothing."""

NEVER = -(2**62)


@compiled
def _least(  # noqa: PLR0917 — the columns of the tables
    now: int, step: int, conditions: _Bytes, after_ms: _Ints, true_ms: _Ints, low: int, high: int
) -> int:
    """How true the least true of the conditions `low` to before `high` is; notes since when each has been."""
    least = np.int64(HELD)
    for c in range(low, high):
        one = np.int64(conditions[c])
        if one == FALSE:
            true_ms[c] = NEVER
        elif one == UNKNOWN:
            if true_ms[c] != NEVER:  # time in which it is unknown does not count
                true_ms[c] = min(true_ms[c] + step, now)
        else:
            if true_ms[c] == NEVER:
                true_ms[c] = now
            if now - true_ms[c] >= after_ms[c]:
                one = np.int64(HELD)
        least = min(least, one)
    return int(least)


@compiled
def _move(  # noqa: PLR0917 — the columns of the tables
    p: int, now: int, level: int, hold: int, may: bool, state: _Bytes, since_ms: _Ints, false_ms: _Ints
) -> int:
    """What a policy at this level does now."""
    if level >= TRUE:
        false_ms[p] = NEVER
    if state[p] == FIRING:
        if level == FALSE and false_ms[p] == NEVER:
            false_ms[p] = now
        if level == FALSE and now - false_ms[p] >= hold:
            state[p], false_ms[p] = INACTIVE, NEVER
            return RESOLVED
    elif may and level == HELD:
        state[p], since_ms[p] = FIRING, now
        return FIRED
    elif may and level == TRUE and state[p] != PENDING:
        state[p], since_ms[p] = PENDING, now
    elif level == FALSE and state[p] == PENDING:
        state[p], since_ms[p] = INACTIVE, now
    return 0


@compiled
def advance(  # noqa: PLR0917 — the columns of the tables
    now_ms: _Ints,
    step_ms: _Ints,
    conditions: _Bytes,
    after_ms: _Ints,
    true_ms: _Ints,
    first: _Ints,
    ends: _Ints,
    is_hidden: _Bools,
    hold_ms: _Ints,
    met: _Bools,
    silenced: _Bools,
    silent: _Bools,
    state: _Bytes,
    since_ms: _Ints,
    false_ms: _Ints,
    by_silence: _Bools,
    levels: _Bytes,
    moves: _Bytes,
) -> None:
    """Bring p policies through t instants, in order.

    Given, by instant: `now_ms` int64[t] and `step_ms` int64[t], how long before each the last evaluation was;
    `conditions` int8[t, c], how true each condition is; bool[t, p]: `met`, the low-traffic guard is, `silenced`,
    silence makes it true, `silent`, the objective is. Given, by policy: its conditions are `first` to before `ends`;
    `is_hidden`, `hold_ms`; by condition `after_ms`. Kept from instant to instant: `true_ms` int64[c] (since when a
    condition has been true), and by policy `state`, `since_ms`, `false_ms`, `by_silence`. Filled: `levels` int8[t, p],
    how true each policy is, and `moves` int8[t, p].
    """
    for t in range(len(now_ms)):
        for p in range(len(first)):
            level = _least(now_ms[t], step_ms[t], conditions[t], after_ms, true_ms, first[p], ends[p])
            if silenced[t, p]:
                level = HELD
            may = met[t, p] or silenced[t, p]
            if is_hidden[p]:
                if not may or level == UNKNOWN:
                    level = FALSE  # it must not linger on a page
            elif state[p] == FIRING and level == FALSE and silent[t, p]:
                level = UNKNOWN  # no data never resolves
            levels[t, p] = level
            moves[t, p] = _move(p, now_ms[t], level, hold_ms[p], may, state, since_ms, false_ms)
            if moves[t, p] == FIRED:
                by_silence[p] = silenced[t, p]


def warm() -> None:
    """Compile the kernel, or load it from the cache."""
    one, flag, byte = np.zeros(1, np.int64), np.zeros(1, np.bool_), np.zeros(1, np.int8)
    bytes_, flags = np.zeros((1, 1), np.int8), np.zeros((1, 1), np.bool_)
    advance(
        one, one, bytes_, one, one.copy(), one, one + 1, flag, one, flags, flags, flags,
        byte, one.copy(), one.copy(), flag.copy(), bytes_.copy(), bytes_.copy(),
    )  # fmt: skip
