"""What looks wrong in an SLO is told when it is applied, and does not stop it."""

from __future__ import annotations

from pathlib import Path

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.resource import ResourceStore, load_paths, load_text
from setpoint.timeline import Timeline

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "objectives" / "bookshop.yaml"


def test_an_slo_without_its_service_is_warned_of(sqlite_database: StateDatabase) -> None:
    registry, clock = default_registry(), VirtualClock(1_800_000_000_000)
    store = ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, registry)
    documents = load_text(load_paths([EXAMPLE]), registry)
    alone = [document for document in documents if document.kind == "SLO"]
    changes = store.apply(alone, author="tester")
    assert [change.action for change in changes] == ["created", "created"]
    assert all("there is no Service 'bookshop'" in change.warnings[0] for change in changes)
    assert "bookshop.yaml:" in changes[0].warnings[0]
    assert not any(change.warnings for change in store.apply(documents, author="tester"))
