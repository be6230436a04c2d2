"""One dispatcher among replicas: a lease in the state database, renewed while its holder lives.

The holder counts its renewals (`beat`); others take the lease over when that number has stood still for `TERM_MS` of
their own clock, or when the term that its holder wrote has passed. So clocks that differ delay a takeover at most, and
a dispatcher that was only slow is told so by `check`, in the transaction in which it would have notified.
"""

from __future__ import annotations

import uuid

from setpoint.alert.dispatch.store import SQL
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import Conflict

__all__ = ["TERM_MS", "Lead", "LostLead"]

TERM_MS = 12_000
_RENEW_MS = 4_000
_NAME = "dispatcher"


class LostLead(Conflict):
    """Another replica dispatches alerts now; nothing was sent from here."""


class Lead:
    """Whether this process dispatches; `step` belongs to the dispatcher's thread, the rest to any."""

    def __init__(self, database: StateDatabase, clock: Clock, holder: str | None = None) -> None:
        self._database = database
        self._clock = clock
        self._is_alone = database.dialect == "sqlite"
        self.holder = holder or uuid.uuid4().hex
        self.is_held = False
        self._renewed_ms = 0
        self._seen: tuple[str, int] | None = None
        self._seen_ms = 0

    def step(self, now_ms: int) -> bool:
        """Take or renew the lease when that is due; whether it is held. Raises Unavailable; then it is held no longer
        than its term.
        """
        if self.is_held and 0 <= now_ms - self._renewed_ms < _RENEW_MS:
            return True
        if self.is_held and not 0 <= now_ms - self._renewed_ms < TERM_MS:
            self.is_held = False  # until the database says otherwise
        with self._database.begin(durable=False) as transaction:
            held = self._take(transaction, now_ms)
        self.is_held = held
        if held:
            self._renewed_ms = now_ms
        return held

    def check(self, transaction: Transaction) -> None:
        """Hold the lease until this transaction ends; where nobody else can be, nothing is asked. Raises LostLead when
        somebody else has it.
        """
        if self._is_alone:
            return
        if not transaction.execute(SQL["hold_lease"], name=_NAME, holder=self.holder):
            self.is_held = False
            raise LostLead

    def release(self) -> None:
        """Give the lease back, so that another need not wait. Raises Unavailable."""
        if self.is_held:
            self.is_held = False
            with self._database.begin() as transaction:
                transaction.execute(SQL["free_lease"], name=_NAME, holder=self.holder)

    def _take(self, transaction: Transaction, now_ms: int) -> bool:
        mine = {"name": _NAME, "holder": self.holder, "until_ms": now_ms + TERM_MS}
        if transaction.execute(SQL["renew_lease"], **mine):
            return True
        found = transaction.row(SQL["lease"], name=_NAME)
        if found is None:
            return bool(transaction.execute(SQL["first_lease"], **mine))
        seen = str(found["holder"]), int(found["beat"])
        if seen != self._seen or now_ms < self._seen_ms:
            self._seen, self._seen_ms = seen, now_ms
        # A data folder is one process's: who held the lease there is dead.
        free = self._is_alone or not seen[0] or int(found["until_ms"]) <= now_ms
        if free or now_ms - self._seen_ms >= TERM_MS:
            return bool(transaction.execute(SQL["take_lease"], **mine, beat=seen[1]))
        return False
