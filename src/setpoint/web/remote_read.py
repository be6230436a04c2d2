"""The door for Prometheus remote read, so that another Prometheus answers its queries from what Setpoint holds.

`telemetry.remote_read` knows the protocol. A read takes its turn among the queries and keeps to their limits; as
Prometheus's own, errors are plain text.
"""

from __future__ import annotations

import threading

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.promql.budget import Budget
from setpoint.telemetry import SampleColumns
from setpoint.telemetry.model import HistogramColumns
from setpoint.telemetry.receive.remote_write_scan import inflate
from setpoint.telemetry.remote_read import Selection, chunk_frames, read_request, samples_answer
from setpoint.telemetry.side_store import StoredHistograms
from setpoint.web.page import Parts
from setpoint.web.roles import needs
from setpoint.web.streamed import Streamed
from setpoint.web.waiting import run_while_wanted

__all__ = ["router"]

_BODY_LIMIT_BYTES = 1 << 20
_ALWAYS_MS = 2**53
_NO_HISTOGRAMS = StoredHistograms((), HistogramColumns(np.empty(0, np.int32), np.empty(0, np.int64), ()))

router = APIRouter(prefix="/api/v1")


@router.post("/read")
@needs("viewer")
async def read(request: Request, parts: Parts) -> Response:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT_BYTES:
            return _refusal(TooLarge(f"the request is larger than {_BODY_LIMIT_BYTES} bytes; ask for less"))
    try:
        return await run_while_wanted(request, lambda gone: _answer(parts, body, gone))
    except SetpointError as error:
        return _refusal(error)


def _answer(parts: App, body: bytearray, gone: threading.Event) -> Response:
    selections, forms = read_request(bytes(inflate(body, _BODY_LIMIT_BYTES)))
    with parts.queries.running(is_canceled=gone.is_set) as budget:
        found = [_read(parts, budget, one) for one in selections]
        is_sparse = any(len(histograms.columns.rows) for _, histograms in found)
        if forms[0] == "chunks" and not (is_sparse and "samples" in forms):
            frames = chunk_frames([columns for columns, _ in found])
            budget.outlive(frames, budget.held)
            kind = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
            # Said to be as it is, so that no layer compresses it: its reader expects frames.
            return Streamed(frames, {"Content-Type": kind, "Content-Encoding": "identity"})
        encoded = samples_answer(found)
    return Response(encoded, headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"})


def _read(parts: App, budget: Budget, one: Selection) -> tuple[SampleColumns, StoredHistograms]:
    if one.end_ms < one.start_ms:
        return SampleColumns.empty(), _NO_HISTOGRAMS
    # Instants beyond these hold no samples, and could not be moved by one.
    after_ms, end_ms = max(one.start_ms, -_ALWAYS_MS) - 1, min(one.end_ms, _ALWAYS_MS)
    columns = parts.reader.select(one.matchers, after_ms, end_ms, admit=budget.foresee)
    budget.spend(len(columns.timestamps_ms))
    histograms = parts.reader.select_histograms(one.matchers, after_ms, end_ms)
    return columns, histograms or _NO_HISTOGRAMS


def _refusal(error: SetpointError) -> Response:
    status = 400 if isinstance(error, InvalidInput) else error.http_status
    headers = {"Retry-After": f"{error.retry_after_s:.0f}"} if isinstance(error, Unavailable) else None
    return PlainTextResponse(error.message + "\n", status, headers)
