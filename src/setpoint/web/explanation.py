"""How the numbers of an objective come about, with the values filled in: what its page, its JSON and
`setpoint slo explain` tell.

Made from what the book says of an objective and from what was declared, so that nothing here computes anew: a value in
a formula is the value that was used. Sentences are for people; `Step.value` is for programs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from setpoint.objective import BurnRate, Objective, ObjectiveStatus, State
from setpoint.objective.alerting.policy import short_duration
from setpoint.objective.calendar_window import window_at
from setpoint.objective.model import AlertStatus, Calendar
from setpoint.objective.overview import STATES, Overview
from setpoint.web import format
from setpoint.web.page import query_string

__all__ = ["BurnStep", "Explanation", "PartStatus", "Step", "WindowSpan", "counted_as", "explain"]

_SIGNS = {"lte": "≤", "gte": "≥", "lt": "<", "gt": ">"}
_LANGUAGES = {"promql": "PromQL", "sql": "SQL", "spans": "spans"}
_MINUS = "\u2212"


@dataclass(frozen=True, slots=True)
class Step:
    """A number: the formula, the same with values, and what comes out (as text, and as a number)."""

    name: str
    formula: str
    values: str
    result: str
    value: float | None


@dataclass(frozen=True, slots=True)
class BurnStep:
    """A row of burn rates: both windows as steps, the threshold, and whether both are beyond it.

    `nearness` is the lower of the two burns as a part of the threshold: at 1 it is reached. None: no events in one.
    """

    severity: str
    threshold: float
    long_s: int
    short_s: int
    long: Step
    short: Step
    nearness: float | None
    is_firing: bool
    is_reachable: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked: `explore` is the address that shows it as a graph, None where Explore cannot."""

    role: str
    text: str
    language: str
    explore: str | None


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part of a composite and where it stands; `state` is None for one that does not exist."""

    name: str
    weight: float
    share: float
    target: float | None
    state: State | None
    sli: float | None
    budget_left: float | None


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """The window that the budget belongs to, in Unix ms; `words` says it, `since` when it began (by its own clock).

    `end_ms` is None for a rolling one, `since` empty.
    """

    begin_ms: int
    end_ms: int | None
    words: str
    since: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it for one objective; `counted` says what an event is, `unit` what one is called."""

    name: str
    display_name: str
    service: str
    state: State
    reason: str
    evaluated_at_ms: int
    unit: str
    window: WindowSpan
    counted: tuple[str, ...]
    queries: tuple[Query, ...]
    steps: tuple[Step, ...]
    burn: tuple[BurnStep, ...]
    alerts: tuple[AlertStatus, ...]
    parts: tuple[PartStatus, ...]
    data: tuple[str, ...]
    warnings: tuple[str, ...] = field(default=())
    adjusted: tuple[str, ...] = ()
    """What is left out of the window, counted good or corrected, and what that does to the budget."""


def explain(
    objective: Objective, status: ObjectiveStatus, overview: Overview, *, now_ms: int, no_data_after_s: float
) -> Explanation:
    """`overview` tells of a composite's parts; `no_data_after_s` is the server's setting."""
    unit = counted_as(objective)
    return Explanation(
        name=status.name,
        display_name=status.display_name,
        service=status.service,
        state=status.state,
        reason=status.reason,
        evaluated_at_ms=status.evaluated_at_ms,
        unit=unit,
        window=_window(objective, status, now_ms),
        counted=tuple(_counted(objective)),
        queries=tuple(_queries(objective)),
        steps=tuple(_steps(objective, status)),
        burn=tuple(_burn(objective, rate, status.alerts) for rate in sorted(status.burn, key=_by_window)),
        alerts=status.alerts,
        parts=tuple(_parts(objective, overview)),
        data=tuple(_data(objective, status, no_data_after_s)),
        warnings=tuple(
            warning
            for warning in status.warnings
            if not any(warning in alert.warnings for alert in status.alerts)
        ),
    )


def counted_as(objective: Objective) -> str:
    """What the events of the budget are called: events, minutes, or slices."""
    if objective.method != "Occurrences":
        return "slices"
    return "events" if objective.kind == "ratio" else "minutes"


def _by_window(rate: BurnRate) -> tuple[int, int]:
    return rate.long_s, rate.short_s


# ---- what is counted -------------------------------------------------------------------------------------------------


def _counted(objective: Objective) -> list[str]:
    told = [_of_kind(objective)]
    if objective.group and objective.engine != "promql":
        what = "spans" if objective.engine == "spans" else "rows"
        values = " and ".join(f"{label} = {value}" for label, value in objective.group.items())
        told.append(f"Of what the queries give, the {what} of this group count: {values}.")
    slices = f"slice of {format.span(objective.slice_s)}"
    if objective.method == "Timeslices":
        least = format.percent(objective.slice_target)
        told.append(
            f"The budget is kept in time slices: each {slices} is one event, good where at least {least} of what was "
            "counted in it is good. A slice without data counts nothing."
        )
    elif objective.method == "RatioTimeslices":
        told.append(
            f"The budget is kept in time slices: each {slices} is one event that is as good as the ratio of what was "
            "counted in it, so that a quiet slice weighs as much as a busy one. A slice without data counts nothing."
        )
    return told


def _of_kind(objective: Objective) -> str:
    if objective.kind == "composite":
        return _of_composite(objective)
    if objective.kind == "threshold":
        sign, value = _SIGNS.get(objective.op or "", "?"), objective.value
        limit = "?" if value is None else f"{value:.10g}"
        return f"Each minute with a value is one event, good where the value at its end is {sign} {limit}."
    if objective.kind == "raw":
        good = "one minus the value" if objective.raw_is_failure else "the value"
        what = "bad" if objective.raw_is_failure else "good"
        return (
            f"The query gives a ready-made ratio of what is {what}; each minute with a value is one event, "
            f"of which {good} is good."
        )
    if objective.engine != "promql":
        return "Events are counted for each minute; good ones are among them."
    other = "good" if objective.good_query is not None else "bad"
    if objective.is_counter:
        return (
            f"Events are what the counters of the total query grew by in each minute, and {other} ones those of the "
            f"{other} query: exactly, over resets and restarts, without extrapolating."
        )
    return (
        "The value of each query at the end of a minute is the number of events, "
        f"and of {other} ones, in that minute."
    )


def _of_composite(objective: Objective) -> str:
    if objective.all_of:
        return (
            "Each minute in which every part has data is one event, good where every part met its own target."
        )
    return (
        "Each minute in which every part has data is one event, as good as the mean of the parts' ratios, "
        "each by its weight."
    )


def _queries(objective: Objective) -> list[Query]:
    roles = {"ratio": "Total", "raw": "Ratio", "threshold": "Value", "composite": ""}
    asked = [
        ("Good", objective.good_query),
        ("Bad", objective.bad_query),
        (roles[objective.kind], objective.total_query if objective.kind != "composite" else ""),
    ]
    return [_query(objective, role, text) for role, text in asked if text]


def _query(objective: Objective, role: str, text: str) -> Query:
    address = None
    if objective.engine == "promql":
        address = "/explore" + query_string(q=text, source=objective.source)
    shown = _as_lines(text) if objective.engine == "spans" else text
    return Query(role, shown, _LANGUAGES[objective.engine], address)


def _as_lines(text: str) -> str:
    """A selection of spans, which is kept as JSON, as one condition a line."""
    try:
        known = json.loads(text)
    except ValueError:
        return text
    if not isinstance(known, Mapping):
        return text
    return "\n".join(
        f"{key}: {_words(value)}" for key, value in known.items() if value not in (None, [], {}, "")
    )


def _words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_words(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.10g}"
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


# ---- formulas --------------------------------------------------------------------------------------------------------


def _steps(objective: Objective, status: ObjectiveStatus) -> list[Step]:
    good, total, bad = _figure(status.good), _figure(status.total), _figure(status.bad)
    allowed_ratio = f"{objective.allowed_ratio:.10g}"
    steps = [
        Step(
            "SLI", "good / total", f"{good} / {total}", format.sli(status.sli, objective.target), status.sli
        ),
        Step(
            "Allowed to be bad",
            "total × (1 − target)",
            f"{total} × (1 − {objective.target:.10g})",
            _figure(status.allowed_bad),
            status.allowed_bad,
        ),
        Step(
            "Budget left",
            "1 − bad / (total × (1 − target))",
            f"1 − {bad} / ({total} × {allowed_ratio})",
            format.budget(status.budget_left),
            status.budget_left,
        ),
    ]
    if status.burn_now is not None:
        over = format.duration(status.burn_now_s)
        steps.append(_burn_step(f"Burn now, over {over}", status.burn_now, objective, None))
    if status.budget_left is not None and status.budget_left > 0 and status.burn_now is not None:
        steps += _end(objective, status)
    return steps


def _end(objective: Objective, status: ObjectiveStatus) -> list[Step]:
    """When the budget is gone, and from which burn that follows: the one of the reason, else of the last hour."""
    ends_s, left = status.exhaustion_s, status.budget_left or 0.0
    elapsed_s = (status.evaluated_at_ms - status.window_start_ms) / 1000
    name, shown = "Budget is gone in", format.budget(left)
    if objective.calendar is None:
        if not ends_s:
            return []
        values = (
            f"{shown} × {format.span(objective.window_s)} / {format.burn(left * objective.window_s / ends_s)}"
        )
        result = format.duration(ends_s) if ends_s <= status.window_s else "not in this window"
        return [Step(name, "left × window / burn", values, result, ends_s)]
    formula = "left × elapsed / (burn − 1)"
    if not ends_s:
        return [Step(name, formula, "after the window's end, or never", "not in this window", None)]
    values = f"{shown} × {format.duration(elapsed_s)} / ({format.burn(1 + left * elapsed_s / ends_s)} − 1)"
    return [Step(name, formula, values, format.duration(ends_s), ends_s)]


def _burn(objective: Objective, rate: BurnRate, alerts: Sequence[AlertStatus]) -> BurnStep:
    known = {name: value for alert in alerts for name, value in alert.values.items()}
    known_burns = [burn for burn in (rate.long_burn, rate.short_burn) if burn is not None]
    nearness = min(known_burns) / rate.threshold if len(known_burns) == 2 and rate.threshold else None
    return BurnStep(
        severity=rate.severity,
        threshold=rate.threshold,
        long_s=rate.long_s,
        short_s=rate.short_s,
        long=_burn_step(format.span(rate.long_s), rate.long_burn, objective, _counts(known, rate.long_s)),
        short=_burn_step(format.span(rate.short_s), rate.short_burn, objective, _counts(known, rate.short_s)),
        nearness=nearness,
        is_firing=rate.firing,
        is_reachable=rate.reachable,
    )


def _counts(known: Mapping[str, float | None], window_s: int) -> tuple[float, float] | None:
    """Bad and total events of a window, where an alert was decided from them."""
    window = short_duration(window_s)
    bad, total = known.get(f"bad_{window}"), known.get(f"total_{window}")
    return None if bad is None or not total else (bad, total)


def _burn_step(
    name: str, burn: float | None, objective: Objective, counts: tuple[float, float] | None
) -> Step:
    formula = "(bad / total) / (1 − target)"
    if burn is None:
        return Step(name, formula, "no events", "–", None)
    allowed = f"{objective.allowed_ratio:.10g}"
    if counts is not None:
        values = f"({_figure(counts[0])} / {_figure(counts[1])}) / {allowed}"
    else:
        values = f"{burn * objective.allowed_ratio:.4g} / {allowed}"
    return Step(name, formula, values, format.burn(burn), burn)


def _figure(value: float) -> str:
    """A count as a formula needs it: up to three decimals."""
    return f"{value:,.3f}".rstrip("0").rstrip(".").replace("-", _MINUS) if math.isfinite(value) else "–"


# ---- parts, window, gaps ---------------------------------------------------------------------------------------------


def _parts(objective: Objective, overview: Overview) -> list[PartStatus]:
    weights = sum(part.weight for part in objective.parts) or 1.0
    rows = {name: index for index, name in enumerate(overview.names)} if objective.parts else {}
    return [
        _part(overview, rows.get(part.objective), part.objective, part.weight, part.weight / weights)
        for part in objective.parts
    ]


def _part(overview: Overview, row: int | None, name: str, weight: float, share: float) -> PartStatus:
    if row is None:
        return PartStatus(name, weight, share, None, None, None, None)

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    return PartStatus(
        name,
        weight,
        share,
        float(overview.target[row]),
        STATES[overview.state[row]],
        known(float(overview.sli[row])),
        known(float(overview.budget_left[row])),
    )


def _window(objective: Objective, status: ObjectiveStatus, now_ms: int) -> WindowSpan:
    if objective.calendar is None:
        begin_ms = status.window_start_ms or now_ms - objective.window_s * 1000
        return WindowSpan(begin_ms, None, f"the last {format.span(objective.window_s)}, rolling")
    begin_ms, end_ms = window_at(objective.calendar, now_ms)
    begin, end = (_local(objective.calendar, at_ms) for at_ms in (begin_ms, end_ms))
    words = (
        f"{begin} to {end}, {objective.calendar.time_zone}; begins anew every {_period(objective.calendar)}"
    )
    return WindowSpan(begin_ms, end_ms, words, begin.removesuffix(" 00:00"))


def _local(calendar: Calendar, at_ms: int) -> str:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(calendar.time_zone))
    return f"{moment.day} {moment.strftime('%b %Y %H:%M')}"


def _period(calendar: Calendar) -> str:
    names = {"m": "minute", "h": "hour", "d": "day", "w": "week", "M": "month", "Q": "quarter", "Y": "year"}
    name = names[calendar.unit]
    return name if calendar.count == 1 else f"{calendar.count} {name}s"


def _data(objective: Objective, status: ObjectiveStatus, no_data_after_s: float) -> list[str]:
    whole = format.span(status.window_s)
    if objective.calendar is not None:
        whole = f"{format.duration((status.evaluated_at_ms - status.window_start_ms) / 1000)} since the window began"
    covered = f"{format.duration(status.covered_s)} of {whole} has history"
    if status.gap_minutes:
        minutes = "minute" if status.gap_minutes == 1 else "minutes"
        ending = "count as bad" if objective.no_data.action == "bad" else "count neither as good nor as bad"
        covered += f"; {format.count(status.gap_minutes)} {minutes} of it without data {ending}"
    told = [f"{covered}."]
    if status.backfilling:
        told.append(
            f"{format.share(status.history_done, 1)} of the past is counted; figures grow until it is done."
        )
    after_s = no_data_after_s if objective.no_data.after_s is None else objective.no_data.after_s
    after = format.span(after_s)
    match objective.no_data.action:
        case "ignore":
            told.append(f"After {after} without data the state is “no data”; nobody is told of it.")
        case "alert":
            told.append(f"After {after} without data the state is “no data”, and the alert “no data” fires.")
        case "bad":
            weight = (
                "one event"
                if counted_as(objective) != "events"
                else "the events of an average minute of the day before"
            )
            told.append(
                f"Minutes without data count as bad once they are {after} old, each with {weight}; after as long the "
                "state is “no data”."
            )
    if objective.source:
        told.append(f"Samples are read from the data source {objective.source}.")
    return told
