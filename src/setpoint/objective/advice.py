"""What is allowed in objectives but looks wrong: `apply` warns of it and goes on. `app` registers it with SLO."""

from __future__ import annotations

from collections.abc import Iterator

from setpoint.errors import Problem
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["advise"]


def advise(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Problems of an SLO `document` among all documents that would be live after the apply."""
    service = document.body["spec"]["service"]
    if ("Service", service) not in catalogue:
        message = f"there is no Service '{service}'; add one, so that its objectives and events have a home"
        yield document.problem(message, "spec", "service")
