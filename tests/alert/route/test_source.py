"""Which routing is in force: a file that is read again, one that is broken, a resource, nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.alert.route.model import Routing
from setpoint.alert.route.source import RoutingSource
from setpoint.app.kinds import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import StartupRefused
from setpoint.resource import Document, load_text
from setpoint.timeline import Timeline

NOW_MS = 1_799_496_000_000
GOOD = "route: {receiver: %s}\nreceivers: [{name: %s}]\n"
RESOURCE = """\
apiVersion: setpoint/v1
kind: AlertRouting
metadata: {name: r}
spec: {route: {receiver: %s}, receivers: [{name: %s}]}
"""

Make = Callable[[Path | None], RoutingSource]


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(StateDatabase(f"sqlite:///{tmp_path}/state.db"), VirtualClock(NOW_MS))


@pytest.fixture
def make(timeline: Timeline) -> Make:
    return lambda path: RoutingSource(path, timeline, VirtualClock(NOW_MS))


def documents(receiver: str) -> list[Document]:
    return load_text([("r.yaml", RESOURCE % (receiver, receiver))], default_registry())


def kinds(timeline: Timeline) -> list[str]:
    return [event.kind for event in reversed(timeline.query())]


def test_a_file_is_read_again_when_it_changes(tmp_path: Path, make: Make, timeline: Timeline) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(GOOD % ("a", "a"))
    source = make(file)
    heard: list[Routing] = []
    source.subscribe(heard.append)
    assert [one.route.receiver for one in heard] == ["a"]
    assert not source.look()
    file.write_text(GOOD % ("other", "other"))
    assert source.look()
    assert [one.route.receiver for one in heard] == ["a", "other"]
    assert source.status.origin == "file"
    assert kinds(timeline) == ["routing.changed"]


def test_a_broken_file_keeps_what_was_in_force(tmp_path: Path, make: Make, timeline: Timeline) -> None:
    file = tmp_path / "alertmanager.yml"
    good = GOOD % ("a", "a")
    file.write_text(good)
    source = make(file)
    file.write_text(GOOD % ("gone", "a"))
    assert not source.look()
    assert not source.look()
    assert source.current.route.receiver == "a"
    (problem,) = source.status.problems
    assert problem.line == 1
    assert "undefined receiver 'gone'" in problem.message
    file.unlink()
    assert not source.look()
    assert "cannot be read" in source.status.problems[0].message
    file.write_bytes(b"route: \xff")
    assert not source.look()
    assert "UTF-8" in source.status.problems[0].message
    file.write_text(good)
    assert not source.look()
    assert source.status.problems == ()
    assert kinds(timeline) == ["routing.refused"] * 3 + ["routing.changed"]


def test_a_file_that_comes_back_as_it_was_is_well_again(tmp_path: Path, make: Make) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(GOOD % ("a", "a"))
    source = make(file)
    file.rename(tmp_path / "away")
    source.look()
    assert source.status.problems
    (tmp_path / "away").rename(file)
    source.look()
    assert not source.status.problems


@pytest.mark.parametrize(
    "content", [None, b"route: {receiver: b}\nreceivers: [{name: a}]", b"\xff", b"a: [", b""]
)
def test_a_start_with_a_broken_file_is_refused(tmp_path: Path, make: Make, content: bytes | None) -> None:
    file = tmp_path / "alertmanager.yml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartupRefused, match="alertmanager_config cannot be used"):
        make(file)


def test_without_a_file_the_resource_says_it(make: Make) -> None:
    source = make(None)
    assert (source.status.origin, source.current.route.receiver) == ("default", "nobody")
    heard: list[str] = []
    source.subscribe(lambda routing: heard.append(routing.route.receiver))
    source.follow(documents("a"))
    source.follow(documents("a"))
    assert (source.status.origin, source.status.name) == ("resource", "r")
    source.follow(documents("b"))
    source.follow([])
    assert heard == ["nobody", "a", "b", "nobody"]
    assert not source.look()


def test_a_file_goes_before_the_resource(tmp_path: Path, make: Make) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(GOOD % ("a", "a"))
    source = make(file)
    source.follow(documents("b"))
    assert source.current.route.receiver == "a"
    assert "AlertRouting r is not in force" in source.status.warnings[0].message
    source.follow([])
    assert source.status.warnings == ()
