"""What the fault board takes, refuses, tells the timeline, and remembers."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.demo.fault import FAULTS, SERVICES, FaultBoard
from setpoint.demo.link import Told
from setpoint.demo.runner import wanted
from setpoint.errors import Conflict, InvalidInput
from setpoint.timeline import Timeline


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_000_000)


@pytest.fixture
def timeline(sqlite_database: StateDatabase, clock: VirtualClock) -> Timeline:
    return Timeline(sqlite_database, clock)


@pytest.fixture
def board(timeline: Timeline, clock: VirtualClock) -> FaultBoard:
    """A board whose shop polls."""
    board = FaultBoard(timeline, clock)
    board.poll()
    return board


def test_a_fault_stands_on_the_board_and_on_the_timeline(board: FaultBoard, timeline: Timeline) -> None:
    made = board.set("checkout", "errors", {"error_ratio": 0.3}, actor="ada")

    assert board.poll() == [made]
    assert made.as_json()["parameters"] == {"error_ratio": 0.3}
    (event,) = timeline.query(kinds=["demo.fault"])
    assert (event.service, event.actor, event.at_ms) == ("checkout", "ada", made.since_ms)
    assert event.summary == "checkout answers 500 to 30% of its requests"


def test_the_same_fault_again_replaces_its_parameters(board: FaultBoard) -> None:
    board.set("checkout", "errors", {"error_ratio": 0.3})
    board.set("checkout", "latency", {"latency_ms": 200})
    board.set("checkout", "errors", {"error_ratio": 0.1})

    found = {fault.fault: dict(fault.parameters) for fault in board.faults()}
    assert found == {"errors": {"error_ratio": 0.1}, "latency": {"latency_ms": 200, "ratio": 1}}


@pytest.mark.parametrize(
    ("service", "fault", "parameters", "told"),
    [
        ("chekout", "errors", {"error_ratio": 0.3}, "did you mean 'checkout'"),
        ("checkout", "error", {"error_ratio": 0.3}, "did you mean 'errors'"),
        ("checkout", "errors", {}, "needs error_ratio"),
        ("checkout", "errors", {"ratio": 0.3}, "did you mean 'error_ratio'"),
        ("checkout", "errors", {"error_ratio": 1.01}, "from 0 to 1"),
        ("checkout", "errors", {"error_ratio": -0.1}, "from 0 to 1"),
        ("checkout", "errors", {"error_ratio": math.nan}, "from 0 to 1"),
        ("checkout", "errors", {"error_ratio": "0.3"}, "write a number"),
        ("checkout", "errors", {"error_ratio": True}, "write a number"),
        ("checkout", "latency", {"latency_ms": math.inf}, "from 0 to 60000"),
        ("checkout", "dead", {"error_ratio": 0.3}, "it takes none"),
        ("checkout", "slow-query", {}, "inventory has one"),
        ("checkout", "version", {"version": "1.0.0"}, "the version that runs"),
        ("checkout", "version", {"version": "../x"}, "is no version"),
    ],
)
def test_what_is_wrong_is_refused_and_changes_nothing(
    board: FaultBoard, timeline: Timeline, *, service: str, fault: str, parameters: dict[str, Any], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told):
        board.set(service, fault, parameters)

    assert board.faults() == []
    assert timeline.query() == []


@given(ratio=st.floats() | st.integers())
def test_exactly_the_ratios_from_0_to_1_are_taken(ratio: float) -> None:
    from setpoint.demo.fault import _check

    if 0 <= ratio <= 1:
        assert _check("payment", "errors", {"error_ratio": ratio}) == {"error_ratio": ratio}
    else:
        with pytest.raises(InvalidInput):
            _check("payment", "errors", {"error_ratio": ratio})


def test_nothing_breaks_while_no_shop_polls(timeline: Timeline, clock: VirtualClock) -> None:
    board = FaultBoard(timeline, clock)
    with pytest.raises(Conflict, match="setpoint demo"):
        board.set("checkout", "dead")

    board.poll()
    clock.advance(10)
    board.set("checkout", "dead")
    clock.advance(0.001)
    with pytest.raises(Conflict, match="not running"):
        board.set("payment", "dead")
    assert board.heal(), "healing works without the shop"


def test_heal_ends_the_faults_of_one_service_or_of_all(board: FaultBoard, timeline: Timeline) -> None:
    board.set("checkout", "errors", {"error_ratio": 0.3})
    board.set("checkout", "latency", {"latency_ms": 100})
    board.set("payment", "dead")
    board.set("catalog", "leak")

    assert [fault.fault for fault in board.heal("checkout", actor="ada")] == ["errors", "latency"]
    assert [fault.service for fault in board.faults()] == ["catalog", "payment"]
    assert {fault.service for fault in board.heal(actor="ada")} == {"catalog", "payment"}
    assert board.heal() == [] == board.faults()
    assert [event.service for event in timeline.query(kinds=["demo.heal"])] == [
        "payment",
        "catalog",
        "checkout",
    ]
    with pytest.raises(InvalidInput, match="storefront, catalog"):
        board.heal("nobody")


def test_a_restarted_server_reads_the_board_back(
    board: FaultBoard, timeline: Timeline, clock: VirtualClock
) -> None:
    board.set("payment", "errors", {"error_ratio": 0.5})
    board.heal("payment")
    board.set("checkout", "version", {"version": "2.0.0"}, actor="ada")
    board.set("checkout", "latency", {"latency_ms": 10})
    board.set("checkout", "latency", {"latency_ms": 20})
    timeline.append("demo.fault", "by hand", service="catalog", data={"fault": "errors", "parameters": {}})
    timeline.append("demo.fault", "by hand", service="elsewhere", data={})

    restarted = FaultBoard(timeline, clock)

    assert restarted.faults() == board.faults()
    assert {fault.fault: fault.actor for fault in restarted.faults()} == {
        "version": "ada",
        "latency": "setpoint",
    }
    assert not restarted.is_shop_running()


def test_every_fault_tells_in_a_sentence_what_it_does(board: FaultBoard) -> None:
    given_by_hand: dict[str, dict[str, Any]] = {"errors": {"error_ratio": 1}, "latency": {"latency_ms": 5}}
    for fault in FAULTS:
        assert board.set("inventory", fault, given_by_hand.get(fault)).summary.startswith("inventory ")


def test_a_subscriber_may_ask_while_a_fault_is_set(board: FaultBoard, timeline: Timeline) -> None:
    seen: list[int] = []
    timeline.subscribe(lambda _event: seen.append(len(board.faults())))
    board.set("checkout", "dead")
    assert len(seen) == 1


def test_what_faults_mean_for_a_service() -> None:
    faults = [
        Told("checkout", "errors", {"error_ratio": 0.3}),
        Told("checkout", "version", {"version": "2.0.0", "error_ratio": 0.1, "latency_ms": 5}),
        Told("payment", "dead", {}),
    ]
    checkout, payment, catalog = (wanted(name, faults) for name in ("checkout", "payment", "catalog"))
    assert (checkout.version, checkout.is_dead, set(checkout.inside)) == (
        "2.0.0",
        False,
        {"errors", "version"},
    )
    assert (payment.version, payment.is_dead, payment.inside) == ("1.0.0", True, {})
    assert (catalog.version, catalog.is_dead, catalog.inside) == ("1.0.0", False, {})


def test_the_processes_of_the_shop_load_no_engine() -> None:
    modules = [f"setpoint.demo.shop.{name}" for name in ("__main__", "instrument", *SERVICES)]
    imports = "".join(f"import {name}\n" for name in [*modules, "setpoint.demo.load"])
    code = f"import sys\n{imports}print(*{{name.split('.')[0] for name in sys.modules}})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.split())
    assert "opentelemetry" in loaded
    engines = {"chdb", "clickhouse_connect", "numba", "numpy", "sqlalchemy", "alembic", "pydantic"}
    assert not loaded & engines
