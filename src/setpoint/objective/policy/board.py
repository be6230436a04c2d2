"""Keeps what the policies have in force: judges every few seconds, tells changes once, and knows all that a gate asks.

`app` makes one, hands it documents when resources change (`apply`) and runs `run` in a thread. All objectives are
judged at once, in columns (`evaluate`); Python objects are made only for what changed. What is in force is stored
together with the events that tell it, so a restart goes on where the process before ended.
"""

from __future__ import annotations

import difflib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.database import StateDatabase
from setpoint.errors import SetpointError
from setpoint.measure import Durations
from setpoint.objective.book import ObjectiveBook
from setpoint.objective.model import Objective, Target
from setpoint.objective.overview import Overview
from setpoint.objective.past import Past
from setpoint.objective.policy.evaluate import judge, since_column, stretches_of
from setpoint.objective.policy.facts import Facts, gather
from setpoint.objective.policy.incidents import Incidents
from setpoint.objective.policy.inputs import Governing, Held, Inputs, Request, reduced
from setpoint.objective.policy.model import STRICTNESS, Policy, PolicyException, Rule
from setpoint.objective.policy.resolve import exceptions_of, policies_of, rows_of
from setpoint.objective.policy.store import Change, Hold, HoldStore
from setpoint.objective.policy.telling import Teller
from setpoint.objective.resolve import Declared
from setpoint.objective.spec.service import Service
from setpoint.timeline import Timeline

__all__ = ["PolicyBoard", "Snapshot", "Standing"]

logger = logging.getLogger(__name__)

_INTERVAL_S: Final = 5.0
_ABSENT_MS: Final = 600_000
"""An objective that is not there for so long is gone; groups may take a while to come back after a start."""
_AT_ONCE: Final = 200

_Ints = npt.NDArray[np.int64]
_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force for a service without regard to exceptions: the strictest, since when; and whether something
    stricter cannot be judged.
    """

    service: str
    releases: str = ""
    since_ms: int | None = None
    is_unknown: bool = False
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Governed:
    """Which rows of an overview each policy looks at; made anew when objectives or policies change."""

    objectives: tuple[Objective, ...]
    policies: tuple[Policy, ...]
    rows: tuple[_Ints, ...]
    of_service: Mapping[str, _Ints]
    names: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What the last look saw: facts of all objectives that are governed, and what is in force."""

    facts: Facts
    governed: _Governed
    held: Held
    standings: Mapping[str, Standing] = field(default_factory=dict)
    held_services: int = 0


class PolicyBoard:
    """See above. `step` belongs to one thread; the rest may be called from any."""

    def __init__(  # noqa: PLR0917 — the parts that it looks at
        self,
        overview: Callable[[], Overview],
        past: Past,
        store: HoldStore,
        timeline: Timeline,
        clock: Clock,
        teller: Teller | None = None,
    ) -> None:
        self._overview, self._past, self._store, self._clock = overview, past, store, clock
        self._teller = teller or Teller(timeline)
        self._incidents = Incidents(timeline, clock)
        self._policies: tuple[Policy, ...] = ()
        self._exceptions: tuple[PolicyException, ...] = ()
        self._former: dict[str, Policy] = {}
        self._services: frozenset[str] = frozenset()
        self._governed_kept: _Governed | None = None
        self._held: dict[_Key, dict[str, Hold]] = {}
        self._absent: dict[tuple[str, str, str], int] = {}
        self._is_loaded = self._is_late = False
        self._loading = threading.Lock()
        self._wake = threading.Event()
        self.latest: Snapshot | None = None
        """What the last look saw; None before the first."""
        self.durations = Durations()
        """How long each look took."""

    @classmethod
    def over(
        cls,
        book: ObjectiveBook,
        database: StateDatabase,
        timeline: Timeline,
        clock: Clock,
        *,
        lock: str,
        address: Callable[[Target], dict[str, str]],
    ) -> PolicyBoard:
        """The board of a server. `lock` is held while events are written that webhooks follow; `address` says in an
        event which target is meant.
        """
        store = HoldStore(database, timeline, lock)
        return cls(book.overview, book.past, store, timeline, clock, Teller(timeline, address))

    @property
    def policies(self) -> tuple[Policy, ...]:
        """All policies, by name."""
        return self._policies

    @property
    def exceptions(self) -> tuple[PolicyException, ...]:
        """All exceptions, by name; also those that ended."""
        return self._exceptions

    @property
    def held_services(self) -> int:
        """How many services may not release a feature, exceptions aside."""
        snapshot = self.latest
        return snapshot.held_services if snapshot else 0

    def apply(self, documents: Sequence[Declared]) -> None:
        """Follow these documents (all that exist); what changes by that is told with the next look, soon."""
        self._former |= {one.name: one for one in self._policies}
        self._policies, self._exceptions = policies_of(documents), exceptions_of(documents)
        self._services = frozenset(
            one.spec.metadata.name for one in documents if isinstance(one.spec, Service)
        )
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds until `stop` is set; the body of the board's thread."""
        while not stop.is_set():
            try:
                self.step()
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every few seconds
                    logger.warning("policies wait: %s", error.message)
                self._is_late = True
            except Exception:  # the loop must outlive any fault: nothing would be frozen any more
                logger.exception("a look at the policies failed; the next one tries again")
            self._clock.wait(self._wake, _INTERVAL_S)
            self._wake.clear()

    def step(self) -> None:
        """Judge all, store and tell what changed. Raises Unavailable; nothing has changed then."""
        with self.durations.timed():
            self._load()
            overview, now_ms = self._overview(), self._clock.now_ms()
            governed = self._governed(overview)
            facts = self._facts(overview, governed, np.arange(len(overview)), governed.policies, now_ms)
            changes, shown = self._judge(governed, facts)
            for begin in range(0, len(changes), _AT_ONCE):
                part = changes[begin : begin + _AT_ONCE]
                self._store.write(part)
                self._take(part)
            self._teller.exceptions(self._exceptions, now_ms)
            stopped = sum(STRICTNESS[one.releases] >= STRICTNESS["review"] for one in shown.values())
            self.latest = Snapshot(facts, governed, _since(self._held), shown, stopped)

    def inputs(self, request: Request) -> Inputs:
        """All that a decision on `request` is made from, as it is at this moment. Raises Unavailable."""
        self._load()
        overview = self._overview()
        governed = self._governed(overview)
        own = governed.of_service.get(request.service, np.zeros(0, np.int64))
        policies = [
            (policy, rows[np.isin(rows, own)])
            for policy, rows in zip(governed.policies, governed.rows, strict=True)
        ]
        policies = [(policy, rows) for policy, rows in policies if len(rows)]
        looked = np.unique(np.concatenate([rows for _, rows in policies])) if policies else own[:0]
        some = [policy for policy, _ in policies]
        facts = self._facts(overview, governed, looked, some, self._clock.now_ms(), decides=True)
        return self._inputs(request, facts, policies, overview.names, len(own), _since(self._held))

    def seen(self, request: Request, snapshot: Snapshot) -> Inputs:
        """As `inputs`, from what the last look saw; for pages over many services."""
        governed = snapshot.governed
        own = governed.of_service.get(request.service, np.zeros(0, np.int64))
        policies = [
            (policy, rows[np.isin(rows, own)])
            for policy, rows in zip(governed.policies, governed.rows, strict=True)
        ]
        policies = [(policy, rows) for policy, rows in policies if len(rows)]
        names = snapshot.facts.names
        return self._inputs(request, snapshot.facts.take(own), policies, names, len(own), snapshot.held)

    def services(self) -> list[str]:
        """Every service that a document names, by name."""
        return sorted(self._services.union(self._overview().services))

    def _inputs(  # noqa: PLR0917 — what is known
        self,
        request: Request,
        facts: Facts,
        policies: Sequence[tuple[Policy, _Ints]],
        names: Sequence[str],
        objectives: int,
        held: Held,
    ) -> Inputs:
        service = request.service
        is_known = objectives > 0 or service in self._services
        known = [] if is_known else [*self._services, *self._overview().services]
        governing = tuple(
            Governing(policy, tuple(names[row] for row in rows.tolist())) for policy, rows in policies
        )
        keys = {(one.policy.name, rule.name) for one in governing for rule in one.policy.rules}
        of_service = set(facts.names)
        covering = [one for one in self._exceptions if not one.services or service in one.services]
        by_name = {one.policy.name for one in governing}
        return reduced(
            Inputs(
                request=request,
                facts=facts,
                is_known=is_known,
                objectives=objectives,
                near=tuple(difflib.get_close_matches(service, sorted(set(known)), 1, 0.6)),
                policies=governing,
                held={
                    key: {name: since_ms for name, since_ms in since.items() if name in of_service}
                    for key, since in held.items()
                    if key in keys
                },
                exceptions=tuple(
                    one for one in covering if not one.policies or by_name.intersection(one.policies)
                ),
            )
        )

    def _load(self) -> None:
        with self._loading:  # a gate may be asked before the first look
            if self._is_loaded:
                return
            self._incidents.load()
            held: dict[_Key, dict[str, Hold]] = {}
            for hold in self._store.read():
                held.setdefault((hold.policy, hold.rule), {})[hold.objective] = hold
            self._held, self._is_loaded = held, True

    def _governed(self, overview: Overview) -> _Governed:
        kept, policies = self._governed_kept, self._policies
        if kept is not None and kept.policies is policies and kept.objectives == overview.objectives:
            return kept
        rows = tuple(
            np.array(rows_of(policy.selection, overview.objectives), np.int64) for policy in policies
        )
        of_service: dict[str, list[int]] = {}
        for at, service in enumerate(overview.services):
            of_service.setdefault(service, []).append(at)
        made = _Governed(
            overview.objectives,
            policies,
            rows,
            {service: np.array(some, np.int64) for service, some in of_service.items()},
            frozenset(overview.names),
        )
        self._governed_kept = made
        return made

    def _facts(
        self,
        overview: Overview,
        governed: _Governed,
        rows: _Ints,
        policies: Sequence[Policy],
        now_ms: int,
        *,
        decides: bool = False,
    ) -> Facts:
        """Facts of some rows. `decides`: for a decision on a release, on which rules without `releases` do not bear:
        the incidents that these look at would only fill its event.
        """
        services = {overview.services[row] for row in rows.tolist()} if len(rows) < len(overview) else None
        known = [one for one in self._incidents.recent() if services is None or one.service in services]
        rules = [rule for policy in policies for rule in policy.rules if rule.releases or not decides]
        conditions = [one for rule in rules for one in (*rule.when, *rule.until)]
        back_s = max((one.over_s for one in conditions if one.kind == "incidentSpent"), default=-1)
        spenders = [one for one in known if back_s >= 0 and one.opened_ms >= now_ms - back_s * 1000]
        wanted = {one.service for one in spenders}
        objectives = {
            service: [overview.objectives[at] for at in governed.of_service[service].tolist()]
            for service in wanted.intersection(governed.of_service)
        }
        shares = self._incidents.shares(spenders, objectives, self._past)
        if any(one.kind == "openIncidents" for one in conditions):
            named = {one.id for one in spenders}
            spenders += [one for one in known if one.resolved_ms is None and one.id not in named]
        stretches = stretches_of(policies)
        return gather(overview, rows, stretches, self._past.recent, now_ms, spenders, shares)

    def _judge(self, governed: _Governed, facts: Facts) -> tuple[list[Change], dict[str, Standing]]:
        """What changed, and where every service stands then."""
        changes: list[Change] = []
        standing = _Standings(facts.services, governed)
        seen: set[_Key] = set()
        for policy, rows in zip(governed.policies, governed.rows, strict=True):
            some = facts if len(rows) == len(facts) else facts.take(rows)
            for rule in policy.rules:
                key = (policy.name, rule.name)
                seen.add(key)
                held = self._held.get(key, {})
                since_ms = since_column(some, {name: one.since_ms for name, one in held.items()})
                judged = judge(policy, rule, some, since_ms)
                standing.add(rule, rows, judged.in_force, judged.unknown, judged.since_ms)
                began = np.flatnonzero(judged.in_force & (since_ms < 0))
                ended = np.flatnonzero(~judged.in_force & (since_ms >= 0))
                gone = self._gone(key, held, some, governed.names)
                changes += self._changes(policy, rule, some, began, ended, gone)
                changes += self._altered(policy, rule, some, judged.in_force)
                if rule.postmortem:
                    self._teller.postmortems(policy, rule, some, judged.in_force)
        for key in self._held.keys() - seen:
            changes += self._dropped(key, facts)
        return changes, standing.found(governed)

    def _gone(self, key: _Key, held: Mapping[str, Hold], facts: Facts, known: frozenset[str]) -> list[Hold]:
        """Holds of objectives that the policy no longer looks at, or that have been gone for a while."""
        missing = held.keys() - set(facts.names) if held else ()
        found = [held[name] for name in missing if name in known]
        for name in set(missing) - known:
            first_ms = self._absent.setdefault((*key, name), facts.at_ms)
            if facts.at_ms - first_ms >= _ABSENT_MS or facts.at_ms < first_ms:
                found.append(held[name])
        if self._absent and held:
            for absent in [one for one in self._absent if one[:2] == key and one[2] not in missing]:
                del self._absent[absent]
        return found

    def _changes(  # noqa: PLR0917 — what a change is made of
        self, policy: Policy, rule: Rule, facts: Facts, began: _Ints, ended: _Ints, gone: Sequence[Hold]
    ) -> list[Change]:
        if not len(began) and not len(ended) and not gone:
            return []
        held = self._held.get((policy.name, rule.name), {})
        by_service: dict[str, tuple[list[int], list[Hold]]] = {}
        for at in began.tolist():
            by_service.setdefault(facts.services[at], ([], []))[0].append(at)
        for hold in [*(held[facts.names[at]] for at in ended.tolist()), *gone]:
            by_service.setdefault(hold.service, ([], []))[1].append(hold)
        found = []
        for service, (rows, out) in sorted(by_service.items()):
            before = [one for one in held.values() if one.service == service]
            begun = tuple(
                Hold(policy.name, rule.name, facts.names[at], service, rule.releases, facts.at_ms)
                for at in rows
            )
            events = []
            if not before and begun:
                events = self._teller.began(policy, rule, facts, rows)
            elif len(before) == len(out) and not begun:
                events = self._teller.lifted(
                    policy, rule, facts, out, is_gone=bool(gone), still=self._others(out[0])
                )
            found.append(Change(begun, tuple(out), tuple(events)))
        return found

    def _altered(
        self, policy: Policy, rule: Rule, facts: Facts, in_force: npt.NDArray[np.bool_]
    ) -> list[Change]:
        """What a rule that is in force says of releases is written anew: it is told, and in force since when it was."""
        held = self._held.get((policy.name, rule.name), {})
        if all(one.releases == rule.releases for one in held.values()):
            return []
        rows: dict[str, list[int]] = {}
        for at in np.flatnonzero(in_force).tolist():
            known = held.get(facts.names[at])
            if known is not None and known.releases != rule.releases:
                rows.setdefault(known.service, []).append(at)
        found = []
        for _, some in sorted(rows.items()):
            before = tuple(held[facts.names[at]] for at in some)
            begun = tuple(replace(one, releases=rule.releases) for one in before)
            events = self._teller.altered(policy, rule, facts, some, before, self._others(before[0]))
            found.append(Change(begun, before, tuple(events)))
        return found

    def _dropped(self, key: _Key, facts: Facts) -> list[Change]:
        """A policy, or a rule of it, is no longer there."""
        by_service: dict[str, list[Hold]] = {}
        for hold in self._held[key].values():
            by_service.setdefault(hold.service, []).append(hold)
        is_gone = all(one.name != key[0] for one in self._policies)
        former = self._former.get(key[0])
        found = []
        for _, holds in sorted(by_service.items()):
            events = self._teller.dropped(former, holds, facts.at_ms, self._others(holds[0]), is_gone=is_gone)
            found.append(Change((), tuple(holds), tuple(events)))
        return found

    def _others(self, hold: Hold) -> list[str]:
        """What else is in force for a service, as `policy/rule`."""
        return sorted(
            f"{policy}/{rule}"
            for (policy, rule), holds in self._held.items()
            if (policy, rule) != (hold.policy, hold.rule)
            and any(one.service == hold.service and one.releases for one in holds.values())
        )

    def _take(self, changes: Sequence[Change]) -> None:
        """What is stored by now is in force."""
        held = {key: dict(holds) for key, holds in self._held.items()}
        for change in changes:
            for hold in change.ended:
                holds = held.get((hold.policy, hold.rule), {})
                holds.pop(hold.objective, None)
                self._absent.pop((hold.policy, hold.rule, hold.objective), None)
                if not holds:
                    held.pop((hold.policy, hold.rule), None)
            for hold in change.begun:
                held.setdefault((hold.policy, hold.rule), {})[hold.objective] = hold
        self._held = held


class _Standings:
    """Collects rule by rule where every service stands."""

    def __init__(self, services: Sequence[str], governed: _Governed) -> None:
        self._names = sorted(governed.of_service)
        numbers = {name: number for number, name in enumerate(self._names)}
        self._of_row = np.array([numbers[service] for service in services], np.int64)
        size = len(self._names)
        self._strict, self._doubt = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self._since = np.full(size, 2**62, np.int64)

    def add(
        self,
        rule: Rule,
        rows: _Ints,
        in_force: npt.NDArray[np.bool_],
        unknown: npt.NDArray[np.bool_],
        since_ms: _Ints,
    ) -> None:
        if not rule.releases:
            return
        of = self._of_row[rows]
        np.maximum.at(self._doubt, of[unknown], rule.strictness)
        chosen, since = of[in_force], since_ms[in_force]
        stricter = rule.strictness > self._strict[chosen]
        self._since[chosen[stricter]] = 2**62
        self._strict[chosen[stricter]] = rule.strictness
        same = self._strict[chosen] == rule.strictness
        np.minimum.at(self._since, chosen[same], since[same])

    def found(self, governed: _Governed) -> dict[str, Standing]:
        """The standing of each service with objectives."""
        words = {number: word for word, number in STRICTNESS.items()}
        by_service: dict[str, list[str]] = {}
        for policy, rows in zip(governed.policies, governed.rows, strict=True):
            for number in np.unique(self._of_row[rows]).tolist():
                by_service.setdefault(self._names[number], []).append(policy.name)
        return {
            name: Standing(
                name,
                words[int(self._strict[number])],
                int(self._since[number]) if self._strict[number] else None,
                bool(self._doubt[number] > self._strict[number]),
                tuple(by_service.get(name, ())),
            )
            for number, name in enumerate(self._names)
        }


def _since(held: Mapping[_Key, Mapping[str, Hold]]) -> Held:
    return {key: {name: one.since_ms for name, one in holds.items()} for key, holds in held.items()}
