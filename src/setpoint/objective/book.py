"""The objective book: keeps every declared objective counted, judged and saved.

`app` makes one, hands it documents when resources change (`apply`), and runs `run` in a thread; pages and
commands read `statuses`, `status` and `history` from any thread. Every `evaluation_interval_s` a tick counts
what changed, judges, and calls `on_change` where a state is new; a few chunks of history are counted after
the live state is out. One objective that fails has state "no data" with the reason; the others go on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from setpoint.clock import Clock
from setpoint.errors import NotFound, SetpointError
from setpoint.measure import Durations
from setpoint.objective.duration import spoken_duration
from setpoint.objective.feed import Feed, no_feed
from setpoint.objective.fetched import FetchedHistory
from setpoint.objective.from_telemetry import Select
from setpoint.objective.history import history
from setpoint.objective.ledger import Slots
from setpoint.objective.model import BudgetHistory, Objective, ObjectiveStatus
from setpoint.objective.overview import Overview, from_statuses
from setpoint.objective.resolve import no_groups, resolve
from setpoint.objective.state import Assessor
from setpoint.objective.store import LedgerRows, LedgerStore
from setpoint.objective.track import Track

__all__ = ["ObjectiveBook"]

logger = logging.getLogger(__name__)

_SAVE_INTERVAL_S = 10.0
_CHUNKS_PER_TICK = 4
_KEPT_MS = 34 * 86_400_000
_MISSED_TICKS = 30

OnChange = Callable[[ObjectiveStatus, ObjectiveStatus | None], None]
OnAlert = Callable[[Any], None]


class _Declared(Protocol):
    """What the book needs of a resource document; only those with an `Slo` in `spec` concern it."""

    @property
    def spec(self) -> object: ...


def _nobody(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
    del status, previous


def _unheard(change: object) -> None:
    del change


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
    ) -> None:
        """`take_oldest_write_ms` is the head's: the oldest timestamp stored since it was last asked.

        `oldest_sample_ms` tells how far back history can be counted; None when nothing is stored. From
        `kept_from_ms` on every sample is still there (by default 34 days): late ones before it change no count.
        `on_change` is called with (status, previous) when a state differs from the one that it was told before;
        previous is None for an objective of which it was told nothing (after start, or when it is new). When it
        raises an error that may pass (`retryable`), it is told again on the next tick. `on_alert` is called with
        each change of an alert. `feeds` gives what an objective of a data source is read from.
        """
        kept_from_ms = kept_from_ms or (lambda: clock.now_ms() - _KEPT_MS)
        self._own = Feed(select, take_oldest_write_ms, oldest_sample_ms, kept_from_ms)
        self._feeds = feeds
        self._store = store
        self._clock = clock
        self.interval_s = evaluation_interval_s
        self._final_after_s = final_after_s
        self._no_data_after_s = no_data_after_s
        self._on_change = on_change
        self._on_alert = on_alert
        self._evaluation = threading.RLock()
        self._assessors: dict[str, Assessor] = {}
        self._published: dict[str, ObjectiveStatus] = {}
        self._told: dict[str, ObjectiveStatus] = {}
        self._saved_ms: int | None = None
        self._computed_ms = 0
        self._history_waits = self._listener_waits = False
        self.fetched = FetchedHistory(
            lambda: [one.track for one in self._assessors.values()], self._evaluation
        )
        """Counts history that is read from other servers; `app` runs it in a thread."""
        self.durations = Durations()
        """How long each tick took."""
        self.lags = Durations()
        """How much later than its interval each tick of `run` began."""
        self.missed = 0
        """Ticks that `run` left out because the one before took too long, or the machine was busy."""
        self.evaluated_ms: int | None = None
        """When the last tick ended."""

    def apply(self, documents: Iterable[_Declared]) -> None:
        """Keep exactly the objectives of these documents (all that exist): add, change, remove.

        New and changed ones are evaluated before this returns. Raises QueryError when a query does not parse;
        nothing has changed then. An objective whose ledger cannot be read has no data until it can.
        """
        wanted = resolve(documents, no_groups)
        with self._evaluation:
            now_ms = self._clock.now_ms()
            self._save(now_ms)  # of those that go, and for those that go on with another window
            assessors = {objective.name: self._assessor(objective) for objective in wanted}
            fresh = [name for name, one in assessors.items() if self._assessors.get(name) is not one]
            self._assessors = assessors
            self._published = {name: one for name, one in self._published.items() if name in assessors}
            self._told = {name: one for name, one in self._told.items() if name in assessors}
            self._evaluate(fresh, now_ms, {})

    def tick(self) -> None:
        """Count, judge and publish all objectives for now, then some history; save when it is time."""
        with self._evaluation, self.durations.timed():
            now_ms = self._clock.now_ms()
            self._evaluate(list(self._assessors), now_ms, self._written())
            self._backfill()
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
            took_s = (
                self._clock.now_ms() - started_ms
            ) / 1000  # negative when the clock was set back meanwhile
            self._clock.wait(stop, max(0.01, self.interval_s - max(0.0, took_s)))
        self.close()

    def _note_lag(self, lag_s: float) -> None:
        self.lags.observe(lag_s)
        self.missed += max(0, int(lag_s / self.interval_s))

    def close(self) -> None:
        """Save what is not saved yet."""
        with self._evaluation:
            self._save(self._clock.now_ms())

    def statuses(self, names: Collection[str] | None = None) -> list[ObjectiveStatus]:
        """The latest status of every objective, or of those `names` that exist, by name."""
        published, now_ms = self._published, self._clock.now_ms()
        chosen = published if names is None else published.keys() & set(names)
        return [self._as_of(now_ms, published[name]) for name in sorted(chosen)]

    def overview(self) -> Overview:
        """Where every objective stands, as columns."""
        assessors, now_ms = self._assessors, self._clock.now_ms()
        found = [status for status in self.statuses() if status.name in assessors]
        return from_statuses([assessors[one.name].track.objective for one in found], found, now_ms)

    def polled(self) -> list[Objective]:
        """The objectives whose events are counted elsewhere (SQL, spans) and handed over with `put`."""
        objectives = (one.track.objective for one in self._assessors.values())
        return [one for one in objectives if one.engine != "promql" and one.kind != "composite"]

    def put(self, name: str, raw: Slots) -> None:
        """Take over minutes that were counted elsewhere; an objective that is gone meanwhile is passed over."""
        with self._evaluation:
            assessor = self._assessors.get(name)
            if assessor is not None:
                assessor.track.put(raw)

    def known(self, name: str, first: int, end: int) -> Slots | None:
        """The minutes from `first` to before `end` that the ledger has; None while it was not read, or is gone."""
        with self._evaluation:
            assessor = self._assessors.get(name)
            if assessor is None or not assessor.track.is_loaded:
                return None
            return assessor.track.minutes.slots(first, end)

    def note(self, name: str, *, fault: str | None, history_done: float) -> None:
        """What there is to say of an objective that is counted elsewhere: why it cannot be counted at present, and
        which part (0 to 1) of its history is counted.
        """
        with self._evaluation:
            assessor = self._assessors.get(name)
            if assessor is not None:
                assessor.track.fault, assessor.track.history_done = fault, history_done

    def status(self, name: str) -> ObjectiveStatus:
        """The latest status of one objective. Raises NotFound."""
        found = self._published.get(name)
        if found is None:
            raise NotFound(f"there is no objective '{name}'; `setpoint status` lists those that exist")
        return self._as_of(self._clock.now_ms(), found)

    def history(self, name: str, start_ms: int, end_ms: int, points: int = 240) -> BudgetHistory:
        """The burn-down over (start_ms, end_ms], not beyond now. Raises NotFound."""
        self.status(name)
        assessor = self._assessors.get(name)
        if assessor is None:  # removed this moment
            raise NotFound(f"there is no objective '{name}' any more; `setpoint status` lists the others")
        track = assessor.track
        end_ms = min(end_ms, self._clock.now_ms())
        return history(track.minutes, track.objective, min(start_ms, end_ms), end_ms, points)

    def _assessor(self, objective: Objective) -> Assessor:
        before = self._assessors.get(objective.name)
        if before is not None and before.track.objective == objective:
            return before
        feed = self._feeds(objective.source) if objective.source else self._own
        track = Track(objective, feed, final_after_s=self._final_after_s)
        same_events = before is not None and before.track.objective.ledger_key == objective.ledger_key
        if before is not None and same_events:
            if before.track.objective.window_s >= objective.window_s:
                track.adopt(before.track)
            else:
                track.pending.add_all(before.track.pending)
        return Assessor(track, no_data_after_s=self._no_data_after_s)

    def _written(self) -> Mapping[str, int | None]:
        """By source, the oldest sample that came since the last tick."""
        feeds = {one.track.objective.source: one.track.feed for one in self._assessors.values()}
        return {source: feed.take_oldest_write_ms() for source, feed in ({"": self._own} | feeds).items()}

    def _evaluate(self, names: list[str], now_ms: int, written: Mapping[str, int | None]) -> None:
        published = dict(self._published)
        for name in names:
            assessor = self._assessors[name]
            self._advance(assessor.track, now_ms, written.get(assessor.track.objective.source))
            try:
                published[name] = assessor.assess(now_ms)
            except Exception:  # one objective must not stop the others; its old status grows stale (`_as_of`)
                logger.exception("objective %s cannot be judged", name)
        self._published = published
        self._tell([published[name] for name in names if name in published])

    def _advance(self, track: Track, now_ms: int, written_from_ms: int | None) -> None:
        name = track.objective.name
        try:
            if not track.is_loaded:
                first = track.minutes_of_window(now_ms)[0] - track.objective.window_s // 60
                rows = self._store.read(track.objective.ledger_key, first)
                track.load(rows, now_ms, track.feed.oldest_sample_ms())
            track.advance(now_ms, written_from_ms)
            track.error = track.fault
        except SetpointError as error:
            if track.error != error.message:
                logger.warning("objective %s cannot be computed: %s", name, error.message)
            track.error = error.message
        except Exception as error:  # one objective must not stop the others
            logger.exception("objective %s cannot be computed", name)
            track.error = (
                f"it cannot be computed because of a fault in Setpoint ({type(error).__name__}); see its log"
            )

    def _as_of(self, now_ms: int, status: ObjectiveStatus) -> ObjectiveStatus:
        """`status`, or that nothing is known when it was not renewed for long: a verdict must not outlive the
        loop that makes it.
        """
        age_s = (now_ms - status.evaluated_at_ms) / 1000
        if age_s <= max(self._no_data_after_s, _MISSED_TICKS * self.interval_s):
            return status
        reason = f"not evaluated for {spoken_duration(age_s)}: the server is stuck or overloaded; see its log"
        return replace(status, state="no data", reason=reason)

    def _tell(self, statuses: Iterable[ObjectiveStatus]) -> None:
        for status in statuses:
            told = self._told.get(status.name)
            if told is not None and told.state == status.state:
                continue
            try:
                self._on_change(status, told)
                self._listener_waits = False
            except SetpointError as error:
                if error.retryable:
                    if not self._listener_waits:  # once, not every second
                        logger.warning("new states of objectives wait to be passed on: %s", error.message)
                    self._listener_waits = True
                    return  # the others would wait as long for the same thing
                logger.error("the state of objective %s was not passed on: %s", status.name, error.message)
            except Exception:  # a fault of the listener, which it would have again
                logger.exception("the new state of objective %s was not passed on", status.name)
            self._told[status.name] = status

    def _backfill(self) -> None:
        """A few chunks of history, in turn over the objectives that wait for it."""
        left = _CHUNKS_PER_TICK
        tracks = [one.track for one in self._assessors.values() if not one.track.is_fetched]
        waiting = [track for track in tracks if track.pending]
        while waiting and left > 0:
            for track in waiting[:left]:
                left -= 1
                try:
                    track.backfill()
                    self._history_waits = False
                except SetpointError as error:
                    if not self._history_waits:  # once, not every second
                        logger.warning("history of objectives waits: %s", error.message)
                    self._history_waits, left = True, 0
                except Exception:  # a fault of ours, which the chunk would meet again
                    logger.exception(
                        "a part of the history of objective %s was left out", track.objective.name
                    )
            waiting = [track for track in waiting if track.pending]

    def _save(self, now_ms: int) -> None:
        """Write the changed minutes of all objectives as one block; what fails is tried again next time."""
        changed: list[tuple[Track, LedgerRows]] = [
            (one.track, one.track.unsaved()) for one in self._assessors.values()
        ]
        self._saved_ms = now_ms
        self._computed_ms = max(now_ms, self._computed_ms + 1)  # the newest wins, also after a clock set back
        try:
            self._store.write([rows for _, rows in changed], self._computed_ms)
        except SetpointError as error:
            logger.warning("the ledger is not saved yet: %s", error.message)
            return
        for track, rows in changed:
            track.saved(rows)
