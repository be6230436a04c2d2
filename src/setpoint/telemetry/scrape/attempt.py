"""One attempt to scrape a target: fetch, read, store; and what its page says of it afterwards.

`scraper` starts an attempt whenever a target is due, and `end` when a target has gone. Whatever goes wrong
ends up in the target's state and in `up`, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import TypeVar, TypeVarTuple

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.telemetry.model import RefBatch
from setpoint.telemetry.scrape.exposition import BadBody
from setpoint.telemetry.scrape.fetch import Answer
from setpoint.telemetry.scrape.pool import LastScrape, TargetState
from setpoint.telemetry.scrape.series import REPORTED, STALE, Draft
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Attempts", "Submit"]

_Given = TypeVarTuple("_Given")
_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)

_TOLERANCE_MS = 100
_TIMEOUT_HEADER = "X-Prometheus-Scrape-Timeout-Seconds"
_SAMPLE_BYTES, _BATCH_BYTES = 24, 256

Submit = Callable[[RefBatch, int], "Future[None]"]
"""Stores a batch, as `Ingest.submit` does."""


class Attempts:
    """Scrapes targets; `total` and `failed` count attempts. `readers` are threads that bodies are read in.

    `body_limit_bytes` is the largest body of a job that names no `body_size_limit`.
    """

    def __init__(
        self, table: SeriesTable, submit: Submit, clock: Clock, readers: Executor, body_limit_bytes: int
    ) -> None:
        self._table, self._submit, self._clock = table, submit, clock
        self._readers, self._body_limit_bytes = readers, body_limit_bytes
        self.total = self.failed = 0

    async def scrape(self, state: TargetState, due_ms: int) -> None:
        """Scrape a target that was due at `due_ms`."""
        now_ms = self._clock.now_ms()
        tolerance_ms = min(_TOLERANCE_MS, state.target.interval_ms // 100)
        at_ms = due_ms if 0 <= now_ms - due_ms <= tolerance_ms else now_ms
        began_s = asyncio.get_running_loop().time()
        state.is_busy = True
        try:
            last = await self._attempt(state, at_ms, began_s)
        except Exception:  # noqa: BLE001 — a fault of ours ends this scrape and no other
            _log.exception("the scrape of %s failed inside Setpoint", state.target.url)
            last = LastScrape(at_ms, 0.0, "Setpoint failed at this scrape; its log holds the details")
        finally:
            state.is_busy = False
        self.total += 1
        self.failed += bool(last.error)
        state.last = last

    async def _attempt(self, state: TargetState, at_ms: int, began_s: float) -> LastScrape:
        target, spec = state.target, state.target.job.spec
        limit_bytes = spec.body_size_limit or self._body_limit_bytes
        draft, error, size_bytes, scraped, kept = None, state.pool.over_limit(), 0, 0, 0
        if not error:
            try:
                headers = state.pool.headers | {_TIMEOUT_HEADER: f"{target.timeout_ms / 1000:g}"}
                fetching = state.pool.fetcher.get(target.url, headers, target.timeout_ms, limit_bytes)
                async with fetching as answer:
                    draft, size_bytes = await self._in_thread(_read, state, answer, limit_bytes, at_ms)
                scraped, kept = draft.scraped, draft.kept
            except TooLarge as fault:
                error, size_bytes = fault.message, -1
            except BadBody as fault:
                error, scraped, kept = fault.message, fault.scraped, fault.kept
            except (InvalidInput, Unavailable) as fault:
                error = fault.message
        if draft is None:
            draft = await self._in_thread(state.series.empty, at_ms)
        duration_s = asyncio.get_running_loop().time() - began_s
        reported = (
            0.0 if error else 1.0, duration_s, scraped, kept, draft.added,
            target.timeout_ms / 1000, spec.sample_limit, size_bytes,
        )  # fmt: skip
        try:
            state.series.report(draft, at_ms, reported)
            await self._store(state, draft)
        except SetpointError as fault:
            error = error or f"not stored: {fault.message}"
        return LastScrape(at_ms, duration_s, error, draft.note, scraped, kept, size_bytes)

    async def end(self, state: TargetState, at_ms: int, others: Sequence[TargetState]) -> None:
        """Mark the series of a target that has gone as ended at `at_ms`, except those that `others` have now:
        the same target may be there again under another configuration.
        """
        if state.last is None:
            return
        lease = self._table.lease()
        try:
            theirs = [other.series.refs(lease) for other in others]
            but = np.concatenate(theirs) if theirs else None
            draft = await self._in_thread(state.series.empty, at_ms, but)
            state.series.report(draft, at_ms, [STALE] * len(REPORTED), but)
            await self._store(state, draft)
        except SetpointError as fault:
            _log.warning("the end of %s was not stored: %s", state.target.url, fault)
        finally:
            lease.release()

    async def _store(self, state: TargetState, draft: Draft) -> None:
        """Raises what `submit` raises; what is remembered of the target changes only when it is stored."""
        try:
            batch = draft.batch()
            future = self._submit(batch, _BATCH_BYTES + _SAMPLE_BYTES * len(batch.refs))
        except BaseException:
            draft.lease.release()
            raise
        future.add_done_callback(lambda _: draft.lease.release())
        await asyncio.wrap_future(future)
        state.series.accept(draft)

    async def _in_thread(self, function: Callable[[*_Given], _Result], *given: *_Given) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, function, *given)


def _read(state: TargetState, answer: Answer, limit_bytes: int, at_ms: int) -> tuple[Draft, int]:
    body = answer.inflated(limit_bytes)
    return state.series.read(body, answer.content_type, at_ms), len(body)
