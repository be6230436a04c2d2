"""What an SLO says of other resources: `refer` finds what is missing and refuses it, `advise` what is allowed but
looks wrong, of which `apply` only warns. `register` gives both to the registry.
"""

from __future__ import annotations

from collections.abc import Iterator

from setpoint.errors import Problem
from setpoint.objective.spec import Slo
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["advise", "refer"]


def refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """The data source that an SLO names and that would not exist after the apply."""
    assert isinstance(document.spec, Slo)
    ratio = document.spec.spec.indicator.spec.ratio_metric
    if ratio.source and ("DataSource", ratio.source) not in catalogue:
        message = (
            f"there is no DataSource '{ratio.source}'; apply one of that name, with the SLO or before it"
        )
        place = ("spec", "indicator", "spec", "ratioMetric", "total", "metricSource", "metricSourceRef")
        yield document.problem(message, *place)


def advise(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Problems of an SLO `document` among all documents that would be live after the apply."""
    service = document.body["spec"]["service"]
    if ("Service", service) not in catalogue:
        message = f"there is no Service '{service}'; add one, so that its objectives and events have a home"
        yield document.problem(message, "spec", "service")
