"""What can be typed next into a query: `/api/telemetry/complete`, for the page of metrics and for editors.

Prometheus's `/api/v1/label/…/values` gives all there are; while somebody types, a few that fit are wanted at once, with
any number of series. So this answers from memory only, and never with more than `limit`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from setpoint.promql.supported import AGGREGATIONS, FUNCTIONS
from setpoint.promql.words import hint
from setpoint.telemetry import Matcher
from setpoint.web.page import Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["fitting", "router"]

Of = Literal["expression", "metric", "label", "value"]

_LIMIT, _LIMIT_MAX = 30, 1000
_NAME = "__name__"
_Text = Annotated[str, Query(max_length=1000)]

router = APIRouter()


@router.get("/api/telemetry/complete")
@needs("viewer")
def complete(
    parts: Parts,
    *,
    of: Of = "expression",
    prefix: _Text = "",
    metric: _Text = "",
    label: _Text = "",
    limit: Annotated[int, Query(ge=1, le=_LIMIT_MAX)] = _LIMIT,
) -> Response:
    matchers = [Matcher(_NAME, "=", metric)] if metric and of in ("label", "value") else []
    if of == "label":
        kind, known = "label", [name for name in parts.table.label_names(matchers) if name != _NAME]
    elif of == "value":
        kind, known = "value", parts.table.label_values(label, matchers)
    else:
        kind, known = "metric", parts.table.label_values(_NAME)
    found = fitting(known, prefix)
    items = [{"text": text, "kind": kind, "note": ""} for text in found[:limit]]
    total = len(found)
    if of == "expression":
        words = [
            {"text": name, "kind": what, "note": hint(name)}
            for what, names in (("aggregation", AGGREGATIONS), ("function", FUNCTIONS))
            for name in fitting(sorted(names), prefix)
        ]
        items = _merged(words, items, prefix)[:limit]
        total += len(words)
    return json_answer({"items": items, "total": total})


def fitting(known: Iterable[str], prefix: str) -> list[str]:
    """Those of `known` that contain `prefix`, in any case; first those that begin with it."""
    wanted = prefix.lower()
    if not wanted:
        return list(known)
    found = [text for text in known if wanted in text.lower()]
    return sorted(found, key=lambda text: not text.lower().startswith(wanted))


def _merged(
    words: Sequence[dict[str, str]], metrics: Sequence[dict[str, str]], prefix: str
) -> list[dict[str, str]]:
    """Functions before metrics, but none that only contains the prefix before a metric that begins with it."""
    wanted = prefix.lower()
    return sorted([*words, *metrics], key=lambda item: not item["text"].lower().startswith(wanted))
