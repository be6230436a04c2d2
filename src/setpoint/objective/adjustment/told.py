"""Tells the timeline what happens to adjustments: applied, began, ended, removed; each once, also over restarts.

`app` runs it in a thread. What was told is stored together with the event that tells it, so neither is there without
the other. An adjustment is told as applied when all ledgers are derived with it, and says then what it did to the
budgets; time that began and ended while Setpoint was down is told afterwards, with its own instants.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import SetpointError
from setpoint.objective.adjustment.model import Adjustment
from setpoint.objective.adjustment.plan import time_of
from setpoint.objective.adjustment.view import Adjustments, AdjustmentStatus
from setpoint.objective.adjustment.words import spoken_minute, what_it_does, when_it_is
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["AdjustmentLog"]

log = logging.getLogger(__name__)

_SQL = load_queries("setpoint.objective.adjustment")
_LOOK_S = 2.0
_PATIENCE_MS = 120_000
_EFFECTS, _NAMED = 5, 50
_MISSED_MOST = 31 * 1440


@dataclass(frozen=True, slots=True)
class _Told:
    content: str
    until_ms: int


class AdjustmentLog:
    """See above."""

    def __init__(
        self, database: StateDatabase, timeline: Timeline, clock: Clock, adjustments: Adjustments
    ) -> None:
        self._database, self._timeline, self._clock = database, timeline, clock
        self._adjustments = adjustments
        self._waits_since_ms: int | None = None
        self._is_late = False

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds until `stop` is set."""
        while not self._clock.wait(stop, _LOOK_S):
            try:
                self.look()
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every two seconds
                    log.warning("the timeline is told of adjustments later: %s", error.message)
                self._is_late = True
            except Exception:  # the loop must outlive any fault
                log.exception("the timeline was not told of adjustments")

    def look(self) -> None:
        """Tell what is new. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["told_adjustments"])
        told = {row["name"]: _Told(row["content"], row["until_ms"]) for row in rows}
        known = {one.name: one for one in self._adjustments.all}
        for name in told.keys() - known.keys():
            self._tell(name, None, [self._removed(name, told[name], now_ms)])
        for name, one in known.items():
            before, content = told.get(name), _content(one)
            if before is None or before.content != content:
                if self._is_settled(now_ms):
                    events = [self._applied(one, before, now_ms), *self._begun(one, now_ms)]
                    self._tell(name, _Told(content, now_ms), events)
                continue
            events = list(self._passed(one, before.until_ms, now_ms))
            if events or now_ms - before.until_ms > 3_600_000:
                self._tell(name, replace(before, until_ms=now_ms), events)

    def _is_settled(self, now_ms: int) -> bool:
        """Whether numbers can be told; what takes long is not waited for for ever."""
        if self._adjustments.is_settled():
            self._waits_since_ms = None
            return True
        if self._waits_since_ms is None:
            self._waits_since_ms = now_ms
        return now_ms - self._waits_since_ms > _PATIENCE_MS

    def _tell(self, name: str, told: _Told | None, events: list[dict[str, Any]]) -> None:
        recorded: list[Event] = []
        with self._database.begin() as transaction:
            for event in events:
                recorded.append(self._timeline.record(transaction, **event))
            if told is None:
                transaction.execute(_SQL["drop_told_adjustment"], name=name)
            else:
                transaction.execute(_SQL["put_told_adjustment"], name=name, **asdict(told))
        self._timeline.publish(recorded)

    def _applied(self, one: Adjustment, before: _Told | None, now_ms: int) -> dict[str, Any]:
        status = next(
            found for found in self._adjustments.statuses(one.name, _EFFECTS) if found.name == one.name
        )
        told = (
            f"{one.name} {'applied' if before is None else 'changed'}: {what_it_does(one)}, {when_it_is(one)}"
        )
        if status.effects:
            first = status.effects[0]
            told += f" ({one.reason}); {first.objective}: {first.words}"
        data = _data(one, status) | {"effects": [asdict(effect) for effect in status.effects]}
        return _event("adjustment.applied", told, now_ms, status, data)

    def _begun(self, one: Adjustment, now_ms: int) -> Iterator[dict[str, Any]]:
        """The time that is going on when an adjustment is applied."""
        for first, end in _time(one, now_ms, now_ms):
            if 60_000 * first < now_ms <= 60_000 * end:
                yield self._edge(one, "began", (first, end), now_ms)

    def _passed(self, one: Adjustment, since_ms: int, now_ms: int) -> Iterator[dict[str, Any]]:
        """What began and ended in (since, now]."""
        edges = []
        for first, end in _time(one, max(since_ms, now_ms - 60_000 * _MISSED_MOST), now_ms):
            edges += [(60_000 * first, "began", (first, end)), (60_000 * end, "ended", (first, end))]
        for at_ms, word, span in sorted(edges):
            if since_ms < at_ms <= now_ms:
                yield self._edge(one, word, span, at_ms)

    def _edge(self, one: Adjustment, word: str, span: tuple[int, int], at_ms: int) -> dict[str, Any]:
        status = self._adjustments.statuses(one.name, 0)[0]
        until = f", until {spoken_minute(span[1], span[0])}" if word == "began" else ""
        told = f"{one.name} {word}{until}: {one.reason}"
        data = _data(one, status) | {"start_ms": 60_000 * span[0], "end_ms": 60_000 * span[1]}
        return _event(f"adjustment.{word}", told, at_ms, status, data)

    def _removed(self, name: str, told: _Told, now_ms: int) -> dict[str, Any]:
        was = json.loads(told.content)
        services = was.get("choice", {}).get("services", [])
        return {
            "kind": "adjustment.removed",
            "summary": f"{name} removed: what it did to budgets is taken back ({was.get('reason', '')})",
            "service": services[0] if len(services) == 1 else "",
            "at_ms": now_ms,
            "data": {"adjustment": name, **was},
        }


def _time(one: Adjustment, low_ms: int, high_ms: int) -> list[tuple[int, int]]:
    """The stretches that touch (low, high]; corrections have none."""
    if one.correction is not None:
        return []
    return time_of(one, low_ms // 60_000 - 1, high_ms // 60_000 + 1)


def _content(one: Adjustment) -> str:
    """What is compared to see whether it changed."""
    return json.dumps(
        {
            "reason": one.reason,
            "what": what_it_does(one),
            "when": when_it_is(one),
            "per_objective": dict(sorted(one.per_objective.items())),
            "choice": asdict(one.choice),
        },
        sort_keys=True,
    )


def _data(one: Adjustment, status: AdjustmentStatus) -> dict[str, Any]:
    return {
        "adjustment": one.name,
        "action": status.action,
        "reason": one.reason,
        "link": one.link,
        "objectives": list(status.objectives[:_NAMED]),
        "objective_count": status.objective_count,
        "services": list(status.services[:_NAMED]),
    }


def _event(
    kind: str, summary: str, at_ms: int, status: AdjustmentStatus, data: dict[str, Any]
) -> dict[str, Any]:
    """What `Timeline.record` takes; of one service where all objectives are of one."""
    return {
        "kind": kind,
        "summary": summary if len(summary) <= SUMMARY_MAX else summary[: SUMMARY_MAX - 1] + "…",
        "service": status.services[0] if len(status.services) == 1 else "",
        "at_ms": at_ms,
        "data": data,
    }
