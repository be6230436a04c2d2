"""Plays scenarios: the objectives of a file over what comes in, on a virtual clock, with the server's own book.

`setpoint test` calls `check_scenarios`. Nothing is stored and no time passes. At every evaluation interval what has
arrived is counted and judged; at the instants of the expectations, too, and then it is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, NotFound, SetpointError
from setpoint.objective.alerting.table import AlertChange, OpenAlert
from setpoint.objective.book import ObjectiveBook
from setpoint.objective.counting.feed import Feed
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective, ObjectiveStatus, State
from setpoint.objective.register import register
from setpoint.objective.resolve import Declared, Discover, resolve
from setpoint.objective.scenario.file import (
    Expectation,
    InputEvents,
    Scenario,
    ScenarioFile,
    read_scenario,
)
from setpoint.objective.scenario.from_promql import Failure, TestVerdict
from setpoint.objective.scenario.from_telemetry import DataSource
from setpoint.objective.scenario.samples import ArrivingSamples
from setpoint.objective.scenario.store import MemoryLedgerStore
from setpoint.resource import Registry
from setpoint.resource.duration import shown_duration

__all__ = ["check_scenarios"]

_MINUTE_MS = 60_000
_MOST_CHUNKS = 20_000


def check_scenarios(
    file: str, text: str, folder: Path, only: re.Pattern[str] | None = None
) -> list[TestVerdict]:
    """The verdicts of a file's tests, those whose name has a match of `only`. Raises InvalidInput with the lines."""
    registry = Registry()
    register(registry)
    registry.register("openslo/v1", "DataSource", DataSource)
    wanted = read_scenario(file, text, folder, registry)
    return [_Run(wanted, test).verdict() for test in wanted.tests if only is None or only.search(test.name)]


class _Run:
    def __init__(self, file: ScenarioFile, test: Scenario) -> None:
        self._file, self._test = file, test
        self._clock = VirtualClock(test.start_ms + test.apply_ms)
        self._samples = ArrivingSamples(test.series, test.start_ms, self._clock)
        self._store = MemoryLedgerStore()
        self._states: dict[str, State] = {}
        self._open: dict[tuple[str, str], OpenAlert] = {}
        self._events = [_Arriving(one, test.start_ms) for one in test.events]
        self._failures: list[Failure] = []
        self._names: set[str] = set()

    def verdict(self) -> TestVerdict:
        """Go through time and look at what is asked for."""
        test = self._test
        asked: dict[int, list[Expectation]] = {}
        for one in test.expected:
            asked.setdefault(one.at_ms, []).append(one)
        book: ObjectiveBook | None = None
        tended_ms = 0
        try:
            for at_ms in self._ticks(sorted(asked)):
                self._clock.advance((test.start_ms + at_ms - self._clock.now_ms()) / 1000)
                is_down = any(start <= at_ms < end for start, end in test.down)
                if is_down and book is not None:
                    book.close()
                    book = None
                elif not is_down:
                    book = self._evaluate(book, is_asked=at_ms in asked)
                    if at_ms - tended_ms >= _MINUTE_MS:
                        tended_ms = at_ms
                        book.look_ahead()
                for one in asked.get(at_ms, ()):
                    self._check(book, one)
        except SetpointError as error:
            self._failures.append(Failure(test.line, test.name, error.message))
        checks = sum(len(one.wanted) for one in test.expected)
        return TestVerdict(test.name, test.line, checks, tuple(self._failures))

    def _ticks(self, asked: Sequence[int]) -> Iterator[int]:
        test, interval_ms = self._test, self._file.interval_ms
        regular = range(test.apply_ms, test.last_ms + 1, interval_ms)
        edges = [edge for stretch in test.down for edge in stretch if test.apply_ms <= edge <= test.last_ms]
        yield from sorted({*regular, *asked, *edges})

    # ---- the book ----------------------------------------------------------------------------------------

    def _evaluate(self, book: ObjectiveBook | None, *, is_asked: bool) -> ObjectiveBook:
        """Count what arrived and judge. What is not live is counted after the judgement, so that where somebody looks,
        it is judged once more.
        """
        is_new = book is None
        if book is None:
            book = self._started()
        self._arrive(book, is_new=is_new)
        book.tick()
        if is_new or is_asked:
            for _ in range(_MOST_CHUNKS):
                if not any(one.backfilling for one in book.statuses()):
                    break
                book.tick()
            book.tick()
        if is_new:
            book.look_ahead()
        return book

    def _started(self) -> ObjectiveBook:
        samples, clock = self._samples, self._clock
        feed = Feed(samples.select, samples.take_oldest_write_ms, samples.oldest_sample_ms, lambda: 0)
        book = ObjectiveBook(
            samples.select,
            samples.take_oldest_write_ms,
            self._store,
            clock,
            own=feed,
            evaluation_interval_s=self._file.interval_ms / 1000,
            final_after_s=self._file.final_after_s,
            no_data_after_s=self._file.no_data_after_s,
            on_change=self._note_state,
            on_alert=self._note_alerts,
            feeds=lambda source: feed,
            told_states=lambda: self._states,
            open_alerts=lambda: list(self._open.values()),
            resolver=self._resolve,
        )
        book.apply(self._file.documents)
        self._names = {one.name for one in book.statuses()}
        for one in self._test.events:
            if one.objective and one.objective not in self._names:
                raise InvalidInput(
                    f"line {one.line}: there is no objective '{one.objective}'; there are {self._known()}"
                )
        return book

    def _resolve(
        self, documents: Iterable[Declared], discover: Discover, warn: Callable[[str], None]
    ) -> list[Objective]:
        """Objectives whose events are given are not counted by their queries."""
        del warn  # an objective that is missing is told where it is asked for
        given = {one.objective for one in self._test.events}
        found = resolve(documents, _with_given(discover, given), lambda sentence: None)
        everyone = "" in given and not any(one.kind == "composite" for one in found)
        return [replace(one, engine="sql") if everyone or one.name in given else one for one in found]

    def _known(self) -> str:
        return ", ".join(sorted(self._names)) or "none"

    def _note_state(self, status: ObjectiveStatus, before: object) -> None:
        del before
        self._states[status.name] = status.state

    def _note_alerts(self, changes: Sequence[AlertChange]) -> None:
        for one in changes:
            key = one.objective, one.policy
            if one.state == "resolved":
                self._open.pop(key, None)
            else:
                self._open[key] = OpenAlert(one.objective, one.service, one.policy, one.severity, one.at_ms)

    def _arrive(self, book: ObjectiveBook, *, is_new: bool) -> None:
        """Put the minutes of given events that have arrived, into a new book all of them."""
        now_ms = self._clock.now_ms()
        for one in self._events:
            raw = one.take(now_ms, is_new=is_new)
            if raw is not None:
                names = [one.objective] if one.objective else sorted(self._names)
                for name in names:
                    book.put(name, raw)

    # ---- looking -----------------------------------------------------------------------------------------

    def _check(self, book: ObjectiveBook | None, one: Expectation) -> None:
        name = one.objective
        title = f"{name or 'the objective'} at {shown_duration(one.at_ms)}"
        if book is None:
            self._failures.append(Failure(one.line, title, "Setpoint is down then; ask at another time"))
            return
        if not name:
            if len(self._names) != 1:
                message = f"which objective? add 'objective:'; there are {self._known()}"
                self._failures.append(Failure(one.line, title, message))
                return
            (name,) = self._names
            title = f"{name} at {shown_duration(one.at_ms)}"
        try:
            status = book.status(name)
        except NotFound:
            message = f"there is no objective '{name}'; there are {self._known()}"
            self._failures.append(Failure(one.line, title, message))
            return
        found = [(wanted, wanted.look(status)) for wanted in one.wanted]
        wrong = [wanted for wanted, other in found if other is not None]
        if wrong:
            expected = tuple(f"{wanted.name}: {wanted.text}" for wanted, _ in found)
            got = tuple(
                f"{wanted.name}: {wanted.text if other is None else other}" for wanted, other in found
            )
            line = min(wanted.line for wanted in wrong)
            self._failures.append(Failure(line, title, status.reason, expected, got))


def _with_given(discover: Discover, given: Collection[str]) -> Discover:
    """The groups that are found, and those of which events are given, by their names."""

    def groups(objective: Objective, labels: Sequence[str]) -> list[tuple[str, ...]]:
        head = f"{objective.name}."
        named = [tuple(name.removeprefix(head).split(".")) for name in given if name.startswith(head)]
        return [*discover(objective, labels), *(one for one in named if len(one) == len(labels))]

    return groups


class _Arriving:
    """Given events, minute by minute as they arrive."""

    def __init__(self, events: InputEvents, start_ms: int) -> None:
        self.objective = events.objective
        self._first = start_ms // _MINUTE_MS + events.first
        self._late_ms = events.late_ms
        present = ~np.isnan(events.total) & ~np.isnan(events.good)
        self._slots = Slots(
            self._first, np.where(present, events.good, 0.0), np.where(present, events.total, 0.0), present
        )
        self._taken = 0

    def take(self, now_ms: int, *, is_new: bool) -> Slots | None:
        """What arrived since this was last asked; all that arrived for a new book."""
        whole = self._slots
        if is_new:
            self._taken = 0
        arrived = (now_ms - self._late_ms) // _MINUTE_MS - self._first
        end = min(max(0, arrived), len(whole.total))
        start, self._taken = self._taken, max(self._taken, end)
        if end <= start:
            return None
        part = slice(start, end)
        return Slots(
            self._first + start, whole.good[part].copy(), whole.total[part].copy(), whole.present[part].copy()
        )
