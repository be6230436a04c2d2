"""Whether a flush of a group leads to a notification: Alertmanager's rule (`notify/dedup_stage.go`), with its numbers.

Pure. The dispatcher asks it for every integration of a group at every flush; what it answers is what pages show.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from setpoint.alert.from_objective import spoken_duration
from setpoint.alert.notify.model import Notification, Reason

__all__ = ["NO_REPEATS", "Decision", "Told", "decide", "shown_s"]

NO_REPEATS = 1 << 62
"""A repeat interval of those who are told once."""


@dataclass(frozen=True, slots=True)
class Told:
    """What an integration was told last of a group; `at_ms` is when that was decided, `delivered_ms` when it was heard
    (Unix milliseconds).
    """

    firing: AbstractSet[str]
    resolved: AbstractSet[str]
    at_ms: int
    delivered_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to notify (`reason` is None: not), in which words, and when the same would be told again."""

    reason: Reason | None
    words: str
    repeat_ms: int | None = None


class _Asked(NamedTuple):
    """By whose rules it is decided, and when."""

    send_resolved: bool
    repeat_interval_ms: int
    now_ms: int


def decide(
    told: Told | None,
    pending: Notification | None,
    firing: AbstractSet[str],
    resolved: AbstractSet[str],
    *,
    send_resolved: bool,
    repeat_interval_ms: int,
    now_ms: int,
) -> Decision:
    """`firing` and `resolved` are fingerprints of what is not muted. `pending` was decided and is not heard yet: the
    same is not told again for that, and what it tells is not dropped because it ended meanwhile.
    """
    decision = _against_log(told, firing, resolved, _Asked(send_resolved, repeat_interval_ms, now_ms))
    if pending is None:
        return decision
    unheard, ended = set(pending.firing), set(pending.resolved)
    if unheard == firing and (ended == resolved or not send_resolved):
        return Decision(None, f"is on its way ({_many(len(unheard), 'alert')} firing, not heard yet)")
    if decision.reason is not None:
        return decision
    if again := firing & ended:
        return Decision("new_alerts", f"{_many(len(again), 'alert')} firing again before the end was heard")
    over = unheard & resolved
    if over and send_resolved:
        words = f"{_many(len(over), 'alert')} ended before it was heard"
        return Decision("new_resolved" if firing else "all_resolved", words)
    return Decision(None, "an earlier notification is on its way; nothing new since")


def _against_log(
    told: Told | None, firing: AbstractSet[str], resolved: AbstractSet[str], asked: _Asked
) -> Decision:
    if told is None:
        if firing:
            return Decision("first", f"{_many(len(firing), 'alert')} firing, and it was told nothing before")
        return Decision(None, "nothing fires, and it was told nothing before")
    if new := firing - told.firing:
        words = f"{_many(len(new), 'alert')} firing that it was not told of ({len(firing)} firing in all)"
        return Decision("new_alerts", words)
    if firing:
        return _still_firing(told, firing, resolved, asked)
    if told.firing:
        return Decision("all_resolved", f"all {len(told.firing)} that it was told of have ended")
    return Decision(None, "nothing fires, and the last that it was told was that all ended")


def _still_firing(
    told: Told, firing: AbstractSet[str], resolved: AbstractSet[str], asked: _Asked
) -> Decision:
    if asked.send_resolved and (ended := resolved - told.resolved):
        return Decision("new_resolved", f"{_many(len(ended), 'alert')} ended; {len(firing)} still firing")
    if asked.repeat_interval_ms >= NO_REPEATS:
        return Decision(None, "it was told, and is told once")
    age_ms = asked.now_ms - told.at_ms
    words = f"it was told {shown_s(age_ms)} ago, and repeat_interval is {shown_s(asked.repeat_interval_ms)}"
    if age_ms >= asked.repeat_interval_ms:
        return Decision("repeat", f"{_many(len(firing), 'alert')} firing; {words}")
    return Decision(None, f"nothing new: {words}", told.at_ms + asked.repeat_interval_ms)


def shown_s(duration_ms: int) -> str:
    """A duration in words, such as `3 h 40 m`."""
    return spoken_duration(duration_ms / 1000)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
