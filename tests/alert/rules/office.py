"""A rule manager on a virtual clock, over samples in memory and a real state database; it can be started again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from setpoint.alert.from_promql import MemoryStore, Node, Options, VectorSample, instant_vector, parse
from setpoint.alert.from_telemetry import MetricBatch
from setpoint.alert.model import Alert
from setpoint.alert.rules.declared import Declared
from setpoint.alert.rules.engine import Ask
from setpoint.alert.rules.manager import RuleManager
from setpoint.alert.rules.status import AlertView, GroupStatus
from setpoint.alert.rules.store import RuleStore
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase

__all__ = ["MINUTE", "START_MS", "Office"]

MINUTE = 60_000
START_MS = 1_800_000_000_000


class Office:
    """`say` gives a gauge a value from now on, `go` lets time pass; `told` is what the book heard."""

    def __init__(self, database: StateDatabase, folder: Path, rules: str = "", **options: object) -> None:
        self.clock = VirtualClock(START_MS)
        self.samples = MemoryStore()
        self.store = RuleStore(database)
        self.folder = folder
        self.phase_ms = _no_phase
        self.options = options
        self.told: list[Alert] = []
        self.reconciled: list[tuple[str, set[str]]] = []
        self.queries = 0
        self.fault: Exception | None = None
        self.book_fault: BaseException | None = None
        self.saying: dict[tuple[tuple[str, str], ...], float] = {}
        self.sources: dict[str, Ask] = {}
        self.file = folder / "rules.yml"
        if rules:
            self.file.write_text(rules)
        self.manager = self.start()

    def start(self) -> RuleManager:
        """A manager, as after a start of the process."""
        self.manager = RuleManager(
            self.clock,
            self._send,
            ask=self._ask,
            submit=self._submit,
            store=self.store,
            files=str(self.folder / "*.yml"),
            source=lambda name: self.sources[name],
            reconcile=self._reconcile,
            external_url="http://setpoint.test",
            phase_ms=self.phase_ms,
            **self.options,  # type: ignore[arg-type]
        )
        self.manager.begin()
        return self.manager

    def _ask(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        self.queries += 1
        if self.fault is not None:
            raise self.fault
        return instant_vector(node, at_ms, self.samples, Options())

    def _submit(self, batch: MetricBatch, size_bytes: int) -> Future[None]:
        future: Future[None] = Future()
        for place, row in enumerate(batch.series_index.tolist()):
            self.samples.append(
                batch.series[row].labels, int(batch.timestamps_ms[place]), float(batch.values[place])
            )
        future.set_result(None)
        return future

    def _send(self, alerts: Sequence[Alert]) -> None:
        if self.book_fault is not None:
            raise self.book_fault
        self.told += alerts

    def _reconcile(self, source: str, keep: Collection[str], at_ms: int) -> None:
        self.reconciled.append((source, set(keep)))

    def say(self, value: float | None, name: str = "input", **labels: str) -> None:
        """A series has `value` from now on; with None it sends no more."""
        key = tuple(sorted({"__name__": name, **labels}.items()))
        if value is None:
            self.saying.pop(key, None)
        else:
            self.saying[key] = value

    def go(self, minutes: float, step_s: float = 15.0) -> None:
        """Let time pass: a sample of each series every step, evaluations when they are due."""
        for _ in range(round(minutes * 60 / step_s)):
            now_ms = self.clock.advance(step_s)
            for key, value in self.saying.items():
                self.samples.load(dict(key), [(now_ms, value)])
            self.manager.advance()

    def be_down(self, minutes: float) -> None:
        """Stop, let time pass without data, start again."""
        self.clock.advance(minutes * 60)
        self.start()

    @property
    def group(self) -> GroupStatus:
        """The only group."""
        (group,) = self.manager.groups()
        return group

    @property
    def alerts(self) -> list[AlertView]:
        """Everything that is pending or fires."""
        return self.manager.alerts()

    @property
    def states(self) -> list[str]:
        """Their states."""
        return [alert.state for alert in self.alerts]

    def take_told(self) -> list[tuple[str, str]]:
        """What the book heard since the last call: names, and whether they fire."""
        told = [(one.name, "resolved" if one.is_resolved(one.updated_ms) else "firing") for one in self.told]
        self.told.clear()
        return told

    def series(self, name: str) -> list[Mapping[str, str]]:
        """The series of a metric that have a value now."""
        found = instant_vector(parse(name), self.clock.now_ms(), self.samples, Options())
        return [one.labels for one in found]


def _no_phase(declared: Declared, interval_ms: int) -> int:
    """Evaluations at whole intervals, so that a test does not depend on the name of its folder."""
    return 0
