"""No document can crash the reader: whatever stands in it, it is read or refused with problems that have lines."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.app import default_registry
from setpoint.errors import InvalidInput
from setpoint.objective.model import Objective
from setpoint.objective.resolve import resolve
from setpoint.resource import Document, load_text

_registry = default_registry()
_VERSIONS = ["openslo/v1", "openslo/v1alpha", "openslo.com/v2alpha", "setpoint/v1"]
_KINDS = ["SLO", "SLI", "Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"]
_KEYS = [
    "name", "displayName", "labels", "annotations", "metadata", "spec", "description", "service", "serviceRef",
    "indicator", "indicatorRef", "sli", "sliRef", "ratioMetric", "thresholdMetric", "counter", "good", "bad", "total",
    "raw", "rawType", "metricSource", "metricSourceRef", "dataSourceRef", "dataSourceSpec", "type", "query",
    "operation", "kind", "status", "minDurationMs", "maxDurationMs", "attributes", "resource", "timeWindow",
    "timeWindows", "duration", "isRolling", "calendar", "startTime", "timeZone", "unit", "count", "budgetingMethod",
    "objectives", "target", "targetPercent", "op", "value", "timeSliceTarget", "timeSliceWindow", "compositeWeight",
    "ratioMetrics", "incremental", "source", "queryType", "alertPolicies", "alertPolicyRef", "conditions",
    "conditionRef", "condition", "severity", "threshold", "lookbackWindow", "alertAfter", "notificationTargets",
    "targetRef", "url", "secretFile", "secret", "noData", "action", "after", "lowTraffic", "minEvents", "minBad",
    "groupBy", "composite", "allOf", "connectionDetails", "alertWhenNoData",
]  # fmt: skip
_WORDS = [
    "shop", "openslo/v1", "SLO", "sum(a_total)", "sum(rate(a[5m]))", "a{", "rate(a[{{.window}}])", "Prometheus",
    "spans", "sql", "SELECT {from_s:Int64}, {to_s:Int64}", "30d", "1M", "5", "99Y", "99999999999999999999d", "5m",
    "Occurrences", "Timeslices", "RatioTimeslices", "success", "lte", "gt", "0.5", "10%", "%", "1e400", "-0", "page",
    "burnrate", "remainingBudget", "timeToExhaustion", "webhook", "http://[", "https://a.b/c", "2026-01-01 00:00:00",
    "Europe/Berlin", "UTC", "../x", "Day", "Second", "alert", "bad", "server", "ERROR", "\u0000", "é", "", "٣d",
]  # fmt: skip
_scalars = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from([0, 1, -1, 5, 0.5, 0.999, 99.9, 1e308, 10**30, 0.0, True, False, None]),
    st.text(max_size=6),
    st.floats(allow_nan=False, allow_infinity=False),
)
_trees = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)


def _read(body: Any) -> list[Document]:
    """JSON is YAML; what is refused must say so with a problem in the file."""
    try:
        return load_text([("fuzz.yaml", json.dumps(body))], _registry)
    except InvalidInput as error:
        assert error.problems
        assert all(one.file == "fuzz.yaml" for one in error.problems)
        assert all(one.message and one.message == one.message.strip() for one in error.problems)
        return []


def _resolve(documents: list[Document]) -> list[Objective]:
    found = resolve(
        documents, lambda objective, labels: [("a",) * len(labels), ("b",) * len(labels)], lambda _: None
    )
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert 0 < one.target < 1
        assert one.window_s >= one.slice_s >= 60
        assert one.kind == "composite" or one.total_query
        assert one.allowed_ratio > 0
        assert one.ledger_key
    return found


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_VERSIONS), st.sampled_from(_KINDS), _trees)
def test_any_spec_is_read_or_refused(version: str, kind: str, spec: Any) -> None:
    _resolve(_read({"apiVersion": version, "kind": kind, "metadata": {"name": "a"}, "spec": spec}))


_METRIC = {"metricSource": {"type": "Prometheus", "spec": {"query": "sum(a_total)"}}}
_RATIO = {"counter": True, "bad": _METRIC, "total": _METRIC}
_CONDITION = {"kind": "burnrate", "op": "gt", "threshold": 2, "lookbackWindow": "1h", "alertAfter": "5m"}
_WHOLE: dict[str, Any] = {
    "apiVersion": "openslo/v1",
    "kind": "SLO",
    "metadata": {"name": "a", "displayName": "A", "labels": {"team": ["x"]}, "annotations": {"a/b": "c"}},
    "spec": {
        "service": "shop",
        "description": "d",
        "indicator": {"metadata": {"name": "i"}, "spec": {"ratioMetric": _RATIO}},
        "timeWindow": [
            {"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "UTC"}}
        ],
        "budgetingMethod": "Timeslices",
        "objectives": [
            {"displayName": "x", "target": 0.9, "timeSliceTarget": 0.9, "timeSliceWindow": 5},
            {"targetPercent": 99, "timeSliceTarget": 0.9, "timeSliceWindow": "5m"},
        ],
        "alertPolicies": [
            {
                "kind": "AlertPolicy",
                "metadata": {"name": "p"},
                "spec": {
                    "conditions": [{"spec": {"severity": "page", "condition": _CONDITION}}],
                    "notificationTargets": [{"spec": {"target": "webhook", "url": "https://a.b/c"}}],
                    "lowTraffic": {"minBad": 2},
                },
            }
        ],
        "noData": {"action": "bad", "after": "5m"},
        "lowTraffic": {"minEvents": 5},
        "groupBy": ["region"],
    },
}


def _places(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    found = [place]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, (*place, index))
    return found


def _with(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    if not place:
        return new
    step, *rest = place
    if isinstance(value, dict):
        changed = dict(value)
        if rest or new is not ...:
            changed[str(step)] = _with(value[str(step)], tuple(rest), new)
        else:
            del changed[str(step)]
        return changed
    copied = list(value)
    copied[int(step)] = _with(value[int(step)], tuple(rest), new) if rest or new is not ... else None
    return copied


def test_the_whole_document_is_good() -> None:
    names = [one.name for one in _resolve(_read(_WHOLE))]
    assert names == ["a.x.a", "a.x.b", "a.2.a", "a.2.b"]


@settings(max_examples=250, deadline=None)
@given(st.sampled_from(_places(_WHOLE)[1:]), st.one_of(st.just(...), _trees))
def test_one_part_replaced_by_anything_is_read_or_refused(place: tuple[str | int, ...], new: Any) -> None:
    _resolve(_read(_with(_WHOLE, place, new)))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(_places(_WHOLE)[1:]), _trees), max_size=3),
    st.sampled_from(["openslo/v1alpha", "openslo.com/v2alpha"]),
)
def test_other_versions_too(changes: list[tuple[tuple[str | int, ...], Any]], version: str) -> None:
    body = {**_WHOLE, "apiVersion": version}
    for place, new in changes:
        if place in _places(body):
            body = _with(body, place, new)
    _resolve(_read(body))
