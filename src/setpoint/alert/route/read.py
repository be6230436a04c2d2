"""Reads an alertmanager.yml as it is: every section that Alertmanager 0.25 to 0.34 knows, into a `Routing`.

What Alertmanager refuses is refused, all of it at once and each with its line and what to write instead. What only
Alertmanager does (`tracing`, `event_recorder`) and channels that Setpoint cannot send to are warnings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from setpoint.alert.route.hide import hidden
from setpoint.alert.route.interval import TimeInterval
from setpoint.alert.route.matcher import Matcher, parse_matchers, shown_matchers
from setpoint.alert.route.model import InhibitRule, Route, Routing
from setpoint.alert.route.read_interval import read_interval
from setpoint.alert.route.receivers import Reading, read_global, read_receivers
from setpoint.errors import InvalidInput
from setpoint.resource.canonical import canonical_yaml
from setpoint.resource.duration import duration_ms
from setpoint.resource.fields import Fields, open_document

__all__ = ["read_document", "read_routing"]

_TOP = (
    "global",
    "route",
    "receivers",
    "inhibit_rules",
    "time_intervals",
    "mute_time_intervals",
    "templates",
    "tracing",
    "event_recorder",
)
_ROUTE = (
    "receiver",
    "group_by",
    "match",
    "match_re",
    "matchers",
    "mute_time_intervals",
    "active_time_intervals",
    "continue",
    "routes",
    "group_wait",
    "group_interval",
    "repeat_interval",
    "labels",
)
_RULE = (
    "name",
    "source_match",
    "source_match_re",
    "source_matchers",
    "target_match",
    "target_match_re",
    "target_matchers",
    "equal",
)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_ONLY_BELOW = ("match", "match_re", "matchers", "mute_time_intervals", "active_time_intervals")


def read_routing(
    file: str, text: str, *, sendable: Collection[str] | None = None, is_whole_path: bool = True
) -> Routing:
    """The configuration that stands in a file. Raises InvalidInput with every problem, its line and the remedy.

    Names of files are made whole with the folder of `file`, unless `is_whole_path` is off. Of kinds of channels that
    are not `sendable` (None: all are) a warning is left.
    """
    fields = open_document(file, text, begins="'route:' and 'receivers:'")
    folder = Path(file).parent if is_whole_path and file else None
    return read_document(fields, Reading(folder, sendable))


def read_document(document: Fields, reading: Reading) -> Routing:
    """The configuration of a mapping with its lines. Raises InvalidInput with every problem."""
    document.only(_TOP)
    defaults = read_global(document, reading)
    known = _Known(
        receivers=read_receivers(document, defaults, reading),
        intervals=_intervals(document),
        reading=reading,
    )
    for name in ("tracing", "event_recorder"):
        if document.has(name):
            reading.warn(document, f"'{name}' is about Alertmanager itself; Setpoint does not use it", name)
    rules = tuple(_rule(fields) for fields in document.items("inhibit_rules"))
    route = _root(document, known)
    templates = tuple(reading.file_name(one) for one in document.texts("templates"))
    if document.problems or route is None:
        raise InvalidInput(problems=tuple(document.problems))
    return Routing(
        route=route,
        receivers=known.receivers,
        inhibit_rules=rules,
        intervals=known.intervals,
        templates=templates,
        resolve_timeout_ms=duration_ms(defaults["resolve_timeout"]),
        text=canonical_yaml({name: hidden({name: document.value(name)})[name] for name in document.names}),
        file=document.file,
        warnings=tuple(reading.warnings),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """What routes may name."""

    receivers: Mapping[str, Any]
    intervals: Mapping[str, TimeInterval]
    reading: Reading


def _intervals(document: Fields) -> dict[str, TimeInterval]:
    found: dict[str, TimeInterval] = {}
    for section in ("mute_time_intervals", "time_intervals"):
        for fields in document.items(section):
            interval = read_interval(fields)
            if interval.name in found:
                fields.report(
                    f"time interval '{interval.name}' is not unique; give each a name of its own", "name"
                )
            found[interval.name] = interval
    return found


def _root(document: Fields, known: _Known) -> Route | None:
    fields = document.below("route")
    if fields is None:
        if not document.problems or not document.has("route"):
            document.report("no routes provided; write 'route:' with a 'receiver:' in it", "route")
        return None
    if not fields.text("receiver"):
        fields.report(
            "root route must specify a default receiver; write 'receiver:' with one of the names", "receiver"
        )
    for name in _ONLY_BELOW:
        if fields.value(name):
            what = name.replace("_", " ") if name.endswith("intervals") else "matchers"
            fields.report(
                f"root route must not have any {what}, since it takes whatever no other route takes; move them to a "
                "route under 'routes'",
                name,
            )
    if _flag(fields, "continue"):
        fields.report("cannot have continue in root route; remove it", "continue")
    return _route(fields, known, Route(receiver=""), is_root=True)


def _route(fields: Fields, known: _Known, above: Route, *, is_root: bool = False) -> Route:
    """A route with all below it; what it does not say it takes from the one above."""
    fields.only(_ROUTE)
    receiver = fields.text("receiver")
    if receiver and receiver not in known.receivers:
        fields.report(
            f"undefined receiver '{receiver}' used in route; {_one_of(known.receivers)}", "receiver"
        )
    if fields.has("labels"):
        fields.pairs("labels")
        known.reading.warn(fields, "labels of routes are read, and no template uses them", "labels")
    matchers = _matchers(fields, "match", "match_re", "matchers")
    key = shown_matchers(matchers)
    place = fields.place[-1]
    route = Route(
        receiver=receiver or above.receiver,
        group_by=_group_by(fields, above),
        group_wait_ms=fields.duration("group_wait", above.group_wait_ms),
        group_interval_ms=_interval(fields, "group_interval", above.group_interval_ms),
        repeat_interval_ms=_interval(fields, "repeat_interval", above.repeat_interval_ms),
        matchers=matchers,
        continues=_flag(fields, "continue"),
        mute_intervals=_names(fields, "mute_time_intervals", known),
        active_intervals=_names(fields, "active_time_intervals", known),
        key=key if is_root else f"{above.key}/{key}",
        id="0" if is_root else f"{above.id}.{place}",
        line=fields.line,
    )
    return replace(route, routes=tuple(_route(below, known, route) for below in fields.items("routes")))


def _group_by(fields: Fields, above: Route) -> tuple[str, ...] | None:
    if not fields.has("group_by"):
        return above.group_by
    names = fields.texts("group_by")
    for index, name in enumerate(names):
        if not name:
            fields.report("invalid label name '' in group_by list; remove it", "group_by", index)
        elif name in names[:index]:
            fields.report(f"duplicated label '{name}' in group_by; remove one", "group_by", index)
    if "..." not in names:
        return tuple(names)
    if len(names) > 1:
        fields.report(
            "cannot have wildcard group_by (`...`) and other labels at the same time; remove either",
            "group_by",
        )
    return None


def _interval(fields: Fields, name: str, above: int) -> int:
    if not fields.has(name):
        return above
    before = len(fields.problems)
    found = fields.duration(name)
    if found == 0 and len(fields.problems) == before:
        fields.report(f"{name} cannot be zero; write one such as 5m", name)
    return found


def _names(fields: Fields, name: str, known: _Known) -> tuple[str, ...]:
    found = fields.texts(name)
    for index, one in enumerate(found):
        if one not in known.intervals:
            told = f"undefined time interval '{one}' used in route; {_one_of(known.intervals)}"
            fields.report(told, name, index)
    return tuple(found)


def _one_of(known: Collection[str]) -> str:
    names = sorted(known)
    if not names:
        return "there is none; write one first"
    return f"there are {', '.join(names[:20])}{' and more' if len(names) > 20 else ''}"


def _flag(fields: Fields, name: str) -> bool:
    text = fields.text(name, "false").lower()
    if text not in ("true", "yes", "on", "y", "false", "no", "off", "n", ""):
        fields.report("true or false is expected here", name)
    return text in ("true", "yes", "on", "y")


def _rule(fields: Fields) -> InhibitRule:
    fields.only(_RULE)
    equal = fields.texts("equal")
    for index, name in enumerate(equal):
        if not name:
            fields.report("invalid label name '' in equal list; remove it", "equal", index)
    return InhibitRule(
        source=_matchers(fields, "source_match", "source_match_re", "source_matchers"),
        target=_matchers(fields, "target_match", "target_match_re", "target_matchers"),
        equal=tuple(dict.fromkeys(equal)),
        name=fields.text("name"),
        line=fields.line,
    )


def _matchers(fields: Fields, same: str, described: str, newer: str) -> tuple[Matcher, ...]:
    """All matchers of the three forms, in Alertmanager's order."""
    found = [Matcher(name, value) for name, value in _pairs(fields, same)]
    for name, value in _pairs(fields, described):
        if fields.value(described)[name] is None:
            fields.report(f"invalid regexp value for '{name}'; write an expression", described, name)
        try:
            found.append(Matcher(name, f"^(?:{value})$", "=~"))
        except InvalidInput as error:
            fields.report(error.message, described, name)
    for index, text in enumerate(fields.texts(newer)):
        try:
            found += parse_matchers(text)
        except InvalidInput as error:
            fields.report(error.message, newer, index)
    return tuple(sorted(found, key=lambda one: one.order))


def _pairs(fields: Fields, section: str) -> list[tuple[str, str]]:
    pairs = fields.pairs(section)
    for name in pairs:
        if not _LABEL.fullmatch(name):
            fields.report(
                f"invalid label name '{name}'; write letters, digits and '_', or use matchers", section, name
            )
    return list(pairs.items())
