"""One group at work: evaluates its rules in order, stores what they make, notes what changed and how it went.

The manager says when (`evaluate`), in a thread of its pool; pages read what was published at the end of the last
evaluation, so nobody waits for one. The order of an evaluation's end is what a crash cannot break: what changed of
alerts is stored first, then the alert book is told, so that after a start nothing has resolved that was not seen to.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from setpoint.alert.from_promql import Node, VectorSample, histogram_text, metrics_read
from setpoint.alert.model import Alert as BookAlert
from setpoint.alert.rules.declared import Declared, keys_of
from setpoint.alert.rules.engine import Ask
from setpoint.alert.rules.evaluate import External, GroupStates, Made
from setpoint.alert.rules.record import Recorder, Submit
from setpoint.alert.rules.rule import AlertingRule, RecordingRule
from setpoint.alert.rules.state import Alert, LabelPairs, LimitExceeded
from setpoint.alert.rules.status import GroupStatus
from setpoint.alert.rules.store import Changes, Mark, mark_of
from setpoint.alert.rules.view import RuleRun, one_line, page_of, rule_status
from setpoint.clock import stopwatch
from setpoint.errors import SetpointError

__all__ = ["Outcome", "RunningGroup"]

log = logging.getLogger(__name__)

_PENDING: Mark = ("pending",)
"""The mark of an alert that the store has, but not as it is."""

_ALERT_METRICS = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


class _Holds(Protocol):
    def __call__(self, ask: Ask, rule: AlertingRule, alert: Alert, at_ms: int, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation changed: for the store, and alerts that the book is to hear of now."""

    changes: Changes
    fired: Sequence[BookAlert] = ()
    resolved: Sequence[BookAlert] = ()


class RunningGroup:
    """Evaluates one group. `evaluate`, `take_over` and `end` hold `lock`; everything else may be read at any time."""

    def __init__(  # noqa: PLR0917 — what a group is given
        self,
        declared: Declared,
        interval_ms: int,
        ask: Ask,
        own: Ask,
        submit: Submit,
        external_url: str,
        *,
        holds: _Holds = lambda ask, rule, alert, at_ms: False,
    ) -> None:
        """`interval_ms` is the server's; `ask` answers expressions, `own` those that read what rules of this group
        record; `holds` says of an alert from before the start, whose series is not there, that this may be for want of
        data.
        """
        self.declared = declared
        self.group = declared.group
        self.interval_ms = declared.group.interval_ms or interval_ms
        self.lock = threading.Lock()
        self.is_busy = False
        self.is_ended = False
        self.due_ms = 0
        self.evaluated_ms: int | None = None
        self.noted_ms: int | None = None
        """The evaluation that the store knows of."""
        self.evaluations = self.missed = 0
        self.took_s = 0.0
        self.asking: Ask = ask
        self._own, self._holds = own, holds
        self._recorder = Recorder(submit)
        self._external_url = external_url
        self._states = GroupStates(self.group, self._query, self._recorder.add, External(url=external_url))
        keys = keys_of(declared)
        self._runs = [RuleRun(key, one_line(rule)) for key, rule in zip(keys, self.group.rules, strict=True)]
        self._reads = [metrics_read(rule.node) for rule in self.group.rules]
        self._made_here = frozenset(rule.name for rule in self.group.rules if isinstance(rule, RecordingRule))
        self._status: GroupStatus | None = None
        self._firing: tuple[BookAlert, ...] = ()
        self.has_pending = False
        """Whether an alert waits for its `for`, so that it matters when the group was evaluated last."""
        self.told_ms = 0
        """When the book heard of all that fires."""
        self.publish()

    # ---- evaluation --------------------------------------------------------------------------------------

    def evaluate(self, at_ms: int) -> Outcome:
        """Evaluate every rule at `at_ms`; what changed is to be stored, then told."""
        elapsed_s = stopwatch()
        if self.evaluated_ms is not None and at_ms > self.evaluated_ms:
            self.missed += (at_ms - self.evaluated_ms) // self.interval_ms - 1
        self._recorder.begin()
        waiting: list[RuleRun] = []
        for index, run in enumerate(self._runs):
            rule_s = stopwatch()
            run.evaluated_ms = at_ms
            try:
                if self._must_settle(index):
                    self._settle(waiting)
                run.samples = self._step(index, at_ms)
                run.health, run.error = "ok", ""
                waiting.append(run)
            except SetpointError as error:
                self._fail(run, error.message)
            except Exception as error:  # a fault of ours in one rule keeps no other from being evaluated
                log.exception("the rule %s of the group %s failed", run.key, self.group.name)
                self._fail(run, f"fault of Setpoint: {error!r}; report it")
            run.took_s = rule_s()
        self._settle(waiting)
        self.evaluated_ms, self.took_s = at_ms, elapsed_s()
        self.evaluations += 1
        outcome = self._outcome(at_ms)
        self.publish()
        return outcome

    def _step(self, index: int, at_ms: int) -> int:
        states = self._states.by_rule[index]
        if states is None:
            return self._states.step(index, at_ms)
        rule = states.rule
        before = states.copies() if self.group.limit else []
        try:
            return self._states.step(index, at_ms, lambda alert: self._holds(self._query, rule, alert, at_ms))
        except LimitExceeded:
            # Prometheus forgets all of them; but what fires has not ended because there is more of it.
            states.adopt(before)
            raise

    def _fail(self, run: RuleRun, message: str) -> None:
        if run.health != "err" or run.error != message:
            log.warning("the rule of the group %s (%s) fails: %s", self.group.name, self.group.file, message)
        run.health, run.error, run.samples = "err", message, 0

    def _must_settle(self, index: int) -> bool:
        """Whether the rule may read what waits to be stored."""
        waiting = self._recorder.waiting
        if not waiting:
            return False
        reads = self._reads[index]
        rule = self.group.rules[index]
        asks = isinstance(rule, AlertingRule) and any(
            template.asks for template in (*rule.labels.values(), *rule.annotations.values())
        )
        return asks or reads is None or not waiting.isdisjoint(reads)

    def _settle(self, waiting: list[RuleRun]) -> None:
        """Have what was made so far stored; the rules that made it fail when it is not."""
        try:
            self._recorder.settle()
        except SetpointError as error:
            self._recorder.drop()
            for run in waiting:
                self._fail(run, f"its series are not stored: {error.message}")
        waiting.clear()

    def _query(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        """On the data source, but what this group makes itself is here."""
        if self.asking is self._own:
            return self._own(node, at_ms)
        reads = metrics_read(node)
        is_ours = reads is not None and not reads.isdisjoint(self._made_here | _ALERT_METRICS)
        return (self._own if is_ours else self.asking)(node, at_ms)

    def ask(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        """The samples of an expression, from where this group's rules have theirs. Raises SetpointError."""
        return self._query(node, at_ms)

    # ---- what changed ------------------------------------------------------------------------------------

    def _outcome(self, at_ms: int) -> Outcome:
        put: list[tuple[str, Alert]] = []
        dropped: list[tuple[str, Mapping[str, str]]] = []
        fired: list[BookAlert] = []
        resolved: list[BookAlert] = []
        for run, states in zip(self._runs, self._states.by_rule, strict=True):
            if states is None:
                continue
            now: dict[LabelPairs, Mark] = {}
            for key, alert in states.all.items():
                before = run.written.get(key)
                if alert.resolved_at_ms is not None:
                    if before is not None and before[0] == "firing":
                        resolved.append(self._told(states.rule, alert, at_ms))
                    continue
                now[key] = mark = mark_of(alert)
                if mark != before:
                    put.append((run.key, replace(alert)))
                    if alert.state == "firing" and (before is None or before[0] != "firing"):
                        fired.append(self._told(states.rule, alert, at_ms))
                    elif alert.state != "firing" and before is not None and before[0] == "firing":
                        # Its rule waits longer now, so it is pending again.
                        resolved.append(replace(self._told(states.rule, alert, at_ms), ends_ms=at_ms))
            dropped += [(run.key, dict(key)) for key in run.written if key not in now]
            run.written = now
        self._firing = self._all_firing(at_ms)
        return Outcome(Changes(put, dropped), fired, resolved)

    def _all_firing(self, at_ms: int) -> tuple[BookAlert, ...]:
        return tuple(
            self._told(states.rule, alert, at_ms)
            for states in self._states.alerts
            for alert in states.active
            if alert.state == "firing"
        )

    def _told(self, rule: AlertingRule, alert: Alert, at_ms: int) -> BookAlert:
        """The alert as the book hears of it; one that fires has no end yet."""
        value = alert.value if isinstance(alert.value, float) else histogram_text(alert.value)
        return BookAlert(
            labels=alert.labels,
            fingerprint=alert.fingerprint,
            starts_ms=alert.fired_at_ms or alert.active_at_ms,
            updated_ms=at_ms,
            ends_ms=alert.resolved_at_ms,
            annotations=alert.annotations,
            generator_url=f"{self._external_url}{page_of(self.group, rule)}",
            source="rules",
            values={"value": value},
        )

    @property
    def firing(self) -> tuple[BookAlert, ...]:
        """What fires, as of the last evaluation; without an end."""
        return self._firing

    # ---- coming and going --------------------------------------------------------------------------------

    def restore(self, kept: Callable[[AlertingRule, str], Sequence[Alert]], at_ms: int) -> None:
        """Take up alerts of the time before the start; `kept` gives those of a rule by its key.

        Those that are pending may have been moved in time; they are stored so together with their next evaluation, from
        which the next restart counts.
        """
        for run, states in zip(self._runs, self._states.by_rule, strict=True):
            if states is not None:
                states.adopt(kept(states.rule, run.key))
                run.written = {
                    key: mark_of(alert) if alert.state == "firing" else _PENDING
                    for key, alert in states.all.items()
                }
        self._firing = self._all_firing(at_ms)
        self.publish()

    def take_over(self, former: RunningGroup, at_ms: int) -> tuple[Outcome, Made]:
        """Go on with the rules that `former` had, too; what its other rules fired resolves, and their series end."""
        with former.lock:
            former.is_ended = True
            mine = {run.key: index for index, run in enumerate(self._runs)}
            left: list[int] = []
            for index, run in enumerate(former._runs):
                place = mine.get(run.key)
                if place is None:
                    left.append(index)
                    continue
                here = self._runs[place]
                here.health, here.error, here.evaluated_ms = run.health, run.error, run.evaluated_ms
                here.took_s, here.samples, here.written = run.took_s, run.samples, run.written
                self._states.made[place] = former._states.made.get(index, {})
                mine_states, theirs = self._states.by_rule[place], former._states.by_rule[index]
                if mine_states is not None and theirs is not None:
                    mine_states.adopt(theirs.copies())
            self.evaluated_ms, self.noted_ms = former.evaluated_ms, former.noted_ms
            self.evaluations, self.missed = former.evaluations, former.missed
            ended = former._ended(left, at_ms)
        self._firing = self._all_firing(at_ms)
        self.publish()
        return ended

    def end(self, at_ms: int) -> tuple[Outcome, Made]:
        """The group is gone: what it fired resolves, and its series end."""
        with self.lock:
            self.is_ended = True
            return self._ended(range(len(self._runs)), at_ms)

    def _ended(self, indices: Iterable[int], at_ms: int) -> tuple[Outcome, Made]:
        dropped: list[tuple[str, Mapping[str, str]]] = []
        resolved: list[BookAlert] = []
        made: Made = {}
        for index in indices:
            run, states = self._runs[index], self._states.by_rule[index]
            made |= self._states.made.get(index, {})
            dropped += [(run.key, dict(key)) for key in run.written]
            if states is not None:
                resolved += [
                    replace(self._told(states.rule, alert, at_ms), ends_ms=at_ms)
                    for alert in states.active
                    if alert.state == "firing"
                ]
        return Outcome(Changes((), dropped), (), resolved), made

    def kept(self) -> list[tuple[str, Alert]]:
        """Its pending and firing alerts with the keys of their rules."""
        return [
            (run.key, alert)
            for run, states in zip(self._runs, self._states.by_rule, strict=True)
            if states is not None
            for alert in states.active
        ]

    def makes(self) -> set[LabelPairs]:
        """The series that its rules made last."""
        return {key for made in list(self._states.made.values()) for key in made}

    # ---- for those who look ------------------------------------------------------------------------------

    @property
    def status(self) -> GroupStatus:
        """How it is, as of the last evaluation."""
        assert self._status is not None
        return replace(self._status, next_ms=self.due_ms, missed=self.missed)

    def publish(self) -> None:
        """Let others see how it is now."""
        rules = tuple(
            rule_status(self.declared, rule, run, states)
            for rule, run, states in zip(self.group.rules, self._runs, self._states.by_rule, strict=True)
        )
        self.has_pending = any(alert.state == "pending" for rule in rules for alert in rule.alerts)
        healths = {rule.health for rule in rules}
        self._status = GroupStatus(
            name=self.group.name,
            file=self.group.file,
            line=self.group.line,
            interval_ms=self.interval_ms,
            limit=self.group.limit,
            query_offset_ms=self.group.query_offset_ms,
            data_source=self.declared.data_source,
            rules=rules,
            health="err" if "err" in healths else "unknown" if "unknown" in healths else "ok",
            last_error=next((rule.last_error for rule in rules if rule.last_error), ""),
            evaluated_ms=self.evaluated_ms,
            took_s=self.took_s,
            next_ms=self.due_ms,
            evaluations=self.evaluations,
            missed=self.missed,
        )
