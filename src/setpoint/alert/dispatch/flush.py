"""One flush of one group: which of its alerts are muted, and what each integration has to be told of the others.

Pure but for the functions that it is given. `Dispatcher` stores what comes out, for all groups that are due at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from setpoint.alert.dispatch.decide import Decision, Told, decide
from setpoint.alert.dispatch.group import Group, Mute
from setpoint.alert.dispatch.log import Key
from setpoint.alert.model import Alert, Labels
from setpoint.alert.notify.model import Notification
from setpoint.alert.route.model import Integration

__all__ = ["Flush", "Senses", "flush_group"]


@dataclass(frozen=True, slots=True)
class Senses:
    """What a flush asks of others; all at one instant."""

    silenced_by: Callable[[Labels], tuple[str, ...]]
    inhibited_by: Callable[[Labels], tuple[str, ...]]
    told: Callable[[Key], Told | None]
    pending: Mapping[Key, Notification]


@dataclass(slots=True)
class Flush:
    """What has to be stored of a flush: notifications, integrations whose log is cleared without telling them, and
    `forgotten`: of which alerts the log must not say any more that they fire, because they ended while they were muted.
    """

    group: Group
    notifications: list[Notification] = field(default_factory=list)
    cleared: list[Key] = field(default_factory=list)
    resolved: frozenset[str] = frozenset()
    forgotten: list[tuple[Key, frozenset[str]]] = field(default_factory=list)


def flush_group(group: Group, senses: Senses, now_ms: int) -> Flush:
    """Decide for every integration of a group; the group remembers what was decided and why."""
    _mute(group, senses)
    live = [] if group.muted_by else [one for name, one in group.alerts.items() if name not in group.muted]
    resolved = frozenset(one.fingerprint for one in live if one.is_resolved(now_ms))
    firing = frozenset(one.fingerprint for one in live) - resolved
    flush = Flush(group, resolved=resolved)
    group.handled = {name: one for name, one in group.alerts.items() if one.is_resolved(now_ms)}
    told: list[Alert] | None = None
    owed = group.take_owed(resolved)
    for integration in group.integrations:
        decision = _decided(group, integration, senses, firing=firing, resolved=resolved, now_ms=now_ms)
        if owed and decision.reason is None and integration.send_resolved and not firing:
            decision = _late(group, integration, senses, owed) or decision
        group.decisions[integration.key] = decision, now_ms
        if decision.reason is None:
            continue
        if not firing and not integration.send_resolved:
            flush.cleared.append(group.log_key(integration))
            continue
        told = sorted(live, key=_order) if told is None else told
        made = _notification(group, integration, decision, told, resolved=resolved, now_ms=now_ms)
        flush.notifications.append(made)
    _forget(group, flush, senses)
    return flush


def _late(group: Group, integration: Integration, senses: Senses, owed: AbstractSet[str]) -> Decision | None:
    """Nothing fires any more, and of some that did nobody was told while it could be: then their end is told."""
    key = group.log_key(integration)
    told = senses.told(key)
    untold = owed if told is None else owed - told.firing - told.resolved
    if not untold or key in senses.pending:
        return None
    return Decision("all_resolved", f"{len(untold)} that fired ended before anybody could be told")


def _forget(group: Group, flush: Flush, senses: Senses) -> None:
    """What ends while it is muted leaves without a word. It is new when it fires again: else nobody would be told of
    that before the repeat interval.
    """
    gone = frozenset(group.handled if group.muted_by else group.handled.keys() & group.muted.keys())
    if not gone:
        return
    for integration in group.integrations:
        key = group.log_key(integration)
        told = senses.told(key)
        if told is not None and told.firing & gone:
            flush.forgotten.append((key, gone))


def _mute(group: Group, senses: Senses) -> None:
    """Leave in the group which of its alerts are muted, and by what."""
    group.muted = {}
    for fingerprint, alert in group.alerts.items():
        inhibited_by = senses.inhibited_by(alert.labels)
        silenced_by = senses.silenced_by(alert.labels)
        if inhibited_by or silenced_by:
            group.muted[fingerprint] = Mute(silenced_by, inhibited_by)


def _order(alert: Alert) -> tuple[str, str, str, str]:
    labels = alert.labels
    return labels.get("job", ""), labels.get("instance", ""), labels.get("alertname", ""), alert.fingerprint


def _decided(
    group: Group,
    integration: Integration,
    senses: Senses,
    *,
    firing: frozenset[str],
    resolved: frozenset[str],
    now_ms: int,
) -> Decision:
    if not firing and not resolved:  # muted alerts vanish before anything is decided
        if group.muted_by:
            return Decision(None, f"the route is muted by {', '.join(group.muted_by)}")
        return Decision(None, "every alert of the group is muted" if group.alerts else "the group is empty")
    key = group.log_key(integration)
    return decide(
        senses.told(key),
        senses.pending.get(key),
        firing,
        resolved,
        send_resolved=integration.send_resolved,
        repeat_interval_ms=group.repeat_ms,
        now_ms=now_ms,
    )


def _notification(
    group: Group,
    integration: Integration,
    decision: Decision,
    live: list[Alert],
    *,
    resolved: frozenset[str],
    now_ms: int,
) -> Notification:
    assert decision.reason is not None
    told = live if integration.send_resolved else [one for one in live if one.fingerprint not in resolved]
    names = [one.fingerprint for one in told]
    return Notification(
        receiver=group.place.receiver,
        integration=integration.key,
        group_key=group.place.key,
        group_labels=group.place.labels,
        alerts=tuple(told),
        firing=tuple(name for name in names if name not in resolved),
        resolved=tuple(name for name in names if name in resolved),
        reason=decision.reason,
        at_ms=now_ms,
    )
