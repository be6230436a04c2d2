"""Prometheus's API beside the queries: series, labels, metadata, exemplars, and what client programs ask of a server.

Grafana fills its menus from here; see `web.prometheus` for the envelope. Rules and alerts are empty lists: Setpoint's
objectives are not rule groups, and saying so keeps dashboards that list them working.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import Any

from fastapi import APIRouter

from setpoint import __version__
from setpoint.app import App
from setpoint.clock import rfc3339
from setpoint.errors import InvalidInput
from setpoint.promql import parse, prettify
from setpoint.promql.nodes import VectorSelector, walk
from setpoint.telemetry import Matcher
from setpoint.web.prometheus import Given, answers

__all__ = ["router"]

_ALWAYS_MS = 2**53

router = APIRouter(prefix="/api/v1")


@answers(router, "/series")
def series(parts: App, given: Given) -> Any:
    selectors = given.selectors()
    if not selectors:
        raise InvalidInput("no match[] parameter provided")
    start_ms, end_ms = _range_ms(given)
    return parts.catalog.series(selectors, start_ms, end_ms, given.limit())


@answers(router, "/labels")
def labels(parts: App, given: Given) -> Any:
    found = parts.catalog.label_names(given.selectors(), *_range_ms(given))
    return found[: given.limit() or None]


@answers(router, "/label/{name}/values")
def label_values(parts: App, given: Given) -> Any:
    found = parts.catalog.label_values(given.needed("name"), given.selectors(), *_range_ms(given))
    return found[: given.limit() or None]


@answers(router, "/metadata")
def metadata(parts: App, given: Given) -> Any:
    said = parts.signals.read_metadata(given.get("metric") or None)
    families = {
        metric: [{"type": one.type or "unknown", "unit": one.unit, "help": one.help} for one in found]
        for metric, found in groupby(said, key=lambda one: one.metric)
    }
    limit = given.limit()
    return dict(list(families.items())[:limit]) if limit else families


@answers(router, "/query_exemplars")
def query_exemplars(parts: App, given: Given) -> Any:
    start_ms, end_ms = given.range_ms((parts.clock.now_ms() - 3_600_000, parts.clock.now_ms()))
    selectors = {
        node.matchers for node in walk(parse(given.needed("query"))) if isinstance(node, VectorSelector)
    }
    answer = []
    for matchers in sorted(selectors, key=str):
        wanted = [Matcher(matcher.name, matcher.op, matcher.value) for matcher in matchers]
        found = parts.signals.read_exemplars(wanted, start_ms, end_ms)
        columns = found.columns
        by_series: list[list[dict[str, Any]]] = [[] for _ in found.labels]
        rows = zip(
            columns.rows.tolist(),
            columns.timestamps_ms.tolist(),
            columns.values.tolist(),
            columns.labels,
            strict=True,
        )
        for row, at_ms, value, said in rows:
            by_series[row].append({"labels": dict(said), "value": repr(value), "timestamp": at_ms / 1000})
        answer += [
            {"seriesLabels": dict(one), "exemplars": exemplars}
            for one, exemplars in zip(found.labels, by_series, strict=True)
        ]
    return answer


@answers(router, "/format_query")
def format_query(parts: App, given: Given) -> Any:
    return prettify(given.needed("query"))


@answers(router, "/rules")
def rules(parts: App, given: Given) -> Any:
    return {"groups": []}


@answers(router, "/alerts")
def alerts(parts: App, given: Given) -> Any:
    return {"alerts": []}


@answers(router, "/status/buildinfo")
def build_info(parts: App, given: Given) -> Any:
    # Without `features`: Grafana takes a server that names any for Mimir.
    return {
        "application": "Setpoint",
        "version": "3.8.0",
        "revision": __version__,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "pythonVersion": sys.version.split()[0],
    }


@answers(router, "/status/runtimeinfo")
def runtime_info(parts: App, given: Given) -> Any:
    return {
        "startTime": rfc3339(parts.started_ms),
        "CWD": "",
        "reloadConfigSuccess": True,
        "lastConfigTime": rfc3339(parts.started_ms),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": 0,
        "storageRetention": f"{parts.settings.retention_days}d",
    }


@answers(router, "/status/flags")
def flags(parts: App, given: Given) -> Any:
    shown = parts.settings.model_dump(
        mode="json", exclude={"token", "token_file", "telemetry_dsn", "state_dsn"}
    )
    return {name: "" if value is None else str(value) for name, value in shown.items()}


@answers(router, "/status/config")
def config(parts: App, given: Given) -> Any:
    return {"yaml": ""}


def _range_ms(given: Given) -> tuple[int, int]:
    return given.range_ms((-_ALWAYS_MS, _ALWAYS_MS))
