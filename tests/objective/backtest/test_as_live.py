"""A backtest finds what live evaluation found: a book on a virtual clock lives through a day and a half of incidents,
then its policies are replayed over what its ledgers kept.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from setpoint.objective.alerting.table import AlertChange, OpenAlert
from setpoint.objective.backtest.backtest import Candidate, backtest
from setpoint.objective.backtest.model import Alert
from tests.objective.memory import MemoryLedger
from tests.objective.test_book import T0, World, slo

MINUTE_MS = 60_000
Report = Callable[[int, random.Random], dict[str, int] | None]


def _condition(**condition: object) -> dict[str, Any]:
    return {"kind": "AlertCondition", "spec": {"severity": "page", "condition": condition}}


def _policy(name: str, *conditions: dict[str, Any], **spec: object) -> dict[str, Any]:
    body = {"conditions": [_condition(**one) for one in conditions], **spec}
    return {"kind": "AlertPolicy", "metadata": {"name": name}, "spec": body}


_OVERRIDES = [
    _policy(
        "hot",
        {"kind": "burnrate", "op": "gte", "threshold": 10, "lookbackWindow": "30m"},
        {"kind": "burnrate", "op": "gt", "threshold": 10, "lookbackWindow": "3m", "alertAfter": "2m"},
    ),
    _policy("soon", {"kind": "timeToExhaustion", "op": "lt", "threshold": "12h", "lookbackWindow": "20m"}),
    _policy("drop", {"kind": "budgetDrop", "op": "gt", "threshold": 0.05, "lookbackWindow": "10m"}),
    _policy("low", {"kind": "remainingBudget", "op": "lt", "threshold": 0.5}),
    _policy(
        "busy",
        {"kind": "burnrate", "op": "gt", "threshold": 2, "lookbackWindow": "5m"},
        lowTraffic={"minEvents": 400, "minBad": 20},
    ),
    _policy(
        "quiet",
        {"kind": "burnrate", "op": "gt", "threshold": 50, "lookbackWindow": "5m"},
        alertWhenNoData=True,
    ),
]


def _document(name: str, *, window: str = "30d", target: float = 0.99, **spec: object) -> SimpleNamespace:
    """An SLO over the requests of the world, with `spec` put into its spec."""
    one = slo(name, target=target, window=window)
    body = one.spec.model_dump(by_alias=True, exclude_none=True)
    if "timeWindow" in spec:
        body["spec"].pop("timeWindow")
    slice_ = spec.pop("slice", None)
    if slice_ is not None:
        each = {"timeSliceTarget": 0.95} if spec["budgetingMethod"] == "Timeslices" else {}
        body["spec"]["objectives"] = [{"target": target, "timeSliceWindow": slice_, **each}]
    body["spec"] |= spec
    one.spec = type(one.spec).model_validate(body)
    return one


_CALENDAR = [
    {
        "duration": "1d",
        "isRolling": False,
        "calendar": {"startTime": "2026-01-01 06:00:00", "timeZone": "Europe/Berlin"},
    }
]

_AFTER_THE_OUTAGE = [
    {
        "duration": "1d",
        "isRolling": False,
        "calendar": {"startTime": "2026-01-01 17:58:00", "timeZone": "Europe/Berlin"},
    }
]
_SHORT_DROP = [
    _policy("drop", {"kind": "budgetDrop", "op": "gt", "threshold": 0.05, "lookbackWindow": "5m"}),
]

DOCUMENTS = [
    _document("a-month"),
    _document("a-month-strict", target=0.999),
    _document("a-month-loose", target=0.8),
    _document("four-weeks", window="28d"),
    _document("a-week", window="7d"),
    _document("a-quarter", window="90d"),
    _document("a-day", window="1d"),
    _document("an-hour", window="1h"),
    _document("a-day-of-the-calendar", timeWindow=_CALENDAR),
    _document("slices", budgetingMethod="Timeslices", slice="5m"),
    _document("ratio-slices", budgetingMethod="RatioTimeslices", slice="1m"),
    _document("told-of-silence", noData={"action": "alert", "after": "5m"}),
    _document("silence-is-bad", noData={"action": "bad", "after": "3m"}),
    _document("guarded", lowTraffic={"minEvents": 100, "minBad": 30}),
    _document("overrides", alertPolicies=_OVERRIDES),
    _document("overrides-of-a-day", window="1d", alertPolicies=_OVERRIDES),
    _document("overrides-of-the-calendar", timeWindow=_CALENDAR, alertPolicies=_OVERRIDES),
    _document("new-day-after-an-outage", timeWindow=_AFTER_THE_OUTAGE, alertPolicies=_SHORT_DROP),
    _document("overrides-of-slices", budgetingMethod="Timeslices", slice="5m", alertPolicies=_OVERRIDES),
]


@dataclass
class Life:
    """A world whose alerts are noted."""

    changes: list[AlertChange] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryLedger()
        self.world = World.make(self.store, **self._settings())
        self.world.born("200", "500")
        self.random = random.Random(6)
        self.world.book.apply(DOCUMENTS)

    def _settings(self) -> dict[str, Any]:
        return {"on_alert": self.changes.extend, "open_alerts": self._open}

    def _open(self) -> list[OpenAlert]:
        found: dict[tuple[str, str], AlertChange] = {}
        for one in self.changes:
            found[one.objective, one.policy] = one
        return [
            OpenAlert(
                one.objective, one.service, one.policy, one.severity, one.since_ms, one.state == "no data"
            )
            for one in found.values()
            if one.state != "resolved"
        ]

    def live(self, minutes: int, report: Report, step_s: int) -> None:
        """`report` gives the requests of a minute, spread over its steps."""
        for minute in range(minutes):
            counts = report(minute, self.random)
            for step in range(0, 60, step_s):
                self.world.clock.advance(step_s)
                if counts is not None:
                    part = {
                        code: count * (step + step_s) // 60 - count * step // 60
                        for code, count in counts.items()
                    }
                    self.world.report(**part)
                self.world.book.tick()
        self.world.book.look_ahead()

    def restart(self) -> None:
        """Another process, at once."""
        world = self.world
        world.book.close()
        world.samples.take_oldest_write_ms()
        world.book = world.open(world.clock, world.samples, self.store, [], **self._settings())
        world.book.apply(DOCUMENTS)

    def replayed(self, name: str) -> Sequence[Alert]:
        past, now_ms = self.world.book.past, self.world.clock.now_ms()
        own = Candidate("own", past.objective(name).policies)
        return backtest(past, name, [own], T0, now_ms).sides[0].alerts


def _traffic(rate: int, bad: float, sway: float = 0.3) -> Report:
    """So many requests a minute, of which this part fails."""

    def report(minute: int, chance: random.Random) -> dict[str, int]:
        total = max(0, round(rate * (1 + sway * (chance.random() - 0.5))))
        failed = sum(chance.random() < bad for _ in range(total))
        return {"c200": total - failed, "c500": failed}

    return report


def _silence(minute: int, chance: random.Random) -> None:
    """Nothing comes."""


def _drop(minute: int, chance: random.Random) -> dict[str, int] | None:
    """Data comes every third minute only."""
    return _traffic(40, 0.2)(minute, chance) if minute % 3 == 0 else None


_OUTAGE, _SLOW, _TENTH = _traffic(60, 1.0), _traffic(60, 0.04), _traffic(60, 0.15)
INCIDENTS: list[tuple[int, Report]] = [
    (90, _traffic(60, 0.001)),
    (6, _OUTAGE),
    (6, _OUTAGE),
    (100, _traffic(60, 0.001)),
    (3, _traffic(60, 0.7)),  # a blip
    (60, _traffic(60, 0.0)),
    (120, _SLOW),
    (120, _SLOW),
    (60, _traffic(60, 0.001)),
    (120, _traffic(1, 0.1, sway=2.0)),  # hardly any traffic, one in ten fails
    (20, _traffic(60, 0.5)),
    (25, _silence),  # a gap while something fires
    (40, _traffic(60, 0.002)),
    (60, _drop),
    (300, _traffic(60, 0.0005)),
    (45, _silence),
    (200, _traffic(200, 0.001)),
    (50, _traffic(200, 0.15)),
    (40, _traffic(200, 0.15)),
    (400, _traffic(60, 0.001)),
]
_RESTARTED_AFTER = (1, 6, 17)
"""While an alert is about to end a restart makes it wait anew: these are in the middle of an incident."""
SHORT: list[tuple[int, Report]] = [
    (25, _traffic(60, 0.001)),
    (9, _traffic(60, 0.9)),
    (40, _traffic(60, 0.0)),
    (30, _traffic(60, 0.06)),
    (6, _silence),
    (20, _traffic(60, 0.0)),
]


def _lived(incidents: Sequence[tuple[int, Report]], step_s: int, *, restarts: bool) -> Life:
    life = Life()
    for number, (minutes, report) in enumerate(incidents):
        life.live(minutes, report, step_s)
        if restarts and number in _RESTARTED_AFTER:
            life.restart()
    return life


@pytest.fixture(scope="module")
def lived() -> Life:
    """All incidents, judged at the end of every minute, with restarts while alerts fire."""
    return _lived(INCIDENTS, 60, restarts=True)


def _as_changes(alerts: Sequence[Alert]) -> list[tuple[str, str, int]]:
    found = []
    for one in alerts:
        found.append((one.policy, "no data" if one.by_silence else "firing", one.from_ms // MINUTE_MS))
        if one.until_ms is not None:
            found.append((one.policy, "resolved", one.until_ms // MINUTE_MS))
    return sorted(found)


@pytest.mark.parametrize("name", [one.spec.metadata.name for one in DOCUMENTS])
def test_minute_for_minute(lived: Life, name: str) -> None:
    """The same alerts fire in the same minute, for the same reason in the same words, and end in the same minute."""
    told = [one for one in lived.changes if one.objective == name]
    alerts = lived.replayed(name)
    live = sorted((one.policy, one.state, one.at_ms // MINUTE_MS) for one in told)
    assert _as_changes(alerts) == live
    words = {(one.policy, one.at_ms): one.summary for one in told if one.state != "resolved"}
    assert {(one.policy, one.from_ms): one.summary for one in alerts} == words


def test_there_was_something_to_find(lived: Life) -> None:
    """The comparison above compares: most policies fired, some of them often."""
    fired = {(one.objective, one.policy) for one in lived.changes if one.state != "resolved"}
    assert len(fired) > 40
    assert {"hot", "soon", "drop", "low", "busy", "quiet", "no data", "page-1h"} <= {
        policy for _, policy in fired
    }


def _firing_minutes(changes: Sequence[tuple[str, float]], end: float) -> set[int]:
    """The minutes at whose end an alert fires, by what it did and when (in minutes)."""
    found: set[int] = set()
    begun: float | None = None
    for state, at in sorted([*changes, ("resolved", end)], key=lambda one: (one[1], one[0] == "resolved")):
        if state != "resolved":
            begun = at
        elif begun is not None:
            found |= set(range(math.ceil(begun), math.ceil(at)))
            begun = None
    return found


@pytest.fixture(scope="module")
def lived_by_seconds() -> Life:
    """Some incidents, judged every five seconds."""
    return _lived(SHORT, 5, restarts=False)


@pytest.mark.parametrize("name", [one.spec.metadata.name for one in DOCUMENTS])
def test_live_looks_more_often_and_is_up_to_two_minutes_earlier(lived_by_seconds: Life, name: str) -> None:
    """Alerts whose windows are five minutes or longer are the same ones. Shorter windows swing within a minute: there
    the alerts fire in the same minutes, but for the edges.
    """
    life = lived_by_seconds
    end = life.world.clock.now_ms() // MINUTE_MS
    live: dict[str, list[tuple[str, float]]] = {}
    replayed: dict[str, list[tuple[str, float]]] = {}
    for one in life.changes:
        if one.objective == name:
            live.setdefault(one.policy, []).append((one.state, one.at_ms / MINUTE_MS))
    for policy, state, minute in _as_changes(life.replayed(name)):
        replayed.setdefault(policy, []).append((state, float(minute)))
    assert replayed.keys() == live.keys()
    for policy, ours in replayed.items():
        theirs = live[policy]
        apart = _firing_minutes(ours, end) ^ _firing_minutes(theirs, end)
        assert len(apart) <= 2 * (len(ours) + len(theirs)), (policy, ours, theirs)
        if name in ("a-month", "four-weeks", "a-quarter", "slices", "silence-is-bad"):
            assert len(ours) == len(theirs), policy
            for (state, at), (was, at_s) in zip(
                sorted(ours, key=_when), sorted(theirs, key=_when), strict=True
            ):
                assert (state, 0 <= at - at_s <= 2) == (was, True), (policy, ours, theirs)


def _when(change: tuple[str, float]) -> float:
    return change[1]


def test_what_came_late_is_known_today() -> None:
    """Samples of an outage that arrive when it is long over: live never paged, and a backtest says what there was."""
    changes: list[AlertChange] = []
    world = World.make(on_alert=changes.extend)
    world.born("200", "500")
    world.book.apply([slo(target=0.99)])
    world.run(3 * 3600, lambda: world.report(c200=600, c500=0), step_s=60)
    kept = dict(world.counters)
    begin_ms = world.clock.now_ms()
    world.run(3600, lambda: None, step_s=60)
    assert not changes, "it was silent, and nobody wanted to hear of that"
    world.counters = kept
    for minute in range(1, 61):
        world.report(at_ms=begin_ms + minute * MINUTE_MS, c500=600 if minute <= 20 else 0, c200=600)
    world.run(3600, lambda: world.report(c200=600), step_s=60)
    past, now_ms = world.book.past, world.clock.now_ms()
    found = backtest(past, "checkout", [Candidate("own", None)], T0, now_ms)
    (episode,) = found.episodes
    assert (episode.begin_ms - begin_ms) // MINUTE_MS == 0
    assert episode.bad == 12_000
    assert episode.sights[0].page_ms is not None
    fired = [one for one in changes if one.severity == "page" and one.state == "firing"]
    assert not fired
    world.book.close()
