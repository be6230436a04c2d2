"""Pyrra's documents: the kind ServiceLevelObjective (pyrra.dev/v1alpha1).

Pyrra names no service, so one is looked for in labels and selectors. Its alert windows are scaled from 28 days and
have factors of their own (14, 7, 2, 1); they are written out as policies, so that people are told of what they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from setpoint.errors import InvalidInput
from setpoint.objective.convert.carried import Note, Notes, one_line
from setpoint.objective.convert.from_promql import (
    equal_matchers,
    over,
    selector_of,
    show,
    summed,
)
from setpoint.objective.convert.indicator import NATIVE
from setpoint.objective.convert.windows import Row, policy_of
from setpoint.objective.convert.writing import (
    NO_BUDGET,
    Options,
    Written,
    kept_name,
    openslo_duration,
    percent,
    put_annotation,
    ratio,
    service_of,
    slo,
)
from setpoint.objective.duration import parse_duration
from setpoint.objective.spec.names import slug
from setpoint.resource.fields import Fields

__all__ = ["KIND", "PREFIX", "VERSION", "from_pyrra"]

VERSION, KIND = "pyrra.dev/v1alpha1", "ServiceLevelObjective"
PREFIX = "pyrra.dev"

_INDICATORS = ("ratio", "latency", "latencyNative", "bool_gauge")
_SERVICE_LABELS = ("service", "app", "application", "job")
_SERVICE_MATCHERS = ("service_name", "job", "service", "app")
_FOUR_WEEKS_S = 28 * 86_400
# Per row of 28 days: long and short window and how long it lasts (minutes), factor, severity, Pyrra's word for it.
_ROWS = (
    (60, 5, 2, 14.0, "page", "fastBurn"),
    (360, 30, 15, 7.0, "page", "mediumBurn"),
    (1440, 120, 60, 2.0, "ticket", "slowBurn"),
    (5760, 360, 180, 1.0, "ticket", "longTermBurn"),
)
_IDLE = {
    "partial_response_strategy": "is about Thanos",
    "performanceOverAccuracy": "is not needed: counts are exact, and long windows cost no more than short ones",
    "ruleOutput": "is about the files of Prometheus rules",
}


@dataclass(frozen=True, slots=True)
class _Counted:
    """What an indicator counts: its spec, its labels, and what its selectors demand."""

    spec: dict[str, Any]
    group_by: list[str] = field(default_factory=list)
    matchers: Mapping[str, str] = field(default_factory=dict)


def from_pyrra(fields: Fields, options: Options, told: list[Note]) -> list[Written]:
    """The SLO of a document, its Service, and the policies that it refers to; all notes are added to `told`."""
    metadata, spec = fields.below("metadata"), fields.below("spec")
    if metadata is None or not metadata.text("name"):
        fields.report("is missing; write metadata with a name", "metadata")
    if spec is None:
        fields.report("is missing; write target, window and indicator below it", "spec")
    if metadata is None or spec is None or not metadata.text("name"):
        return []
    notes = Notes(document=metadata.text("name"))
    notes.only(fields, ("apiVersion", "kind", "metadata", "spec", "status"))
    found = _Slo(metadata, spec, options, notes).written()
    told.extend(notes.found)
    return found


class _Slo:
    def __init__(self, metadata: Fields, spec: Fields, options: Options, notes: Notes) -> None:
        self._metadata, self._spec = metadata, spec
        self._options, self._notes = options, notes

    def written(self) -> list[Written]:
        spec, notes, metadata = self._spec, self._notes, self._metadata
        notes.only(spec, ("description", "target", "window", "indicator", "alerting", *_IDLE))
        for name, why in _IDLE.items():
            if spec.has(name):
                notes.idle(spec, why, name)
        name = kept_name(metadata.text("name"), metadata, notes, "name", "name")
        target, window = percent(spec, "target"), self._window()
        if target is not None and target < 1:
            notes.changed(spec, f"{target} is read as {target} %, as Pyrra does", "target")
        labels, annotations = self._labels()
        counted = self._indicator()
        if target == 100:
            notes.lost(spec, f"'{notes.document}' is left out: {NO_BUDGET}", "target")
            return []
        if counted is None or target is None or not window or not name:
            return []
        owner = self._service(labels, counted, name)
        rows, no_data = self._alerting(float(target) / 100, window)
        policies = [policy_of(row, "pyrra", window) for row in rows or ()]
        body = slo(
            name,
            service=owner,
            description=spec.text("description"),
            labels=labels,
            annotations=annotations,
            indicator=counted.spec,
            duration=window,
            target=target,
            group_by=counted.group_by,
            more={
                "alertPolicies": [{"alertPolicyRef": one["metadata"]["name"]} for one in policies],
                "noData": no_data,
            },
        )
        identity = f"{metadata.text('namespace')}/{metadata.text('name')}"
        made = [service_of(owner), *policies]
        found = [Written(one, metadata.file, spec.line) for one in made]
        return [*found, Written(body, metadata.file, metadata.line_of("name"), notes.found, identity)]

    def _window(self) -> str:
        try:
            return openslo_duration(self._spec.text("window"))
        except InvalidInput as error:
            self._spec.report(
                error.message if self._spec.has("window") else "is missing; write one such as 4w", "window"
            )
            return ""

    def _labels(self) -> tuple[dict[str, str], dict[str, str]]:
        """Labels that Pyrra hands on to its rules (`pyrra.dev/…`), and the namespace, which it does, too."""
        labels: dict[str, str] = {}
        for key, value in self._metadata.pairs("labels").items():
            own = key.removeprefix(f"{PREFIX}/")
            if own == key:
                self._notes.idle(
                    self._metadata,
                    "it selects resources in Kubernetes; Pyrra does not hand it on",
                    "labels",
                    key,
                )
            elif "/" in own or not own:
                self._notes.lost(
                    self._metadata, f"'{one_line(own)[:80]}' cannot be the key of a label", "labels", key
                )
            else:
                labels[own] = value
        if self._metadata.has("namespace"):
            labels.setdefault("namespace", self._metadata.text("namespace"))
        annotations: dict[str, str] = {}
        for key, value in self._metadata.pairs("annotations").items():
            own = key.removeprefix(f"{PREFIX}/")
            if own == key:
                self._notes.idle(
                    self._metadata, "it is about Kubernetes; Pyrra does not hand it on", "annotations", key
                )
            elif not put_annotation(annotations, PREFIX, own, value):
                self._notes.lost(
                    self._metadata,
                    f"'{one_line(own)[:80]}' cannot be the key of an annotation",
                    "annotations",
                    key,
                )
        return labels, annotations

    def _service(self, labels: Mapping[str, str], counted: _Counted, name: str) -> str:
        candidates = [(f"the label {PREFIX}/{key}", labels.get(key, "")) for key in _SERVICE_LABELS]
        candidates += [(f"{key}= in the query", counted.matchers.get(key, "")) for key in _SERVICE_MATCHERS]
        if self._options.service:
            return self._options.service
        for where, value in candidates:
            if slug(value):
                self._notes.changed(
                    self._metadata,
                    f"Pyrra names no service; '{slug(value)}' is taken, from {where} (--service says another)",
                )
                return slug(value)
        self._notes.changed(
            self._metadata, f"Pyrra names no service; its own name '{name}' is taken (--service says another)"
        )
        return name

    # ---- what is counted ---------------------------------------------------------------------------------

    def _indicator(self) -> _Counted | None:  # noqa: PLR0911 — one per kind of indicator
        indicator = self._spec.below("indicator")
        if indicator is None:
            self._spec.report(
                "is missing; write ratio, latency, latencyNative or bool_gauge below it", "indicator"
            )
            return None
        self._notes.only(indicator, (*_INDICATORS, "boolGauge"))
        given = [name for name in (*_INDICATORS, "boolGauge") if indicator.has(name)]
        if len(given) != 1:
            indicator.report("write one of ratio, latency, latencyNative and bool_gauge")
            return None
        inner = indicator.below(given[0])
        if inner is None:
            return None
        match given[0]:
            case "ratio":
                return self._pair(inner, "errors", "bad")
            case "latency":
                return self._pair(inner, "success", "good")
            case "latencyNative":
                self._native(inner)
                return None
            case _:
                return self._gauge(inner)

    def _pair(self, inner: Fields, part: str, role: str) -> _Counted | None:
        self._notes.only(inner, (part, "total", "grouping"))
        counted, total = self._metric(inner, part), self._metric(inner, "total")
        if counted is None or total is None:
            return None
        spec = ratio(show(summed(total)), show(summed(counted)), role, self._options.source, counter=True)
        return _Counted(spec, self._grouping(inner), {**equal_matchers(counted), **equal_matchers(total)})

    def _native(self, inner: Fields) -> None:
        """A native histogram: PromQL reads it, and the ledger cannot count it yet."""
        self._notes.only(inner, ("latency", "total", "grouping"))
        if not inner.text("latency"):
            inner.report("is missing; write the longest good duration, such as 200ms", "latency")
        elif self._metric(inner, "total") is not None:
            self._notes.lost(
                inner,
                f"'{self._notes.document}' is left out: {NATIVE}; have classic buckets sent, too, and write latency: "
                "with them",
            )

    def _gauge(self, inner: Fields) -> _Counted | None:
        """A gauge of 0 and 1: every sample of a minute is an event."""
        self._notes.only(inner, ("metric", "grouping"))
        gauge = self._selected(inner, "metric")
        if gauge is None:
            return None
        total, good = (summed(over(name, gauge, 60_000)) for name in ("count_over_time", "sum_over_time"))
        spec = ratio(show(total), show(good), "good", self._options.source, counter=False)
        return _Counted(spec, self._grouping(inner), equal_matchers(gauge))

    def _metric(self, fields: Fields, name: str) -> Any:
        inner = fields.below(name)
        if inner is None:
            fields.report("is missing; write 'metric: …' below it", name)
            return None
        self._notes.only(inner, ("metric",))
        return self._selected(inner, "metric")

    def _selected(self, fields: Fields, name: str) -> Any:
        text = fields.text(name)
        if not text.strip():
            fields.report('is missing; write a selector such as http_requests_total{job="shop"}', name)
            return None
        try:
            return selector_of(text)
        except InvalidInput as error:
            self._notes.lost(
                fields, f"'{self._notes.document}' is left out: the metric {error.message}", name
            )
            return None

    def _grouping(self, inner: Fields) -> list[str]:
        return list(dict.fromkeys(inner.texts("grouping")))

    # ---- alerts ------------------------------------------------------------------------------------------

    def _alerting(self, target: float, window: str) -> tuple[Sequence[Row] | None, dict[str, Any] | None]:
        """The rows of its burn alerts, and what silence means."""
        alerting, notes = self._spec.below("alerting"), self._notes
        severities: dict[str, str] = {}
        is_told = is_absent_told = True
        if alerting is not None:
            known = ("disabled", "burnrates", "absent", "name", "absentName", "severities")
            notes.only(alerting, known)
            is_told = not alerting.flag("disabled") and (
                not alerting.has("burnrates") or alerting.flag("burnrates")
            )
            is_absent_told = not alerting.has("absent") or alerting.flag("absent")
            is_absent_told = is_absent_told and not alerting.flag("disabled")
            for name in ("name", "absentName"):
                if alerting.has(name):
                    notes.changed(alerting, "alerts are called by objective and policy here", name)
            severities = alerting.pairs("severities")
            if severities.get("absent"):
                notes.lost(
                    alerting,
                    "silence is told as a page; its severity cannot be chosen",
                    "severities",
                    "absent",
                )
        rows = self._rows(parse_duration(window), severities) if is_told else []
        no_data = None
        if is_absent_told:
            after_s = 14 * (1 - target) * parse_duration(window) / _FOUR_WEEKS_S * 3600 + 120
            minutes = min(max(1, round(after_s / 60)), 31 * 1440)
            no_data = {"action": "alert", "after": f"{minutes}m"}
        return rows, no_data

    def _rows(self, window_s: int, severities: Mapping[str, str]) -> list[Row]:
        found = []
        for long, short, after, factor, severity, word in _ROWS:
            minutes = [_scaled(one, window_s) for one in (long, short, after)]
            if minutes[0] < 1 or minutes[1] < 1:
                self._notes.changed(
                    self._spec,
                    f"the alert of {factor:g}× is left out: for so short a window, Pyrra rounds its windows to nothing",
                    "window",
                )
                continue
            said = severities.get(word) or severity
            found.append(Row(said, minutes[0] * 60, minutes[1] * 60, factor, minutes[2] * 60))
        return found


def _scaled(minutes: int, window_s: int) -> int:
    """Of 28 days' `minutes` those of another window, rounded half up, as Go rounds."""
    return int(minutes * window_s / _FOUR_WEEKS_S + 0.5)
