"""What the board tells over time: rules come into force and end once, also over a restart; incidents and exceptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Unavailable
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.live import slot_of
from setpoint.objective.model import Objective
from setpoint.objective.overview import STATES, Overview
from setpoint.objective.policy.board import PolicyBoard
from setpoint.objective.policy.decide import decide
from setpoint.objective.policy.inputs import Request
from setpoint.objective.policy.store import HoldStore
from setpoint.resource import Document
from setpoint.timeline import Event, Timeline
from tests.objective.openslo import documents, slo

NOW_MS = 1_800_000_000_000
MINUTE_S = 60


def policy_text(rules: str, *, name: str = "shop", head: str = "") -> str:
    """An ErrorBudgetPolicy with these lines below `spec`."""
    return slo(head + "rules:\n" + rules, name=name, kind="ErrorBudgetPolicy").replace(
        "openslo/v1", "setpoint/v1"
    )


GONE = """\
  - name: gone
    when: [{remainingBudget: {atMost: 0%}}]
    until: [{remainingBudget: {atLeast: 10%}}]
    releases: fixesOnly
"""


class Book:
    """Objectives of which a test says how they are: by name, the part of the budget that is left (None: no data)."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.left: dict[str, float | None] = {"checkout-availability": 1.0}
        self.bad = 0.0
        self.fails = False
        self.reads = 0

    def overview(self) -> Overview:
        names = sorted(self.left)
        objectives = tuple(
            Objective(name, name.split("-")[0], 0.99, 30 * 86_400, "q", slo=name, labels={"team": ("till",)})
            for name in names
        )
        size, now_ms = len(names), self.clock.now_ms()
        left = np.array(
            [np.nan if self.left[name] is None else self.left[name] for name in names], np.float64
        )
        states = ["no data" if self.left[name] is None else "healthy" for name in names]
        nothing = np.full(size, np.nan)
        return Overview(
            objectives=objectives,
            names=tuple(names),
            services=tuple(one.service for one in objectives),
            display_names=tuple(names),
            labels=tuple(one.labels for one in objectives),
            state=np.array([STATES.index(one) for one in states], np.int8),
            budget_left=left,
            sli=1 - (1 - left) * 0.01,
            burn_now=nothing,
            burn_now_s=np.zeros(size, np.int64),
            exhaustion_s=nothing,
            exhausted_since_ms=np.full(size, -1),
            last_event_ms=np.full(size, now_ms - 1000),
            target=np.full(size, 0.99),
            window_s=np.full(size, 30 * 86_400),
            page_threshold=nothing,
            backfilling=np.zeros(size, np.bool_),
            alerts=np.zeros(size, np.int64),
            spark=np.zeros((size, 72), np.float32),
            evaluated_at_ms=now_ms,
        )

    def recent(self, objectives: Sequence[Objective], lengths_s: Any) -> Any:
        """A thousand events, of which `bad` are bad."""
        del lengths_s
        size = len(objectives)
        return np.array([np.full(size, 1000.0 - self.bad), np.full(size, 1000.0), np.full(size, 60.0)])

    def events(self, name: str, start_ms: int, end_ms: int) -> Slots:
        """One bad event in each whole minute."""
        del name
        self.reads += 1
        if self.fails:
            raise Unavailable("the ledger does not answer")
        first, end = slot_of(start_ms + 1), slot_of(end_ms) + 1
        bad = np.arange(end - first) < max(1, (end_ms - start_ms) // 60_000)
        return Slots(
            first, (10.0 - bad).astype(np.float64), np.full(end - first, 10.0), np.ones(end - first, np.bool_)
        )


class World:
    """A board that looks when a test says so."""

    def __init__(self, database: StateDatabase) -> None:
        self.database, self.clock = database, VirtualClock(NOW_MS)
        self.timeline = Timeline(database, self.clock)
        self.book = Book(self.clock)
        self.documents: list[Document] = []
        self.restart()

    def restart(self) -> None:
        past: Any = SimpleNamespace(recent=self.book.recent, events=self.book.events)
        store = HoldStore(self.database, self.timeline, "alerts")
        self.board = PolicyBoard(self.book.overview, past, store, self.timeline, self.clock)
        self.board.apply(self.documents)

    def apply(self, *texts: str) -> None:
        self.documents = documents(*texts)
        self.board.apply(self.documents)

    def after(self, seconds: float, **left: float | None) -> list[str]:
        """What is told by a look after some seconds: kinds, and summaries."""
        before = {event.id for event in self.timeline.query()}
        self.clock.advance(seconds)
        for name, value in left.items():
            self.book.left[f"{name}-availability"] = value
        self.board.step()
        told = [event for event in reversed(self.timeline.query()) if event.id not in before]
        return [f"{event.kind}: {event.summary}" for event in told]

    def events(self, kind: str) -> list[Event]:
        return self.timeline.query(kinds=[kind])


@pytest.fixture
def world(sqlite_database: StateDatabase) -> World:
    return World(sqlite_database)


@pytest.fixture
def world_on_each(state_database: StateDatabase) -> World:
    return World(state_database)


def _decision(world: World, service: str = "checkout", change: str = "feature") -> str:
    return decide(world.board.inputs(Request(service, change))).decision


def test_a_rule_comes_into_force_and_ends_where_it_says(world: World) -> None:
    world.apply(policy_text(GONE))
    assert world.after(5) == []
    assert _decision(world) == "allow"
    assert world.after(5, checkout=-0.12) == [
        "policy.fixes_only: checkout: only fixes and security changes may be released: checkout-availability: −12 % of "
        "the budget is left (at most 0 %); policy shop, rule gone"
    ]
    (event,) = world.events("policy.fixes_only")
    assert event.service == "checkout"
    assert event.data["numbers"]["budget_left"] == -0.12
    assert event.data["formula"].endswith("= −12 %")
    # Neither a little more budget nor a silence ends it.
    assert world.after(600, checkout=0.05) == []
    assert world.after(600, checkout=None) == []
    assert (_decision(world), _decision(world, change="fix")) == ("hold", "allow")
    assert world.after(600, checkout=0.1) == [
        "policy.lifted: checkout: releases go on after 30 min: checkout-availability: 10 % of the budget is left (at "
        "most 0 %); policy shop, rule gone"
    ]
    assert _decision(world) == "allow"
    assert world.after(5, checkout=0.0)  # and again


def test_a_gate_sees_what_was_not_told_yet(world: World) -> None:
    world.apply(policy_text(GONE))
    world.after(5)
    world.book.left["checkout-availability"] = -1.0
    assert _decision(world) == "hold"
    assert world.events("policy.fixes_only") == []


def test_a_restart_tells_nothing_twice_and_forgets_nothing(world_on_each: World) -> None:
    world = world_on_each
    world.apply(policy_text(GONE))
    assert len(world.after(5, checkout=-1.0)) == 1
    world.restart()
    assert world.after(5, checkout=0.05) == []
    assert _decision(world) == "hold"
    world.restart()
    assert _decision(world) == "hold"  # a gate that is asked before the first look
    assert len(world.after(5, checkout=0.5)) == 1
    world.restart()
    assert world.after(5) == []
    assert _decision(world) == "allow"


def test_a_service_is_told_of_once_however_many_objectives_it_has(world: World) -> None:
    world.book.left = {"checkout-availability": 1.0, "checkout-latency": 1.0}
    world.apply(policy_text(GONE))
    world.after(5)
    assert len(world.after(5, checkout=-1.0)) == 1
    world.book.left["checkout-latency"] = -1.0
    assert world.after(5) == []
    assert world.after(5, checkout=1.0) == []
    world.book.left["checkout-latency"] = 1.0
    (told,) = world.after(5)
    assert told.startswith("policy.lifted: checkout: releases go on")


def test_a_policy_that_changes_or_goes_lifts_what_it_did(world: World) -> None:
    world.apply(policy_text(GONE))
    world.after(5, checkout=-1.0)
    world.apply(policy_text(GONE.replace("name: gone", "name: other")))
    told = world.after(5)
    assert [one.partition(":")[0] for one in told] == ["policy.fixes_only", "policy.lifted"]
    assert "policy shop no longer has the rule gone" in told[1]
    world.apply()
    (told_,) = world.after(5)
    assert told_.startswith("policy.lifted: checkout: releases go on after 5 s: policy shop is gone")
    assert world.after(5) == []


def test_a_rule_that_is_made_stricter_while_in_force_is_told(world: World) -> None:
    world.apply(policy_text(GONE))
    world.after(5, checkout=-1.0)
    world.apply(policy_text(GONE.replace("releases: fixesOnly", "releases: freeze")))
    (told,) = world.after(5)
    assert told.startswith("policy.freeze: checkout: ")
    assert world.after(5) == []
    assert _decision(world, change="fix") == "hold"
    world.restart()
    assert world.after(5) == [], "what is stored is what was told"
    world.apply(policy_text(GONE.replace("releases: fixesOnly", "postmortem: true")))
    (told,) = world.after(5)
    assert told.startswith("policy.lifted: checkout: releases go on after 20 s")
    assert world.after(5) == []


def test_what_a_hundred_incidents_spent_is_read_in_one_go(world: World) -> None:
    world.apply(policy_text(INCIDENT))
    for number in range(100):
        world.timeline.append("incident.opened", "a", service="checkout", data={"id": f"i{number}"})
        world.clock.advance(600)
        world.timeline.append("incident.resolved", "b", service="checkout", data={"id": f"i{number}"})
    world.clock.advance(3600)
    world.after(5)
    assert world.book.reads == 1
    world.after(5)
    assert world.book.reads == 1, "what they spent is final"


def test_an_objective_that_is_gone_for_a_while_holds_nothing(world: World) -> None:
    world.apply(policy_text(GONE))
    world.after(5, checkout=-1.0)
    world.book.left = {"payment-availability": 1.0}
    assert world.after(60) == []
    (told,) = world.after(600)
    assert told.endswith("the policy no longer looks at checkout-availability; policy shop, rule gone")


def test_a_policy_that_looks_elsewhere_lifts_at_once(world: World) -> None:
    world.book.left = {"checkout-availability": -1.0, "payment-availability": 1.0}
    world.apply(policy_text(GONE))
    world.after(5)
    world.apply(policy_text(GONE, head="appliesTo: {services: [payment]}\n"))
    (told,) = world.after(5)
    assert told.startswith("policy.lifted: checkout: releases go on after 5 s")
    assert _decision(world) == "allow"


def test_what_else_is_in_force_is_said(world: World) -> None:
    world.apply(
        policy_text(GONE + GONE.replace("gone", "also").replace("10%", "50%").replace("fixesOnly", "freeze"))
    )
    assert len(world.after(5, checkout=-1.0)) == 2
    (told,) = world.after(5, checkout=0.2)
    assert told.startswith("policy.lifted: checkout: one rule less; still in force: shop/also after 5 s")
    assert world.board.latest is not None
    standing = world.board.latest.standings["checkout"]
    assert (standing.releases, standing.since_ms, standing.is_unknown) == ("freeze", NOW_MS + 5000, False)


def test_notify_and_postmortem_are_told_once_per_occurrence(world: World) -> None:
    rule = GONE.replace("fixesOnly", "fixesOnly\n    notify: [crew]\n    postmortem: true")
    target = slo(
        "target: webhook\nurl: https://hooks.example.com/a\n", name="crew", kind="AlertNotificationTarget"
    )
    world.apply(policy_text(rule), target)
    for _ in range(2):
        told = world.after(5, checkout=-1.0)
        assert [one.partition(":")[0] for one in told] == [
            "policy.fixes_only",
            "policy.notified",
            "policy.postmortem_demanded",
        ]
        assert world.after(5) == []
        assert len(world.after(5, checkout=1.0)) == 1
    event = world.events("policy.notified")[0]
    assert event.data["targets"] == [{"name": "crew", "kind": "webhook"}]
    world.after(5, checkout=-1.0)
    world.apply()  # who was told that it is in force hears that it is over
    assert len(world.after(5)) == 1
    assert world.events("policy.lifted")[0].data["targets"] == event.data["targets"]


INCIDENT = """\
  - name: costly
    when: [{incidentSpent: {above: 20%}}]
    postmortem: true
  - name: open
    when: [{openIncidents: {}}]
    releases: freeze
"""


def test_incidents_are_taken_from_the_timeline(world: World) -> None:
    """Of ten allowed bad events, an incident has one a minute."""
    world.apply(policy_text(INCIDENT))
    world.after(5)
    world.timeline.append("incident.opened", "the till is stuck", service="checkout", data={"id": "17"})
    assert [one.partition(":")[0] for one in world.after(5)] == ["policy.freeze"]
    assert world.after(115) == []
    told = world.after(120)
    assert told == [
        "policy.postmortem_demanded: checkout: a postmortem is demanded: incident the till is stuck spent 40 % of the "
        "budget of checkout-availability; policy shop, rule costly"
    ]
    world.timeline.append("incident.resolved", "it is not", service="checkout", data={"id": "17"})
    assert [one.partition(":")[0] for one in world.after(5)] == ["policy.lifted"]
    world.restart()
    assert world.after(3600) == []  # the same incident is no news
    world.timeline.append("incident.opened", "stuck again", service="checkout", data={"id": "18"})
    assert len(world.after(5)) == 1
    assert len(world.after(600)) == 1
    assert [event.data["incident"] for event in world.events("policy.postmortem_demanded")] == ["18", "17"]


def test_a_decision_holds_only_the_incidents_that_bear_on_it(world: World) -> None:
    """Else a service with a hundred incidents has decisions too large for an event, and so none."""
    world.apply(policy_text(INCIDENT))
    for number in range(30):
        world.timeline.append("incident.opened", "stuck", service="checkout", data={"id": f"i{number}"})
        world.timeline.append("incident.resolved", "better", service="checkout", data={"id": f"i{number}"})
    world.timeline.append("incident.opened", "stuck again", service="checkout", data={"id": "open"})
    asked = world.board.inputs(Request("checkout"))
    assert [one.id for one in asked.facts.incidents] == ["open"]
    assert decide(asked).decision == "hold"
    world.timeline.append("incident.resolved", "better", service="checkout", data={"id": "open"})
    asked = world.board.inputs(Request("checkout"))
    assert (asked.facts.incidents, decide(asked).decision) == ((), "allow")


def test_an_incident_whose_cost_cannot_be_read_is_not_taken_for_cheap(world: World) -> None:
    world.apply(
        policy_text(INCIDENT.replace("postmortem: true", "releases: freeze").split("  - name: open")[0])
    )
    world.timeline.append("incident.opened", "stuck", service="checkout", data={"id": "17"})
    world.book.fails = True
    assert world.after(60) == []
    assert _decision(world) == "don't know"
    assert _decision(world, "payment") == "don't know"  # nobody knows that service


def test_exceptions_are_told_once_and_end(world: World) -> None:
    waiver = slo(
        "approvedBy: Ann\nreason: the fair\nuntil: 2027-01-15T08:10:00Z\nservices: [checkout]\n",
        name="fair",
        kind="PolicyException",
    ).replace("openslo/v1", "setpoint/v1")
    world.apply(policy_text(GONE), waiver)
    world.book.left["checkout-availability"] = -1.0
    told = world.after(5)
    assert told[1] == (
        "policy.exception_applied: Ann makes an exception for checkout until 2027-01-15T08:10:00.000Z: the fair"
    )
    assert _decision(world) == "allow"
    world.restart()
    assert world.after(5) == []
    world.clock.advance(600)
    assert _decision(world) == "hold"


@pytest.mark.parametrize(
    ("head", "governed"),
    [
        ("", ["checkout", "payment"]),
        ("appliesTo: {services: [checkout]}\n", ["checkout"]),
        ("appliesTo: {teams: [till]}\n", ["checkout", "payment"]),
        ("appliesTo: {teams: [other]}\n", []),
        ("appliesTo: {labels: {team: [other, till]}}\n", ["checkout", "payment"]),
        ("appliesTo: {objectives: [payment-availability]}\n", ["payment"]),
        ("appliesTo: {objectives: [payment-availability], services: [checkout]}\n", []),
    ],
)
def test_whom_a_policy_governs(world: World, head: str, governed: list[str]) -> None:
    world.book.left = {"checkout-availability": -1.0, "payment-availability": -1.0}
    world.apply(policy_text(GONE, head=head))
    world.after(5)
    held = [service for service in ("checkout", "payment") if _decision(world, service) == "hold"]
    assert held == governed


def test_what_cannot_be_stored_has_not_happened(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.apply(policy_text(GONE))
    world.after(5)
    begin: Callable[[], Any] = world.database.begin

    def refuse() -> Any:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(world.database, "begin", refuse)
    world.book.left["checkout-availability"] = -1.0
    with pytest.raises(Unavailable):
        world.board.step()
    monkeypatch.setattr(world.database, "begin", begin)
    assert len(world.after(5)) == 1
