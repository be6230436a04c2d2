"""Suggestions as OpenSLO documents: with the reasons as comments, ready to be applied."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime

from setpoint.objective.spec.names import slug
from setpoint.objective.suggest.model import Advice, Candidate, Suggestion
from setpoint.objective.suggest.target import percent

__all__ = ["document", "spoken_bound", "whole"]

_WIDTH = 110
_NAME_MAX = 63


def whole(advice: Advice, fresh: Sequence[Suggestion]) -> str:
    """The text of all suggestions that are not declared yet; comments only where there is none."""
    day = datetime.fromtimestamp(advice.at_ms / 1000, UTC).strftime("%Y-%m-%d")
    head = [
        f"Suggested for {advice.service} on {day}, from what it emits. Read the reasons; change what you know better."
    ]
    for one in advice.suggestions:
        if one.declared:
            head.append(f"{one.name} is not among them: {one.declared} counts {one.metric} already.")
    head += [f"No objective of {told}." for told in advice.left_out]
    if not fresh:
        head.append("There is nothing to apply.")
    parts = [] if advice.is_declared or not fresh else [_service(advice.service)]
    return _comment(head) + "---\n".join([*parts, *(one.yaml for one in fresh)])


def document(one: Suggestion, candidate: Candidate, service: str) -> str:
    """One SLO with its reasons."""
    quick = "" if one.threshold_s is None else f" within {spoken_bound(one.threshold_s)}"
    told = candidate.sentence.replace(" that are quick enough", f" that end{quick}")
    comment = _comment([f"{one.name}: {told} ({one.convention}).", f"Target {percent(one.target)}:"])
    comment += "".join(_comment([reason], first="# - ", rest="#   ") for reason in one.reasons)
    ratio = (
        f"""      ratioMetric:
        counter: false
        rawType: success
        raw: {{metricSource: {{type: Prometheus, spec: {{query: {_quoted(one.raw)}}}}}}}
"""
        if one.raw
        else f"""      ratioMetric:
        counter: true
        good: {{metricSource: {{type: Prometheus, spec: {{query: {_quoted(one.good)}}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: {_quoted(one.total)}}}}}}}
"""
    )
    return f"""{comment}apiVersion: openslo/v1
kind: SLO
metadata:
  name: {_name(one.name)}
spec:
  description: {told[:1].upper() + told[1:]}.
  service: {_name(service)}
  indicator:
    metadata: {{name: {_name(one.name)}}}
    spec:
{ratio}  timeWindow: [{{duration: {one.window}, isRolling: true}}]
  budgetingMethod: Occurrences
  objectives: [{{target: {one.target!r}}}]
"""


def _service(service: str) -> str:
    return f"apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {_name(service)}}}\nspec: {{}}\n"


def _name(text: str) -> str:
    return slug(text)[:_NAME_MAX].strip("-")


def _quoted(query: str) -> str:
    """In YAML's single quotes, in which only these themselves are written twice."""
    doubled = query.replace("'", "''")
    return f"'{doubled}'"


def spoken_bound(bound_s: float) -> str:
    """A bound of latency: 250 ms, 2.5 s."""
    return f"{bound_s:g} s" if bound_s >= 1 else f"{bound_s * 1000:g} ms"


def _comment(sentences: Sequence[str], first: str = "# ", rest: str = "# ") -> str:
    lines: list[str] = []
    for sentence in sentences:
        wrapped = textwrap.wrap(
            " ".join(sentence.split()), _WIDTH - len(first), break_long_words=False, break_on_hyphens=False
        )
        lines += [f"{first if not at else rest}{line}" for at, line in enumerate(wrapped)]
    return "".join(f"{line}\n" for line in lines)
