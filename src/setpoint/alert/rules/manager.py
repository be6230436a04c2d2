"""Evaluates the rules of files and resources in the server, each group at its interval.

`app` makes one `RuleManager`, hands it the resources (`follow`), has it take up the alerts of the time before the start
(`begin`, before anything is dispatched) and runs it in a thread. Groups are spread over their intervals by a hash and
evaluated by a few threads, those of data sources by others; what fires goes to the alert book (`telling`), what
changes into the state database (`store`), what rules make into the telemetry (`record`). Tests call `advance` instead
of `run`: the same, in the caller's thread, at the clock's time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from setpoint.alert.from_promql import STALE
from setpoint.alert.rules.declared import Declared, offset_ms
from setpoint.alert.rules.engine import Ask
from setpoint.alert.rules.evaluate import Made
from setpoint.alert.rules.hole import HoleGuard
from setpoint.alert.rules.pool import Pool
from setpoint.alert.rules.record import Recorder, Submit
from setpoint.alert.rules.restore import restored
from setpoint.alert.rules.rule import AlertingRule
from setpoint.alert.rules.running import Outcome, RunningGroup
from setpoint.alert.rules.spec import declared_by
from setpoint.alert.rules.state import Alert
from setpoint.alert.rules.status import AlertView, FileFault, GroupStatus, RuleWhy
from setpoint.alert.rules.store import Changes, Kept, RuleStore
from setpoint.alert.rules.telling import Send, Telling
from setpoint.alert.rules.watch import WatchedRules
from setpoint.alert.rules.why import explain
from setpoint.clock import Clock
from setpoint.errors import NotFound, SetpointError
from setpoint.resource import Document

__all__ = ["RuleManager", "Send"]

log = logging.getLogger(__name__)

SOURCE = "rules"
"""The name under which the alert book knows these alerts."""

Reconcile = Callable[[str, Collection[str], int], None]
"""Ends the alerts of a source but those of these fingerprints, at an instant."""

_INTERVAL_MS = 60_000
_LOOK_MS = 5_000
_NOTE_MS = 1_000
_LONGEST_WAIT_S = 1.0
_OWN_THREADS, _SOURCE_THREADS = 4, 8
_MOVED_INTERVALS = 2
"""So many intervals after a rule is gone its series end, unless another rule makes them by then."""


class RuleManager:
    """All groups of rules. Thread-safe."""

    def __init__(
        self,
        clock: Clock,
        send: Send,
        *,
        ask: Ask,
        submit: Submit,
        store: RuleStore,
        files: str = "",
        source: Callable[[str], Ask] | None = None,
        reconcile: Reconcile = lambda source, keep, at_ms: None,
        external_url: str = "",
        interval_ms: int = _INTERVAL_MS,
        phase_ms: Callable[[Declared, int], int] = offset_ms,
    ) -> None:
        """`ask` answers expressions on Setpoint's own telemetry, `source` gives what answers on a data source; `files`
        are globs with commas between. `interval_ms` is that of groups which name none; `phase_ms` says where in its
        interval a group is evaluated.
        """
        self._clock, self._ask, self._submit, self._store = clock, ask, submit, store
        self._source, self._reconcile = source, reconcile
        self._external_url, self._interval_ms = external_url, interval_ms
        self._phase_ms = phase_ms
        self._telling = Telling(send, clock)
        self._watched = WatchedRules(files, clock, known=store.files, remember=store.write_files)
        self._guard = HoleGuard(clock)
        self._lock = threading.RLock()
        self._groups: dict[tuple[str, str], RunningGroup] = {}
        self._declared: tuple[Declared, ...] = ()
        self._jobs: list[Callable[[], None]] = []
        self._ending: list[tuple[int, Made]] = []
        self._unstored: list[Changes] = []
        self._looked_ms = self._noted_ms = 0
        self._is_begun = False
        self._wake = threading.Event()

    # ---- which groups there are --------------------------------------------------------------------------

    def follow(self, documents: Iterable[Document]) -> None:
        """Keep exactly the groups of these PrometheusRules (all that exist), beside those of files."""
        declared = tuple(one for document in documents for one in declared_by(document))
        with self._lock:
            if declared != self._declared:
                self._declared = declared
                self._apply()

    def read_files(self) -> None:
        """Read the rule files that changed."""
        with self._lock:
            if self._watched.look():
                self._apply()

    def _apply(self) -> None:
        """Make the groups what is declared; what goes on is not touched."""
        now_ms = self._clock.now_ms()
        wanted = {one.key: one for one in (*map(Declared, self._watched.groups), *self._declared)}
        former, self._groups = self._groups, {}
        for key, declared in wanted.items():
            known = former.pop(key, None)
            if known is not None and known.declared == declared:
                self._groups[key] = known
                continue
            group = self._groups[key] = self._make(declared)
            group.due_ms = self._slot_ms(group, now_ms) + group.interval_ms
            if known is not None and self._is_begun:
                group.is_busy = True
                self._jobs.append(partial(self._hand_over, known, group))
        if self._is_begun:
            self._jobs += [partial(self._end, gone) for gone in former.values()]
        self._wake.set()

    def _make(self, declared: Declared) -> RunningGroup:
        ask = self._ask
        if declared.data_source and self._source is not None:
            ask = self._source(declared.data_source)
        return RunningGroup(
            declared,
            self._interval_ms,
            ask,
            self._ask,
            self._submit,
            self._external_url,
            holds=self._guard.holds,
        )

    def _hand_over(self, former: RunningGroup, group: RunningGroup) -> None:
        at_ms = self._clock.now_ms()
        try:
            with group.lock:
                outcome, made = group.take_over(former, at_ms)
                group.due_ms = self._slot_ms(group, at_ms) + group.interval_ms
                self._went(group, outcome, made)
        finally:
            group.is_busy = False

    def _end(self, group: RunningGroup) -> None:
        outcome, made = group.end(self._clock.now_ms())
        self._went(group, outcome, made)
        self._try_to_store(partial(self._store.drop_groups, [group.declared.name]))

    def _went(self, group: RunningGroup, outcome: Outcome, made: Made) -> None:
        """Rules are gone: their alerts and, if nobody else makes them by then, their series end."""
        self._write(group, outcome.changes)
        self._telling.tell(group, outcome)
        if made:
            due_ms = self._clock.now_ms() + _MOVED_INTERVALS * group.interval_ms
            with self._lock:
                self._ending.append((due_ms, made))

    # ---- the start ---------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Read the files and take up the alerts of the time before the start: those that fire are told to the book
        before it dispatches anything, and what it still has of rules that are gone ends. Raises Unavailable.
        """
        with self._lock:
            self._watched.look()
            self._looked_ms = now_ms = self._clock.now_ms()
            self._apply()
            kept = self._store.load()
            taken: set[tuple[str, str]] = set()
            for group in self._groups.values():
                group.restore(partial(_taken_up, kept, group, now_ms), now_ms)
                taken |= {(key, alert.fingerprint) for key, alert in group.kept()}
            lost = _lost(kept, taken)
            if lost:
                self._store.write(Changes((), lost), {})
            self._store.drop_groups(
                set(kept.evaluated_ms) - {one.declared.name for one in self._groups.values()}
            )
            self._guard.begin()
            self._is_begun = True
            firing = [alert.fingerprint for group in self._groups.values() for alert in group.firing]
            self._telling.refresh(self._groups.values())
            self._reconcile(SOURCE, firing, now_ms)

    # ---- time --------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Evaluate until `stop` is set; the body of the manager's thread."""
        own, sources = Pool("rules", _OWN_THREADS), Pool("rules-sources", _SOURCE_THREADS)
        while not stop.is_set():
            try:
                self._wake.clear()
                wait_ms = self._begin_due(lambda group: sources if group.declared.data_source else own)
            except Exception:  # the loop must outlive any fault: without it no rule is evaluated
                log.exception("rules: the round failed; it goes on")
                wait_ms = round(_LONGEST_WAIT_S * 1000)
            self._clock.wait(self._wake if wait_ms > 0 else stop, min(_LONGEST_WAIT_S, wait_ms / 1000))
        own.close()
        sources.close()

    def _begin_due(self, pool_of: Callable[[RunningGroup], Pool]) -> int:
        """Hand what is due to the pools; milliseconds until something will be."""
        self._tend()
        with self._lock:
            jobs, self._jobs = self._jobs, []
        for job in jobs:
            threading.Thread(target=job, name="rules-change", daemon=True).start()
        now_ms = self._clock.now_ms()
        for group in self._due(now_ms):
            pool_of(group).submit(partial(self._evaluate, group, now_ms))
        return self._next_ms(now_ms) - now_ms

    def advance(self) -> int:
        """Do everything that is due at the clock's time, in this thread; when something will be (Unix ms)."""
        self._tend()
        with self._lock:
            jobs, self._jobs = self._jobs, []
        for job in jobs:
            job()
        now_ms = self._clock.now_ms()
        for group in self._due(now_ms):
            self._evaluate(group, now_ms)
        self._tend()
        return self._next_ms(now_ms)

    def _due(self, now_ms: int) -> list[RunningGroup]:
        """The groups whose time has come, marked as busy."""
        found = []
        with self._lock:
            for group in self._groups.values():
                if group.is_busy:
                    continue
                if group.due_ms - now_ms > group.interval_ms:  # the clock was set back
                    group.due_ms = self._slot_ms(group, now_ms) + group.interval_ms
                if group.due_ms <= now_ms:
                    group.is_busy = True
                    found.append(group)
        return sorted(found, key=lambda group: group.due_ms)

    def _slot_ms(self, group: RunningGroup, now_ms: int) -> int:
        """The newest instant not after `now_ms` at which a group is evaluated."""
        phase_ms = self._phase_ms(group.declared, group.interval_ms)
        return (now_ms - phase_ms) // group.interval_ms * group.interval_ms + phase_ms

    def _next_ms(self, now_ms: int) -> int:
        with self._lock:
            due = [group.due_ms for group in self._groups.values() if not group.is_busy]
        return min([*due, now_ms + round(_LONGEST_WAIT_S * 1000)])

    def _evaluate(self, group: RunningGroup, now_ms: int) -> None:
        at_ms = self._slot_ms(group, max(now_ms, self._clock.now_ms()))
        try:
            with group.lock:
                if group.is_ended:
                    return
                outcome = group.evaluate(at_ms)
                if outcome.changes:
                    self._write(group, outcome.changes)
                self._telling.tell(group, outcome)
        finally:
            group.due_ms = at_ms + group.interval_ms
            group.is_busy = False
            self._wake.set()

    def _tend(self) -> None:
        """What is done beside evaluations: files, what fires told again, what is not stored yet, series that end."""
        now_ms = self._clock.now_ms()
        if not 0 <= now_ms - self._looked_ms < _LOOK_MS:
            self._looked_ms = now_ms
            self.read_files()
        groups = list(self._groups.values())
        self._telling.refresh(groups)
        if not 0 <= now_ms - self._noted_ms < _NOTE_MS:
            self._noted_ms = now_ms
            self._note(groups)
            self._expire(groups, now_ms)

    # ---- what is stored ----------------------------------------------------------------------------------

    def _write(self, group: RunningGroup, changes: Changes) -> None:
        evaluated = (
            {} if group.evaluated_ms is None or group.is_ended else {group.declared.name: group.evaluated_ms}
        )
        with self._lock:
            waiting, self._unstored = [*self._unstored, changes], []
        for place, one in enumerate(waiting):
            if not self._try_to_store(partial(self._store.write, one, evaluated)):
                with self._lock:
                    self._unstored = [*waiting[place:], *self._unstored]
                return
        group.noted_ms = group.evaluated_ms

    def _note(self, groups: Sequence[RunningGroup]) -> None:
        """Note when groups were evaluated whose alerts wait for their `for`; and store what could not be."""
        if self._unstored and groups:
            self._write(groups[0], Changes())
        due = [one for one in groups if one.has_pending and one.noted_ms != one.evaluated_ms]
        evaluated = {one.declared.name: one.evaluated_ms for one in due if one.evaluated_ms is not None}
        if evaluated and self._try_to_store(partial(self._store.write, Changes(), evaluated)):
            for one in due:
                one.noted_ms = evaluated.get(one.declared.name)

    def _try_to_store(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except SetpointError as error:
            log.warning("how far rules are is not stored yet: %s", error.message)
            return False
        return True

    def _expire(self, groups: Sequence[RunningGroup], now_ms: int) -> None:
        """End the series of rules that are gone, unless another rule makes them now."""
        with self._lock:
            due = [made for due_ms, made in self._ending if due_ms <= now_ms]
            self._ending = [(due_ms, made) for due_ms, made in self._ending if due_ms > now_ms]
        if not due:
            return
        made_still = {key for group in groups for key in group.makes()}
        recorder = Recorder(self._submit)
        for made in due:
            for key, labels in made.items():
                if key not in made_still:
                    recorder.add(labels, now_ms, STALE)
        try:
            recorder.settle()
        except SetpointError as error:
            log.warning("series of rules that are gone are not marked as ended: %s", error.message)

    # ---- for those who look ------------------------------------------------------------------------------

    def groups(self) -> list[GroupStatus]:
        """Every group, in the order of files and of their names."""
        return [group.status for _, group in sorted(self._groups.items())]

    def faults(self) -> list[FileFault]:
        """Rule files that cannot be used as they are."""
        return self._watched.faults

    def alerts(self) -> list[AlertView]:
        """Every pending and firing alert."""
        return [alert for group in self.groups() for rule in group.rules for alert in rule.alerts]

    def why(self, group: str, rule: str, file: str | None = None) -> list[RuleWhy]:
        """Why the rules of this name in the groups of this name (in `file`, if given) fire or do not.

        Raises NotFound.
        """
        found = []
        for _, one in sorted(self._groups.items()):
            if one.group.name == group and file in (None, one.group.file):
                status = one.status
                for place, declared in enumerate(one.group.rules):
                    if declared.name == rule:
                        found.append(
                            explain(one.ask, declared, status, status.rules[place], self._clock.now_ms())
                        )
        if not found:
            raise NotFound(f"there is no rule '{rule}' in a group '{group}'; /rules lists those that exist")
        return found


def _taken_up(kept: Kept, group: RunningGroup, now_ms: int, rule: AlertingRule, key: str) -> list[Alert]:
    """The alerts with which a rule goes on after the start."""
    evaluated_ms = kept.evaluated_ms.get(group.declared.name)
    return restored(rule, kept.alerts.get(key, ()), evaluated_ms, group.interval_ms, now_ms)


def _lost(kept: Kept, taken: set[tuple[str, str]]) -> list[tuple[str, dict[str, str]]]:
    """Alerts of the time before the start that nobody took up."""
    return [
        (rule, dict(alert.labels))
        for rule, alerts in kept.alerts.items()
        for alert in alerts
        if (rule, alert.fingerprint) not in taken
    ]
