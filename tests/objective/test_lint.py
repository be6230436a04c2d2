"""What lint finds of objectives that are kept, and that it is silent about good ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from setpoint.objective.dependencies import Dependencies
from setpoint.objective.lint import Finding, Surroundings, lint
from setpoint.objective.model import Objective, ObjectiveStatus
from setpoint.objective.ownership import Ownership
from setpoint.objective.resolve import no_groups, resolve
from setpoint.objective.spec.team import Team
from tests.objective.documents import composite, document
from tests.objective.test_book import T0, World, slo

DAY_S = 86_400
NOW_MS = T0


@pytest.fixture(scope="module")
def status() -> ObjectiveStatus:
    """Of an objective that is well: a full window, some failures."""
    world = World.make()
    world.born("200", "500")
    world.book.apply([slo("checkout", target=0.9)])
    world.run(120, lambda: world.report(c200=999, c500=1), step_s=10)
    found = world.book.status("checkout")
    world.book.close()
    return replace(
        found,
        total=1e6,
        good=1e6 - 50_000,
        bad=50_000.0,
        sli=0.95,
        budget_left=0.5,
        covered_s=float(found.window_s),
        last_event_ms=NOW_MS - 5000,
        backfilling=False,
    )


def _objective(**fields: Any) -> Objective:
    return replace(resolve([slo("checkout", target=0.9)], no_groups)[0], **fields)


def _lint(
    *pairs: tuple[Objective, ObjectiveStatus],
    dependencies: dict[str, tuple[str, ...]] | None = None,
    teams: tuple[Team, ...] = (),
    promised: dict[str, tuple[str, float]] | None = None,
) -> list[Finding]:
    around = Surroundings(NOW_MS, Dependencies(dependencies or {}), Ownership.of(teams), promised or {})
    return [one for one in lint(pairs, around) if one.rule != "defaults"]


def _rules(found: list[Finding]) -> list[tuple[str, str]]:
    return [(one.gravity, one.rule) for one in found]


def test_a_good_objective_is_passed_over(status: ObjectiveStatus) -> None:
    assert _lint((_objective(), status)) == []


@pytest.mark.parametrize(
    ("fields", "known", "gravity", "rule", "message"),
    [
        ({"target": 0.999999}, {}, None, "", ""),
        ({"target": 0.99999}, {"total": 720.0}, "warning", "target", "allows 0.0072 bad ones"),
        ({"policies": ()}, {}, "warning", "nobody", "alertPolicies are empty"),
        ({}, {"last_event_ms": None, "total": 0.0, "bad": 0.0}, "error", "traffic", "no event was ever seen"),
        ({}, {"last_event_ms": NOW_MS - 3 * DAY_S * 1000}, "warning", "traffic", "3 d ago"),
        ({}, {"bad": 0.0, "sli": 1.0, "budget_left": 1.0}, "warning", "errors", "blind to failures"),
        ({}, {"bad": 50.0, "sli": 0.99995, "budget_left": 0.9995}, "note", "slack", "0.05 % of the budget"),
        ({}, {"covered_s": 3.0 * DAY_S}, "note", "window", "history of 3 d"),
    ],
)
def test_what_is_found_of_one(  # noqa: PLR0917 — the columns of a table
    status: ObjectiveStatus,
    fields: dict[str, Any],
    known: dict[str, Any],
    gravity: str | None,
    rule: str,
    message: str,
) -> None:
    found = _lint((_objective(**fields), replace(status, **known)))
    assert _rules(found) == ([] if gravity is None else [(gravity, rule)])
    assert all(message in one.message and one.remedy for one in found), found


def test_the_target_that_is_advised_allows_ten_bad_events(status: ObjectiveStatus) -> None:
    found = _lint((_objective(target=0.99999), replace(status, total=720.0)))
    assert "98 % or less" in found[0].remedy


def test_history_that_is_being_counted_is_waited_for(status: ObjectiveStatus) -> None:
    counting = replace(status, backfilling=True, last_event_ms=None, total=0.0, bad=0.0, covered_s=60.0)
    assert _lint((_objective(), counting)) == []


def test_a_target_above_what_it_needs(status: ObjectiveStatus) -> None:
    front = _objective(name="front", service="front", target=0.9995)
    back = [_objective(name=name, service=name, target=0.999) for name in ("cards", "stock")]
    pairs = [(one, status) for one in (front, *back)]
    found = _lint(*pairs, dependencies={"front": ("cards", "stock", "unknown")})
    assert _rules(found) == [("warning", "dependency")]
    assert "cards 99.9 %, stock 99.9 %" in found[0].message
    assert "99.8001 %" in found[0].message
    assert (
        _lint((replace(front, target=0.998), status), *pairs[1:], dependencies={"front": ("cards", "stock")})
        == []
    )


def test_an_sla_as_tight_as_its_objective(status: ObjectiveStatus) -> None:
    assert _rules(_lint((_objective(), status), promised={"checkout": ("gold", 0.9)})) == [("warning", "sla")]
    assert _lint((_objective(), status), promised={"checkout": ("gold", 0.89)}) == []


def test_a_service_that_nobody_owns(status: ObjectiveStatus) -> None:
    team = Team.model_validate(
        {
            "apiVersion": "setpoint/v1",
            "kind": "Team",
            "metadata": {"name": "a"},
            "spec": {"services": ["mail"]},
        }
    )
    assert _rules(_lint((_objective(), status), teams=(team,))) == [("warning", "owner")]
    assert _lint((_objective(labels={"team": ("a",)}), status), teams=(team,)) == []
    assert _lint((_objective(service="mail"), status), teams=(team,)) == []


def test_the_parts_of_a_composite_tell_nobody_and_that_is_right(status: ObjectiveStatus) -> None:
    found = resolve([composite("journey")], no_groups)
    assert _rules(_lint(*((one, status) for one in found))) == []
    silent = replace(status, last_event_ms=None, total=0.0, bad=0.0)
    assert {one.objective for one in _lint(*((one, silent) for one in found))} == {one.name for one in found}


def test_default_policies_are_counted_in_one_line(status: ObjectiveStatus) -> None:
    around = Surroundings(NOW_MS, Dependencies(), Ownership(), {})
    pairs = [(one, status) for one in resolve([document("a"), document("b")], no_groups)]
    found = lint(pairs, around)
    assert [one.message.split(" the")[0] for one in found if one.rule == "defaults"] == ["2 objectives have"]
    assert lint(pairs, around, lambda one: one.name == "c") == []


def test_a_young_server_is_one_line(status: ObjectiveStatus) -> None:
    young = replace(status, covered_s=3600.0)
    pairs = [(_objective(name=f"o{at}"), young) for at in range(4)]
    assert _rules(_lint(*pairs[:3])) == [("note", "window")] * 3
    found = _lint(*pairs)
    assert _rules(found) == [("note", "window")]
    assert found[0].message.startswith("4 objectives have less history")
