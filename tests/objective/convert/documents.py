"""Documents of Sloth and Pyrra for tests, and what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from setpoint.app import default_registry
from setpoint.objective.convert import Imported, Options, import_documents
from setpoint.objective.model import Objective
from setpoint.objective.resolve import no_groups, resolve
from setpoint.resource import load_text

__all__ = ["ERRORS", "TOTAL", "objectives", "only_slo", "pyrra", "read", "slo_with", "sloth"]

REGISTRY = default_registry()
ERRORS = 'sum(rate(hits_total{code=~"5.."}[{{.window}}]))'
TOTAL = "sum(rate(hits_total[{{.window}}]))"


def sloth(*slos: Mapping[str, Any], **fields: Any) -> str:
    """A document of Sloth, in JSON, which is YAML."""
    return json.dumps({"version": "prometheus/v1", "service": "shop", "slos": list(slos), **fields})


def slo_with(name: str = "answers", error: str = ERRORS, total: str = TOTAL, **fields: Any) -> dict[str, Any]:
    """An SLO of Sloth."""
    sli = {"events": {"error_query": error, "total_query": total}}
    return {"name": name, "objective": 99.9, "sli": sli, "alerting": {}, **fields}


def pyrra(indicator: Mapping[str, Any], name: str = "answers", **spec: Any) -> str:
    """A document of Pyrra."""
    return json.dumps(
        {
            "apiVersion": "pyrra.dev/v1alpha1",
            "kind": "ServiceLevelObjective",
            "metadata": {"name": name, "namespace": "shops"},
            "spec": {"target": "99.5", "window": "4w", "indicator": indicator, **spec},
        }
    )


def read(*texts: str, options: Options | None = None, **more: Any) -> Imported:
    """What becomes of documents; all that is made can be applied."""
    files = [(f"{number}.yml", text) for number, text in enumerate(texts, 1)]
    found = import_documents(files, REGISTRY, options=options, **more)
    assert [one.body for one in load_text([("made", found.text)], REGISTRY)] == [
        one.body for one in found.documents
    ]
    return found


def only_slo(found: Imported) -> dict[str, Any]:
    """The one SLO among what was made."""
    (body,) = [one.body for one in found.documents if one.key[0] == "SLO"]
    return body


def objectives(found: Imported) -> list[Objective]:
    """What the server keeps of it; grouped ones have no groups here."""
    documents = load_text([("made", found.text)], REGISTRY)
    return resolve(documents, no_groups)
