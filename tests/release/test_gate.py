"""The gate on the timeline: what it writes, when it writes nothing, and the same decision made again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound
from setpoint.objective.policy.inputs import Inputs, Request
from setpoint.objective.policy.model import PolicyException
from setpoint.release import Gate
from setpoint.timeline import Timeline
from tests.objective.policy.world import NOW_MS, Seen, facts, inputs, left_at_most, policy

GONE = Seen(left=-0.12, state="exhausted")
POLICY = policy(left_at_most(0, until=0.1))


class World:
    """A gate whose facts a test sets."""

    def __init__(self, database: StateDatabase) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.timeline = Timeline(database, self.clock)
        self.exceptions: list[PolicyException] = []
        self.seen = GONE
        self.gate = Gate(self._inputs, self.timeline)

    def _inputs(self, request: Request) -> Inputs:
        known = facts(self.seen, at_ms=self.clock.now_ms())
        return inputs(known, POLICY, request=request, exceptions=self.exceptions)

    def kinds(self) -> list[str]:
        return [event.kind for event in reversed(self.timeline.query())]


@pytest.fixture
def world(sqlite_database: StateDatabase) -> World:
    return World(sqlite_database)


def test_a_decision_is_an_event_with_all_that_it_was_made_from(world: World) -> None:
    told = world.gate.ask(Request("checkout", version="1.4.2"), "ann")
    assert (told.decision["decision"], told.http_status) == ("hold", 423)
    assert told.as_json()["exit_code"] == 9
    (event,) = world.timeline.query(service="checkout")
    assert (event.id, event.kind, event.actor) == (told.id, "gate.decided", "ann")
    assert event.summary.startswith("checkout 1.4.2 (feature): hold: only fixes and security changes")
    row = event.data["inputs"]["facts"]["objectives"][0]
    assert (row["name"], row["budget_left"]) == ("checkout-availability", -0.12)


def test_it_is_made_again_from_there_although_the_world_moved_on(world: World) -> None:
    told = world.gate.ask(Request("checkout"), "ann")
    world.seen = Seen()
    world.clock.advance(3600)
    assert world.gate.ask(Request("checkout"), "ann").decision["decision"] == "allow"
    again = world.gate.replay(told.id)
    assert again.as_json()["same"] is True
    assert again.replayed["decision"] == "hold"
    with pytest.raises(NotFound, match="there is no decision 999"):
        world.gate.replay(999)
    other = world.timeline.append("deploy", "checkout 1.4.2")
    with pytest.raises(NotFound):
        world.gate.replay(other.id)


def test_what_was_changed_afterwards_is_told(world: World) -> None:
    told = world.gate.ask(Request("checkout"), "ann")
    (event,) = world.timeline.query()
    forged = dict(event.data["decision"]) | {"decision": "allow", "reason": "other words"}
    copy = world.timeline.append("gate.decided", "forged", data=dict(event.data) | {"decision": forged})
    assert world.gate.replay(copy.id).differences == ("decision",)
    assert not world.gate.replay(told.id).differences


def test_a_repeated_question_is_one_decision_within_a_minute(world: World) -> None:
    first = world.gate.ask(Request("checkout", version="1"), "ci")
    world.clock.advance(20)
    assert world.gate.ask(Request("checkout", version="1"), "ci").id == first.id
    for other in (Request("checkout", version="2"), Request("checkout", "fix", "1")):
        assert world.gate.ask(other, "ci").id != first.id
    assert world.gate.ask(Request("checkout", version="1"), "ann").id != first.id
    world.seen = Seen()  # another answer is another decision, at once
    assert world.gate.ask(Request("checkout", version="1"), "ci").id != first.id
    world.seen = GONE
    world.clock.advance(60)
    assert world.gate.ask(Request("checkout", version="1"), "ci").id != first.id
    assert world.kinds() == ["gate.decided"] * 6


def test_an_exception_that_is_used_is_told_once(world: World) -> None:
    fair = PolicyException("fair", "Ann", "the fair begins", NOW_MS + 10_000_000, services=("checkout",))
    world.exceptions = [fair]
    for _ in range(2):
        told = world.gate.ask(Request("checkout"), "ci")
        assert (told.decision["decision"], told.http_status) == ("allow", 200)
    used = world.timeline.query(kinds=["policy.exception_used"])
    assert [event.data["decision"] for event in used] == [told.id]
    assert used[0].summary == "checkout (feature) passes by the exception fair of Ann"
    world.exceptions = [replace(fair, until_ms=NOW_MS)]
    assert world.gate.ask(Request("checkout"), "ci").decision["decision"] == "hold"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("checkout", "hotfix"), "'hotfix' is no kind of change; write one of feature, fix, security"),
        (Request("checkout", version="1" * 101), "version has 101 characters"),
        (Request("check\nout"), "service has 9 characters"),
        (Request(" "), "the service is missing"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_not_written(
    world: World, request_: Request, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        world.gate.ask(request_, "ci")
    assert world.kinds() == []


def test_dont_know_is_no_yes(world: World) -> None:
    world.seen = Seen(state="no data")
    told = world.gate.ask(Request("checkout"), "ci")
    assert (told.decision["decision"], told.http_status, told.as_json()["exit_code"]) == (
        "don't know",
        424,
        10,
    )


def test_an_event_of_somebody_else_under_its_key_is_no_decision(world: World) -> None:
    told = world.gate.ask(Request("checkout"), "ann")
    event = world.timeline.event(told.id)
    assert event is not None
    assert event.key is not None
    world.clock.advance(60)
    key = f"{event.key.rpartition(' ')[0]} {world.clock.now_ms() // 60_000}"
    forged = {**event.data, "decision": {**event.data["decision"], "decision": "allow"}}
    world.timeline.append("deploy", "mine", service="checkout", data=forged, key=key)
    again = world.gate.ask(Request("checkout"), "ann")
    assert again.decision["decision"] == "hold"
    assert world.kinds()[-1] == "gate.decided"


@pytest.mark.parametrize(
    "data", [{}, {"decision": "x"}, {"decision": {}}, {"decision": {}, "inputs": {"format": 1}}]
)
def test_what_the_gate_did_not_write_cannot_be_made_again(world: World, data: dict[str, object]) -> None:
    event = world.timeline.append("gate.decided", "forged", data=data)
    with pytest.raises(InvalidInput, match=r"the gate did not write it|cannot be read"):
        world.gate.replay(event.id)
