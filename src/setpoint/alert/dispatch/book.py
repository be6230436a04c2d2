"""The book of alerts: whoever brings one calls `receive`, and when that returns the alert is stored.

Callers that come at once share a commit: who gets the lock writes for all that wait. Alerts that are told again every
minute and change in nothing but when they will end are not written each time (decision 0038): their row's end is moved
when half of it is used up, and by `Tender` before it is reached, so at any instant a row says of what fires that it
fires. Subscribers hear of every change after its commit, in the order of the commits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from setpoint.alert.dispatch.merge import merge, received
from setpoint.alert.dispatch.store import RESOLVED, SQL, UNTOLD, Entry, entries, settle, take_sequence, write
from setpoint.alert.model import Alert
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import Unavailable

__all__ = ["GRACE_MS", "AlertBook"]

log = logging.getLogger(__name__)

GRACE_MS = 300_000
"""What fired when Setpoint died, and would have ended while it was away, is given this long to be told again."""

_WAITING_MOST = 200_000
"""Alerts that wait for a commit; more are not taken."""

_AT_ONCE = 10_000
_PATIENCE_S = 30.0


class _Request:
    """What one caller brought, and what became of it."""

    __slots__ = ("alerts", "done", "error")

    def __init__(self, alerts: Sequence[Alert]) -> None:
        self.alerts = alerts
        self.done = threading.Event()
        self.error: Exception | None = None


class AlertBook:
    """Every alert that fires, and those that ended and are still wanted; safe to use from several threads."""

    def __init__(self, database: StateDatabase, clock: Clock) -> None:
        """Opens with what is stored. Raises Unavailable."""
        self.database = database
        self.clock = clock
        self.is_shared = database.dialect != "sqlite"
        """Whether other replicas write alerts too."""
        self._entries: dict[str, Entry] = {}
        self._seen = 0
        self._writing = threading.Lock()
        self._guard = threading.Lock()
        self._queue: list[_Request] = []
        self._waiting = 0
        self._hearers: tuple[Callable[[Sequence[Alert]], None], ...] = ()
        self.on_drop: Callable[[Sequence[Alert]], None] = lambda _: None
        self.untold: set[str] = set()
        """Fingerprints of alerts that began or ended, for the timeline."""
        self._load()

    # Reading

    def alerts(self) -> list[Alert]:
        """What fires, and what ended and is kept."""
        return [entry.alert for entry in list(self._entries.values())]

    def get(self, fingerprint: str) -> Alert | None:
        """One alert."""
        entry = self._entries.get(fingerprint)
        return None if entry is None else entry.alert

    def entries(self) -> list[Entry]:
        """Alerts with what is stored of them, for `Tender`; not to be changed."""
        return list(self._entries.values())

    def entry(self, fingerprint: str) -> Entry | None:
        """One of `entries`."""
        return self._entries.get(fingerprint)

    def subscribe(self, hear: Callable[[Sequence[Alert]], None]) -> None:
        """Call `hear` with alerts that changed, after each commit; it must be quick."""
        with self._guard:
            self._hearers = (*self._hearers, hear)

    # Writing

    def receive(self, alerts: Sequence[Alert]) -> None:
        """Take alerts: merged with what is known, and stored when this returns. Raises Unavailable, and then nothing
        of them is taken, as far as can be known.
        """
        if not alerts:
            return
        request = _Request(alerts)
        with self._guard:
            if self._waiting + len(alerts) > _WAITING_MOST and self._queue:
                raise Unavailable(f"{self._waiting:,} alerts wait to be stored; send again in a moment")
            self._queue.append(request)
            self._waiting += len(alerts)
        if not self._writing.acquire(timeout=_PATIENCE_S):
            if self._withdraw(request):
                raise Unavailable("the state database takes no alerts; send again in a moment")
            request.done.wait()
        else:
            try:
                while not request.done.is_set():
                    self._write_waiting()
            finally:
                self._writing.release()
        if request.error is not None:
            raise request.error

    def reconcile(self, source: str, keep: Collection[str], at_ms: int) -> None:
        """A source starts and knows what fires: its alerts whose fingerprints are not in `keep` end at `at_ms`."""
        kept, now_ms = set(keep), self.clock.now_ms()
        gone = [
            replace(
                entry.alert, ends_ms=at_ms, is_timeout=False, updated_ms=max(now_ms, entry.alert.updated_ms)
            )
            for entry in self.entries()
            if entry.alert.source == source
            and entry.alert.fingerprint not in kept
            and not entry.alert.is_resolved(at_ms)
        ]
        self.receive(gone)

    def extend(self, due: Iterable[Entry]) -> None:
        """Store the times of entries whose rows are behind. Raises Unavailable."""
        with self._writing:
            moved = [entry for entry in due if self._entries.get(entry.alert.fingerprint) is entry]
            if not moved:
                return
            # What is lost with the power has its grace.
            with self.database.begin(durable=False) as transaction:
                first = self._first(transaction, len(moved))
                write(transaction, (), moved, first)
            settle(moved, first)
            if not self.is_shared:
                self._seen = first + len(moved) - 1

    def set_back(self, last_ms: int, now_ms: int) -> None:
        """The clock went back from `last_ms`: what had ended stays ended, and terms that were set here go with the
        clock. Ends that clients told are by their clocks. Raises Unavailable.
        """
        with self._writing:
            moved = []
            for entry in self._entries.values():
                alert, ends_ms = entry.alert, entry.alert.ends_ms
                if ends_ms is None or ends_ms <= now_ms:
                    continue
                if ends_ms <= last_ms:
                    ends_ms = now_ms
                elif alert.is_timeout:
                    ends_ms -= last_ms - now_ms
                else:
                    continue
                entry.alert = replace(alert, ends_ms=ends_ms, starts_ms=min(alert.starts_ms, ends_ms))
                moved.append(entry)
            if not moved:
                return
            self._tell([entry.alert for entry in moved])
            with self.database.begin(durable=False) as transaction:
                first = self._first(transaction, len(moved))
                write(transaction, (), moved, first)
            settle(moved, first)
            if not self.is_shared:
                self._seen = first + len(moved) - 1

    def forget(self, gone: Sequence[Entry], remove: Callable[[Transaction, Sequence[Entry]], None]) -> None:
        """Drop entries from memory, after `remove` took their rows. Raises Unavailable."""
        with self._writing:
            gone = [entry for entry in gone if self._entries.get(entry.alert.fingerprint) is entry]
            if not gone:
                return
            with self.database.begin(durable=False) as transaction:
                remove(transaction, gone)
            for entry in gone:
                del self._entries[entry.alert.fingerprint]
        self.on_drop([entry.alert for entry in gone])

    def pull(self) -> None:
        """Take what other replicas wrote. Raises Unavailable."""
        with self._writing:
            with self.database.read() as transaction:
                fresh = entries(transaction.rows(SQL["alerts_after"], seq=self._seen))
            self._tell(self._adopt(fresh))

    # Inside: with `_writing` held

    def _load(self) -> None:
        now_ms = self.clock.now_ms()
        with self.database.read() as transaction:
            found = entries(transaction.rows(SQL["all_alerts"]))
            lease = transaction.row(SQL["lease"], name="dispatcher")
        others_live = lease is not None and lease["holder"] and int(lease["until_ms"]) > now_ms
        for entry in found:
            alert = entry.alert
            # A told end lies before the telling; one that lies after was a term that nobody was there to prolong.
            lapsed = alert.ends_ms is not None and alert.updated_ms < alert.ends_ms <= now_ms
            if lapsed and entry.told != RESOLVED and not others_live:
                entry.alert = replace(alert, ends_ms=now_ms + GRACE_MS, is_timeout=True)
            had_ended = alert.ends_ms is not None and (
                alert.ends_ms <= alert.updated_ms or entry.told == RESOLVED
            )
            if (
                had_ended and not alert.is_resolved(now_ms) and not self.is_shared
            ):  # the clock went back meanwhile
                entry.alert = replace(alert, ends_ms=now_ms, starts_ms=min(alert.starts_ms, now_ms))
            self._entries[alert.fingerprint] = entry
            self.untold.add(alert.fingerprint)
            self._seen = max(self._seen, entry.seq)

    def _withdraw(self, request: _Request) -> bool:
        with self._guard:
            if request not in self._queue:
                return False
            self._queue.remove(request)
            self._waiting -= len(request.alerts)
            return True

    def _write_waiting(self) -> None:
        taken: list[_Request] = []
        with self._guard:
            count = 0
            while self._queue and (not taken or count + len(self._queue[0].alerts) <= _AT_ONCE):
                taken.append(self._queue.pop(0))
                count += len(taken[-1].alerts)
            self._waiting -= count
        try:
            try:
                self._commit(taken)
            except Unavailable:
                raise
            except Exception:  # whose alert it was is not known yet: each caller is tried alone
                if len(taken) == 1:
                    raise
                for request in taken:  # what cannot be stored is one caller's, not everybody's
                    try:
                        self._commit([request])
                    except Exception as error:  # noqa: BLE001 — handed to the caller, who raises it
                        request.error = error
        except Exception as error:  # noqa: BLE001 — handed to every caller, who raises it
            for request in taken:
                request.error = error
        finally:
            for request in taken:
                request.done.set()

    def _commit(self, requests: Sequence[_Request]) -> None:
        alerts = [alert for request in requests for alert in request.alerts]
        now_ms = self.clock.now_ms()
        staged, changed, moved = self._staged(alerts, now_ms)
        pulled: list[Alert] = []
        if changed or moved:
            with self.database.begin(durable=False) as transaction:
                first = self._first(transaction, len(changed) + len(moved))
                if self.is_shared:
                    fresh = entries(transaction.rows(SQL["alerts_after"], seq=self._seen))
                    if fresh:  # committed by others, and nobody else can commit now
                        pulled = self._adopt(fresh)
                        staged, changed, moved = self._staged(alerts, now_ms)
                        first = self._first(transaction, len(changed) + len(moved))
                write(transaction, changed, moved, first)
            settle((*changed, *moved), first)
            # What others commit later has a higher number, so nothing of theirs is passed over.
            self._seen = max(self._seen, first + len(changed) + len(moved) - 1)
        self._entries.update(staged)
        self._tell(pulled + [entry.alert for entry in staged.values()])
        if changed or moved:
            # Who is to be told need not wait for the disk, who is to be answered does: if power is lost in between, the
            # sender has no answer and sends again.
            self.database.sync()

    def _first(self, transaction: Transaction, count: int) -> int:
        """The first of `count` numbers for rows. Where nobody else writes, memory knows the last."""
        return take_sequence(transaction, count) if self.is_shared else self._seen + 1

    def _staged(
        self, alerts: Sequence[Alert], now_ms: int
    ) -> tuple[dict[str, Entry], list[Entry], list[Entry]]:
        """What the book would hold with these, and which of it has to be written: as a whole, or only the times."""
        staged: dict[str, Entry] = {}
        for alert in alerts:
            fingerprint = alert.fingerprint
            known = staged.get(fingerprint) or self._entries.get(fingerprint)
            if known is None:
                told = RESOLVED if alert.is_resolved(now_ms) else UNTOLD
                staged[fingerprint] = Entry(alert, alert, 0, alert.starts_ms, told)
                continue
            # The clock may have gone back: what comes later is newer.
            updated_ms = max(alert.updated_ms, known.alert.updated_ms)
            newer = alert if updated_ms == alert.updated_ms else replace(alert, updated_ms=updated_ms)
            merged = received(known.alert, newer, now_ms)
            again = known.alert.is_resolved(now_ms) and not merged.is_resolved(now_ms)
            staged[fingerprint] = Entry(
                merged,
                known.stored,
                known.seq,
                now_ms if again else known.episode_ms,
                UNTOLD if again else known.told,
            )
        changed, moved = [], []
        for fingerprint, entry in staged.items():
            known = self._entries.get(fingerprint)
            if known is None or entry.episode_ms != known.episode_ms or not _says_the_same(entry):
                changed.append(entry)
            elif _must_move(entry, now_ms):
                moved.append(entry)
        return staged, changed, moved

    def _adopt(self, fresh: Sequence[Entry]) -> list[Alert]:
        """Take entries that another replica wrote; gives the alerts that are new here."""
        now_ms, found = self.clock.now_ms(), []
        for entry in fresh:
            self._seen = max(self._seen, entry.seq)
            known = self._entries.get(entry.alert.fingerprint)
            if known is not None and known.seq >= entry.seq:
                continue
            if known is not None and known.alert != known.stored and not entry.alert.is_resolved(now_ms):
                entry.alert = merge(known.alert, entry.alert, now_ms)
            self._entries[entry.alert.fingerprint] = entry
            found.append(entry.alert)
        return found

    def _tell(self, alerts: Sequence[Alert]) -> None:
        if not alerts:
            return
        for alert in alerts:
            self.untold.add(alert.fingerprint)
        for hear in self._hearers:
            try:
                hear(alerts)
            except Exception:  # they are stored: who listens cannot undo that, nor keep others from it
                log.exception("who listens to alerts failed; the alerts are stored")


def _says_the_same(entry: Entry) -> bool:
    """Whether the row says all of the alert but its times."""
    alert, stored = entry.alert, entry.stored
    return (
        alert.annotations == stored.annotations
        and alert.generator_url == stored.generator_url
        and alert.source == stored.source
        and alert.targets == stored.targets
        and alert.values == stored.values
    )


def _must_move(entry: Entry, now_ms: int) -> bool:
    """Whether the times of the row have to be written now: not when only a term that is far from used up is longer."""
    alert, stored = entry.alert, entry.stored
    if alert.starts_ms != stored.starts_ms:
        return True
    if alert.ends_ms == stored.ends_ms:
        return alert.is_timeout != stored.is_timeout
    if alert.ends_ms is None or stored.ends_ms is None or alert.ends_ms < stored.ends_ms:
        return True
    return stored.ends_ms - now_ms < (alert.ends_ms - now_ms) / 2
