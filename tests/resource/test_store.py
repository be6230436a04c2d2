"""Resources on both state databases: plan, atomic apply, revisions, events, round trip of any body."""

from __future__ import annotations

import string
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound
from setpoint.resource import Document, ResourceStore, canonical_yaml, load_paths, load_text
from setpoint.timeline import Timeline
from tests.resource.kinds import registry

NOW_MS = 1_800_000_000_000
REGISTRY = registry()


def slo(name: str, service: str = "shop", target: float = 0.9) -> str:
    return (
        f"apiVersion: openslo/v1\nkind: SLO\nmetadata:\n  name: {name}\n"
        f"spec:\n  service: {service}\n  objectives:\n    - target: {target}\n---\n"
    )


def service(name: str) -> str:
    return f"apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: {name}\n---\n"


def documents(*texts: str) -> list[Document]:
    return load_text([("test.yaml", "".join(texts))], REGISTRY)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW_MS)


@pytest.fixture
def timeline(state_database: StateDatabase, clock: VirtualClock) -> Timeline:
    return Timeline(state_database, clock)


@pytest.fixture
def store(state_database: StateDatabase, timeline: Timeline, clock: VirtualClock) -> ResourceStore:
    return ResourceStore(state_database, timeline, clock, REGISTRY)


def names(store: ResourceStore) -> list[str]:
    return [resource.name for resource in store.list()]


def test_a_life_of_a_resource(store: ResourceStore, timeline: Timeline, clock: VirtualClock) -> None:
    assert [change.action for change in store.apply(documents(slo("a")), "kim")] == ["created"]
    clock.advance(60)
    (change,) = store.apply(documents(slo("a", target=0.95)), "lee")
    assert (change.action, change.revision) == ("changed", 2)
    assert "-    - target: 0.9\n" in change.diff and "+    - target: 0.95\n" in change.diff
    stored = store.get("SLO", "a")
    assert (stored.revision, stored.author, stored.updated_ms) == (2, "lee", NOW_MS + 60_000)
    assert stored.body["spec"]["objectives"] == [{"target": 0.95}]
    store.delete("SLO", "a", "max")
    with pytest.raises(NotFound):
        store.get("SLO", "a")
    assert [change.revision for change in store.apply(documents(slo("a")), "kim")] == [4]
    revisions = store.revisions("SLO", "a")
    assert [(one.revision, one.author, one.body is None) for one in revisions] == [
        (4, "kim", False),
        (3, "max", True),
        (2, "lee", False),
        (1, "kim", False),
    ]
    assert revisions[2].diff == change.diff
    events = timeline.query(service="shop")
    assert [(event.kind, event.actor) for event in events] == [
        ("resource.applied", "kim"),
        ("resource.deleted", "max"),
        ("resource.applied", "lee"),
        ("resource.applied", "kim"),
    ]
    assert events[2].data["diff"] == change.diff
    assert events[2].summary == "SLO a changed (revision 2)"


def test_what_is_stored_already_makes_no_revision(store: ResourceStore, timeline: Timeline) -> None:
    store.apply(documents(slo("a")), "kim")
    heard: list[object] = []
    store.on_change = heard.append
    moved = (
        "kind: SLO\nspec: {objectives: [{target: 0.9}], service: shop}\n"
        "metadata: {name: a}\napiVersion: openslo/v1\n"
    )
    (change,) = store.apply(documents(moved), "lee")
    assert (change.action, change.revision, change.diff) == ("unchanged", 1, "")
    assert store.get("SLO", "a").author == "kim"
    assert len(timeline.query()) == 1
    assert heard == []


def test_a_plan_changes_nothing_and_tells_what_apply_does(store: ResourceStore, timeline: Timeline) -> None:
    store.apply(documents(slo("a"), slo("gone"), slo("same")), "kim")
    wanted = documents(slo("a", target=0.5), slo("new"), slo("same"))
    planned = store.plan(wanted, prune=True)
    assert [(change.name, change.action) for change in planned] == [
        ("a", "changed"),
        ("new", "created"),
        ("same", "unchanged"),
        ("gone", "deleted"),
    ]
    assert names(store) == ["a", "gone", "same"]
    assert len(timeline.query()) == 3
    assert store.apply(wanted, "kim", prune=True) == planned
    assert names(store) == ["a", "new", "same"]


def test_pruning_with_nothing_is_refused(store: ResourceStore) -> None:
    store.apply(documents(slo("a")), "kim")
    with pytest.raises(InvalidInput, match="would delete every resource"):
        store.apply([], "kim", prune=True)
    assert names(store) == ["a"]
    assert store.apply([], "kim") == []


def test_one_bad_document_in_a_folder_changes_nothing(store: ResourceStore, tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02d}.yaml").write_text(slo(f"slo-{number}"))
    (tmp_path / "17.yaml").write_text(slo("bad", target=1.5))
    with pytest.raises(InvalidInput, match=r"17\.yaml:8: spec\.objectives\[0\]\.target"):
        store.apply(load_text(load_paths([tmp_path]), REGISTRY), "kim")
    assert names(store) == []


def test_a_failure_in_the_middle_changes_nothing(store: ResourceStore, timeline: Timeline) -> None:
    heard: list[object] = []
    store.on_change = heard.append
    with pytest.raises(
        InvalidInput, match="actor"
    ):  # the timeline refuses the event, after rows were written
        store.apply(documents(slo("a"), slo("b")), "")
    assert names(store) == []
    assert timeline.query() == [] == heard
    with pytest.raises(NotFound):
        store.revisions("SLO", "a")


def test_references_are_kept(store: ResourceStore) -> None:
    with pytest.raises(InvalidInput, match=r"test\.yaml:6: spec\.service: there is no Service 'must-be'"):
        store.apply(documents(slo("a", "must-be")), "kim")
    store.apply(documents(slo("a", "must-be"), service("must-be")), "kim")
    with pytest.raises(InvalidInput, match="SLO 'a' needs it"):
        store.delete("Service", "must-be", "kim")
    with pytest.raises(InvalidInput, match=r"spec\.service: there is no Service"):
        store.apply(documents(slo("a", "must-be")), "kim", prune=True)
    assert names(store) == ["a", "must-be"]


def test_advice_warns_only(store: ResourceStore) -> None:
    (change,) = store.apply(documents(slo("a")), "kim")
    assert change.warnings == (
        "test.yaml:6: spec.service: there is no Service 'shop'; add one to describe it",
    )
    (change, _) = store.apply(documents(slo("a"), service("shop")), "kim")
    assert change.warnings == ()


def test_listeners_hear_every_live_document_after_the_commit(store: ResourceStore) -> None:
    heard: list[list[str]] = []
    store.on_change = lambda live: heard.append([document.name for document in live])
    store.apply(documents(slo("a"), slo("b")), "kim")
    store.delete("SLO", "a", "kim")
    assert heard == [["a", "b"], ["b"]]


def test_a_failing_listener_is_logged(store: ResourceStore, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("listener broke")

    store.on_change = fail
    store.apply(documents(slo("a")), "kim")
    assert names(store) == ["a"]
    assert "listener broke" in caplog.text


def test_concurrent_applies_make_one_revision_each(
    state_database: StateDatabase, timeline: Timeline, clock: VirtualClock
) -> None:
    stores = [
        ResourceStore(state_database, timeline, clock, REGISTRY) for _ in range(4)
    ]  # as in four processes

    def change(number: int) -> int:
        target = 0.5 + number / 1000
        return stores[number % 4].apply(documents(slo("a", target=target)), "kim")[0].revision

    with ThreadPoolExecutor(4) as pool:
        revisions = sorted(pool.map(change, range(20)))
    assert revisions == list(range(1, 21))
    assert len(stores[0].revisions("SLO", "a")) == 20


def test_what_is_not_there_names_the_nearest(store: ResourceStore) -> None:
    store.apply(documents(slo("checkout-latency")), "kim")
    attempts: list[Callable[[], object]] = [
        lambda: store.get("SLO", "checkout-latancy"),
        lambda: store.delete("SLO", "checkout-latancy", "kim"),
        lambda: store.revisions("SLO", "checkout-latancy"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound, match="did you mean 'checkout-latency'"):
            attempt()
    with pytest.raises(NotFound, match="no Service at all"):
        store.get("Service", "x")


def test_a_stored_document_of_an_unknown_kind_is_left_out(
    store: ResourceStore, state_database: StateDatabase, timeline: Timeline, caplog: pytest.LogCaptureFixture
) -> None:
    store.apply(documents(slo("a"), service("b")), "kim")
    with state_database.begin() as transaction:
        transaction.execute("UPDATE resources SET document = '{\"kind\": \"Old\"}' WHERE name = 'b'")
    fresh = ResourceStore(state_database, timeline, VirtualClock(NOW_MS), REGISTRY)
    assert [document.name for document in fresh.documents()] == ["a"]
    assert "apply a corrected document" in caplog.text
    fresh.apply(documents(service("b")), "kim")
    assert len(fresh.documents()) == 2


_TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT
    | st.text("ab \n-:#'\"|>&*!?", max_size=12)
    | st.sampled_from(
        ["on", "null", "1e3", "2024-01-01", "a\nb", "a\nb\n", " a\nb", "a\n\n", "\n", "~", "<<", "a: b"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT | st.just("<<"), inner, max_size=3),
    max_leaves=12,
)


@given(spec=st.dictionaries(_TEXT, _VALUES, max_size=5))
def test_canonical_yaml_reads_back_as_the_same_body(spec: dict[str, Any]) -> None:
    body = {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}
    text = canonical_yaml(body)
    (document,) = load_text([("round.yaml", text)], REGISTRY)
    assert repr(document.body) == repr({**body, "spec": document.body["spec"]})
    assert document.body == body
    assert canonical_yaml(document.body) == text


@given(spec=st.dictionaries(st.text(string.printable, max_size=9), _VALUES, max_size=5))
@settings(max_examples=25)
def test_what_is_applied_is_what_is_got(
    spec: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = {"apiVersion": "openslo/v1", "kind": "Service", "metadata": {"name": "x"}, "spec": spec}
    database = StateDatabase(f"sqlite:///{tmp_path_factory.mktemp('round') / 'state.sqlite'}")
    clock = VirtualClock(NOW_MS)
    store = ResourceStore(database, Timeline(database, clock), clock, REGISTRY)
    document = REGISTRY.parse_body(body)
    store.apply([document], "kim")
    assert repr(store.get("Service", "x").body) == repr(body)
    assert store.plan([document])[0].action == "unchanged"
    database.close()
