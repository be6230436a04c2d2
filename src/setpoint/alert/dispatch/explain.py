"""Why an alert did or did not notify, in sentences with the numbers, and how groups stand: for pages, API, commands.

Called by `Dispatcher` under its lock. Mutes are asked anew, at the instant of the question; decisions are those of the
last flush.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from setpoint.alert.dispatch.decide import NO_REPEATS, shown_s
from setpoint.alert.dispatch.group import Group, Place
from setpoint.alert.dispatch.status import (
    AlertStatus,
    Explanation,
    GroupView,
    IntegrationView,
    RouteExplained,
)
from setpoint.alert.model import Alert
from setpoint.alert.route.model import Integration
from setpoint.clock import rfc3339

if TYPE_CHECKING:
    from setpoint.alert.dispatch.dispatcher import Dispatcher

__all__ = ["explain", "group_view", "status_of"]

_OUTCOMES = {
    "told": "{} was told of it",
    "sending": "a notification to {} is on its way",
    "waiting": "{} is told at the next flush of its group",
}


def status_of(dispatcher: Dispatcher, fingerprint: str, now_ms: int) -> AlertStatus:
    """How an alert stands now."""
    alert, places = dispatcher.book.get(fingerprint), dispatcher.places(fingerprint)
    if alert is None or not places:
        return AlertStatus()
    silenced_by = dispatcher.silences.mutes(alert.labels, now_ms)
    inhibited_by = dispatcher.inhibitor.inhibited_by(alert.labels, now_ms)
    muting = [_muted_by(dispatcher, place, now_ms) for place in places]
    return AlertStatus(
        "suppressed" if silenced_by or inhibited_by or all(muting) else "active",
        tuple(silenced_by),
        tuple(inhibited_by),
        tuple(dict.fromkeys(name for names in muting for name in names)),
        tuple(dict.fromkeys(place.receiver for place in places)),
    )


def group_view(dispatcher: Dispatcher, group: Group) -> GroupView:
    """One group as it stands."""
    now_ms, place = dispatcher.clock.now_ms(), group.place
    return GroupView(
        receiver=place.receiver,
        group_labels=place.labels,
        group_key=place.key,
        route=_route_id(place),
        alerts=tuple(group.alerts.values()),
        next_flush_ms=group.due_ms,
        last_flush_ms=group.last_flush_ms,
        integrations=tuple(_integration(dispatcher, group, one, now_ms) for one in group.integrations),
        muted_by=_muted_by(dispatcher, place, now_ms),
    )


def explain(dispatcher: Dispatcher, fingerprint: str, now_ms: int) -> Explanation:
    """See above."""
    alert = dispatcher.book.get(fingerprint)
    if alert is None:
        words = "no alert of this fingerprint is known: it never came, or it ended and was dropped"
        return Explanation(fingerprint, is_known=False, summary=words, is_leader=dispatcher.is_leading)
    status = status_of(dispatcher, fingerprint, now_ms)
    routes = tuple(
        _route(dispatcher, alert, place, status, now_ms) for place in dispatcher.places(fingerprint)
    )
    return Explanation(
        fingerprint,
        is_known=True,
        summary=_summary(dispatcher, alert, status, routes, now_ms),
        status=status,
        lines=tuple(_common_lines(dispatcher, alert, status, now_ms)),
        routes=routes,
        is_leader=dispatcher.is_leading,
    )


def _summary(
    dispatcher: Dispatcher, alert: Alert, status: AlertStatus, routes: tuple[RouteExplained, ...], now_ms: int
) -> str:
    """What happened on all routes: that one receiver was told must not hide that another was not."""
    state = "It has ended" if alert.is_resolved(now_ms) else "It fires"
    if not routes:
        return f"{state}, and was not looked at yet."
    parts = [state]
    for outcome, words in _OUTCOMES.items():
        if found := [one for one in routes if one.outcome == outcome and one.integrations]:
            parts.append(words.format(_names(found)))
    if any(one.outcome == "muted" for one in routes):
        parts.append(
            f"it is muted ({_mutes(dispatcher, status)})" if _mutes(dispatcher, status) else "it is muted"
        )
    if len(parts) > 1:
        return "; ".join(parts) + "."
    if all(not one.integrations for one in routes):
        return f"{state}, and its receiver {_names(list(routes))} has no integration: nobody is told."
    return f"{state}; nobody had to be told."


def _names(routes: list[RouteExplained]) -> str:
    return ", ".join(dict.fromkeys(f"'{one.receiver}'" for one in routes))


def _mutes(dispatcher: Dispatcher, status: AlertStatus) -> str:
    parts = []
    if status.silenced_by:
        parts.append(f"silence {', '.join(status.silenced_by)}")
    if status.inhibited_by:
        parts.append(f"inhibited by {', '.join(_named(dispatcher, one) for one in status.inhibited_by)}")
    if status.muted_by:
        parts.append(f"time interval {', '.join(status.muted_by)}")
    return "; ".join(parts)


def _named(dispatcher: Dispatcher, fingerprint: str) -> str:
    alert = dispatcher.book.get(fingerprint)
    return f"{alert.name} ({fingerprint})" if alert is not None and alert.name else f"alert {fingerprint}"


def _common_lines(dispatcher: Dispatcher, alert: Alert, status: AlertStatus, now_ms: int) -> list[str]:
    lines = [f"fires since {rfc3339(alert.starts_ms)} ({shown_s(now_ms - alert.starts_ms)})"]
    if alert.is_resolved(now_ms):
        assert alert.ends_ms is not None
        how = "nobody told it again in time" if alert.is_timeout else "its source said so"
        lines.append(f"ended at {rfc3339(alert.ends_ms)}: {how}")
    elif alert.ends_ms is not None:
        lines.append(f"ends at {rfc3339(alert.ends_ms)} unless it is told again")
    lines += [f"silence {one} mutes it" for one in status.silenced_by]
    lines += [f"{_named(dispatcher, one)} inhibits it" for one in status.inhibited_by]
    if not dispatcher.is_leading:
        lines.append("another replica dispatches; what it decided is read from the log")
    return lines


def _route(
    dispatcher: Dispatcher, alert: Alert, place: Place, status: AlertStatus, now_ms: int
) -> RouteExplained:
    group = dispatcher.group(place)
    muted_by = _muted_by(dispatcher, place, now_ms)
    holds = group is not None and alert.fingerprint in group.alerts
    integrations = (
        ()
        if group is None
        else tuple(_integration(dispatcher, group, one, now_ms) for one in group.integrations)
    )
    outcome = _outcome(dispatcher, alert, place, now_ms)
    if outcome in {"waiting", "quiet"} and (muted_by or status.silenced_by or status.inhibited_by):
        outcome = "muted"
    lines = [_matched(place)]
    lines += [f"time interval {name} mutes the route" for name in muted_by]
    if not dispatcher.integrations(place):
        lines.append(f"receiver '{place.receiver}' has no integration: nobody is told")
    if group is not None:
        lines += _group_lines(dispatcher, group, alert, holds, now_ms)
        lines += _flap_lines(dispatcher, alert, place, now_ms)
    return RouteExplained(
        route=_route_id(place),
        receiver=place.receiver,
        group_key=place.key,
        group_labels=place.labels,
        next_flush_ms=group.due_ms if group is not None and holds else None,
        integrations=integrations,
        outcome=outcome,
        lines=tuple(lines),
    )


def _outcome(dispatcher: Dispatcher, alert: Alert, place: Place, now_ms: int) -> str:
    """What became of the alert on one route, over all integrations: told only if none has to hear of it still."""
    found = set()
    ended = alert.is_resolved(now_ms)
    for integration in dispatcher.integrations(place):
        key = place.receiver, integration.key, place.key
        told, pending = dispatcher.log.told(key, now_ms), dispatcher.pending.get(key)
        if pending is not None and alert.fingerprint in {*pending.firing, *pending.resolved}:
            found.add("sending")
        elif told is not None and alert.fingerprint in (told.resolved if ended else told.firing):
            found.add("told")
        elif told is not None and ended and alert.fingerprint in told.firing:
            found.add("waiting" if integration.send_resolved else "told")
        else:
            found.add("quiet" if ended else "waiting")
    return next((one for one in ("sending", "waiting", "told") if one in found), "quiet")


def _flap_lines(dispatcher: Dispatcher, alert: Alert, place: Place, now_ms: int) -> list[str]:
    """What ended and began again between two flushes looks to its receivers as if nothing had happened."""
    entry = dispatcher.book.entry(alert.fingerprint)
    if entry is None or alert.is_resolved(now_ms):
        return []
    lines = []
    for integration in dispatcher.integrations(place):
        told = dispatcher.log.told((place.receiver, integration.key, place.key), now_ms)
        if told is not None and alert.fingerprint in told.firing and entry.episode_ms > told.at_ms:
            ago = shown_s(now_ms - entry.episode_ms)
            lines.append(
                f"{integration.key}: it ended and fired again {ago} ago, between two flushes, so this is not news to it"
            )
    return lines


def _matched(place: Place) -> str:
    if place.route is None:
        return f"a notification target of its objective: '{place.receiver}'"
    where = "" if place.route.line is None else f" (line {place.route.line})"
    return f"route {place.route.key}{where} took it, receiver '{place.receiver}'"


def _group_lines(dispatcher: Dispatcher, group: Group, alert: Alert, holds: bool, now_ms: int) -> list[str]:
    lines = []
    others = len(group.alerts) - holds
    labels = ", ".join(f"{name}={value}" for name, value in group.place.labels.items()) or "no labels"
    lines.append(f"group of {labels}, with {others} other alert{'' if others == 1 else 's'}")
    repeat = "once" if group.repeat_ms >= NO_REPEATS else shown_s(group.repeat_ms)
    if group.place.route is not None:
        lines.append(
            f"group_wait {shown_s(group.wait_ms)}, group_interval {shown_s(group.interval_ms)}, "
            f"repeat_interval {repeat}"
        )
    if group.last_flush_ms is None:
        lines.append(f"not flushed yet; the first flush is in {shown_s(group.due_ms - now_ms)}")
    else:
        wait = shown_s(max(0, group.due_ms - now_ms))
        lines.append(f"flushed {shown_s(now_ms - group.last_flush_ms)} ago; the next flush is in {wait}")
    mute = group.muted.get(alert.fingerprint)
    if mute is not None:
        why = _mutes(dispatcher, AlertStatus("suppressed", mute.silenced_by, mute.inhibited_by))
        lines.append(f"left out of the last flush: {why}")
        if alert.is_resolved(now_ms):
            lines.append("it ended while it was muted, so nobody is told that it ended")
    return lines


def _integration(
    dispatcher: Dispatcher, group: Group, integration: Integration, now_ms: int
) -> IntegrationView:
    key = group.log_key(integration)
    told, decided = dispatcher.log.told(key, now_ms), group.decisions.get(integration.key)
    if key in dispatcher.pending:
        state = "sending"
    elif decided is None:
        state = "waiting"
    elif group.alerts and (group.muted_by or len(group.muted) == len(group.alerts)):
        state = "muted"
    else:
        state = "notified" if told is not None and told.firing else "quiet"
    return IntegrationView(
        integration=integration.key,
        state=state,
        decision=_decision(dispatcher, group, integration, now_ms),
        decided_ms=None if decided is None else decided[1],
        notified_ms=None if told is None else told.delivered_ms,
        notified_firing=0 if told is None else len(told.firing),
        repeat_ms=None if decided is None else decided[0].repeat_ms,
    )


def _decision(dispatcher: Dispatcher, group: Group, integration: Integration, now_ms: int) -> str:
    pending, decided = (
        dispatcher.pending.get(group.log_key(integration)),
        group.decisions.get(integration.key),
    )
    if pending is not None:
        words = f"{len(pending.firing)} firing, {len(pending.resolved)} ended"
        return (
            f"a notification was decided {shown_s(now_ms - pending.at_ms)} ago and is not heard yet ({words})"
        )
    if decided is None:
        return f"not decided yet; the first flush is in {shown_s(max(0, group.due_ms - now_ms))}"
    return decided[0].words


def _muted_by(dispatcher: Dispatcher, place: Place, now_ms: int) -> tuple[str, ...]:
    return () if place.route is None else dispatcher.routing.muted_by(place.route, now_ms)


def _route_id(place: Place) -> str:
    return place.receiver if place.route is None else place.route.id
