"""`/federate`: the newest sample of every series that a selection names, as text, for a Prometheus that scrapes it.

As Prometheus: samples of the last five minutes, series that ended left out, an empty `instance` where there is none
(so that the scraper's own does not take its place), types not told. Native histograms have no text form.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput, SetpointError
from setpoint.promql.format import format_number
from setpoint.telemetry.columns import LabelKey, label_key
from setpoint.telemetry.native_histogram import STALE_BITS
from setpoint.web.page import KEPT_NOWHERE, Parts
from setpoint.web.prometheus import Given
from setpoint.web.roles import needs
from setpoint.web.waiting import run_while_wanted

__all__ = ["router"]

_LOOKBACK_MS = 300_000
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e6

router = APIRouter()


@router.get("/federate")
@needs("viewer")
async def federate(request: Request, parts: Parts) -> Response:
    given = Given(request.query_params.multi_items())
    try:
        text = await run_while_wanted(request, lambda gone: "".join(_lines(parts, given, gone)))
    except SetpointError as error:
        status = 400 if isinstance(error, InvalidInput) else error.http_status
        return PlainTextResponse(error.message + "\n", status, KEPT_NOWHERE)
    return Response(text, headers=KEPT_NOWHERE, media_type=_TYPE)


def _lines(parts: App, given: Given, gone: threading.Event) -> Iterator[str]:
    now_ms = parts.clock.now_ms()
    newest: dict[LabelKey, tuple[int, float]] = {}
    with parts.queries.running(is_canceled=gone.is_set) as budget:
        for matchers in given.selectors():
            found = parts.reader.select(matchers, now_ms - _LOOKBACK_MS, now_ms, admit=budget.foresee)
            last = found.offsets[1:] - 1
            values = found.values[last]
            alive = values.view(np.uint64) != STALE_BITS
            rows = zip(
                found.labels, found.timestamps_ms[last].tolist(), values.tolist(), alive.tolist(), strict=True
            )
            newest |= {
                label_key(labels): (at_ms, value) for labels, at_ms, value, is_alive in rows if is_alive
            }
    previous = None
    for key in sorted(newest, key=lambda key: (dict(key).get("__name__", ""), key)):
        labels = dict(key)
        name = labels.pop("__name__", "")
        if not name:
            continue
        if name != previous:
            yield f"# TYPE {name} untyped\n"
            previous = name
        pairs = [f'{label}="{value.translate(_ESCAPES)}"' for label, value in labels.items()]
        if "instance" not in labels:
            pairs.append('instance=""')
        at_ms, value = newest[key]
        yield f"{name}{{{','.join(pairs)}}} {_number(value)} {at_ms}\n"


def _number(value: float) -> str:
    """As Go's 'g' format: with an exponent below 1e-4 and from 1e6 on."""
    if value == 0 or not np.isfinite(value) or _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        return format_number(value)
    return str(np.format_float_scientific(value, trim="-", exp_digits=2))
