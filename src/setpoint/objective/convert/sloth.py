"""Sloth's documents: `version: prometheus/v1`, and the kind PrometheusServiceLevel (sloth.slok.dev/v1), which is the
same in camelCase below `spec`.

Each SLO becomes one of OpenSLO, called `<service>-<name>`, as Sloth's id is. Its alerts are Setpoint's defaults where
both are wanted, because the windows and factors are the same; else policies are written out. What Sloth adds to alerts
(name, labels, annotations) is kept as annotations `sloth.slok.dev/…`, from which rules are exported again (`rules`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.objective.alerting.burn import rules_for
from setpoint.objective.alerting.policy import LEAST_BAD
from setpoint.objective.convert.carried import Note, Notes
from setpoint.objective.convert.indicator import Indicator, of_events, of_ratio
from setpoint.objective.convert.windows import Row, Windows, policy_of
from setpoint.objective.convert.writing import (
    NO_BUDGET,
    Options,
    Written,
    kept_labels,
    kept_name,
    openslo_duration,
    percent,
    put_annotation,
    service_of,
    slo,
)
from setpoint.objective.duration import parse_duration
from setpoint.resource.fields import Fields

__all__ = ["KUBERNETES", "PREFIX", "VERSION", "from_kubernetes", "from_sloth"]

VERSION = "prometheus/v1"
KUBERNETES = "sloth.slok.dev/v1"
PREFIX = "sloth.slok.dev"
_NAME_MAX = 63

_PLUGINS = {
    "sloth.dev/contrib/denominator_corrected_rules/": "is not needed: events are counted, so traffic weighs",
    "sloth.dev/contrib/rule_intervals/": "has no meaning here: Setpoint evaluates no rules",
    "sloth.dev/contrib/remove_labels/": "has no meaning here: labels of an objective are not labels of series",
    "sloth.dev/contrib/validate_victoria_metrics/": "has no meaning here: queries are read as PromQL",
    "sloth.dev/core/": "has no meaning here: it makes or shows Prometheus rules",
}
_PLUGINS_LOST = {
    "sloth.dev/contrib/error_budget_exhausted_alert/": "write an AlertPolicy with a condition of kind remainingBudget",
    "sloth.dev/contrib/info_labels/": "write its labels below labels",
}


@dataclass(frozen=True, slots=True)
class Words:
    """The names of fields, which differ between a file of Sloth's and a resource of Kubernetes."""

    plugins: str
    error_query: str
    total_query: str
    error_ratio_query: str
    page: str
    ticket: str


_FILE = Words("slo_plugins", "error_query", "total_query", "error_ratio_query", "page_alert", "ticket_alert")
_CAMEL = Words("sloPlugins", "errorQuery", "totalQuery", "errorRatioQuery", "pageAlert", "ticketAlert")


def from_sloth(
    fields: Fields, options: Options, windows: Sequence[Windows], told: list[Note]
) -> list[Written]:
    """What becomes of a document with `version: prometheus/v1`; all notes are added to `told`."""
    notes = Notes(told, fields.text("service"))
    notes.only(fields, ("version", "service", "labels", _FILE.plugins, "slos"))
    return _Service(fields, options, windows, _FILE, notes).written()


def from_kubernetes(
    fields: Fields, options: Options, windows: Sequence[Windows], told: list[Note]
) -> list[Written]:
    """What becomes of a PrometheusServiceLevel; all notes are added to `told`."""
    notes = Notes(told)
    notes.only(fields, ("apiVersion", "kind", "metadata", "spec", "status"))
    spec = fields.below("spec")
    if spec is None:
        fields.report("is missing; write service and slos below it", "spec")
        return []
    notes.document = spec.text("service")
    metadata = fields.below("metadata")
    for name in ("namespace", "labels", "annotations") if metadata is not None else ():
        if metadata is not None and metadata.has(name):
            notes.idle(metadata, f"{name} of the Kubernetes resource: they have no meaning here", name)
    notes.only(spec, ("service", "labels", _CAMEL.plugins, "slos"))
    return _Service(spec, options, windows, _CAMEL, notes).written()


class _Service:
    """The SLOs of a service."""

    def __init__(
        self, fields: Fields, options: Options, windows: Sequence[Windows], words: Words, notes: Notes
    ) -> None:
        self._fields, self._options, self._words = fields, options, words
        self._notes = notes
        self._period = options.period
        period_s = parse_duration(openslo_duration(options.period))
        self._windows = next((one for one in windows if one.period_s == period_s), None)
        self._period_s = period_s
        self._policies: dict[str, dict[str, Any]] = {}

    def written(self) -> list[Written]:
        """The Service, the policies that its SLOs share, and these."""
        fields, notes = self._fields, self._notes
        if not fields.text("service"):
            fields.report(
                "is missing; write the service that the SLOs are about, such as service: checkout", "service"
            )
            return []
        owner = kept_name(fields.text("service"), fields, notes, "service", "service")
        labels = kept_labels(fields, notes, "labels")
        _plugins(fields.below(self._words.plugins), notes)
        if not fields.values("slos"):
            fields.report("is missing; write a list of SLOs", "slos")
        found = [
            one for entry in fields.items("slos") if (one := self._slo(entry, owner, labels)) is not None
        ]
        if not owner:
            return []
        head = Written(service_of(owner), fields.file, fields.line)
        policies = [Written(body, fields.file, fields.line) for body in self._policies.values()]
        return [head, *policies, *found]

    def _slo(self, entry: Fields, owner: str, common: Mapping[str, str]) -> Written | None:
        name = entry.text("name")
        if not name:
            entry.report("is missing; write a name, such as name: availability", "name")
            return None
        identity = f"{self._fields.text('service')}-{name}"
        notes = Notes(document=identity)
        body = self._body(entry, name, owner, common, notes)
        self._notes.found.extend(notes.found)
        return None if body is None else Written(body, entry.file, entry.line, notes.found, identity)

    def _body(
        self, entry: Fields, name: str, owner: str, common: Mapping[str, str], notes: Notes
    ) -> dict[str, Any] | None:
        """None where it cannot be carried over (a note says why) or is wrong (a problem does)."""
        notes.only(entry, ("name", "description", "objective", "plugins", "labels", "sli", "alerting"))
        own = kept_name(name, entry, notes, "name", "name")
        full = f"{owner}-{own}"
        if len(full) > _NAME_MAX:
            full = kept_name(full, entry, notes, "name", "name")
        annotations = {}
        if owner != self._fields.text("service"):
            annotations[f"{PREFIX}/service"] = self._fields.text("service")
        if full != f"{owner}-{name}":
            annotations[f"{PREFIX}/slo"] = name
        _plugins(entry.below("plugins"), notes)
        target = percent(entry, "objective")
        policies = self._alerting(entry, notes, annotations, float(target or 0) / 100)
        indicator = self._indicator(entry, notes)
        labels = {**common, **kept_labels(entry, notes, "labels")}
        if target == 100:
            notes.lost(entry, f"'{notes.document}' is left out: {NO_BUDGET}", "objective")
            return None
        if indicator is None or target is None or not own:
            return None
        return slo(
            full,
            service=owner,
            description=entry.text("description"),
            labels=labels,
            annotations=annotations,
            indicator=indicator.spec,
            duration=openslo_duration(self._period),
            target=target,
            group_by=indicator.group_by,
            more={"alertPolicies": policies},
        )

    def _indicator(self, entry: Fields, notes: Notes) -> Indicator | None:
        """None where it cannot be carried over (a note says why) or is none (a problem does)."""
        sli, words = entry.below("sli"), self._words
        if sli is None:
            entry.report("is missing; write events, with an error and a total query, below it", "sli")
            return None
        notes.only(sli, ("events", "raw", "plugin"))
        given = [name for name in ("events", "raw", "plugin") if sli.has(name)]
        if len(given) != 1:
            sli.report("write one of events, raw and plugin")
            return None
        inner = sli.below(given[0])
        if inner is None:
            return None
        if given[0] == "plugin":
            notes.lost(
                sli,
                f"'{notes.document}' is left out: its queries are made by the plugin '{inner.text('id')}' and do not "
                "stand here; write them as events (`sloth generate` prints them as slo:sli_error:ratio_rate5m)",
                "plugin",
            )
            return None
        if given[0] == "raw":
            notes.only(inner, (words.error_ratio_query,))
            return of_ratio(inner, words.error_ratio_query, notes, self._options.source)
        notes.only(inner, (words.error_query, words.total_query))
        return of_events(inner, words.error_query, words.total_query, notes, self._options.source)

    # ---- alerts ------------------------------------------------------------------------------------------

    def _alerting(
        self, entry: Fields, notes: Notes, annotations: dict[str, str], target: float
    ) -> list[dict[str, str]] | None:
        """The policies of an SLO: None for Setpoint's own. What Sloth adds to alerts becomes `annotations`."""
        alerting = entry.below("alerting")
        wanted = ["page", "ticket"]
        if alerting is not None:
            words = {"page": self._words.page, "ticket": self._words.ticket}
            notes.only(alerting, ("name", "labels", "annotations", *words.values()))
            before = len(annotations)
            if alerting.text("name"):
                annotations[f"{PREFIX}/alert-name"] = alerting.text("name")
            _keep(alerting, "alert", annotations, notes)
            for severity, word in words.items():
                block = alerting.below(word)
                if block is None:
                    continue
                notes.only(block, ("disable", "labels", "annotations"))
                if block.flag("disable"):
                    wanted.remove(severity)
                else:
                    _keep(block, severity, annotations, notes)
            if len(annotations) > before:
                notes.changed(
                    alerting,
                    f"what it adds to Prometheus alerts is kept as annotations {PREFIX}/… (`setpoint slo export rules` "
                    "writes it) and changes none of Setpoint's alerts",
                )
        if len(wanted) == 2 and self._windows is None:
            return None
        rows = [row for row in self._rows(target) if row.severity in wanted]
        return list(self._shared(rows))

    def _rows(self, target: float) -> Sequence[Row]:
        if self._windows is not None:
            return self._windows.rows
        if not 0 < target < 1:
            return []
        return [
            Row(one.severity, one.long_s, one.short_s, one.factor, min_bad=LEAST_BAD[one.severity])
            for one in rules_for(self._period_s, 1 - target)
            if one.severity != "watch"
        ]

    def _shared(self, rows: Sequence[Row]) -> Iterator[dict[str, str]]:
        for row in rows:
            body = policy_of(row, "sloth", self._period)
            name = body["metadata"]["name"]
            self._policies.setdefault(name, body)
            yield {"alertPolicyRef": name}


def _keep(block: Fields, role: str, annotations: dict[str, str], notes: Notes) -> None:
    for kind, name in (("label", "labels"), ("annotation", "annotations")):
        for key, value in block.pairs(name).items():
            if not put_annotation(annotations, PREFIX, f"{role}-{kind}.{key}", value):
                notes.lost(block, f"'{key[:80]}' cannot be kept as the key of an annotation", name, key)


def _plugins(block: Fields | None, notes: Notes) -> None:
    if block is None:
        return
    notes.only(block, ("overridePrevious", "chain"))
    for plugin in block.items("chain"):
        name = plugin.text("id")
        idle = next((words for prefix, words in _PLUGINS.items() if name.startswith(prefix)), None)
        instead = next((words for prefix, words in _PLUGINS_LOST.items() if name.startswith(prefix)), None)
        if idle is not None:
            notes.idle(plugin, f"the plugin '{name}' {idle}")
        else:
            advice = f"; {instead}" if instead else ", and nobody knows here what it does"
            notes.lost(plugin, f"the plugin '{name}' is not run{advice}")
