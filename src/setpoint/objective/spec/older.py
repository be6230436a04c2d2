"""OpenSLO's other versions, rewritten into v1 when a document is read: v1alpha, the first one, which Sloth still reads,
and v2alpha, the draft of the next. `register` gives both to the registry; what is stored is v1.

Whatever is not known here is moved as it stands, so that v1's own checks speak of it. What v1 cannot say is refused
with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from setpoint.objective.spec.fields import API_VERSION
from setpoint.resource.model import Place
from setpoint.resource.read import Source
from setpoint.resource.rewrite import Rewrite

__all__ = ["V1ALPHA", "V1ALPHA_KINDS", "V2ALPHA", "V2ALPHA_KINDS", "from_v1alpha", "from_v2alpha"]

V1ALPHA, V1ALPHA_KINDS = "openslo/v1alpha", ("Service", "SLO")
V2ALPHA = "openslo.com/v2alpha"
V2ALPHA_KINDS = (
    "Service",
    "SLO",
    "SLI",
    "DataSource",
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
)

_ROLES = ("good", "bad", "total", "raw")
_CALENDAR_ONLY = re.compile(r"\s*\d+[MQY]\s*", re.ASCII)
_UNITS = {
    "minute": "m",
    "hour": "h",
    "day": "d",
    "week": "w",
    "month": "M",
    "quarter": "Q",
    "year": "Y",
}
_MINUTE_S = 60
_COUNT_MAX = 10**9
_QUERY_TYPES = frozenset({"promql", "query", "prometheus"})
_INSIDE = r"""\{(?:[^"'{}]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')*\}"""
_SLOTH = re.compile(
    rf"(?:rate|increase)\s*\(\s*(?P<selector>[A-Za-z_:][\w:]*\s*(?:{_INSIDE})?|{_INSIDE})\s*"
    r"\[\s*\{\{\s*\.window\s*\}\}\s*\]\s*\)",
    re.ASCII,
)


def from_v2alpha(source: Source) -> Source:
    """`openslo.com/v2alpha` as v1."""
    document = _begun(source)
    kind = document.get("kind")
    if kind == "SLO" and isinstance(document.get("spec"), Mapping):
        _v2_slo(document)
    elif kind == "SLI" and isinstance(document.get("spec"), Mapping):
        _v2_indicator(document, ("spec",), ("spec",))
    elif document.has("spec"):
        document.move(("spec",), ("spec",))
    return document.done()


def from_v1alpha(source: Source) -> Source:
    """`openslo/v1alpha` as v1."""
    document = _begun(source)
    if document.get("kind") == "SLO" and isinstance(document.get("spec"), Mapping):
        _v1alpha_slo(document)
    elif document.has("spec"):
        document.move(("spec",), ("spec",))
    return document.done()


def _begun(source: Source) -> Rewrite:
    document = Rewrite(source)
    document.put(("apiVersion",), API_VERSION, ("apiVersion",))
    for key in source.body:
        if key not in ("apiVersion", "spec"):
            document.move((key,), (key,))
    return document


def _v2_slo(document: Rewrite) -> None:
    names = {"serviceRef": "service", "sliRef": "indicatorRef"}
    for key, value in document.get("spec").items():
        here = ("spec", key)
        if key == "sli" and isinstance(value, Mapping):
            _v2_inline(document, here, ("spec", "indicator"))
        elif key == "objectives" and isinstance(value, list):
            for number in range(len(value)):
                _v2_objective(document, number)
        else:
            document.move(here, ("spec", names.get(key, "indicator" if key == "sli" else key)))
    for number, window in enumerate(_list(document, "spec", "timeWindow")):
        duration = window.get("duration") if isinstance(window, Mapping) else None
        if isinstance(duration, str) and _CALENDAR_ONLY.fullmatch(duration):
            place = ("spec", "timeWindow", number, "duration")
            sentence = f"v2alpha has no months, quarters and years; write {duration} with apiVersion: {API_VERSION}, "
            document.refuse(place, sentence + "or days and weeks, such as 30d")


def _v2_objective(document: Rewrite, number: int) -> None:
    here: Place = ("spec", "objectives", number)
    entry = document.get(*here)
    if not isinstance(entry, Mapping) or not entry:
        document.move(here, here)
        return
    for key, value in entry.items():
        if key == "sli" and isinstance(value, Mapping):
            _v2_inline(document, (*here, key), (*here, "indicator"))
        elif key in ("sli", "sliRef"):
            document.move((*here, key), (*here, "indicator" if key == "sli" else "indicatorRef"))
        elif key == "labels":
            document.refuse(
                (*here, key), "an objective has no labels of its own in v1; write them in metadata"
            )
        else:
            document.move((*here, key), (*here, key))


def _v2_inline(document: Rewrite, old: Place, new: Place) -> None:
    for key, value in document.get(*old).items():
        if key == "spec" and isinstance(value, Mapping):
            _v2_indicator(document, (*old, key), (*new, key))
        else:
            document.move((*old, key), (*new, key))


def _v2_indicator(document: Rewrite, old: Place, new: Place) -> None:
    for key, value in document.get(*old).items():
        if key == "thresholdMetric" and isinstance(value, Mapping):
            _v2_metric(document, (*old, key), (*new, key))
        elif key == "ratioMetric" and isinstance(value, Mapping):
            for role, metric in value.items():
                place = (key, role)
                if role in _ROLES and isinstance(metric, Mapping):
                    _v2_metric(document, (*old, *place), (*new, *place))
                else:
                    document.move((*old, *place), (*new, *place))
        else:
            document.move((*old, key), (*new, key))


def _v2_metric(document: Rewrite, old: Place, new: Place) -> None:
    inside: Place = (*new, "metricSource")
    for key, value in document.get(*old).items():
        here = (*old, key)
        if key == "dataSourceRef":
            document.move(here, (*inside, "metricSourceRef"))
        elif key == "spec":
            document.move(here, (*inside, "spec"))
        elif key == "dataSourceSpec" and isinstance(value, Mapping):
            if value.get("connectionDetails"):
                sentence = "a data source inside an indicator cannot be carried over to v1; write it as a DataSource "
                document.refuse((*here, "connectionDetails"), sentence + "and name it as dataSourceRef")
            elif "type" in value:
                document.move((*here, "type"), (*inside, "type"))
        else:
            document.move(here, (*new, key))


def _v1alpha_slo(document: Rewrite) -> None:
    for key, value in document.get("spec").items():
        here = ("spec", key)
        if key == "timeWindows" and isinstance(value, list):
            for number in range(len(value)):
                _v1alpha_window(document, (*here, number), ("spec", "timeWindow", number))
        elif key == "indicator" and isinstance(value, Mapping):
            _v1alpha_indicator(document, here)
        elif key == "objectives" and isinstance(value, list):
            _v1alpha_objectives(document, value)
        else:
            document.move(here, here)


def _v1alpha_window(document: Rewrite, old: Place, new: Place) -> None:
    window = document.get(*old)
    if not isinstance(window, Mapping):
        document.move(old, new)
        return
    unit, count = window.get("unit"), window.get("count", 1)
    for key in window:
        if key not in ("unit", "count"):
            document.move((*old, key), (*new, key))
    is_count = isinstance(count, int) and not isinstance(count, bool) and 0 < count < _COUNT_MAX
    name = unit.lower() if isinstance(unit, str) else ""
    if not is_count:
        document.refuse(
            (*old, "count"), "is no whole number; write how many units the window has, such as 30"
        )
    elif name == "second" and count % _MINUTE_S == 0:
        document.put((*new, "duration"), f"{count // _MINUTE_S}m", (*old, "count"))
    elif name in _UNITS:
        document.put((*new, "duration"), f"{count}{_UNITS[name]}", (*old, "count"))
    else:
        document.refuse(
            (*old, "unit"),
            "is no unit that can be kept; write Minute, Hour, Day, Week, Month, Quarter or Year",
        )


def _v1alpha_indicator(document: Rewrite, here: Place) -> None:
    for key, value in document.get(*here).items():
        if key == "thresholdMetric" and isinstance(value, Mapping):
            _v1alpha_metric(document, (*here, key), (*here, "spec", key))
        else:
            document.move((*here, key), (*here, "spec", key))


def _v1alpha_objectives(document: Rewrite, entries: list[object]) -> None:
    first: int | None = None
    is_sliced = document.get("spec", "budgetingMethod") == "Timeslices"
    for number, entry in enumerate(entries):
        here: Place = ("spec", "objectives", number)
        if not isinstance(entry, Mapping) or not entry:
            document.move(here, here)
            continue
        for key in entry:
            if key == "ratioMetrics" and isinstance(entry[key], Mapping):
                if first is None:
                    first = number
                    _v1alpha_ratio(document, (*here, key))
                elif entry[key] != document.get("spec", "objectives", first, key):
                    document.refuse(
                        (*here, key),
                        "objectives that count different things would be one composite in v1; write an SLO for each",
                    )
            elif key != "value" or "ratioMetrics" not in entry:  # v1alpha demanded a value that says nothing
                document.move((*here, key), (*here, key))
        if is_sliced and "timeSliceTarget" in entry and "timeSliceWindow" not in entry:
            document.put((*here, "timeSliceWindow"), "1m", (*here, "timeSliceTarget"))


def _v1alpha_ratio(document: Rewrite, old: Place) -> None:
    new: Place = ("spec", "indicator", "spec", "ratioMetric")
    ratio = document.get(*old)
    is_stripped = False
    for key, value in ratio.items():
        if key in _ROLES and isinstance(value, Mapping):
            is_stripped |= _v1alpha_metric(document, (*old, key), (*new, key))
    for key, value in ratio.items():
        if key in ("incremental", "counter"):
            if is_stripped:
                document.put((*new, "counter"), True, (*old, key))
            else:
                document.move((*old, key), (*new, "counter"))
        elif key not in _ROLES or not isinstance(value, Mapping):
            document.move((*old, key), (*new, key))
    if is_stripped and not {"incremental", "counter"} & set(ratio):
        document.put((*new, "counter"), True, old)


def _v1alpha_metric(document: Rewrite, old: Place, new: Place) -> bool:
    """Move a metric; True where Sloth's rate over a template was taken off its counter."""
    inside: Place = (*new, "metricSource")
    is_stripped = False
    for key, value in document.get(*old).items():
        here = (*old, key)
        if key == "source":
            document.move(here, (*inside, "type"))
        elif key == "query":
            plain = _SLOTH.sub(lambda match: match["selector"], value) if isinstance(value, str) else value
            is_stripped = plain != value
            document.put((*inside, "spec", "query"), plain, here)
        elif key == "queryType":
            if not isinstance(value, str) or value.lower() not in _QUERY_TYPES:
                document.refuse(here, "is no language that is read; write promql")
        else:
            document.move(here, (*new, key))
    return is_stripped


def _list(document: Rewrite, *place: str) -> list[object]:
    found = document.get(*place)
    return found if isinstance(found, list) else []
