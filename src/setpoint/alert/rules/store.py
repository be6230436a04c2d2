"""Keeps in the state database what a restart must not forget of rules: their alerts, and files as they were read last.

The manager writes what changed after an evaluation, and nothing where nothing did: an alert that is pending or firing
as it was is no change, whatever its value. `restore` says what becomes of it after a start.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from setpoint.alert.from_promql import histogram_text
from setpoint.alert.model import fingerprint_of
from setpoint.alert.rules.state import Alert
from setpoint.database import StateDatabase, load_queries

__all__ = ["Changes", "Kept", "Mark", "RuleStore", "mark_of"]

_SQL = load_queries("setpoint.alert.rules")

Mark = tuple[object, ...]


def mark_of(alert: Alert) -> Mark:
    """What of an alert is worth a write when it changes."""
    return alert.state, alert.active_at_ms, alert.fired_at_ms, alert.keeps_firing_since_ms


@dataclass(frozen=True, slots=True)
class Changes:
    """What an evaluation changed: by the key of its rule, alerts as they are now, and labels of those that ended."""

    put: Sequence[tuple[str, Alert]] = ()
    dropped: Sequence[tuple[str, Mapping[str, str]]] = ()

    def __bool__(self) -> bool:
        return bool(self.put or self.dropped)


@dataclass(frozen=True, slots=True)
class Kept:
    """What was there before the start: alerts by the key of their rule, last evaluations (Unix ms) by group."""

    alerts: Mapping[str, Sequence[Alert]]
    evaluated_ms: Mapping[str, int]


class RuleStore:
    """Thread-safe. Everything raises Unavailable when the state database does not answer."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def load(self) -> Kept:
        """Everything that is kept."""
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["alerts"])
            groups = transaction.rows(_SQL["groups"])
        alerts: dict[str, list[Alert]] = {}
        for row in rows:
            alerts.setdefault(row["rule"], []).append(_alert(row["body"]))
        return Kept(alerts, {row["name"]: int(row["evaluated_ms"]) for row in groups})

    def write(self, changes: Changes, evaluated_ms: Mapping[str, int]) -> None:
        """What changed, and when groups were evaluated, in one transaction."""
        with self._database.begin() as transaction:
            if changes.dropped:
                transaction.execute_many(
                    _SQL["drop_alert"],
                    [{"rule": rule, "alert": fingerprint_of(labels)} for rule, labels in changes.dropped],
                )
            if changes.put:
                transaction.execute_many(
                    _SQL["put_alert"],
                    [
                        {"rule": rule, "alert": alert.fingerprint, "body": _body(alert)}
                        for rule, alert in changes.put
                    ],
                )
            if evaluated_ms:
                rows = [{"name": name, "evaluated_ms": at_ms} for name, at_ms in evaluated_ms.items()]
                transaction.execute_many(_SQL["put_group"], rows)

    def drop_groups(self, names: Iterable[str]) -> None:
        """Forget when these groups were evaluated."""
        with self._database.begin() as transaction:
            for name in names:
                transaction.execute(_SQL["drop_group"], name=name)

    def files(self) -> dict[str, str]:
        """The texts of rule files as they were read last without a fault."""
        with self._database.read() as transaction:
            return {row["file"]: row["text"] for row in transaction.rows(_SQL["files"])}

    def write_files(self, texts: Mapping[str, str], gone: Iterable[str]) -> None:
        """Remember these texts, and forget the files that are gone."""
        with self._database.begin() as transaction:
            for file in gone:
                transaction.execute(_SQL["drop_file"], file=file)
            for file, text in texts.items():
                transaction.execute(_SQL["put_file"], file=file, text=text)


def _body(alert: Alert) -> str:
    value = alert.value if isinstance(alert.value, float) else histogram_text(alert.value)
    return json.dumps(
        {
            "labels": dict(alert.labels),
            "annotations": dict(alert.annotations),
            "value": repr(value) if isinstance(value, float) else value,
            "state": alert.state,
            "active_at_ms": alert.active_at_ms,
            "fired_at_ms": alert.fired_at_ms,
            "keeps_firing_since_ms": alert.keeps_firing_since_ms,
        },
        separators=(",", ":"),
    )


def _alert(body: str) -> Alert:
    given = json.loads(body)
    try:
        value = float(given["value"])
    except ValueError:
        value = float("nan")  # a native histogram; the next evaluation brings it again
    return Alert(
        labels=given["labels"],
        annotations=given["annotations"],
        value=value,
        active_at_ms=given["active_at_ms"],
        state=given["state"],
        fired_at_ms=given["fired_at_ms"],
        keeps_firing_since_ms=given["keeps_firing_since_ms"],
        is_restored=True,
    )
