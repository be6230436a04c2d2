"""Random sequences of what happens to a pager, on a virtual clock: whatever is killed, down or silenced in between, in
the end every receiver knows of everything that fires, and nobody was told the same twice.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from setpoint.alert.model import Alert
from setpoint.alert.route.read import read_routing
from setpoint.database import StateDatabase
from setpoint.errors import Unavailable
from tests.alert.dispatch.world import World, labels_of

ROUTING = """
route:
  receiver: ops
  group_by: [alertname]
  group_wait: 30s
  group_interval: 2m
  repeat_interval: 4h
  routes:
  - matchers: [instance=b]
    receiver: quiet
    continue: true
    group_by: [...]
  - matchers: [alertname=~"A|B|C"]
    receiver: ops
receivers:
- name: ops
  webhook_configs: [{url: 'http://localhost/1'}, {url: 'http://localhost/2'}]
- name: quiet
  webhook_configs: [{url: 'http://localhost/3', send_resolved: false}]
"""
NAMES = [f"{name}/{instance}" for name in "ABC" for instance in "abc"]
SETTLED_S = 600
REPEAT_MS = 4 * 3_600_000

RECEIVERS = ["ops/webhook[0]", "ops/webhook[1]", "quiet/webhook[0]"]
PAUSES_S = [0, 1, 10, 31, 125, 300]
SEEDS = 80
PAST_S = 700
"""What ended is kept for five minutes, and until its group was flushed once more."""

Step = tuple[object, ...]


def story_of(seed: int) -> list[Step]:
    """What happens, drawn so that most stories have alerts that begin, are told, and end amid trouble."""
    chance = random.Random(seed)
    steps: list[Step] = []
    for _ in range(chance.randint(3, 18)):
        some = chance.sample(NAMES, chance.randint(1, 4))
        troubles: list[Step] = [
            ("silence", chance.choice("ABC"), chance.choice([20, 100, 400])),
            ("fall", chance.choice(RECEIVERS)),
            ("rise", chance.choice(RECEIVERS)),
            ("kill",),
            ("reload",),
            ("full_disk", chance.choice([1, 40])),
            ("jump", chance.choice([-3600, -100, 100, 3600])),
        ]
        steps.append(chance.choice([("fire", some), ("fire", some), ("end", some), chance.choice(troubles)]))
        if chance.random() < 0.7:
            steps.append(("wait", chance.choice(PAUSES_S)))
    return steps


@contextmanager
def database() -> Iterator[StateDatabase]:
    """In memory where the machine has a folder for that: what a restart finds is the same."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        made = StateDatabase(f"sqlite:///{folder}/state.sqlite")
        try:
            yield made
        finally:
            made.close()


class Story:
    """A world to which things happen, and a simple model of what everybody should know."""

    def __init__(self, made: StateDatabase) -> None:
        self.world = World(made, ROUTING)
        self.firing: set[str] = set()
        self.silenced: set[str] = set()
        self.down: set[str] = set()
        self.back_s = 0
        self.world.post.is_up = lambda one: f"{one.receiver}/{one.integration}" not in self.down

    def run(self, story: Sequence[Step]) -> None:
        for op, *arguments in story:
            getattr(self, str(op))(*arguments)
        self.down.clear()
        self.world.post.fails = False
        # Silences last 400 s at most, and as long as the clock was set back; then everything has to be told.
        self.wait(400 + SETTLED_S + self.back_s)

    def fire(self, given: list[str]) -> None:
        self.world.fire(*given)
        self.firing |= set(given)

    def end(self, given: list[str]) -> None:
        self.world.end(*[name for name in given if name in self.firing])
        self.firing -= set(given)

    def silence(self, name: str, for_s: int) -> None:
        self.world.silence(for_s, alertname=name)
        self.silenced |= {one for one in NAMES if one.startswith(name)}

    def fall(self, receiver: str) -> None:
        self.down.add(receiver)

    def rise(self, receiver: str) -> None:
        self.down.discard(receiver)

    def kill(self) -> None:
        self.world.start()

    def reload(self) -> None:
        self.world.dispatcher.follow(read_routing("alertmanager.yml", ROUTING))

    def full_disk(self, for_s: int) -> None:
        self.world.post.fails = True
        for _ in range(for_s):
            self.world.clock.advance(1)
            try:
                self.world.settle()
            except Unavailable:
                continue
        self.world.post.fails = False

    def jump(self, by_s: int) -> None:
        self.world.clock.advance(by_s)
        self.back_s += max(0, -by_s)

    def wait(self, for_s: int) -> None:
        self.world.until(self.world.now_s() + for_s, step_s=30)

    def known(self, receiver: str, integration: str) -> set[str]:
        """What a receiver believes to fire: of each group the last that it heard."""
        last: dict[str, set[str]] = {}
        for one in self.world.post.heard:
            told = one.notification
            if (told.receiver, told.integration) == (receiver, integration):
                last[told.group_key] = set(told.firing)
        return {fingerprint for firing in last.values() for fingerprint in firing}


def prints(given: set[str]) -> set[str]:
    """Fingerprints of names."""
    return {Alert(labels_of(name), 0, 0).fingerprint for name in given}


TALES: list[list[Step]] = [
    [("fire", ["A/a"]), ("wait", 31), ("kill",), ("end", ["A/a"]), ("kill",)],
    [("fire", ["A/b"]), ("fall", "quiet/webhook[0]"), ("wait", 300), ("end", ["A/b"]), ("kill",)],
    [("fire", ["A/a", "A/b"]), ("wait", 31), ("end", ["A/a"])],
]


@pytest.mark.parametrize("number", range(len(TALES) + SEEDS))
def test_in_the_end_everybody_knows_what_fires(number: int) -> None:
    story = TALES[number] if number < len(TALES) else story_of(number)
    with database() as made:
        told = Story(made)
        told.run(story)
        for receiver, integration, hears in (
            ("ops", "webhook[0]", told.firing),
            ("ops", "webhook[1]", told.firing),
            ("quiet", "webhook[0]", {name for name in told.firing if name.endswith("b")}),
        ):
            known, due = told.known(receiver, integration), prints(set(hears))
            assert due <= known, (receiver, integration)
            # What ends while it is silenced is not told, as in Alertmanager; who hears no ends believes the last.
            if receiver == "ops":
                assert known - due <= prints(told.silenced)
        assert told.world.post.kept == {}
        told.wait(PAST_S)
        held = {one.fingerprint for group in told.world.dispatcher.groups() for one in group.alerts}
        assert held == prints(told.firing)
        # What ended in the last minutes is still shown.
        assert prints(told.firing) <= {one.fingerprint for one in told.world.book.alerts()}
        _check_nothing_twice(told.world)


def _check_nothing_twice(world: World) -> None:
    """The same alerts in the same state, begun and ended at the same instants, are told once."""
    last: dict[tuple[str, str, str], tuple[set[object], int]] = {}
    for one in world.post.heard:
        told = one.notification
        key = told.receiver, told.integration, told.group_key
        states: set[object] = {
            (
                alert.fingerprint,
                alert.starts_ms,
                alert.ends_ms if alert.fingerprint in told.resolved else None,
            )
            for alert in told.alerts
        }
        before = last.get(key)
        if before is not None:
            assert states != before[0] or one.at_ms - before[1] >= REPEAT_MS, told
        last[key] = states, one.at_ms
