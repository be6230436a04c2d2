"""Which causes events and ledgers make: deploys and their ends, pairs of events, dependencies, and who is evidence."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from setpoint.objective.attribution.causes import KINDS, Burned, Possible, all_burned, burned, possible_causes
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.ledger.ledger import Slots
from setpoint.timeline import Event

MINUTE_MS = 60_000
FIRST = 29_000_000
END = FIRST + 3000
NUMBERS = itertools.count(1)
NEEDS = Dependencies({"web": ("cart", "login"), "cart": ("pay",), "pay": ("web",)})


def event(minute: float, kind: str, service: str = "web", summary: str = "it happened", **data: Any) -> Event:
    at_ms = round((FIRST + minute) * MINUTE_MS)
    return Event(next(NUMBERS), at_ms, kind, service, "tester", summary, data)


def causes(*events: Event, burning: dict[str, Burned] | None = None) -> dict[str, Possible]:
    found = possible_causes(events, "web", NEEDS, burning or {}, END * MINUTE_MS)
    return {one.cause.title: one for one in found}


def interval(found: Possible) -> tuple[int, int]:
    """The only interval, in minutes from the first."""
    ((low, high),) = found.candidate.intervals
    return low - FIRST, high - FIRST


def test_a_deploy_lasts_until_the_next_one_and_a_rollback_is_none() -> None:
    found = causes(
        event(100, "deploy", version="2"),
        event(200.5, "deploy", version="3"),
        event(220.5, "deploy", version="2"),
        event(400, "deploy", version="4", summary="four"),
        event(900, "deploy", summary="nobody knows which"),
    )
    assert set(found) == {"web 2", "web 3", "web 4", "nobody knows which"}
    assert interval(found["web 2"]) == (100, 200)
    assert interval(found["web 3"]) == (200, 225), "five minutes more for what was on its way"
    assert interval(found["web 4"]) == (400, 900)
    assert interval(found["nobody knows which"]) == (900, 3000)
    assert found["web 3"].cause.version == "3"
    assert found["web 3"].candidate.until_quiet
    assert found["web 4"].cause.end_ms == (FIRST + 900) * MINUTE_MS
    assert found["nobody knows which"].cause.end_ms is None


def test_rollbacks_are_known_by_previous_and_by_word() -> None:
    """The deploys that the demo's shop tells, and one that says what it is."""
    found = causes(
        event(100, "deploy", version="1.1.0", previous="1.0.0"),
        event(120, "deploy", version="1.0.0", previous="1.1.0"),
        event(300, "deploy", version="7"),
        event(310, "deploy", version="6-fixed", rollback=True),
        event(500, "deploy", version="7"),
    )
    assert set(found) == {"web 1.1.0", "web 7"}
    assert interval(causes(event(5, "deploy", version="a"), event(9, "deploy", version="b"))["web b"]) == (
        9,
        3000,
    )


def test_the_same_version_once_more_is_a_deploy_and_told_twice_is_one() -> None:
    again = causes(
        event(1, "deploy", version="1"), event(100, "deploy", version="1"), event(200, "deploy", version="1")
    )
    assert interval(again["web 1"]) == (200, 3000)
    first, second = event(50, "deploy", version="1"), event(53, "deploy", version="1")
    found = causes(first, second)
    assert interval(found["web 1"]) == (50, 3000)
    assert found["web 1"].cause.event_ids == (first.id, second.id)


def test_a_deploy_works_a_week_at_most() -> None:
    found = possible_causes(
        [event(0, "deploy", version="1")], "web", NEEDS, {}, (FIRST + 100_000) * MINUTE_MS
    )
    assert interval(found[0]) == (0, 7 * 1440)


def test_a_deploy_of_a_dependency_counts_only_while_that_burned() -> None:
    deploy = event(100, "deploy", "pay", version="9")
    found = causes(deploy, burning={"pay": Burned(((FIRST + 130, FIRST + 140),), ("pay-slo",))})["pay 9"]
    assert found.candidate.within == ((FIRST + 128, FIRST + 142),)
    assert found.cause.via == ("web", "cart", "pay")
    assert found.cause.objectives == ("pay-slo",)
    never = causes(deploy, burning={"pay": Burned((), ())})["pay 9"]
    assert never.candidate.within == ()
    assert causes(deploy)["pay 9"].candidate.within is None, "without objectives it cannot show it"
    assert causes(event(100, "deploy", "elsewhere", version="9")) == {}


def test_pairs_of_events() -> None:
    found = causes(
        event(10, "demo.fault", summary="errors", fault="errors"),
        event(20, "demo.fault", summary="slow", fault="latency"),
        event(25, "demo.fault", summary="a release", fault="version"),
        event(30.5, "demo.heal", faults=["errors", "version"]),
        event(100, "experiment.started", "pay", "no network", experiment="net"),
        event(110, "experiment.aborted", "pay", experiment="net"),
        event(300, "incident.opened", summary="INC-1", incident=1),
        event(400, "incident.resolved", incident=1),
        event(500, "chaos.injected", summary="chaos"),
    )
    assert set(found) == {"errors", "slow", "no network", "INC-1", "chaos"}
    assert interval(found["errors"]) == (10, 33)
    assert interval(found["slow"]) == (20, 3000)
    assert interval(found["no network"]) == (100, 112)
    assert found["no network"].cause.via == ("web", "cart", "pay")
    assert interval(found["INC-1"]) == (240, 402), "from an hour before it was opened"
    assert [found[name].cause.kind for name in ("slow", "no network", "INC-1", "chaos")] == [
        "fault",
        "experiment",
        "incident",
        "experiment",
    ]
    assert len(found["errors"].cause.event_ids) == 2
    assert found["slow"].cause.end_ms is None


def test_the_same_fault_once_more_takes_the_place_of_the_one_before() -> None:
    found = causes(
        event(10, "demo.fault", summary="5 %", fault="errors"),
        event(20, "demo.fault", summary="50 %", fault="errors"),
        event(30, "demo.heal"),
    )
    assert interval(found["5 %"]) == (10, 22)
    assert interval(found["50 %"]) == (20, 32)


def test_an_end_without_a_begin_and_what_comes_after_the_end_are_nothing() -> None:
    assert causes(event(10, "demo.heal", faults=["errors"]), event(5, "incident.resolved")) == {}
    assert causes(event(3500, "deploy", version="1")) == {}
    assert causes(event(10, "alert.fired"), event(11, "resource.applied")) == {}
    assert {"deploy", "demo.fault", "incident.opened", "experiment.ended"} <= set(KINDS)


def test_dependencies_rank_by_distance_behind_deploys_and_before_incidents() -> None:
    burning = {name: Burned(((FIRST + 10, FIRST + 20),), (f"{name}-slo",)) for name in ("cart", "pay")}
    burning["login"] = Burned((), ())
    found = causes(
        event(1, "demo.fault", summary="fault", fault="dead"),
        event(1, "deploy", version="1"),
        event(1, "incident.opened", summary="incident"),
        burning=burning,
    )
    order = sorted(found, key=lambda title: found[title].candidate.rank)
    assert order == ["fault", "web 1", "pay burned its own budget", "cart burned its own budget", "incident"]
    assert len({found[title].candidate.rank for title in order}) == 5
    assert interval(found["pay burned its own budget"]) == (8, 22)


def slots(bad: list[float], total: float = 100.0) -> Slots:
    column = np.array(bad)
    return Slots(FIRST, total - column, np.full(len(column), total), np.ones(len(column), np.bool_))


def test_what_burned_is_more_than_the_target_allows_by_more_than_chance() -> None:
    quiet = [0.0] * 60
    spoilt = burned(slots([*quiet, *[20.0] * 10, *quiet, *[5.0] * 3, *quiet]), 0.01, True)
    assert [(low - FIRST, high - FIRST) for low, high in spoilt] == [(60, 70), (130, 133)]
    rng = np.random.default_rng(3)
    usual = rng.binomial(100, 0.01, 20_000).astype(np.float64).tolist()
    noisy = burned(slots(usual), 0.01, True)
    assert sum(high - low for low, high in noisy) < 0.05 * len(usual)
    certain = burned(slots([*quiet[:50], *[9.0] * 10]), 0.01, False)
    both = all_burned({"a": (), "b": certain, "c": ((FIRST + 62, FIRST + 65),)})
    assert both.objectives == ("b", "c")
    assert [(low - FIRST, high - FIRST) for low, high in both.intervals] == [(50, 65)]
    assert burned(slots([]), 0.01, True) == all_burned({}).intervals == ()


@pytest.mark.parametrize(
    "strange", [{"faults": 5}, {"faults": [None]}, {"fault": ["x"]}, {"version": {"a": 1}}]
)
def test_strange_data_is_no_error(strange: dict[str, Any]) -> None:
    kinds = ("deploy", "demo.fault", "demo.heal", "incident.opened", "incident.resolved")
    causes(*(event(10 + at, kind, **strange) for at, kind in enumerate(kinds)))
