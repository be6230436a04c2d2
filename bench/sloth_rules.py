"""The 17 rules that Sloth writes for one SLO (slok/sloth, examples/_gen/getting-started.yml), and the same promise for
Setpoint, as text. `bench.objectives` gives them to the systems that it compares.

Eight recording rules of the error ratio (30 days as the mean of the 5-minute ones, which is cheaper than counting, and
wrong under uneven load: sloth #241), seven of metadata, two alerts, in three groups.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["grouped_slos", "rule_file", "slo_documents"]

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_TARGET = "0.999"
_BUDGET = "0.001"


def rule_file(numbers: Iterable[int], interval_s: int) -> str:
    """A Prometheus rule file for these objectives; every group is evaluated each `interval_s`."""
    groups = [group for number in numbers for group in _groups(number, interval_s)]
    return "groups:\n" + "".join(groups)


def slo_documents(numbers: Iterable[int]) -> str:
    """The same objectives for Setpoint."""
    return "---\n".join(_slo(f"slo-{number}", f'slo="o{number}"', "") for number in numbers)


def grouped_slos(shards: int) -> str:
    """One document for each shard of objectives, which makes one of each value of the label `slo`."""
    group = "  groupBy: [slo]\n"
    return "---\n".join(_slo(f"shard-{number}", f'shard="{number}"', group) for number in range(shards))


def _slo(name: str, matcher: str, group: str) -> str:
    by = " by (slo)" if group else ""
    return (
        "apiVersion: openslo/v1\nkind: SLO\n"
        f"metadata: {{name: {name}}}\n"
        "spec:\n  service: bench\n  budgetingMethod: Occurrences\n"
        "  indicator:\n    metadata: {name: requests}\n    spec:\n      ratioMetric:\n        counter: true\n"
        f"        bad: {{metricSource: {{type: Prometheus, spec: {{query: 'sum{by} "
        f'(bench_requests_total{{{matcher},code="500"}})\'}}}}}}\n'
        f"        total: {{metricSource: {{type: Prometheus, spec: {{query: 'sum{by} "
        f"(bench_requests_total{{{matcher}}})'}}}}}}\n"
        "  timeWindow: [{duration: 30d, isRolling: true}]\n"
        f"  objectives: [{{target: {_TARGET}}}]\n{group}"
    )


def _groups(number: int, interval_s: int) -> list[str]:
    name = f"o{number}"
    labels = {"sloth_id": f"bench-{name}", "sloth_service": "bench", "sloth_slo": name}
    match = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return [
        _group(f"sloth-slo-sli-recordings-{name}", interval_s, _ratios(name, labels, match)),
        _group(f"sloth-slo-meta-recordings-{name}", interval_s, _metadata(labels, match)),
        _group(f"sloth-slo-alerts-{name}", interval_s, _alerts(match)),
    ]


def _group(name: str, interval_s: int, rules: Iterable[str]) -> str:
    return f"- name: {name}\n  interval: {interval_s}s\n  rules:\n" + "".join(rules)


def _ratios(name: str, labels: dict[str, str], match: str) -> list[str]:
    rules = []
    for window in _WINDOWS:
        bad = f'(sum(rate(bench_requests_total{{slo="{name}",code="500"}}[{window}])))'
        total = f'(sum(rate(bench_requests_total{{slo="{name}"}}[{window}])))'
        made = labels | {"sloth_window": window}
        rules.append(_record(f"slo:sli_error:ratio_rate{window}", f"{bad} / {total}", made))
    recorded = f"slo:sli_error:ratio_rate5m{{{match}}}[30d]"
    month = f"sum_over_time({recorded}) / ignoring (sloth_window) count_over_time({recorded})"
    return [*rules, _record("slo:sli_error:ratio_rate30d", month, labels | {"sloth_window": "30d"})]


def _metadata(labels: dict[str, str], match: str) -> list[str]:
    on = "on(sloth_id, sloth_slo, sloth_service) group_left"
    return [
        _record("slo:objective:ratio", f"vector({_TARGET})", labels),
        _record("slo:error_budget:ratio", f"vector(1-{_TARGET})", labels),
        _record("slo:time_period:days", "vector(30)", labels),
        _record(
            "slo:current_burn_rate:ratio",
            f"slo:sli_error:ratio_rate5m{{{match}}} / {on} slo:error_budget:ratio{{{match}}}",
            labels,
        ),
        _record(
            "slo:period_burn_rate:ratio",
            f"slo:sli_error:ratio_rate30d{{{match}}} / {on} slo:error_budget:ratio{{{match}}}",
            labels,
        ),
        _record(
            "slo:period_error_budget_remaining:ratio",
            f"1 - slo:period_burn_rate:ratio{{{match}}}",
            labels,
        ),
        _record("sloth_slo_info", "vector(1)", labels | {"sloth_version": "v0.16.0"}),
    ]


def _alerts(match: str) -> list[str]:
    def burns(short: str, long: str, factor: float) -> str:
        sides = [
            f"max(slo:sli_error:ratio_rate{window}{{{match}}} > ({factor:g} * {_BUDGET})) without (sloth_window)"
            for window in (short, long)
        ]
        return f"({' and '.join(sides)})"

    page = f"{burns('5m', '1h', 14.4)} or {burns('30m', '6h', 6)}"
    ticket = f"{burns('2h', '1d', 3)} or {burns('6h', '3d', 1)}"
    return [
        f"  - alert: SLOErrorBudgetBurn\n    expr: '{expression}'\n    labels: {{sloth_severity: {severity}}}\n"
        for severity, expression in (("page", page), ("ticket", ticket))
    ]


def _record(name: str, expression: str, labels: dict[str, str]) -> str:
    written = ", ".join(f'{key}: "{value}"' for key, value in labels.items())
    return f"  - record: {name}\n    expr: '{expression}'\n    labels: {{{written}}}\n"
