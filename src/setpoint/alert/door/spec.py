"""The resource kind `AlertSource` of setpoint/v1: who sends alerts, how they prove it, and how their JSON is read.

A source's key never stands in the resource, which pages, diffs and the timeline show; it is a file of the server's
secrets folder. `mapped` compiles the mapping, `sources` keeps the sources that are applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.alert.door.mapped import Mapping, compile_mapping
from setpoint.alert.door.told import LABEL_BYTES_MOST
from setpoint.alert.fields import lasting, refuse_secret
from setpoint.alert.from_telemetry import SecretFile
from setpoint.errors import InvalidInput, Problem
from setpoint.resource import Document, Metadata, Part, Registry
from setpoint.resource.duration import duration_ms

__all__ = ["API_VERSION", "AlertSource", "AlertSourceSpec", "MappingSpec", "register"]

API_VERSION: Final = "setpoint/v1"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_PATH = re.compile(r"[^\s.]+(\.[^\s.]+)*")
_TAKEN = ("alertmanager", "heartbeat", "objective", "policy", "rules")
_OWN = "it is set by Setpoint; choose another name"


def _header(value: str) -> str:
    if not _HEADER.fullmatch(value):
        raise ValueError(f"'{value}' is no name of a header; write one such as X-Grafana-Alerting-Timestamp")
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(f"'{value}' is no name of a label; write letters, digits and _, such as team")
    if value == "dedup_key":
        raise ValueError(f"{value}: {_OWN}")
    return value


def _path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(
            f"'{value}' is no path; write keys with dots between them, such as data.events or *.alerts"
        )
    return value


LabelName = Annotated[str, AfterValidator(_label)]
Template = Annotated[str, Field(max_length=10_000)]
_TEMPLATE = "A template in whose braces the item is the dot, such as {{ .check.name }}. "


class MappingSpec(Part):
    items: Annotated[str, AfterValidator(_path)] | None = Field(
        None,
        description="Where the alerts stand in the body: keys with dots between them, a number for a place of a list, "
        "* for each of a list or object, such as data.events. By default the body itself is one alert, or a list of "
        "them.",
    )
    when: Template | None = Field(
        None,
        description=_TEMPLATE + "Items for which it is empty, false, no or 0 are left out.",
    )
    labels: dict[LabelName, Template] = Field(
        default_factory=dict,
        description=_TEMPLATE + "alertname is needed; a label that comes out empty is left out.",
    )
    annotations: dict[LabelName, Template] = Field(
        default_factory=dict, description="Templates as those of labels; summary is what people read first."
    )
    status: Template | None = Field(
        None,
        description=_TEMPLATE
        + "What it says is looked for in resolved and acknowledged; else the alert fires.",
    )
    resolved: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=50)] = (
        Field(
            default_factory=lambda: ["resolved", "ok", "closed", "recovered", "success"],
            description="Words of status that mean that it is over, in any case; * stands for anything.",
        )
    )
    acknowledged: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=50)
    ] = Field(
        default_factory=lambda: ["acknowledged", "acknowledge"],
        description="Words of status that mean that somebody is at it; needs dedup.",
    )
    starts_at: Template | None = Field(
        None,
        description=_TEMPLATE
        + "When it began: RFC 3339, or Unix time in seconds to nanoseconds. By default now.",
    )
    ends_at: Template | None = Field(
        None, description="When a resolved one ended, as startsAt. By default now."
    )
    dedup: Template | None = Field(
        None,
        description=_TEMPLATE
        + "What names the problem as long as it lasts, such as an incident number: later items "
        "of the same mean the same alert, whatever their other labels. Without it the labels name the alert.",
    )
    url: Template | None = Field(
        None, description=_TEMPLATE + "A web address that shows where it comes from."
    )


class AlertSourceSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = ""
    type: Literal["pagerduty", "cloudevents", "grafana", "alertmanager", "json"] = Field(
        description="pagerduty: Events API v2 at /v2/enqueue, keyFile holds its routing key. At /alerts/in/NAME: "
        "cloudevents 1.0, the webhooks of grafana and alertmanager (version 4), or any json by mapping."
    )
    key_file: SecretFile | None = Field(
        None,
        description="File of the server's secrets folder with the key. A sender gives it as bearer token, as Basic "
        "password, as ?key= in the URL, or signs with it (X-Setpoint-Signature, Grafana's HMAC). Without it only a "
        "token of the server lets alerts in, or anybody where the server has no tokens and listens on loopback.",
    )
    key: Annotated[None, BeforeValidator(refuse_secret)] = Field(
        None, description="Refused: secrets stand in files."
    )
    signed_only: bool = Field(
        False, description="true: the key itself is not taken, only a signature made with it."
    )
    timestamp_header: Annotated[str, AfterValidator(_header)] | None = Field(
        None,
        description="grafana: the header that Grafana was told to write the time to, so that a request cannot be sent "
        "again later.",
    )
    labels: dict[LabelName, Annotated[str, Field(min_length=1, max_length=LABEL_BYTES_MOST)]] = Field(
        default_factory=dict,
        description="Labels that every alert of it gets, such as service and team, whatever the sender says.",
    )
    resolve_after: Annotated[str, lasting(60_000, 31 * 86_400_000, "write 1m to 31d, such as 4h")] | None = (
        Field(
            None,
            description="An alert that is not told again for so long is over, such as 4h. By default it stays.",
        )
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        3000, description="Requests within a minute; more are answered 429 and come again later."
    )
    mapping: MappingSpec | None = Field(
        None, description="json: how its body is read. cloudevents: what differs from the reading by default."
    )

    @model_validator(mode="after")
    def _fits_its_type(self) -> AlertSourceSpec:
        if self.type == "json" and self.mapping is None:
            raise ValueError("json needs a mapping; write mapping: {labels: {alertname: …}}")
        if self.type not in ("json", "cloudevents") and self.mapping is not None:
            raise ValueError(
                f"mapping is for json and cloudevents; {self.type} has a form of its own, leave it out"
            )
        if self.type == "pagerduty" and (self.key_file is None or self.signed_only):
            raise ValueError("pagerduty needs keyFile, whose line is the routing key (32 letters and digits)")
        if self.signed_only and self.key_file is None:
            raise ValueError("signedOnly needs keyFile, the key that requests are signed with")
        if self.timestamp_header is not None and self.type != "grafana":
            raise ValueError(
                "timestampHeader is Grafana's; X-Setpoint-Signature holds its time, leave it out"
            )
        return self

    @property
    def resolve_after_ms(self) -> int | None:
        """`resolveAfter` in milliseconds."""
        return None if self.resolve_after is None else duration_ms(self.resolve_after)

    def compiled(self) -> Mapping | None:
        """How its body is read; None where the type has a form of its own. Raises InvalidInput with every fault of the
        templates, whose paths begin with `mapping`.
        """
        if self.type not in ("json", "cloudevents"):
            return None
        written = self.mapping or MappingSpec()
        texts = {name: getattr(written, name) for name in _TEMPLATES if getattr(written, name) is not None}
        found = {**_CLOUD_EVENT, **texts} if self.type == "cloudevents" else texts
        defaults = _CLOUD_EVENT_TEXTS if self.type == "cloudevents" else {}
        return compile_mapping(
            items=written.items or "",
            texts=found,
            labels={**defaults.get("labels", {}), **written.labels},
            annotations={**defaults.get("annotations", {}), **written.annotations},
            resolved=[*written.resolved, *(["*.resolved", "*.ok"] if self.type == "cloudevents" else [])],
            acknowledged=written.acknowledged,
        )


_TEMPLATES = ("when", "status", "starts_at", "ends_at", "dedup", "url")
_CLOUD_EVENT = {
    "status": "{{ or .data.status .type }}",
    "starts_at": "{{ .time }}",
    "dedup": "{{ .source }} {{ or .subject .type }}",
}
_CLOUD_EVENT_TEXTS = {
    "labels": {
        "alertname": "{{ or .data.alertname .type }}",
        "source": "{{ .source }}",
        "subject": "{{ .subject }}",
        "severity": "{{ .data.severity }}",
        "service": "{{ .data.service }}",
    },
    "annotations": {
        "summary": "{{ or .data.summary .data.message .subject .type }}",
        "description": "{{ .data.description }}",
        "runbook_url": "{{ .data.runbook_url }}",
    },
}


class AlertSource(Part):
    """Where alerts come from that is neither a rule nor an objective: a PagerDuty client, a Grafana, any webhook."""

    api_version: Literal["setpoint/v1"] = API_VERSION
    kind: Literal["AlertSource"] = "AlertSource"
    metadata: Metadata
    spec: AlertSourceSpec


def _check(document: Document) -> Iterator[Problem]:
    assert isinstance(document.spec, AlertSource)
    if document.name in _TAKEN:
        message = f"'{document.name}' is what Setpoint calls a source of its own; choose another name"
        yield document.problem(message, "metadata", "name")
    try:
        document.spec.spec.compiled()
    except InvalidInput as error:
        for problem in error.problems:
            yield document.problem(problem.message, "spec", *(problem.path or "").split("."))


def register(registry: Registry) -> None:
    """Add `AlertSource` of setpoint/v1."""
    registry.register(API_VERSION, "AlertSource", AlertSource, check=_check)
