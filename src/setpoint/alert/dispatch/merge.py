"""What is known of an alert after it was told again; as Alertmanager merges (`alert/alert.go`, `provider/mem`).

Pure; `book` calls it under its lock for every alert that comes in.
"""

from __future__ import annotations

from dataclasses import replace

from setpoint.alert.model import Alert

__all__ = ["merge", "received"]

_NEVER_MS = 1 << 62


def _end(alert: Alert) -> int:
    return _NEVER_MS if alert.ends_ms is None else alert.ends_ms


def received(known: Alert | None, new: Alert, now_ms: int) -> Alert:
    """What stands in the book once `new` came in: it replaces an alert that does not overlap it, which is an earlier
    one with the same labels, and is merged with one that does.
    """
    if known is None:
        return new
    start, end = known.starts_ms, _end(known)
    if start < _end(new) < end or start < new.starts_ms < end:
        return merge(known, new, now_ms)
    return new


def merge(one: Alert, other: Alert, now_ms: int) -> Alert:
    """Both as one alert, in either order: the earliest start, all else as the later of them says; an end that a client
    told is kept before a shorter one, and before one that was only a timeout; of two told ends in the past the later.
    """
    if other.updated_ms < one.updated_ms:
        one, other = other, one
    starts_ms = min(one.starts_ms, other.starts_ms)
    ends_ms = other.ends_ms
    if _end(one) > _end(other):
        if other.is_resolved(now_ms):
            ends_ms = one.ends_ms if one.is_resolved(now_ms) else ends_ms
        elif not one.is_timeout:
            ends_ms = one.ends_ms
    if starts_ms == other.starts_ms and ends_ms == other.ends_ms:
        return other
    return replace(other, starts_ms=starts_ms, ends_ms=ends_ms)
