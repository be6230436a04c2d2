"""What foreign documents are made into: OpenSLO bodies, and the names, labels and durations in them.

`sloth` and `pyrra` build on it. Names and label keys that OpenSLO does not allow are rewritten, and noted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from setpoint.errors import InvalidInput
from setpoint.objective.convert.carried import Note, Notes, one_line
from setpoint.objective.spec.names import slug
from setpoint.resource.duration import duration_ms
from setpoint.resource.fields import Fields

__all__ = [
    "NO_BUDGET",
    "Options",
    "Written",
    "kept_labels",
    "kept_name",
    "metric",
    "openslo_duration",
    "percent",
    "policy",
    "put_annotation",
    "ratio",
    "raw_ratio",
    "service_of",
    "slo",
]

_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
NO_BUDGET = "a target of 100 % leaves no error budget; write the most that users would notice, such as 99.99"
_DESCRIPTION_MAX = 1050
_LONGEST_S, _SHORTEST_S = 366 * 86_400, 300
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60))


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says that the documents do not: `period` of Sloth's objectives, `service` of Pyrra's, the
    DataSource that the queries are read from (empty: Setpoint's own telemetry), and whether Services are wanted: an
    apply would replace one of the name that says more.
    """

    period: str = "30d"
    service: str = ""
    source: str = ""
    has_services: bool = True


@dataclass(slots=True)
class Written:
    """A document that was made, where it came from, and what is to be said of it."""

    body: dict[str, Any]
    file: str
    line: int
    notes: list[Note] = field(default_factory=list)
    identity: str = ""
    """What it was called where it came from: two of one name are one too many."""
    is_as_written: bool = False
    """It was OpenSLO already."""

    @property
    def key(self) -> tuple[str, str]:
        """Kind and name."""
        return str(self.body["kind"]), str(self.body["metadata"]["name"])


def kept_name(text: str, fields: Fields, notes: Notes, what: str, *names: str | int) -> str:
    """`text` as a name of OpenSLO: lower-case letters, digits and '-'; noted where it differs. Empty, and a problem,
    where nothing of it can be kept.
    """
    found = slug(text)
    if not found:
        fields.report(
            f"'{one_line(text)[:80]}' is no {what} that can be kept; write letters and digits", *names
        )
    elif found != text:
        notes.changed(
            fields,
            f"the {what} '{one_line(text)[:80]}' is written '{found}': names have lower-case letters, digits and '-', "
            "63 at most",
            *names,
        )
    return found


def kept_labels(fields: Fields, notes: Notes, name: str) -> dict[str, str]:
    """The labels of a field, without those whose names OpenSLO does not allow."""
    labels = {}
    for key, value in fields.pairs(name).items():
        if _KEY.fullmatch(key):
            labels[key] = value
        else:
            notes.lost(
                fields,
                f"the label '{one_line(key)[:80]}' cannot be a key; write up to 63 letters, digits, '-', '_' and '.', "
                "with a letter or digit at both ends",
                name,
                key,
            )
    return labels


def put_annotation(annotations: dict[str, str], prefix: str, name: str, value: str) -> bool:
    """Add `prefix/name: value`; False where that cannot be a key."""
    if not _KEY.fullmatch(name):
        return False
    annotations[f"{prefix}/{name}"] = value
    return True


def percent(fields: Fields, name: str) -> Decimal | None:
    """A target in percent; None, and a problem, where it is none."""
    text = fields.text(name).strip()
    try:
        number = Decimal(text if len(text) <= 40 else "?")
        if not (number.is_finite() and 0 < number <= 100):
            raise InvalidOperation
    except InvalidOperation:
        shown = f"'{one_line(text)[:80]}' is no percentage" if text else "is missing"
        fields.report(f"{shown}; write more than 0 and less than 100, such as 99.9", name)
        return None
    return number


def openslo_duration(text: str) -> str:
    """A duration of Prometheus (`1w3d`) as one of OpenSLO (`10d`). Raises InvalidInput with what to write."""
    seconds, rest = divmod(duration_ms(text.strip()), 1000)
    if rest or seconds % 60 or not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise InvalidInput(
            f"'{one_line(text)[:80]}' is out of bounds; write whole minutes from 5m to 366d, such as 30d"
        )
    same = re.fullmatch(r"[1-9][0-9]{0,8}[wdhm]", text.strip(), re.ASCII)
    if same is not None:
        return text.strip()
    return next(f"{seconds // length}{unit}" for unit, length in _UNITS if seconds % length == 0)


# ---- bodies ------------------------------------------------------------------------------------------------


def metric(query: str, source: str) -> dict[str, Any]:
    """A metric that PromQL gives, of a DataSource or (empty) Setpoint's own telemetry."""
    reference = {"metricSourceRef": source} if source else {}
    return {"metricSource": {**reference, "type": "Prometheus", "spec": {"query": query}}}


def ratio(total: str, part: str, role: str, source: str, *, counter: bool) -> dict[str, Any]:
    """The spec of an indicator that counts events; `role` of `part` is good or bad."""
    queries = {role: metric(part, source), "total": metric(total, source)}
    return {"ratioMetric": {"counter": counter, **queries}}


def raw_ratio(query: str, source: str, raw_type: str) -> dict[str, Any]:
    """The spec of an indicator that is a ready-made ratio."""
    return {"ratioMetric": {"raw": metric(query, source), "rawType": raw_type}}


def service_of(name: str) -> dict[str, Any]:
    """A Service."""
    return {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": name}, "spec": {}}


def slo(
    name: str,
    *,
    service: str,
    description: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    indicator: Mapping[str, Any],
    duration: str,
    target: Decimal,
    group_by: Sequence[str],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    """An SLO of one objective; `more` goes into its spec where it is not None."""
    metadata: dict[str, Any] = {"name": name}
    for key, value in (("labels", labels), ("annotations", annotations)):
        if value:
            metadata[key] = dict(value)
    spec: dict[str, Any] = {
        "service": service,
        "indicator": {"metadata": {"name": name}, "spec": dict(indicator)},
        "timeWindow": [{"duration": duration, "isRolling": True}],
        "budgetingMethod": "Occurrences",
        "objectives": [{"targetPercent": _number(target)}],
    }
    if description:
        spec["description"] = description[:_DESCRIPTION_MAX]
    if group_by:
        spec["groupBy"] = list(group_by)
    spec |= {key: value for key, value in more.items() if value is not None}
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": metadata, "spec": spec}


def policy(
    name: str,
    severity: str,
    windows: Sequence[str],
    factor: float,
    *,
    after: str = "",
    min_bad: float = 0,
    description: str = "",
) -> dict[str, Any]:
    """An AlertPolicy that holds where the burn over all `windows` is more than `factor`."""
    conditions = []
    for window in windows:
        condition: dict[str, Any] = {
            "kind": "burnrate",
            "op": "gt",
            "threshold": _number(Decimal(repr(round(factor, 6)))),
            "lookbackWindow": window,
        }
        if after:
            condition["alertAfter"] = after
        spec = {"severity": severity, "condition": condition}
        conditions.append({"kind": "AlertCondition", "metadata": {"name": f"burn-{window}"}, "spec": spec})
    body: dict[str, Any] = {"conditions": conditions}
    if description:
        body["description"] = description
    if min_bad:
        body["lowTraffic"] = {"minBad": min_bad}
    return {"apiVersion": "openslo/v1", "kind": "AlertPolicy", "metadata": {"name": name}, "spec": body}


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
