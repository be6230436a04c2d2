"""The metrics that services emit by convention, and the SLIs that follow from them.

OpenTelemetry's semantic conventions arrive under Prometheus names (decision 0011): `http.server.request.duration` is
`http_server_request_duration_seconds`. A convention applies when the service has its metric; which series are bad says
the first of its labels that they have.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from setpoint.objective.suggest.model import Candidate

__all__ = ["METRICS", "candidates", "identities"]

Labels = Mapping[str, str]
_GRPC_NAMES = "Unknown|DeadlineExceeded|Unimplemented|Internal|Unavailable|DataLoss"
_GRPC_CODES = "2|4|12|13|14|15"
_GRPC_CAPITALS = "UNKNOWN|DEADLINE_EXCEEDED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"
_HTTP = (("code", "5.."), ("status", "5.."), ("status_code", "5.."), ("http_status", "5.."))
_ANY = ".+"


@dataclass(frozen=True, slots=True)
class _Convention:
    """`metric` is a counter, the stem of a histogram, or a gauge of 0 and 1; `bad` are labels with the values that make
    an event bad. Of several conventions with the same `topic` the first that a service has is taken.
    """

    topic: str
    told: str
    metric: str
    shape: Literal["counter", "histogram", "gauge"]
    unit: str
    bad: tuple[tuple[str, str], ...] = ()
    scale_s: float = 1.0


_CONVENTIONS = (
    _Convention(
        "http", "OpenTelemetry http.server.request.duration", "http_server_request_duration_seconds", "histogram",
        "HTTP requests", (("http_response_status_code", "5.."), ("error_type", _ANY)),
    ),
    _Convention(
        "http", "OpenTelemetry http.server.duration", "http_server_duration_milliseconds", "histogram",
        "HTTP requests", (("http_status_code", "5.."),), 0.001,
    ),
    _Convention("http", "Prometheus http_requests_total", "http_requests_total", "counter", "HTTP requests", _HTTP),
    _Convention(
        "http", "Prometheus http_request_duration_seconds", "http_request_duration_seconds", "histogram",
        "HTTP requests", _HTTP,
    ),
    _Convention(
        "rpc", "OpenTelemetry rpc.server.call.duration", "rpc_server_call_duration_seconds", "histogram",
        "RPC calls", (("rpc_response_status_code", _GRPC_CAPITALS), ("error_type", _ANY)),
    ),
    _Convention(
        "rpc", "OpenTelemetry rpc.server.duration", "rpc_server_duration_milliseconds", "histogram",
        "RPC calls", (("rpc_grpc_status_code", _GRPC_CODES),), 0.001,
    ),
    _Convention(
        "rpc", "Prometheus grpc_server_handled_total", "grpc_server_handled_total", "counter", "gRPC calls",
        (("grpc_code", _GRPC_NAMES),),
    ),
    _Convention(
        "rpc", "Prometheus grpc_server_handling_seconds", "grpc_server_handling_seconds", "histogram", "gRPC calls",
    ),
    _Convention(
        "messages", "OpenTelemetry messaging.process.duration", "messaging_process_duration_seconds", "histogram",
        "messages processed", (("error_type", _ANY),),
    ),
    _Convention(
        "consumed", "OpenTelemetry messaging.client.consumed.messages", "messaging_client_consumed_messages_total",
        "counter", "messages consumed", (("error_type", _ANY),),
    ),
    _Convention(
        "sent", "OpenTelemetry messaging.client.sent.messages", "messaging_client_sent_messages_total", "counter",
        "messages sent", (("error_type", _ANY),),
    ),
    _Convention(
        "database", "OpenTelemetry db.client.operation.duration", "db_client_operation_duration_seconds", "histogram",
        "database operations", (("error_type", _ANY),),
    ),
    _Convention("probe", "blackbox exporter probe_success", "probe_success", "gauge", "probes"),
    _Convention("up", "Prometheus up", "up", "gauge", "scrapes"),
)  # fmt: skip

_SUFFIXES = {"counter": ("",), "histogram": ("_bucket", "_count"), "gauge": ("",)}

METRICS = tuple(f"{one.metric}{suffix}" for one in _CONVENTIONS for suffix in _SUFFIXES[one.shape])
"""The names of all series that are looked at."""

_IDENTITIES = ("job", "service_name", "service", "app", "app_kubernetes_io_name")


def identities(service: str) -> list[tuple[str, str]]:
    """Label and expression by which a service's series are found: its name, or `namespace/name` as job."""
    plain = "".join(f"\\{letter}" if letter in r"\.+*?()|[]{}^$" else letter for letter in service)
    return [("job", f"(.+/)?{plain}"), *((name, plain) for name in _IDENTITIES[1:])]


def candidates(name: str, service: str, series: Iterable[Labels]) -> tuple[list[Candidate], list[str]]:
    """The SLIs of these series, which are a service's, named after `name`; and what makes none, with the reason."""
    by_name: dict[str, list[Labels]] = {}
    for labels in series:
        by_name.setdefault(labels.get("__name__", ""), []).append(labels)
    found: list[Candidate] = []
    left_out: list[str] = []
    done: set[tuple[str, str]] = set()
    for one in _CONVENTIONS:
        is_known = any(topic == one.topic for topic, _ in done)
        missing: list[str] = []
        for made in _made(one, name, service, by_name, missing):
            if (one.topic, made.kind) not in done:
                found.append(made)
                done.add((one.topic, made.kind))
        if not is_known:
            left_out += missing
    if any(one.kind != "reachability" for one in found):
        found = [one for one in found if one.metric != "up"]  # what answers requests is judged by them
    return found, left_out


def _made(
    one: _Convention, name: str, service: str, by_name: Mapping[str, Sequence[Labels]], left_out: list[str]
) -> list[Candidate]:
    counted = f"{one.metric}_count" if one.shape == "histogram" else one.metric
    series = by_name.get(counted, ())
    if not series:
        return []
    who = _who(service, series)
    if one.shape == "gauge":
        raw = f"avg({one.metric}{{{who}}})"
        return [_reachable(one, name, raw)]
    made = []
    label = next((key for key, _ in one.bad if any(key in labels for labels in series)), None)
    values = dict(one.bad).get(label or "", "")
    called = name if one.topic == "http" else f"{name}-{one.topic}"
    if label is None and not (one.bad and one.bad[-1][0] == "error_type"):
        left_out.append(
            f"{counted}: none of its series has a label that tells bad {one.unit} from good ones"
            + (f" ({', '.join(key for key, _ in one.bad)})" if one.bad else "")
        )
        good_of = ""
    else:
        # A label that only failures have may not be there yet; a missing one is empty.
        label, values = label or "error_type", values or _ANY
        good_of = f', {label}=""' if values == _ANY else f", {label}!~{_quoted(values)}"
        made.append(
            Candidate(
                name=f"{called}-availability",
                kind="availability",
                convention=one.told,
                metric=counted,
                unit=one.unit,
                sentence=f"{one.unit} without an error of the service",
                good=f"sum({counted}{{{who}{good_of}}})",
                total=f"sum({counted}{{{who}}})",
            )
        )
    if one.shape == "histogram":
        made += _quick(one, called, who, good_of, by_name, left_out)
    return made


def _quick(  # noqa: PLR0917 — what a latency is made of
    one: _Convention,
    called: str,
    who: str,
    good_of: str,
    by_name: Mapping[str, Sequence[Labels]],
    left_out: list[str],
) -> list[Candidate]:
    """Latency from the buckets of a classic histogram; of good events only, because a quick failure is no success."""
    bounds: dict[str, float] = {}
    for labels in by_name.get(f"{one.metric}_bucket", ()):
        bound = _number(labels.get("le", ""))
        if bound is not None and math.isfinite(bound):
            bounds[labels["le"]] = bound * one.scale_s
    if not bounds:
        left_out.append(
            f"{one.metric}: it has no buckets, so that nothing says how many {one.unit} were quick"
        )
        return []
    inside = f"{who}{good_of}"
    return [
        Candidate(
            name=f"{called}-latency",
            kind="latency",
            convention=one.told,
            metric=f"{one.metric}_bucket",
            unit=one.unit,
            sentence=f"{one.unit} that are quick enough",
            good=f'sum({one.metric}_bucket{{{inside}, le="{{le}}"}})',
            total=f"sum({one.metric}_count{{{inside}}})",
            buckets=f"sum by (le) ({one.metric}_bucket{{{inside}}})",
            bounds=tuple(sorted(bounds.items(), key=lambda item: item[1])),
        )
    ]


def _reachable(one: _Convention, name: str, raw: str) -> Candidate:
    sentence = "probes that succeed" if one.topic == "probe" else "scrapes that are answered"
    return Candidate(
        name=f"{name}-reachable",
        kind="reachability",
        convention=one.told,
        metric=one.metric,
        unit="minutes",
        sentence=sentence,
        raw=raw,
    )


def _who(service: str, series: Sequence[Labels]) -> str:
    """The condition that all of these series, or most of them, meet."""
    counts: dict[str, int] = {}
    for labels in series:
        for name in _IDENTITIES:
            value = labels.get(name, "")
            if value == service or (name == "job" and value.endswith(f"/{service}")):
                pair = f"{name}={_quoted(value)}"
                counts[pair] = counts.get(pair, 0) + 1
    return max(counts, key=lambda pair: counts[pair]) if counts else f"service_name={_quoted(service)}"


def _quoted(value: str) -> str:
    """As PromQL quotes it; its escapes are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
