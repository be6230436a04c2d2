"""The objective book: keeps every declared objective counted, judged and saved.

`app` makes one, hands it documents when resources change (`apply`), and runs `run` and `tend` in threads; pages and
commands read `overview`, `statuses`, `status` and `past` from any thread. Every `evaluation_interval_s` a tick
counts what changed for all objectives at once (`live`), derives what follows (`derive`), judges all in columns
(`verdict`), and calls `on_change` where a state is new and `on_alert` with what changed of alerts; some history is
counted after the live state is out (`backfill`). One objective that fails has state "no data" with the reason; the
others go on. Decision 0023 says why it is made of columns.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock, stopwatch
from setpoint.errors import NotFound, SetpointError
from setpoint.measure import Durations
from setpoint.objective.adjustment.adopt import Adopting
from setpoint.objective.adjustment.plan import Plan as Adjustments
from setpoint.objective.adjustment.spec import declared as declared_adjustments
from setpoint.objective.adjustment.store import MemoryLedgers
from setpoint.objective.adjustment.view import Adjustments as AdjustmentView
from setpoint.objective.alerting.table import AlertChange, OpenAlert
from setpoint.objective.backfill.backfill import Backfill
from setpoint.objective.backfill.fetched import FetchedHistory
from setpoint.objective.backfill.loading import Loading
from setpoint.objective.counting.feed import Feed, no_feed
from setpoint.objective.counting.plan import NEVER_MS, Counted, Counting, settled
from setpoint.objective.duration import spoken_duration
from setpoint.objective.fleet import Fleet, Keys, ledger_keys
from setpoint.objective.from_telemetry import Select
from setpoint.objective.groups import Groups, Look, nothing_stored
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers, Slices
from setpoint.objective.live import SLICE_S, slot_of
from setpoint.objective.model import Objective, ObjectiveStatus, State
from setpoint.objective.overview import Overview
from setpoint.objective.past import Past
from setpoint.objective.resolve import Declared, Discover, resolve
from setpoint.objective.since import Since
from setpoint.objective.spark import Sparks
from setpoint.objective.standing import Standing
from setpoint.objective.state import overview_of, status_of
from setpoint.objective.store import LedgerStore
from setpoint.objective.telling import OnAlert, OnChange, Telling
from setpoint.objective.verdict import Verdicts, judge

__all__ = ["ObjectiveBook"]

logger = logging.getLogger(__name__)

Resolver = Callable[[Iterable[Declared], Discover, Callable[[str], None]], list[Objective]]

_SAVE_INTERVAL_S = 10.0
_STEPS_PER_TICK = 8
_HISTORY_SHARE, _HISTORY_LEAST_S = 0.25, 0.1
_KEPT_MS = 34 * 86_400_000
_MISSED_TICKS = 30
_TEND_S = 60.0
_SMALL_MINUTES = 60
_APPLY_TELLS_S = (
    0.5  # who applies, or waits for a start, does not wait for thousands of states on the timeline
)

_Ints = npt.NDArray[np.int64]


def _nobody(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
    del status, previous


def _unheard(changes: Sequence[AlertChange]) -> None:
    del changes


class ObjectiveBook:
    """All objectives of a server; safe to use from several threads."""

    def __init__(
        self,
        select: Select,
        take_oldest_write_ms: Callable[[], int | None],
        store: LedgerStore,
        clock: Clock,
        *,
        oldest_sample_ms: Callable[[], int | None] = lambda: None,
        kept_from_ms: Callable[[], int] | None = None,
        evaluation_interval_s: float = 1.0,
        final_after_s: int = 300,
        no_data_after_s: float = 90,
        on_change: OnChange = _nobody,
        on_alert: OnAlert = _unheard,
        feeds: Callable[[str], Feed] = no_feed,
        own: Feed | None = None,
        told_states: Callable[[], Mapping[str, State]] = dict,
        open_alerts: Callable[[], Iterable[OpenAlert]] = tuple,
        resolver: Resolver = resolve,
        stored_groups: Look = nothing_stored,
        adjusted: MemoryLedgers | None = None,
    ) -> None:
        """`take_oldest_write_ms` is the head's: the oldest timestamp stored since it was last asked.

        `oldest_sample_ms` tells how far back history can be counted; None when nothing is stored. From
        `kept_from_ms` on every sample is still there (by default 34 days): late ones before it change no count.
        `own` takes the place of these four where it is given. `on_change` is called with (status, previous) when a
        state differs from the one that it was told before; previous is None for an objective of which it was told
        nothing (after start, or when it is new). When it raises an error that may pass (`retryable`), it is told again
        on the next tick. `on_alert` is called with the changes of alerts, likewise. `told_states` gives the states
        that were told by the process before this one, `open_alerts` the alerts that fired then; each is asked once.
        `feeds` gives what an objective of a data source is read from; `resolver` makes objectives of documents;
        `stored_groups` looks for groups of spans and SQL. `adjusted` keeps what adjusted ledgers were derived with.
        """
        kept_from_ms = kept_from_ms or (lambda: clock.now_ms() - _KEPT_MS)
        self._own = own or Feed(select, take_oldest_write_ms, oldest_sample_ms, kept_from_ms)
        self._feeds, self._resolve = feeds, resolver
        self._clock = clock
        self.interval_s, self._no_data_after_s = evaluation_interval_s, no_data_after_s
        self._open_alerts: Callable[[], Iterable[OpenAlert]] | None = open_alerts
        self._evaluation = threading.RLock()
        self._ledgers, self._slices, self._standing = Ledgers(store), Slices(), Standing()
        self._counting = Counting(self._feed_of)
        self._groups = Groups(self._feed_of, clock, stored_groups)
        self._documents: Sequence[Declared] = ()
        self._backfill = Backfill(self._ledgers, self._standing, lambda: self._fleet, self._note_history)
        self._adopting = Adopting(self._ledgers, self._standing, self._backfill, adjusted or MemoryLedgers())
        self._fleet = self._fleet_of((), Adjustments(), is_saved=False)
        self._loading = Loading(self._ledgers, self._standing, self._backfill, final_after_s=final_after_s)
        self._telling = Telling(on_change, on_alert, told_states)
        self._begin_columns()
        self._verdicts: Verdicts | None = None
        self._overview: tuple[Verdicts, Overview] | None = None
        self._saved_ms: int | None = None
        self._computed_ms, self._history_waits = 0, False
        self.past = Past(self._ledgers, clock, lambda: self._fleet)
        """What the ledgers have of any objective, for pages and reports."""
        settled = self._adopting.is_settled
        self.adjustments = AdjustmentView(self._ledgers, clock, lambda: self._fleet, settled)
        """What is left out of budgets, counted good or corrected, and what that does."""
        self.fetched = FetchedHistory(self._backfill, lambda: self._fleet, self._evaluation, clock)
        """Counts history that is read from other servers; `app` runs it in a thread."""
        self.durations = Durations()
        """How long each tick took."""
        self.lags = Durations()
        """How much later than its interval each tick of `run` began."""
        self.missed = 0
        """Ticks that `run` left out because the one before took too long, or the machine was busy."""
        self.evaluated_ms: int | None = None
        """When the last tick ended."""

    def apply(self, documents: Iterable[Declared]) -> None:
        """Keep exactly the objectives of these documents (all that exist): add, change, remove.

        All are evaluated before this returns. Raises QueryError when a query does not parse; nothing has changed then.
        An objective whose ledger cannot be read has no data until it can.
        """
        documents = tuple(documents)
        wanted = self._resolve(documents, self._groups.discover, logger.warning)
        with self._evaluation:
            self._replace(wanted, Adjustments(wanted, declared_adjustments(documents)))
            self._documents = documents
            self._evaluate(self._clock.now_ms(), min(self.interval_s / 2, _APPLY_TELLS_S))

    def regroup(self) -> None:
        """Look for new groups of the objectives that are declared once for many; `tend` calls it every minute."""
        documents = self._documents
        if not any(one.group for one in self._fleet.objectives) and not _has_groups(documents):
            return
        wanted = self._resolve(documents, self._groups.discover, logger.debug)
        with self._evaluation:
            if self._documents is documents and tuple(wanted) != self._fleet.objectives:
                self._replace(wanted, Adjustments(wanted, self._fleet.adjustments.adjustments))
                self._evaluate(self._clock.now_ms())

    def tick(self) -> None:
        """Count, judge and publish all objectives for now, then some history; save when it is time."""
        with self._evaluation, self.durations.timed():
            now_ms = self._clock.now_ms()
            self._evaluate(now_ms)
            self._count_history(now_ms)
            # The clock may have been set back since: then it is time, too.
            if self._saved_ms is None or not 0 <= now_ms - self._saved_ms < _SAVE_INTERVAL_S * 1000:
                self._save(now_ms)
            self.evaluated_ms = self._clock.now_ms()

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set, then save; the body of the evaluation thread."""
        before_ms: int | None = None
        while not stop.is_set():
            started_ms = self._clock.now_ms()
            if before_ms is not None:
                self._note_lag((started_ms - before_ms) / 1000 - self.interval_s)
            before_ms = started_ms
            try:
                self.tick()
            except Exception:  # the loop must outlive any fault: without it every state would stand still
                logger.exception("a tick failed; the next one tries again")
            # Negative when the clock was set back meanwhile.
            took_s = (self._clock.now_ms() - started_ms) / 1000
            self._clock.wait(stop, max(0.01, self.interval_s - max(0.0, took_s)))
        self.close()

    def tend(self, stop: threading.Event) -> None:
        """Every minute until `stop` is set: look for new groups, and read ahead what the windows' far edges need."""
        while not self._clock.wait(stop, _TEND_S):
            for work in (self.regroup, self.look_ahead):
                try:
                    work()
                except SetpointError as error:
                    logger.warning("objectives wait for the database: %s", error.message)
                except Exception:  # the loop must outlive any fault
                    logger.exception("tending the objectives failed; the next minute tries again")

    def close(self) -> None:
        """Save what is not saved yet."""
        with self._evaluation:
            self._save(self._clock.now_ms())

    def statuses(self, names: Collection[str] | None = None) -> list[ObjectiveStatus]:
        """The latest status of every objective, or of those `names` that exist, by name."""
        verdicts, now_ms = self._verdicts, self._clock.now_ms()
        if verdicts is None:
            return []
        known = verdicts.fleet.index
        chosen = known if names is None else known.keys() & set(names)
        return [self._as_of(now_ms, self._status(verdicts, name)) for name in sorted(chosen)]

    def status(self, name: str) -> ObjectiveStatus:
        """The latest status of one objective. Raises NotFound."""
        verdicts = self._verdicts
        if verdicts is None or name not in verdicts.fleet.index:
            raise NotFound(f"there is no objective '{name}'; `setpoint status` lists those that exist")
        return self._as_of(self._clock.now_ms(), self._status(verdicts, name))

    def overview(self) -> Overview:
        """Where every objective stands, as columns."""
        verdicts, now_ms = self._verdicts or self._judge(self._clock.now_ms()), self._clock.now_ms()
        kept = self._overview
        if kept is None or kept[0] is not verdicts:
            kept = self._overview = verdicts, overview_of(verdicts)
        found = kept[1]
        if self._is_stale(now_ms - found.evaluated_at_ms):
            return replace(found, state=np.zeros_like(found.state), burn_now=np.full(len(found), np.nan))
        return found

    def polled(self) -> list[Objective]:
        """The objectives whose events are counted elsewhere (SQL, spans) and handed over with `put`."""
        stored = [one for one in self._fleet.objectives if one.engine != "promql" and not one.awaits]
        return [one for one in stored if one.kind != "composite"]

    def first_ms(self, objective: Objective) -> int | None:
        """Before which instant there is nothing to count of a group; None where that is not known."""
        return self._groups.first_ms(objective) if objective.group else None

    def put(self, name: str, raw: Slots) -> None:
        """Take over minutes that were counted elsewhere; an objective that is gone meanwhile is passed over."""
        with self._evaluation:
            fleet, size = self._fleet, len(raw.total)
            at = fleet.index.get(name)
            if at is None or not size:
                return
            counted = Counted(raw.first, raw.good[None], raw.total[None], raw.present[None], {})
            whole, cut = settled(counted)
            rows = fleet.raw[at : at + 1]
            changed = self._ledgers.write_many(rows, raw.first, whole.good, whole.total, whole.present)
            self._standing.note_cut(rows, raw.first, cut)
            now_ms = self._clock.now_ms()
            if size <= _SMALL_MINUTES and raw.first > slot_of(now_ms) - _SMALL_MINUTES:
                self._note_live(np.array([at]), raw.first, changed)
            else:
                touched = fleet.derivation.over(np.array([at]), raw.first, raw.end, now_ms)
                self._note_history(touched, raw.first)

    def known(self, name: str, first: int, end: int) -> Slots | None:
        """The minutes from `first` to before `end` as the ledger has them; None while it was not read, or is gone."""
        with self._evaluation:
            at = self._fleet.index.get(name)
            if at is None or not self._standing.loaded[self._fleet.raw[at]]:
                return None
            return self._ledgers.minutes(int(self._fleet.raw[at]), first, end)

    def note(self, name: str, *, fault: str | None, history_done: float) -> None:
        """What there is to say of an objective that is counted elsewhere: why it cannot be counted at present, and
        which part (0 to 1) of its history is counted.
        """
        with self._evaluation:
            at = self._fleet.index.get(name)
            if at is None:
                return
            row = int(self._fleet.raw[at])
            self._standing.shares[row] = history_done
            if fault is None:
                self._standing.faults.pop(row, None)
            else:
                self._standing.faults[row] = fault

    def _feed_of(self, source: str) -> Feed:
        return self._feeds(source) if source else self._own

    def _fleet_of(
        self, objectives: Sequence[Objective], adjustments: Adjustments, *, is_saved: bool
    ) -> Fleet:
        """A fleet, with rows for what it counts; nothing is changed when a query does not parse."""
        feeds = {source: self._feed_of(source) for source in {one.source for one in objectives} | {""}}
        plan = self._counting.plan(objectives)
        keys = self._keys_of(objectives, adjustments, is_saved=is_saved)
        return Fleet.of(
            objectives,
            keys,
            plan,
            feeds,
            self._ledgers,
            self._slices,
            self._standing,
            no_data_after_s=self._no_data_after_s,
            adjustments=adjustments,
        )

    def _keys_of(
        self, objectives: Sequence[Objective], adjustments: Adjustments, *, is_saved: bool
    ) -> Sequence[Keys]:
        """The ledgers of these, each with a row."""
        keys = self._adopting.keys(ledger_keys(objectives), objectives, adjustments, is_saved=is_saved)
        minutes: dict[str, int] = {}
        for one in keys:
            for key in one.all:
                minutes[key] = max(one.minutes, minutes.get(key, 0))
        self._standing.reach([self._ledgers.add(key, window) for key, window in minutes.items()])
        return keys

    def _replace(self, wanted: Sequence[Objective], adjustments: Adjustments) -> None:
        """Keep these objectives from now on; called again while some wait for ledgers of their own (`adopt`)."""
        before = self._fleet
        is_same = tuple(wanted) == before.objectives
        if is_same and adjustments.adjustments == before.adjustments.adjustments and not self._adopting.waits:
            return
        is_saved = self._save(self._clock.now_ms())  # of those that go, and of those that are copied
        if is_same:
            keys, after_s = self._keys_of(wanted, adjustments, is_saved=is_saved), self._no_data_after_s
            fleet = before.rekeyed(keys, adjustments, self._ledgers, no_data_after_s=after_s)
        else:
            fleet = self._fleet_of(wanted, adjustments, is_saved=is_saved)
        for row in before.rows - fleet.rows:
            self._ledgers.remove(row)
            self._slices.forget(row)
            self._backfill.forget(row)
            self._standing.forget(row)
        self._loading.note_windows(fleet)
        since: Since = self._since
        self._fleet = fleet
        if is_same:
            self._sparks = Sparks(fleet.budget, fleet.allowed)
            return
        self._begin_columns((before, since))
        changes = fleet.table.adopt(before.table)
        if self._open_alerts is not None:
            changes += fleet.table.restore(self._open_alerts(), self._clock.now_ms())
            self._open_alerts = None
        self._telling.keep(fleet)
        self._telling.alerts(changes)

    def _begin_columns(self, before: tuple[Fleet, Since] | None = None) -> None:
        """What is kept from tick to tick, for the present fleet."""
        size = len(self._fleet)
        self._low = np.full(size, NEVER_MS)
        self._history_low = np.full(size, NEVER_MS)
        self._since = Since(self._fleet, before)
        self._sparks = Sparks(self._fleet.budget, self._fleet.allowed)

    def _evaluate(self, now_ms: int, tells_s: float | None = None) -> None:
        if self._adopting.waits:
            self._replace(self._fleet.objectives, self._fleet.adjustments)
        fleet, standing = self._fleet, self._standing
        running = slot_of(now_ms)
        self._ledgers.advance(running)
        self._slices.advance(slot_of(now_ms, SLICE_S))
        self._loading.load(fleet, now_ms)
        self._adopting.settle(fleet, now_ms, self._note_history, lambda: self._save(now_ms))
        late = fleet.live.count(now_ms, self._changes(fleet), self._note_live)
        for one in late:
            # Older ones keep their counts: their samples are gone.
            kept = slot_of(fleet.feeds[fleet.objectives[one.index].source].kept_from_ms()) + 60
            first = max(one.first, running - fleet.keys[one.index].minutes, kept)
            self._backfill.count(fleet, one.index, first, one.end, is_unknown=one.is_unknown)
        for at, first, end in fleet.derivation.update(self._low, standing.done, standing.filled, now_ms):
            self._backfill.to_derive.add(int(fleet.raw[at]), first, end)
        verdicts = self._judge(now_ms)
        self._verdicts = verdicts
        self._low[:] = NEVER_MS
        self._history_low[:] = NEVER_MS
        tells_s = self.interval_s / 2 if tells_s is None else tells_s
        self._telling.states(verdicts, lambda name: self._status(verdicts, name), tells_s)

    def _judge(self, now_ms: int) -> Verdicts:
        fleet = self._fleet
        verdicts, changes = judge(
            fleet,
            self._ledgers,
            self._slices,
            self._standing,
            now_ms,
            self._backfill.shares(),
            self._backfill.unknown_to(),
        )
        since_ms = self._since.update(verdicts, self._ledgers)
        low = np.minimum(self._low, self._history_low)
        spark = self._sparks.update(self._ledgers, slot_of(now_ms) + 1, low)
        self._telling.alerts(changes)
        return verdicts.with_since(since_ms, spark)

    def _changes(self, fleet: Fleet) -> _Ints:
        try:
            return fleet.plan.take_changes()
        except Exception:  # without it live minutes are counted when they end
            logger.exception("what came since the last tick cannot be told")
            return np.full(len(fleet), NEVER_MS)

    def _note_live(self, indices: _Ints, first: int, changed: npt.NDArray[np.bool_]) -> None:
        some = changed.any(axis=1)
        chosen = indices[some]
        self._low[chosen] = np.minimum(self._low[chosen], first + changed[some].argmax(axis=1))

    def _note_history(self, indices: _Ints, first: int) -> None:
        """History changed: sparklines are renewed, and since when a budget is gone is looked for again."""
        self._history_low[indices] = np.minimum(self._history_low[indices], first)
        self._since.doubt(indices)

    def _count_history(self, now_ms: int) -> None:
        """Some chunks of history, for as long as the next tick is not held up."""
        elapsed_s, limit_s = stopwatch(), max(_HISTORY_LEAST_S, _HISTORY_SHARE * self.interval_s)
        for _ in range(_STEPS_PER_TICK):
            try:
                if not self._backfill.step(now_ms):
                    return
                self._history_waits = False
            except SetpointError as error:
                if not self._history_waits:  # once, not every second
                    logger.warning("history of objectives waits: %s", error.message)
                self._history_waits = True
                return
            if elapsed_s() > limit_s:
                return

    def look_ahead(self) -> None:
        """Read what the far edges of windows need for the time to come, and tidy the store; `tend` calls it every
        minute. Raises Unavailable.
        """
        now_ms = self._clock.now_ms()
        self._loading.watch(self._fleet, now_ms)
        self._ledgers.upkeep(slot_of(now_ms))

    def _status(self, verdicts: Verdicts, name: str) -> ObjectiveStatus:
        found = verdicts.made.get(name)
        if found is None:
            at = verdicts.fleet.index[name]
            found = verdicts.made[name] = status_of(verdicts, at, self._ledgers, self._standing)
        return found

    def _is_stale(self, age_ms: float) -> bool:
        return age_ms / 1000 > max(self._no_data_after_s, _MISSED_TICKS * self.interval_s)

    def _as_of(self, now_ms: int, status: ObjectiveStatus) -> ObjectiveStatus:
        """`status`, or that nothing is known when it was not renewed for long: a verdict must not outlive the
        loop that makes it.
        """
        age_ms = now_ms - status.evaluated_at_ms
        if not self._is_stale(age_ms):
            return status
        told = spoken_duration(age_ms / 1000)
        reason = f"not evaluated for {told}: the server is stuck or overloaded; see its log"
        return replace(status, state="no data", reason=reason)

    def _note_lag(self, lag_s: float) -> None:
        self.lags.observe(lag_s)
        self.missed += max(0, int(lag_s / self.interval_s))

    def _save(self, now_ms: int) -> bool:
        """Write the changed minutes of all objectives as one block; what fails (False) is tried again next time."""
        self._saved_ms = now_ms
        self._computed_ms = max(now_ms, self._computed_ms + 1)  # the newest wins, also after a clock set back
        try:
            self._ledgers.save(self._computed_ms)
        except SetpointError as error:
            logger.warning("the ledger is not saved yet: %s", error.message)
            return False
        return True


def _has_groups(documents: Sequence[Declared]) -> bool:
    return any(getattr(getattr(one.spec, "spec", None), "group_by", None) for one in documents)
