"""Keeps the book as time passes: tells the timeline what began and ended, moves the stored ends of what still fires,
takes what other replicas stored, and drops what ended and was told. `run` is the body of a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.store import FIRED, RESOLVED, SQL, Entry, drop
from setpoint.alert.from_objective import spoken_duration
from setpoint.alert.log import LOCK
from setpoint.alert.model import Alert
from setpoint.clock import Clock
from setpoint.database import Transaction
from setpoint.errors import SetpointError
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["KEEP_MS", "Tender"]

log = logging.getLogger(__name__)

KEEP_MS = 300_000
"""What ended is shown for this long at least."""

_OWN_EVENTS = frozenset({"objective", "policy"})
"""Sources that write events of their own."""

_LOOK_MS = 1_000
_SWEEP_MS = 10_000
_SHORT_MS = 30_000
"""A stored end that is nearer than this is moved; the sweep comes more often."""
_TOLD_AT_ONCE = 100
_SERVICE_MAX = 255


class Tender:
    """`advance` and `run` belong to one thread."""

    def __init__(
        self,
        book: AlertBook,
        timeline: Timeline,
        clock: Clock,
        *,
        is_leading: Callable[[], bool] = lambda: True,
        holds: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`holds` says of which alerts somebody must still be told; one replica (`is_leading`) drops and tells."""
        self._book = book
        self._timeline = timeline
        self._clock = clock
        self._is_leading = is_leading
        self._holds = holds
        self._swept_ms = 0
        self._is_late = False

    def run(self, stop: threading.Event) -> None:
        """Tend until `stop` is set."""
        while not stop.is_set():
            try:
                self.advance(self._clock.now_ms())
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("the book of alerts waits: %s", error.message)
                self._is_late = True
            except Exception:  # the loop must outlive any fault: what fires would seem to end
                log.exception("a look at the book of alerts failed; the next one tries again")
            self._clock.wait(stop, _LOOK_MS / 1000)

    def advance(self, now_ms: int) -> None:
        """Do what is due. Raises Unavailable."""
        if self._book.is_shared:
            self._book.pull()
        if not 0 <= now_ms - self._swept_ms < _SWEEP_MS:
            self._sweep(now_ms)
            self._swept_ms = now_ms
        if self._is_leading():
            self.tell(now_ms)

    def tell(self, now_ms: int) -> None:
        """Write events of what began and ended. Raises Unavailable."""
        while self._book.untold:
            names = [self._book.untold.pop() for _ in range(min(_TOLD_AT_ONCE, len(self._book.untold)))]
            found = [entry for name in names if (entry := self._book.entry(name)) is not None]
            try:
                self._write(found, now_ms)
            except SetpointError:
                self._book.untold.update(names)
                raise

    def _write(self, entries: Sequence[Entry], now_ms: int) -> None:
        told: list[tuple[Entry, str]] = []
        events: list[Event] = []
        due = [entry for entry in entries if entry.told != _state(entry.alert, now_ms)]
        if not due:
            return
        with self._book.database.begin(durable=False) as transaction:  # keys make it harmless to do it again
            # Others read events of these kinds with a cursor: their ids must grow in order.
            transaction.lock(LOCK)
            for entry in due:
                if entry.alert.source not in _OWN_EVENTS:
                    events += self._events(transaction, entry, now_ms)
                told.append((entry, _state(entry.alert, now_ms)))
            rows = [
                {"fingerprint": one.alert.fingerprint, "episode_ms": one.episode_ms, "told": state}
                for one, state in told
            ]
            transaction.execute_many(SQL["tell_alert"], rows)
        for entry, state in told:
            entry.told = state
            current = self._book.entry(entry.alert.fingerprint)
            if current is not None and current is not entry and current.episode_ms == entry.episode_ms:
                current.told = state
        self._timeline.publish(events)

    def _events(self, transaction: Transaction, entry: Entry, now_ms: int) -> Iterator[Event]:
        """The events of an episode that are not told yet; keys make telling them twice harmless."""
        alert = entry.alert
        texts = {"service": _storable(alert.labels.get("service", ""))[:_SERVICE_MAX], "data": _data(alert)}
        key = f"alert:{alert.fingerprint}:{entry.episode_ms}"
        states = [FIRED] if entry.told != FIRED else []
        states += [RESOLVED] if _state(alert, now_ms) == RESOLVED else []
        for state in states:
            at_ms = min(alert.starts_ms, now_ms) if state == FIRED else alert.ends_ms
            try:
                event = self._timeline.record_once(
                    transaction,
                    f"alert.{state}",
                    _summary(alert, state),
                    key=f"{key}:{state}",
                    at_ms=max(0, at_ms or 0),
                    **texts,  # type: ignore[arg-type]
                )
            except SetpointError as error:
                if error.retryable:
                    raise
                log.warning("the timeline does not take the alert %s: %s", alert.fingerprint, error.message)
                return
            if event is not None:
                yield event

    def _sweep(self, now_ms: int) -> None:
        """Look at all alerts: what ended by the clock, which rows are behind, what nobody needs any more."""
        behind, over = [], []
        leads = self._is_leading()
        for entry in self._book.entries():
            alert = entry.alert
            if alert.is_resolved(now_ms):
                if leads and entry.told != RESOLVED:
                    self._book.untold.add(alert.fingerprint)
                elif now_ms - (alert.ends_ms or 0) >= KEEP_MS and not (
                    leads and self._holds(alert.fingerprint)
                ):
                    over.append(entry)
            elif entry.stored.ends_ms != alert.ends_ms and (entry.stored.ends_ms or 0) - now_ms < _SHORT_MS:
                behind.append(entry)
        if behind:
            self._book.extend(behind)
        if not over:
            return
        if leads:
            self._book.forget(over, drop)
        elif self._book.is_shared:
            with self._book.database.read() as transaction:
                stored = {str(row["fingerprint"]) for row in transaction.rows(SQL["fingerprints"])}
            gone = [entry for entry in over if entry.alert.fingerprint not in stored]
            self._book.forget(gone, lambda *_: None)


def _state(alert: Alert, now_ms: int) -> str:
    return RESOLVED if alert.is_resolved(now_ms) else FIRED


def _summary(alert: Alert, state: str) -> str:
    name = alert.name or alert.fingerprint
    about = alert.annotations.get("summary") or alert.annotations.get("description") or ""
    if state == RESOLVED:
        lasted = spoken_duration(((alert.ends_ms or 0) - alert.starts_ms) / 1000)
        words = f"{name} resolved after {lasted}"
    else:
        severity = alert.labels.get("severity", "")
        words = f"{name} fires ({severity})" if severity else f"{name} fires"
    line = " ".join(_storable(f"{words}: {about}" if about else words).split())
    return line if len(line) <= SUMMARY_MAX else line[: SUMMARY_MAX - 1] + "…"


def _data(alert: Alert) -> dict[str, object]:
    return {
        "fingerprint": alert.fingerprint,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "source": alert.source,
        "starts_ms": alert.starts_ms,
        "severity": alert.labels.get("severity", ""),
    }


def _storable(text: str) -> str:
    """Without what no database stores as text."""
    return text.replace("\0", "").encode(errors="replace").decode()
