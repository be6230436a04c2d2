"""Documents of OpenSLO for tests: made from short parts, read as a user's file is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from setpoint.app import default_registry
from setpoint.objective.model import Objective
from setpoint.objective.resolve import resolve
from setpoint.resource import Document, Registry, load_text

__all__ = ["RATIO", "TARGET", "WINDOW", "documents", "objectives", "slo"]

RATIO = """\
indicator:
  spec:
    ratioMetric:
      counter: true
      bad: {metricSource: {spec: {query: 'sum(requests_total{code=~"5.."})'}}}
      total: {metricSource: {spec: {query: sum(requests_total)}}}
"""
WINDOW = "timeWindow: [{duration: 30d, isRolling: true}]\n"
TARGET = "objectives: [{target: 0.999}]\n"

_registry: Registry | None = None


def slo(
    spec: str = RATIO + WINDOW + TARGET, *, name: str = "shop", kind: str = "SLO", metadata: str = ""
) -> str:
    """A document with these lines below `spec` (an SLO's have `service: shop` above them)."""
    head = f"apiVersion: openslo/v1\nkind: {kind}\nmetadata:\n  name: {name}\n"
    more = "".join(f"  {line}\n" for line in metadata.splitlines())
    lines = ("service: shop\n" if kind == "SLO" else "") + spec
    return head + more + "spec:\n" + "".join(f"  {line}\n" for line in lines.splitlines())


def documents(*texts: str) -> list[Document]:
    """What a file with these documents declares."""
    global _registry  # noqa: PLW0603 — kinds are collected once
    _registry = _registry or default_registry()
    return load_text([("slo.yaml", "---\n".join(texts))], _registry)


def objectives(
    *texts: str, groups: Iterable[tuple[str, ...]] = (), warnings: list[str] | None = None
) -> list[Objective]:
    """Their objectives, where every look for groups finds `groups`."""

    def discover(objective: Objective, labels: Sequence[str]) -> Iterable[tuple[str, ...]]:
        del objective, labels
        return groups

    told = warnings if warnings is not None else []
    return resolve(documents(*texts), discover, told.append)
