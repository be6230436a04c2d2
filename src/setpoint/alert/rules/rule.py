"""Rules as Prometheus has them: groups of recording and alerting rules, evaluated one after another.

`read` makes them from rule files, `evaluate` brings them forward in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from setpoint.alert.from_promql import Node
from setpoint.alert.template import Template

__all__ = ["AlertingRule", "RecordingRule", "Rule", "RuleGroup"]


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """The answer to `node` becomes the series `name`, with `labels` set; an empty value takes a label away."""

    name: str
    expr: str
    node: Node
    labels: Mapping[str, str] = field(default_factory=dict)
    line: int = 0


@dataclass(frozen=True, slots=True)
class AlertingRule:
    """Each series that `node` answers is an alert: pending, and firing once it has been there for `for_ms`.

    A firing alert goes on for `keep_firing_for_ms` after its series is gone. `labels` identify an alert, `annotations`
    describe it.
    """

    name: str
    expr: str
    node: Node
    for_ms: int = 0
    keep_firing_for_ms: int = 0
    labels: Mapping[str, Template] = field(default_factory=dict)
    annotations: Mapping[str, Template] = field(default_factory=dict)
    line: int = 0


Rule = RecordingRule | AlertingRule


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated in order at one instant; later ones see what earlier ones recorded at it.

    `interval_ms` is None where the server's applies; queries look at `query_offset_ms` before the instant; a rule that
    makes more than `limit` series or alerts fails (0: no limit).
    """

    name: str
    file: str
    rules: tuple[Rule, ...]
    interval_ms: int | None = None
    query_offset_ms: int = 0
    limit: int = 0
    line: int = 0
