"""Who makes reports: on request for a page or a command, and by itself when a period of a `Report` ends.

`app` makes one, hands it the documents when they change (`apply`) and runs `run` in a thread. A report of a period that
is over is made once it is settled (late data has come), kept, and told on the timeline as `report.made`; what was made
before a restart is not made again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from setpoint.clock import Clock
from setpoint.errors import NotFound, SetpointError
from setpoint.report.compile import Causes, compile_report
from setpoint.report.from_objective import Objective, Overview, Ownership, Past
from setpoint.report.model import Report, Scope
from setpoint.report.period import Kind, Period, period_at
from setpoint.report.spec import ReportKind
from setpoint.report.store import ReportStore
from setpoint.resource import Document
from setpoint.timeline import SUMMARY_MAX, Timeline

__all__ = ["Reporter", "Send"]

Send = Callable[[Sequence[str], str, Report], str]
"""Hand a report (of this name) over to these receivers, durably; gives what went wrong in a sentence, else nothing.
Raises SetpointError when it has to be tried again.
"""

log = logging.getLogger(__name__)

_EVERY_S = 30.0
_SETTLED_MS = 15 * 60_000
_KEPT_MS = 3 * 366 * 86_400_000


class Reporter:
    """See above; safe to use from several threads."""

    def __init__(
        self,
        store: ReportStore,
        overview: Callable[[], Overview],
        past: Past,
        timeline: Timeline,
        clock: Clock,
        *,
        causes: Causes | None = None,
    ) -> None:
        self.store = store
        self._overview, self._past = overview, past
        self._timeline, self._clock, self._causes = timeline, clock, causes
        self._kinds: tuple[ReportKind, ...] = ()
        self._told: set[tuple[str, Scope, Period]] = set()
        self.send: Send | None = None
        """Set by who can write a report as a message."""
        self.ownership = Ownership()
        """Which team answers for which service, as the documents say now."""

    def apply(self, documents: Iterable[Document]) -> None:
        """Follow the teams and reports of these documents (all that exist)."""
        specs = [document.spec for document in documents]
        self.ownership = Ownership.of(specs)
        self._kinds = tuple(spec for spec in specs if isinstance(spec, ReportKind))

    @property
    def scheduled(self) -> tuple[ReportKind, ...]:
        """The reports that are made by themselves."""
        return self._kinds

    def scope(self, *, team: str | None = None, service: str | None = None) -> Scope:
        """The scope of this name. Raises NotFound when nothing is known by it."""
        if team:
            if team not in self.ownership.teams and not self._labelled(team):
                raise NotFound(f"there is no team '{team}'; `setpoint team list` lists those that exist")
            return Scope("team", team)
        if service:
            if service not in self._overview().services and service not in self.ownership.owners:
                raise NotFound(
                    f"there is no service '{service}' with an objective; `setpoint slo list` lists them"
                )
            return Scope("service", service)
        return Scope("organisation")

    def objectives(self, scope: Scope) -> list[Objective]:
        """The objectives of a scope, by name."""
        known = self._overview().objectives
        if scope.kind == "organisation":
            return list(known)
        if scope.kind == "service":
            return [one for one in known if one.service == scope.name]
        names = {scope.name, *self.ownership.parts_of(scope.name)}
        return [one for one in known if names.intersection(one.labels.get("team", ()))]

    def make(self, scope: Scope, period: Period) -> Report:
        """Compile a report now. Raises Unavailable when the ledgers cannot be read."""
        return compile_report(
            scope,
            period,
            self.objectives(scope),
            past=self._past,
            timeline=self._timeline,
            now_ms=self._clock.now_ms(),
            causes=self._causes,
        )

    def get(self, scope: Scope, period: Period) -> Report:
        """The report as it was kept, else as it is now. Raises Unavailable."""
        return self.store.get(scope, period) or self.make(scope, period)

    def run(self, stop: threading.Event) -> None:
        """Make what is due until `stop` is set; the body of the reports' thread."""
        while not self._clock.wait(stop, _EVERY_S):
            try:
                self.make_due()
            except SetpointError as error:
                log.warning("reports wait: %s", error.message)
            except Exception:  # the loop must outlive any fault
                log.exception("making reports failed; the next round tries again")

    def make_due(self) -> list[Report]:
        """Make, keep and tell the reports of the periods that ended last and are settled. Raises what the first that
        failed did, after the others.
        """
        made: list[Report] = []
        failed: list[Exception] = []
        for kind in self._kinds:
            try:
                self._make_one(kind, made)
            except Exception as error:  # noqa: BLE001 — one that cannot be made keeps no other waiting
                failed.append(error)
        if made:
            self.store.drop(self._clock.now_ms() - _KEPT_MS)
        if failed:
            raise failed[0]
        return made

    def _make_one(self, kind: ReportKind, made: list[Report]) -> None:
        """Make, keep and tell the last report of this kind, as far as that has not happened."""
        scope = _scope_of(kind)
        period = _last(kind.spec.period, self._clock.now_ms() - _SETTLED_MS, kind.spec.time_zone)
        name = kind.metadata.name
        if (name, scope, period) in self._told:
            return
        report = self.store.get(scope, period)
        if report is None:
            report = self.make(scope, period)
            self.store.put(report)
            made.append(report)
        self._tell(name, report)  # also what a process kept that ended before it could tell
        if kind.spec.notify and self.send is not None:
            self._send(self.send, kind.spec.notify, name, report)
        self._told.add((name, scope, period))

    def _send(self, send: Send, receivers: Sequence[str], name: str, report: Report) -> None:
        """Hand it over, unless that has happened; a crash in between hands it over again, under the same key."""
        period = report.period
        key = f"report.sent {name} {report.scope.kind} {report.scope.name} {period.name} {period.time_zone}"
        if any(one.key == key for one in self._timeline.query(kinds=["report.sent"], since_ms=period.end_ms)):
            return
        fault = send(receivers, name, report)
        whom = ", ".join(receivers)
        self._timeline.append(
            "report.sent",
            f"Report {name}: {period.name} goes to {whom}{': ' + fault if fault else ''}"[:SUMMARY_MAX],
            service=report.scope.name if report.scope.kind == "service" else "",
            data={"report": name, "period": period.name, "receivers": list(receivers), "fault": fault},
            key=key,
        )

    def _tell(self, name: str, report: Report) -> None:
        verdicts = report.verdicts
        neither = verdicts["no data"] + verdicts["don't know"]
        self._timeline.append(
            "report.made",
            f"Report {name}: {report.period.name} of {report.scope.words}: {verdicts['kept']} kept, "
            f"{verdicts['missed']} missed, {neither} unknown or without data",
            service=report.scope.name if report.scope.kind == "service" else "",
            data={
                "report": name,
                "scope": report.scope.kind,
                "name": report.scope.name,
                "period": report.period.name,
                "time_zone": report.period.time_zone,
                "verdicts": dict(verdicts),
            },
            key=f"report.made {report.scope.kind} {report.scope.name} {report.period.name} {report.period.time_zone}",
        )

    def _labelled(self, team: str) -> bool:
        return any(team in labels.get("team", ()) for labels in self._overview().labels)


def _scope_of(kind: ReportKind) -> Scope:
    if kind.spec.team is not None:
        return Scope("team", kind.spec.team)
    return Scope("service", kind.spec.service) if kind.spec.service is not None else Scope("organisation")


def _last(kind: Kind, at_ms: int, time_zone: str) -> Period:
    """The last period that is over at an instant."""
    return period_at(kind, at_ms, time_zone).before
