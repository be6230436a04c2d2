"""No document can crash the importer: what comes out can be applied, what does not has a line and says what to do."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.objective.convert import import_documents
from tests.objective.convert.documents import ERRORS, REGISTRY, TOTAL, objectives, slo_with, sloth

_KEYS = [
    "version", "service", "labels", "slos", "slo_plugins", "sloPlugins", "chain", "id", "name", "description",
    "objective", "plugins", "sli", "events", "error_query", "total_query", "errorQuery", "totalQuery", "raw",
    "error_ratio_query", "errorRatioQuery", "plugin", "options", "alerting", "annotations", "page_alert", "pageAlert",
    "ticket_alert", "ticketAlert", "disable", "target", "window", "indicator", "ratio", "latency", "latencyNative",
    "bool_gauge", "errors", "total", "success", "metric", "grouping", "burnrates", "absent", "disabled", "severities",
    "fastBurn", "metadata", "namespace", "spec", "sloPeriod", "page", "ticket", "quick", "slow", "errorBudgetPercent",
    "shortWindow", "longWindow", "items", "status", "ruleOutput",
]  # fmt: skip
_WORDS = [
    "shop", "a.b_C", "prometheus/v1", "prometheus/v9", ERRORS, TOTAL, "sum by (a) (rate(x[{{.window}}])) or vector(0)",
    "1 - sum(rate(a[{{.window}}])) / sum(rate(b[{{.window}}]))", "max(rate(x[{{.window}}]))", "{{.window}}", "{{",
    "sum_over_time(count(x)[{{.window}}:])", "x{", "up", 'x{a="b"}', "99.9", "100", "0", "-1", "1e400", "nan", "30d",
    "5m", "1h", "0s", "99999999999999999999d", "7d", "4w", "true", "\u0000", "é", "\u2028", "\x1b[31m", "", "#",
    "- a: b",
]  # fmt: skip
_scalars = st.one_of(
    st.sampled_from(_WORDS),
    st.sampled_from([0, 1, 99.9, 100, 1e308, 10**30, True, False, None]),
    st.text(max_size=6),
)
_trees = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5)
    ),
    max_leaves=25,
)
_KINDS: list[dict[str, Any]] = [
    {"version": "prometheus/v1", "service": "shop"},
    {"apiVersion": "sloth.slok.dev/v1", "kind": "PrometheusServiceLevel"},
    {"apiVersion": "sloth.slok.dev/v1", "kind": "AlertWindows"},
    {"apiVersion": "pyrra.dev/v1alpha1", "kind": "ServiceLevelObjective", "metadata": {"name": "a"}},
    {"kind": "List"},
    {"apiVersion": "openslo/v1", "kind": "SLO"},
    {"apiVersion": "openslo/v1alpha", "kind": "SLO", "metadata": {"name": "a"}},
    {},
]


def _read(*texts: str) -> None:
    try:
        found = import_documents([(f"{n}.yml", text) for n, text in enumerate(texts)], REGISTRY)
    except InvalidInput as error:
        assert all(one.file and one.message and one.message == one.message.strip() for one in error.problems)
        assert error.problems or "name files with SLOs" in error.message
        return
    assert all(one.file and one.line and one.message for one in found.notes)
    assert all(0 < one.target < 1 for one in objectives(found))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(_KINDS), st.dictionaries(st.sampled_from(_KEYS), _trees, max_size=6))
def test_any_tree_is_read_or_refused(kind: dict[str, Any], tree: dict[str, Any]) -> None:
    _read(json.dumps({**tree, **kind}))


_valid = st.sampled_from(
    [
        ERRORS, "sum by (a) (rate(x[{{.window}}])) or vector(0)", "max(rate(x[{{.window}}]))",
        "1 - sum(rate(a[{{.window}}])) / sum(rate(b[{{.window}}]))", "sum_over_time(count(x)[{{.window}}:])",
        "sum(sum_over_time(x[{{.window}}]))", "rate(x[{{.window}}]) - rate(y[{{.window}}])",
    ]
)  # fmt: skip
_queries = st.one_of(_valid, _valid, _valid, st.just(TOTAL), _scalars)
_texts = st.dictionaries(st.sampled_from([*_KEYS[:9], "_x", "a b", "é"]), _scalars, max_size=3)
_alert = st.fixed_dictionaries(
    {}, optional={"disable": st.booleans(), "labels": _texts, "annotations": _texts}
)
_alerting = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(_WORDS),
        "labels": _texts,
        "page_alert": _alert,
        "ticket_alert": _alert,
    },
)
_slos = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a.b_C", "é", "x" * 70, "shop", "5"]),
        "objective": st.sampled_from([99, 99.9, 100, "99.95", 1e-9, 99]),
    },
    optional={"labels": _texts, "alerting": _alerting, "description": st.text(max_size=5)},
)


@settings(max_examples=200, deadline=None)
@given(_slos, _queries, _queries, st.booleans())
def test_any_slo_is_read_or_refused(slo: dict[str, Any], error: Any, total: Any, is_raw: bool) -> None:
    events = {"error_query": error, "total_query": total}
    sli = {"raw": {"error_ratio_query": error}} if is_raw else {"events": events}
    whole = {"version": "prometheus/v1", "service": "shop", "slos": [{**slo, "sli": sli}]}
    _read(json.dumps(whole), json.dumps({**whole, "service": "b"}))


_kinds = st.sampled_from(["ratio", "latency", "latencyNative", "bool_gauge"])
_selectors = st.sampled_from(["up", 'x{a="b"}', "x{", "sum(up)", "", "{a='b'}", 5])
_burns = st.fixed_dictionaries(
    {}, optional={"burnrates": st.booleans(), "absent": _scalars, "severities": _texts, "name": _scalars}
)
_windows = st.sampled_from(["4w", "1w", "12h", "5m", "1m", "366d", "90s", "0", "1w1d1h1m"])


@settings(max_examples=200, deadline=None)
@given(
    _kinds,
    _selectors,
    _burns,
    _windows,
    st.lists(st.sampled_from(["a", "b", "é", "__name__", 5]), max_size=3),
)
def test_any_pyrra_document_is_read_or_refused(
    kind: str, metric: Any, alerting: Any, window: str, grouping: Any
) -> None:
    named = {"metric": metric}
    part: dict[str, dict[str, Any]] = {
        "ratio": {"errors": named},
        "latency": {"success": named},
        "latencyNative": {"latency": "1s"},
    }
    inner = {**named} if kind == "bool_gauge" else {**part[kind], "total": named}
    indicator = {kind: {**inner, "grouping": grouping}}
    _read(
        json.dumps(
            {
                **_KINDS[3],
                "spec": {"target": "99", "window": window, "indicator": indicator, "alerting": alerting},
            }
        )
    )


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    _read(text)
    _read("version: prometheus/v1\nservice: a\nslos:\n" + text)


def test_hostile_documents_are_refused() -> None:
    deep = "[" * 5000
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [*{before},*{before},*{before},*{before},*{before},*{before},*{before},*{before}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (
        deep,
        bomb,
        "!!python/object:os.system x",
        "x" * (1 << 20) + "yz",
        "version: prometheus/v1\nslos: &a [*a]",
    ):
        _read(text)
    for query in ("(" * 9000 + "rate(x[{{.window}}])", "-" * 900 + ERRORS, " + ".join([ERRORS] * 300)):
        _read(sloth(slo_with(error=query)))
