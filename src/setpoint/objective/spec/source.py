"""Where the numbers of an indicator come from: `metricSource` of OpenSLO, of three types.

- Prometheus: `spec.query` is PromQL, on Setpoint's own telemetry or on a DataSource (`metricSourceRef`).
- sql: `spec.query` is one SELECT on the telemetry database. It gives rows (`minute`, `value`), a DateTime and a
  number, and names the stretch that it is asked for as `{from_s:Int64}` and `{to_s:Int64}`, Unix seconds of [from, to);
  `_ms` and `_ns` are the same in other units.
- spans: `spec` selects spans, which are counted in the minute in which they ended.

As text (`Objective.total_query` and its siblings) a source is its query, or a selection of spans as canonical
JSON, which `read_spans` reads again.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from setpoint.errors import InvalidInput
from setpoint.objective.from_promql import refuse_unparsable
from setpoint.objective.source.sql_check import refuse_text
from setpoint.objective.spec.fields import Name, error_at
from setpoint.resource import Part

__all__ = ["Engine", "Metric", "MetricSource", "MetricSpec", "SpanSelection", "read_spans"]

Engine = Literal["promql", "sql", "spans"]

_PROMETHEUS = frozenset({"prometheus", "victoriametrics", "mimir", "thanos", "cortex"})
_TYPES = {"sql": "sql", "spans": "spans"}
_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_TEXT_MAX = 10_000
_ITEMS_MAX = 100


def _listed(value: Any) -> Any:
    """One text is a list of one."""
    return [value] if isinstance(value, str) else value


def _lower(value: Any) -> Any:
    listed = _listed(value)
    if not isinstance(listed, list):
        return listed
    return [one.lower() if isinstance(one, str) else one for one in listed]


def _attributes(value: Any) -> Any:
    """Attributes are kept as text: a number or boolean is what telemetry writes for it."""
    if not isinstance(value, dict):
        return value
    return {key: _texts(one) for key, one in value.items()}


def _texts(value: Any) -> Any:
    listed = value if isinstance(value, list) else [value]
    return [
        str(one).lower() if isinstance(one, bool) else str(one) if isinstance(one, int | float) else one
        for one in listed
    ]


Texts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1000)]],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=_ITEMS_MAX),
]
_Values = Annotated[list[Annotated[str, Field(max_length=1000)]], Field(min_length=1, max_length=_ITEMS_MAX)]


class SpanSelection(Part):
    """Which spans count: all conditions must hold, and of a list one value. `*` in a text stands for any
    characters.
    """

    service: Texts | None = Field(
        None, description="spans: their service.name; `*` stands for any characters."
    )
    operation: Texts | None = Field(None, description="spans: their name, such as `POST /pay*`.")
    kind: (
        Annotated[
            list[Literal["unspecified", "internal", "server", "client", "producer", "consumer"]],
            BeforeValidator(_lower),
            Field(min_length=1),
        ]
        | None
    ) = Field(None, description="spans: server, client, producer, consumer or internal.")
    status: (
        Annotated[list[Literal["unset", "ok", "error"]], BeforeValidator(_lower), Field(min_length=1)] | None
    ) = Field(None, description="spans: ok, error or unset.")
    min_duration_ms: Annotated[float, Field(ge=0, le=1e12)] | None = Field(
        None, description="spans: only those that took longer than this."
    )
    max_duration_ms: Annotated[float, Field(ge=0, le=1e12)] | None = Field(
        None, description="spans: only those that took this long at most."
    )
    attributes: (
        Annotated[dict[str, _Values], BeforeValidator(_attributes), Field(max_length=_ITEMS_MAX)] | None
    ) = Field(None, description="spans: attributes and the value or values that they must have.")
    resource: (
        Annotated[dict[str, _Values], BeforeValidator(_attributes), Field(max_length=_ITEMS_MAX)] | None
    ) = Field(None, description="spans: attributes of the resource, such as deployment.environment.name.")


def read_spans(text: str) -> SpanSelection:
    """The selection that `MetricSource.text` wrote. Raises ValueError."""
    return SpanSelection.model_validate_json(text)


class MetricSpec(SpanSelection):
    """OpenSLO leaves `spec` to the implementation: a query, or the spans that count."""

    query: Annotated[str, Field(max_length=_TEXT_MAX)] | None = Field(
        None,
        description="Prometheus: PromQL that yields one series. sql: one SELECT that yields rows (minute, value), "
        "a DateTime and a number, for the stretch from {from_s:Int64} to {to_s:Int64}, Unix seconds.",
    )


def _type(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    lowered = value.lower()
    return "Prometheus" if lowered in _PROMETHEUS else _TYPES.get(lowered, value)


class MetricSource(Part):
    type: Annotated[Literal["Prometheus", "sql", "spans"], BeforeValidator(_type)] = Field(
        "Prometheus",
        description="Prometheus: PromQL, on Setpoint's own telemetry or a DataSource. sql: SQL on the telemetry "
        "database. spans: spans of the telemetry database.",
    )
    spec: MetricSpec
    metric_source_ref: Name | None = Field(
        None,
        description="The DataSource that the query's samples are read from; without it Setpoint's own telemetry.",
    )

    @model_validator(mode="after")
    def _spec_fits(self) -> MetricSource:
        if self.metric_source_ref is not None and self.type != "Prometheus":
            raise error_at(
                self.metric_source_ref,
                ("metricSourceRef",),
                f"{self.type} reads Setpoint's own telemetry database; leave metricSourceRef out, or write PromQL",
            )
        if self.type == "spans":
            self._refuse_no_selection()
            return self
        for name, field in SpanSelection.model_fields.items():
            value = getattr(self.spec, name)
            if value is not None:
                place = ("spec", field.alias or name)
                raise error_at(value, place, f"belongs to type: spans; with type: {self.type} write a query")
        if self.spec.query is None:
            raise error_at(None, ("spec",), "is without a query; add 'query: …'")
        if self.type == "sql":
            _refuse_sql(self.spec.query)
        else:
            _refuse_promql(self.spec.query)
        return self

    def _refuse_no_selection(self) -> None:
        spec = self.spec
        if spec.query is not None:
            sentence = "spans are selected by service, operation, kind, status, duration and attributes; "
            raise error_at(
                spec.query, ("spec", "query"), sentence + "leave the query out, or write type: sql"
            )
        if spec.service is None:
            raise error_at(
                None, ("spec",), "names no service; write 'service: …', so that not every span counts"
            )
        low, high = spec.min_duration_ms, spec.max_duration_ms
        if low is not None and high is not None and low >= high:
            sentence = f"no span takes longer than {low:g} ms and at most {high:g} ms; write a smaller one"
            raise error_at(low, ("spec", "minDurationMs"), sentence)

    @property
    def engine(self) -> Engine:
        """In which language `text` is."""
        return "promql" if self.type == "Prometheus" else self.type

    @property
    def source(self) -> str:
        """The name of the data source; empty for Setpoint's own telemetry."""
        return self.metric_source_ref or ""

    @property
    def text(self) -> str:
        """The query as it was written, or the selection of spans as canonical JSON."""
        if self.type != "spans":
            return self.spec.query or ""
        fields = self.spec.model_dump(by_alias=True, exclude_none=True, exclude={"query"})
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Metric(Part):
    metric_source: MetricSource


def _refuse_promql(query: str) -> None:
    if "{{" in query:
        raise error_at(
            query,
            ("spec", "query"),
            "'{{' begins a template, which PromQL does not have; name the plain counter without rate() and its "
            "window, such as sum(http_requests_total), and Setpoint takes the increase itself",
        )
    try:
        refuse_unparsable(query)
    except InvalidInput as error:
        raise error_at(query, ("spec", "query"), error.message) from error


def _refuse_sql(query: str) -> None:
    try:
        refuse_text(query)
    except InvalidInput as error:
        raise error_at(query, ("spec", "query"), error.message) from error
