"""Alerts as rows of the state database. `AlertBook` reads all of them at its start, and writes what changes.

A row holds the alert as it is known, the instant its present episode began (`episode_ms`), what the timeline was told
of that (`told`), and a sequence number that grows with every commit, by which replicas see each other's changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.alert.model import Alert
from setpoint.database import Transaction, load_queries

__all__ = [
    "FIRED",
    "RESOLVED",
    "SQL",
    "UNTOLD",
    "Entry",
    "drop",
    "entries",
    "settle",
    "take_sequence",
    "write",
]

SQL = load_queries("setpoint.alert.dispatch")

UNTOLD, FIRED, RESOLVED = "", "fired", "resolved"


@dataclass(slots=True)
class Entry:
    """An alert in the book, and what of it is stored.

    `stored` is the alert as its row says; times may be newer in `alert` (see decision 0038). `told` is what the
    timeline knows of the episode that began at `episode_ms`.
    """

    alert: Alert
    stored: Alert
    seq: int
    episode_ms: int
    told: str = UNTOLD


def entries(rows: Iterable[dict[str, Any]]) -> list[Entry]:
    """What rows of `all_alerts` and `alerts_after` say."""
    found = []
    for row in rows:
        data = json.loads(row["data"])
        alert = Alert(
            labels=data["labels"],
            starts_ms=int(row["starts_ms"]),
            updated_ms=int(row["updated_ms"]),
            ends_ms=None if row["ends_ms"] is None else int(row["ends_ms"]),
            annotations=data.get("annotations", {}),
            generator_url=data.get("generator_url", ""),
            is_timeout=bool(row["is_timeout"]),
            source=str(row["source"]),
            targets=tuple(data.get("targets", ())),
            values=data.get("values", {}),
            fingerprint=str(row["fingerprint"]),
        )
        found.append(Entry(alert, alert, int(row["seq"]), int(row["episode_ms"]), str(row["told"])))
    return found


def take_sequence(transaction: Transaction, count: int) -> int:
    """The first of `count` new numbers; no other replica gets one before this transaction ends."""
    row = transaction.row(SQL["take_sequence"], count=count)
    assert row is not None, "migration 0006 made the counter"
    return int(row["value"]) - count + 1


def write(transaction: Transaction, changed: Sequence[Entry], moved: Sequence[Entry], first: int) -> None:
    """Store entries under numbers from `first` on: `changed` as a whole, of `moved` only the times. Once that is
    committed, `settle` says so to the entries.
    """
    then = first + len(changed)
    transaction.execute_many(SQL["put_alert"], [_row(entry, seq) for seq, entry in enumerate(changed, first)])
    transaction.execute_many(SQL["move_alert"], [_times(entry, seq) for seq, entry in enumerate(moved, then)])


def settle(entries: Iterable[Entry], first: int) -> None:
    """Entries that `write` took under numbers from `first` on are stored as they are."""
    for seq, entry in enumerate(entries, first):
        entry.seq, entry.stored = seq, entry.alert


def drop(transaction: Transaction, gone: Sequence[Entry]) -> None:
    """Remove alerts that ended, as far as nobody wrote them again."""
    rows = [{"fingerprint": entry.alert.fingerprint, "seq": entry.seq} for entry in gone]
    transaction.execute_many(SQL["drop_alert"], rows)


def _times(entry: Entry, seq: int) -> dict[str, Any]:
    alert = entry.alert
    return {
        "fingerprint": alert.fingerprint,
        "seq": seq,
        "starts_ms": alert.starts_ms,
        "ends_ms": alert.ends_ms,
        "updated_ms": alert.updated_ms,
        "is_timeout": int(alert.is_timeout),
    }


def _row(entry: Entry, seq: int) -> dict[str, Any]:
    alert = entry.alert
    data: dict[str, Any] = {"labels": dict(alert.labels)}
    for name in ("annotations", "generator_url", "targets", "values"):
        if held := getattr(alert, name):
            data[name] = dict(held) if name in {"annotations", "values"} else held
    return _times(entry, seq) | {
        "source": alert.source,
        "episode_ms": entry.episode_ms,
        "told": entry.told,
        "data": json.dumps(data, separators=(",", ":")),
    }
