"""Prometheus's API beside the queries: series, labels, metadata, exemplars, rules and alerts.

Grafana fills its menus from here; see `web.prometheus` for the envelope. Rules and alerts are those of Prometheus's
rules that Setpoint evaluates: objectives are no rule groups.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from fastapi import APIRouter

from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.promql import parse
from setpoint.promql.format import format_number
from setpoint.promql.nodes import VectorSelector, walk
from setpoint.telemetry import Matcher
from setpoint.telemetry.columns import LabelKey, label_key
from setpoint.web.prometheus import Given, answers, first_of
from setpoint.web.rule_answers import alert_list, rule_groups

__all__ = ["router", "unescape_name"]

_ALWAYS_MS = 2**53
_ESCAPED = "U__"
_LONGEST_CODE = 5
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")

router = APIRouter(prefix="/api/v1")


@answers(router, "/series")
def series(parts: App, given: Given) -> Any:
    selectors = given.selectors()
    if not selectors:
        raise InvalidInput('no match[] parameter provided; write match[]=metric{label="value"}')
    limit = given.limit()
    # One more than asked for says whether some are left out.
    found = parts.catalog.series(selectors, *_range_ms(given), limit and limit + 1)
    return first_of(found, limit)


@answers(router, "/labels")
def labels(parts: App, given: Given) -> Any:
    return first_of(parts.catalog.label_names(given.selectors(), *_range_ms(given)), given.limit())


@answers(router, "/label/{name}/values")
def label_values(parts: App, given: Given) -> Any:
    name = unescape_name(given.needed("name"))
    return first_of(parts.catalog.label_values(name, given.selectors(), *_range_ms(given)), given.limit())


def unescape_name(name: str) -> str:
    """The label name that `name` stands for: after `U__`, `__` is an underscore and `_2e_` the character U+002E.

    What is not well-formed stands for itself, as in Prometheus's `model.UnescapeName`.
    """
    if not name.startswith(_ESCAPED):
        return name
    letters: list[str] = []
    pieces = iter(name.removeprefix(_ESCAPED).split("_"))
    letters.append(next(pieces))
    for code in pieces:
        after = next(pieces, None)
        if after is None:
            return name
        if not code:
            letters.append("_")
        elif len(code) > _LONGEST_CODE or not _HEXADECIMAL.issuperset(code):
            return name
        else:
            number = int(code, 16)
            if 0xD800 <= number < 0xE000:  # halves of a pair, and no characters
                return name
            letters.append(chr(number))
        letters.append(after)
    return "".join(letters)


@answers(router, "/metadata")
def metadata(parts: App, given: Given) -> Any:
    limit, limit_per_metric = given.whole("limit", -1), given.whole("limit_per_metric", -1)
    said = parts.signals.read_metadata(given.get("metric") or None)
    families = {
        metric: [{"type": one.type or "unknown", "unit": one.unit, "help": one.help} for one in found]
        for metric, found in groupby(said, key=lambda one: one.metric)
    }
    if limit_per_metric > 0:
        families = {metric: found[:limit_per_metric] for metric, found in families.items()}
    return dict(list(families.items())[:limit]) if limit >= 0 else families


@answers(router, "/query_exemplars")
def query_exemplars(parts: App, given: Given) -> Any:
    start_ms, end_ms = _range_ms(given)
    if end_ms < start_ms:
        raise InvalidInput("end timestamp must not be before start timestamp; exchange the two")
    nodes = walk(parse(given.needed("query")))
    answer: dict[LabelKey, dict[str, Any]] = {}
    for matchers in {node.matchers for node in nodes if isinstance(node, VectorSelector)}:
        wanted = [Matcher(matcher.name, matcher.op, matcher.value) for matcher in matchers]
        found = parts.signals.read_exemplars(wanted, start_ms, end_ms)
        by_series: list[list[dict[str, Any]]] = [[] for _ in found.labels]
        columns = found.columns
        rows = zip(
            columns.rows.tolist(), columns.timestamps_ms.tolist(), columns.values.tolist(), strict=True
        )
        for (row, at_ms, value), said in zip(rows, columns.labels, strict=True):
            instant = at_ms // 1000 if at_ms % 1000 == 0 else at_ms / 1000
            by_series[row].append({"labels": said, "value": format_number(value), "timestamp": instant})
        for one, exemplars in zip(found.labels, by_series, strict=True):
            answer[label_key(one)] = {"seriesLabels": dict(one), "exemplars": exemplars}
    return [answer[key] for key in sorted(answer)]


@answers(router, "/rules")
def rules(parts: App, given: Given) -> Any:
    return rule_groups(parts.rules.groups(), given)


@answers(router, "/alerts")
def alerts(parts: App, given: Given) -> Any:
    return alert_list(parts.rules.alerts())


def _range_ms(given: Given) -> tuple[int, int]:
    return given.range_ms((-_ALWAYS_MS, _ALWAYS_MS))
