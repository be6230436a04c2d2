"""Teams: who owns which service, what objectives say of it, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.ownership import Ownership
from setpoint.objective.register import register
from setpoint.objective.resolve import no_groups, resolve
from setpoint.resource import Registry, ResourceStore, load_text
from setpoint.resource.model import Change
from setpoint.timeline import Timeline
from tests.objective.documents import document


def _team(name: str, **spec: Any) -> str:
    lines = [f"  {key}: {value}" for key, value in spec.items()]
    head = f"apiVersion: setpoint/v1\nkind: Team\nmetadata:\n  name: {name}\nspec:"
    return "\n".join([head, *lines] if lines else [f"{head} {{}}"])


SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: {}"


def _registry() -> Registry:
    registry = Registry()
    register(registry)
    return registry


@pytest.fixture
def store(sqlite_database: StateDatabase) -> ResourceStore:
    clock = VirtualClock(1_800_000_000_000)
    return ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, _registry())


def _apply(store: ResourceStore, *texts: str) -> list[Change]:
    return list(store.apply(load_text([("t.yaml", "\n---\n".join(texts))], _registry()), author="ann"))


def test_a_team_has_its_services_and_those_of_its_parts(store: ResourceStore) -> None:
    services = [SERVICE.format(name) for name in ("till", "pages", "mail")]
    changes = _apply(
        store,
        *services,
        _team("shop", services="[mail]"),
        _team("checkout", services="[till]", partOf="shop"),
        _team("web", services="[pages]", partOf="checkout"),
    )
    assert not [warning for change in changes for warning in change.warnings]
    owned = Ownership.of(one.spec for one in store.documents())
    assert owned.owners == {"till": "checkout", "pages": "web", "mail": "shop"}
    assert owned.parts_of("checkout") == ("checkout", "web")
    assert owned.services_of("shop") == ("mail", "pages", "till")
    assert owned.services_of("nobody") == ()


@pytest.mark.parametrize(
    ("texts", "line", "message"),
    [
        (
            [_team("a", services="[till]"), _team("b", services="[till]")],
            13,
            "belongs to the team 'a' already",
        ),
        ([_team("a", services="[till, till]")], 6, "'till' stands here twice"),
        ([_team("a", partOf="b")], 6, "there is no Team 'b'"),
        ([_team("a", partOf="a")], 6, "a part of itself"),
        ([_team("a", partOf="b"), _team("b", partOf="a")], 6, "a part of itself, by way of 'b'"),
        ([_team("a", timeZone="Mars/Olympus")], 6, "no time zone"),
        ([_team("a", members="[{name: Ann, email: ann}]")], 6, "no mail address"),
        ([_team("a", owns="[till]")], 6, "owns"),
    ],
)
def test_what_cannot_be_is_refused(store: ResourceStore, texts: list[str], line: int, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        _apply(store, *texts)
    assert any(message in one.message and one.line == line for one in refused.value.problems), (
        refused.value.problems
    )
    assert not store.documents()


def test_a_team_that_others_are_part_of_stays(store: ResourceStore) -> None:
    _apply(store, _team("shop"), _team("checkout", partOf="shop"))
    with pytest.raises(InvalidInput, match="Team 'shop'"):
        store.delete("Team", "shop", author="ann")


def test_a_service_that_nothing_knows_is_warned_of(store: ResourceStore) -> None:
    change = _apply(store, _team("a", services="[chekout]"))[0]
    assert len(change.warnings) == 1
    assert "t.yaml:6" in change.warnings[0]
    assert "chekout" in change.warnings[0]


def test_objectives_are_labelled_with_the_owner_of_their_service() -> None:
    teams = load_text([("t.yaml", _team("web", services="[shop]"))], _registry())
    own = document("theirs")
    own.spec = own.spec.model_copy(
        update={"metadata": own.spec.metadata.model_copy(update={"labels": {"team": "other"}})}
    )
    found = resolve([*teams, document("ours"), own], no_groups)
    assert {one.name: one.labels["team"] for one in found} == {"ours": ("web",), "theirs": ("other",)}
    assert "team" not in resolve([document("ours")], no_groups)[0].labels
