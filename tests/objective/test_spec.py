"""The kinds as users meet them: through the registry, with the line of what has to change."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.errors import InvalidInput
from setpoint.objective import Objective, register
from setpoint.objective.duration import parse_duration, spoken_duration
from setpoint.objective.resolve import no_groups, resolve
from setpoint.resource import Registry, load_text

DAY = 86_400
RATIO = "spec.indicator.spec.ratioMetric"
VALID = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout-availability
  displayName: Checkout answers
  labels:
    team: payments
    tier: [one, gold]
  annotations:
    runbook: https://example.com
spec:
  description: Answered without a server error.
  service: checkout
  indicator:
    metadata:
      name: answers
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: sum(requests_total{code!~"5.."})
        total:
          metricSource:
            spec:
              query: sum(requests_total)
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: three nines
      target: 0.999
"""


def _registry() -> Registry:
    registry = Registry()
    register(registry)
    return registry


def _objective(text: str) -> Objective:
    (document,) = load_text([("slo.yaml", text)], _registry())
    (objective,) = resolve([document], no_groups)
    return objective


def _refused(old: str, new: str, text: str = VALID) -> list[str]:
    """The problems after replacing `old` by `new`."""
    assert text.count(old) == 1, f"'{old}' must stand once in the document"
    with pytest.raises(InvalidInput) as caught:
        _objective(text.replace(old, new))
    return [str(problem) for problem in caught.value.problems]


def test_a_whole_document() -> None:
    assert _objective(VALID) == Objective(
        name="checkout-availability",
        slo="checkout-availability",
        service="checkout",
        target=0.999,
        window_s=30 * DAY,
        total_query="sum(requests_total)",
        good_query='sum(requests_total{code!~"5.."})',
        display_name="Checkout answers",
        description="Answered without a server error.",
        labels={"team": ("payments",), "tier": ("one", "gold")},
    )


@pytest.mark.parametrize(
    ("old", "new", "field", "value"),
    [
        ("target: 0.999", "targetPercent: 99.9", "target", 0.999),
        ("target: 0.999", "targetPercent: 95", "target", 0.95),
        ("target: 0.999", "target: '0.99'", "target", 0.99),
        ("duration: 30d", "duration: 4w", "window_s", 28 * DAY),
        ("      isRolling: true\n", "", "is_rolling", True),
        ("duration: 30d", "duration: 1M", "window_s", 30 * DAY),
        ("duration: 30d", "duration: 1Q", "window_s", 90 * DAY),
        ("duration: 30d", "duration: 1Y", "window_s", 365 * DAY),
        ("duration: 30d", "duration: 12h", "window_s", 12 * 3600),
        ("  budgetingMethod: Occurrences\n", "", "method", "Occurrences"),
        ("counter: true", "counter: false", "is_counter", False),
        ("  budgetingMethod:", "  alertPolicies: []\n  budgetingMethod:", "service", "checkout"),
    ],
)
def test_other_ways_to_write_it(old: str, new: str, field: str, value: Any) -> None:
    assert getattr(_objective(VALID.replace(old, new)), field) == value


def test_bad_instead_of_good() -> None:
    objective = _objective(VALID.replace("        good:", "        bad:"))
    assert objective.good_query is None
    assert objective.bad_query == 'sum(requests_total{code!~"5.."})'


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("target: 0.999", "target: 1", "slo.yaml:35: spec.objectives[0].target: a target of 100 %"),
        ("target: 0.999", "target: 1.0", "slo.yaml:35: spec.objectives[0].target: a target of 100 %"),
        ("target: 0.999", "targetPercent: 100", "objectives[0].targetPercent: a target of 100 %"),
        ("target: 0.999", "target: 99.9", "or targetPercent: 99.9"),
        ("target: 0.999", "target: 0", "write a number between 0 and 1"),
        ("target: 0.999", "target: -0.5", "write a number between 0 and 1"),
        ("target: 0.999", "targetPercent: 120", "write a number between 0 and 100"),
        ("target: 0.999", "target: .nan", "slo.yaml:35: spec.objectives[0].target"),
        ("target: 0.999", "target: high", "slo.yaml:35: spec.objectives[0].target"),
        ("      target: 0.999\n", "", "slo.yaml:34: spec.objectives[0]: write a target"),
        ("target: 0.999", "target: 0.999\n      targetPercent: 99.9", "exclude each other; keep one"),
        ("target: 0.999", "targt: 0.999", "[0].targt: the field 'targt' is not known; did you mean 'target'"),
        (
            "target: 0.999",
            "target: 0.999\n    - {displayName: THREE nines, target: 0.9}",
            "slo.yaml:36: spec.objectives[1].displayName: two objectives would have the name 'three-nines'",
        ),
        ("target: 0.999", "target: 0.999\n      op: lte", "slo.yaml:36: spec.objectives[0].op: belongs to a"),
        (
            "target: 0.999",
            "target: 0.999\n      timeSliceTarget: 0.9",
            "slo.yaml:36: spec.objectives[0].timeSliceTarget: belongs to budgetingMethod: Timeslices",
        ),
        ("duration: 30d", "duration: 30", "slo.yaml:30: spec.timeWindow[0].duration: expected text"),
        ("duration: 30d", "duration: 30x", "slo.yaml:30: spec.timeWindow[0].duration: '30x' is no duration"),
        ("duration: 30d", "duration: 0d", "is no duration"),
        ("duration: 30d", "duration: 600s", "which OpenSLO does not have"),
        ("duration: 30d", "duration: 1m", "write 5m to 366d"),
        ("duration: 30d", "duration: 2Y", "write 5m to 366d"),
        ("isRolling: true", "isRolling: false", "slo.yaml:31: spec.timeWindow[0].isRolling: a window that"),
        (
            "isRolling: true",
            "isRolling: true\n      calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}",
            "slo.yaml:32: spec.timeWindow[0].calendar: a rolling window has no calendar",
        ),
        ("budgetingMethod: Occurrences", "budgetingMethod: Timeslices", "[0]: timeSliceTarget is missing"),
        ("budgetingMethod: Occurrences", "budgetingMethod: RatioTimeslices", "[0]: timeSliceWindow is missing"),
        ("budgetingMethod: Occurrences", "budgetingMethod: occurences", "slo.yaml:32: spec.budgetingMethod"),
        ("counter: true", "countr: true", f"slo.yaml:19: {RATIO}.countr: the field 'countr'"),
        ("        counter: true\n", "", "counter is missing; write counter: true where"),
        ("        good:", "        goood:", "the field 'goood' is not known; did you mean 'good'?"),
        ("sum(requests_total)\n", "sum(requests_total\n", f"slo.yaml:28: {RATIO}.total.metricSource.spec"),
        ("sum(requests_total)\n", "sum(rate(requests_total[5m]))\n", "slo.yaml:28: "),
        ("sum(requests_total)\n", "sum(rate(requests_total[5m]))\n", "query: with counter: true"),
        ("sum(requests_total)\n", "requests_total[5m]\n", "slo.yaml:28:"),
        ("sum(requests_total)\n", "'5'\n", "this is a scalar"),
        ("sum(requests_total)\n", "''\n", "slo.yaml:28:"),
        ("type: Prometheus", "type: Datadog", f"slo.yaml:22: {RATIO}.good.metricSource.type"),
        ("type: Prometheus", "metricSourceRef: prom", "write the same metricSourceRef as in total"),
        ("type: Prometheus", "metricSourceRef: Prom EU", "is no name"),
        ("  service: checkout", "  service: Check Out", "slo.yaml:13: spec.service: 'Check Out' is no name"),
        ("  service: checkout\n", "", "spec.service: is missing"),
        ("  service: checkout", "  service: shop\n  alertPolicies: [{}]", "spec.alertPolicies[0]: write alertPol"),
        ("  service: checkout", "  service: shop\n  indicatorRef: other", "indicatorRef: indicator and indic"),
        ("name: checkout-availability", "name: Checkout", "slo.yaml:4: metadata.name"),
        ("team: payments", "team: 5", "metadata.labels.team"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_what_to_write(old: str, new: str, problem: str) -> None:
    problems = _refused(old, new)
    assert any(problem in one for one in problems), problems


def test_neither_good_nor_bad() -> None:
    head, rest = VALID.split("        good:\n")
    with pytest.raises(InvalidInput, match="write good or bad beside total"):
        _objective(head + "        total:\n" + rest.split("        total:\n")[1])


def test_several_faults_are_told_at_once() -> None:
    text = VALID.replace("0.999", "1").replace("30d", "30x").replace("sum(requests_total)\n", "sum(\n")
    with pytest.raises(InvalidInput) as caught:
        _objective(text)
    assert [problem.line for problem in caught.value.problems] == [28, 30, 35]


def test_a_service() -> None:
    text = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: shop}\nspec: {description: Sells.}\n"
    (document,) = load_text([("service.yaml", text)], _registry())
    assert document.kind == "Service"
    assert load_text([("service.yaml", text.replace(" {description: Sells.}", ""))], _registry())
    with pytest.raises(InvalidInput, match="did you mean 'description'"):
        load_text([("service.yaml", text.replace("description", "descripton"))], _registry())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (26 * 60, "26 min"), (3 * 3600 + 40 * 60, "3 h 40 m"),
     (7200, "2 h"), (2 * DAY + 5 * 3600, "2 d 5 h"), (30 * DAY, "30 d")],
)  # fmt: skip
def test_durations_in_sentences(seconds: float, text: str) -> None:
    assert spoken_duration(seconds) == text


def test_durations_are_parsed_exactly() -> None:
    assert [parse_duration(text) for text in ("5m", "1h", "2w", "1Q")] == [300, 3600, 14 * DAY, 90 * DAY]
    for text in ("", "d", "1.5h", "-1d", "1h30m", "٣d"):
        with pytest.raises(ValueError, match="write a whole number"):
            parse_duration(text)
