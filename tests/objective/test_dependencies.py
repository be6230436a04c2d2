"""What services depend on: read from documents, followed through circles, and warned of where it looks wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.dependencies import Dependencies, dependencies_of
from setpoint.resource import Document, ResourceStore, load_text
from setpoint.timeline import Timeline

NAMES = "abcdef"


def services(**depends: str) -> list[Document]:
    """Services of one letter each; `a="bc"` calls b and c."""
    text = "\n---\n".join(
        f"apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {name}}}\n"
        f"spec:\n  dependsOn: [{', '.join(called)}]"
        for name, called in depends.items()
    )
    return load_text([("services.yaml", text)], default_registry())


def test_direct_and_all() -> None:
    documents = services(a="bc", b="d", c="", d="a")
    assert dependencies_of("a", documents) == ("b", "c")
    assert dependencies_of("c", documents) == dependencies_of("nobody", documents) == ()
    found = Dependencies.declared(documents)
    assert found.all_of("a") == ("b", "c", "d")
    assert found.all_of("d") == ("a", "b", "c")
    assert found.path("a", "d") == ("a", "b", "d")
    assert found.path("c", "a") == found.path("a", "a") == ()
    assert found.cycle("a") == ("a", "b", "d", "a")
    assert found.cycle("c") == ()
    assert found.callers_of("d") == ("b",)


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(NAMES), min_size=1, unique=True).map(tuple),
        max_size=6,
    )
)
def test_every_service_behind_is_found_once_with_a_way(direct: dict[str, tuple[str, ...]]) -> None:
    direct = {
        name: kept for name, called in direct.items() if (kept := tuple(x for x in called if x != name))
    }
    found = Dependencies(direct)
    for name in NAMES:
        behind = found.all_of(name)
        assert name not in behind
        assert len(set(behind)) == len(behind)
        steps = [len(found.path(name, other)) for other in behind]
        assert steps == sorted(steps)
        for other in behind:
            way = found.path(name, other)
            assert (way[0], way[-1]) == (name, other)
            assert all(later in direct[earlier] for earlier, later in pairwise(way))
        closed = found.cycle(name)
        assert bool(closed) == any(name in found.all_of(other) for other in found.of(name))


def test_what_looks_wrong_is_warned_of(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(1_800_000_000_000)
    store = ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, default_registry())
    changes = {change.name: change for change in store.apply(services(a="bx", b="a", c=""), author="tester")}
    assert "there is no Service 'x'" in changes["a"].warnings[0]
    assert "services.yaml:" in changes["a"].warnings[0]
    assert "in a circle (a → b → a)" in changes["a"].warnings[1]
    assert "in a circle (b → a → b)" in changes["b"].warnings[0]
    assert not changes["c"].warnings


@pytest.mark.parametrize(
    ("called", "told"), [("ba", "does not depend on itself"), ("bb", "'b' stands here twice")]
)
def test_what_makes_no_sense_is_refused(called: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        services(a=called)
    problem = caught.value.problems[0]
    assert told in problem.message
    assert problem.path == "spec.dependsOn[1]"
