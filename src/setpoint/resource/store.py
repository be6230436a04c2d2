"""Stored resources: plan, apply, get, list, delete, revisions. `web` calls it; `app` listens with
`on_change`.

An apply is one transaction: all documents with their revisions and timeline events, or nothing. A document
that is stored already makes no revision, so applying the same folder again is harmless. This package stands
below the timeline, so the timeline is handed in and seen through `EventLog`.
"""

from __future__ import annotations

import difflib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction, load_queries
from setpoint.errors import InvalidInput, NotFound, Problem
from setpoint.resource.canonical import unified_diff
from setpoint.resource.model import Action, Change, Document, Resource, Revision
from setpoint.resource.registry import Registry

__all__ = ["EventLog", "ResourceStore"]

log = logging.getLogger(__name__)

_SQL = load_queries("setpoint.resource")
_DIFF_IN_EVENT_MAX = 20_000
_PARSED_MAX = 10_000

_Key = tuple[str, str]


class EventLog(Protocol):
    """What the store needs of the timeline."""

    def record(
        self,
        transaction: Transaction,
        kind: str,
        summary: str,
        *,
        service: str = "",
        actor: str = "setpoint",
        data: Mapping[str, Any] | None = None,
        at_ms: int | None = None,
    ) -> Any:
        """Store an event in the caller's transaction."""
        ...

    def publish(self, events: Sequence[Any]) -> None:
        """Tell the subscribers of committed events."""
        ...


@dataclass(frozen=True, slots=True)
class _Step:
    """A change with what is needed to store it; `document` is None for a deletion."""

    change: Change
    before: Resource | None
    document: Document | None


class ResourceStore:
    """The resources of one state database; safe to use from several threads."""

    def __init__(
        self, database: StateDatabase, timeline: EventLog, clock: Clock, registry: Registry | None = None
    ) -> None:
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self._registry = registry or Registry()
        self._parsed: dict[tuple[str, str, int], Document | None] = {}
        self._guard = threading.RLock()
        self.on_change: Callable[[Sequence[Document]], None] | None = None
        """Called with every live document after each commit that changed one, one call at a time."""

    def plan(self, documents: Sequence[Document], prune: bool = False) -> list[Change]:
        """What `apply` would do, in the order of `documents`, deletions last. Raises what `apply` raises."""
        with self._database.read() as transaction:
            return [step.change for step in self._steps(transaction, documents, prune)]

    def apply(self, documents: Sequence[Document], author: str, prune: bool = False) -> list[Change]:
        """Store `documents` in one transaction and return what happened to each.

        With `prune`, live resources that are not in `documents` are deleted. Raises InvalidInput, with
        nothing changed, when a document does not fit the others or `prune` is asked for with no document at
        all.
        """
        with self._guard:
            with self._database.begin() as transaction:
                transaction.lock("resources")
                steps = self._steps(transaction, documents, prune)
                events = self._write(transaction, steps, author)
            self._tell(events)
        return [step.change for step in steps]

    def delete(self, kind: str, name: str, author: str) -> Change:
        """Delete one resource; its revisions stay. Raises NotFound, or InvalidInput when another one needs
        it.
        """
        with self._guard:
            with self._database.begin() as transaction:
                transaction.lock("resources")
                live = self._live(transaction)
                before = live.get((kind, name)) or self._missing(transaction, kind, name)
                after = self._documents(one for key, one in live.items() if key != _key(before))
                self._check_references(self._documents(live.values()), after, changed=frozenset())
                step = _deletion(before, self._last_revisions(transaction))
                events = self._write(transaction, [step], author)
            self._tell(events)
        return step.change

    def get(self, kind: str, name: str) -> Resource:
        """The live resource. Raises NotFound, with the nearest name, when there is none."""
        with self._database.read() as transaction:
            row = transaction.row(_SQL["current_one"], kind=kind, name=name)
            return self._missing(transaction, kind, name) if row is None else _resource(row)

    def list(self, kind: str | None = None) -> list[Resource]:
        """The live resources (of one kind), ordered by kind and name."""
        with self._database.read() as transaction:
            if kind is None:
                rows = transaction.rows(_SQL["current"])
            else:
                rows = transaction.rows(_SQL["current_of_kind"], kind=kind)
        return [_resource(row) for row in rows]

    def documents(self) -> Sequence[Document]:
        """The live resources as documents with their specs; what this version cannot read is logged, left
        out.
        """
        return list(self._documents(self.list()).values())

    def revisions(self, kind: str, name: str) -> Sequence[Revision]:
        """Every revision, newest first, also of a resource that was deleted. Raises NotFound when none ever
        was.
        """
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["revisions_of"], kind=kind, name=name)
            if not rows:
                self._missing(transaction, kind, name)
        found: list[Revision] = []
        before: dict[str, Any] | None = None
        for row in rows:
            text = row.pop("document")
            body = None if text is None else json.loads(text)
            found.append(Revision(**row, body=body, diff=unified_diff(before, body)))
            before = body
        return found[::-1]

    def _steps(self, transaction: Transaction, documents: Sequence[Document], prune: bool) -> Sequence[_Step]:
        if prune and not documents:
            raise InvalidInput(
                "pruning with no documents would delete every resource; name a file that holds some, "
                "or delete them by name"
            )
        wanted = _by_key(documents)
        live = self._live(transaction)
        last = self._last_revisions(transaction)
        gone = [one for key, one in live.items() if prune and key not in wanted]
        after = self._documents(one for key, one in live.items() if not prune or key in wanted) | wanted
        steps = [_update(document, live.get(document.key), last) for document in documents]
        changed = frozenset(document.key for document in documents)
        self._check_references(self._documents(live.values()), after, changed)
        return [
            *(self._with_warnings(step, after) for step in steps),
            *(_deletion(resource, last) for resource in gone),
        ]

    def _check_references(
        self, before: Mapping[_Key, Document], after: Mapping[_Key, Document], changed: frozenset[_Key]
    ) -> None:
        """Refuse what breaks a reference: any fault of a changed document, and new faults of the others."""
        problems: list[Problem] = []
        for key, document in after.items():
            found = self._registry.references(document, after)
            if found and key not in changed:
                known = self._registry.references(before[key], before)
                found = [
                    Problem(
                        f"{document.kind} '{document.name}' needs it: {problem.message}", path=problem.path
                    )
                    for problem in found
                    if problem not in known
                ]
            problems.extend(found)
        if problems:
            raise InvalidInput(problems=tuple(problems))

    def _with_warnings(self, step: _Step, after: Mapping[_Key, Document]) -> _Step:
        assert step.document is not None
        warnings = tuple(str(problem) for problem in self._registry.advice(step.document, after))
        change = step.change
        return _Step(
            Change(change.kind, change.name, change.action, change.revision, change.diff, warnings),
            step.before,
            step.document,
        )

    def _write(self, transaction: Transaction, steps: Sequence[_Step], author: str) -> Sequence[Any]:
        at_ms = self._clock.now_ms()
        events = []
        for step in steps:
            change, document = step.change, step.document
            if change.action == "unchanged":
                continue
            source = document or step.before
            assert source is not None
            row = {
                "kind": change.kind,
                "name": change.name,
                "api_version": source.api_version,
                "revision": change.revision,
                "document": None if document is None else json.dumps(document.body),
                "at_ms": at_ms,
                "author": author,
            }
            transaction.execute(_SQL["add_revision"], **row)
            if document is None:
                transaction.execute(_SQL["remove"], kind=change.kind, name=change.name)
            else:
                transaction.execute(_SQL["put"], **row)
            events.append(self._record(transaction, change, source, author, at_ms))
        return events

    def _record(
        self, transaction: Transaction, change: Change, source: Document | Resource, author: str, at_ms: int
    ) -> Any:
        return self._timeline.record(
            transaction,
            "resource.deleted" if change.action == "deleted" else "resource.applied",
            f"{change.kind} {change.name} {change.action} (revision {change.revision})",
            service=_service(source),
            actor=author,
            data={
                "kind": change.kind,
                "name": change.name,
                "action": change.action,
                "revision": change.revision,
                "diff": _shortened(change.diff),
            },
            at_ms=at_ms,
        )

    def _tell(self, events: Sequence[Any]) -> None:
        if not events:
            return
        if self.on_change is not None:
            try:
                self.on_change(self.documents())
            except Exception:  # the change is committed: to answer with an error would be false
                log.exception("a listener failed on a change of resources; the change is stored")
        self._timeline.publish(events)

    def _live(self, transaction: Transaction) -> dict[_Key, Resource]:
        return {_key(one): one for one in map(_resource, transaction.rows(_SQL["current"]))}

    def _last_revisions(self, transaction: Transaction) -> dict[_Key, int]:
        return {
            (row["kind"], row["name"]): row["revision"] for row in transaction.rows(_SQL["last_revisions"])
        }

    def _documents(self, resources: Iterable[Resource]) -> dict[_Key, Document]:
        found: dict[_Key, Document] = {}
        resources = list(resources)
        if len(self._parsed) > max(
            _PARSED_MAX, 2 * len(resources)
        ):  # most are revisions that are no longer live
            self._parsed.clear()
        for resource in resources:
            key = (resource.kind, resource.name, resource.revision)
            try:
                document = self._parsed[key]
            except KeyError:  # not a test before: another thread may clear it meanwhile
                document = self._parsed[key] = self._parse(resource)
            if document is not None:
                found[document.key] = document
        return found

    def _parse(self, resource: Resource) -> Document | None:
        try:
            return self._registry.parse_body(resource.body)
        except InvalidInput as error:
            log.error(
                "the stored %s %s (revision %d) cannot be used: %s; apply a corrected document",
                resource.kind,
                resource.name,
                resource.revision,
                error.message,
            )
            return None

    def _missing(self, transaction: Transaction, kind: str, name: str) -> Resource:
        """Raises NotFound for a resource that does not live."""
        names = [row["name"] for row in transaction.rows(_SQL["current_of_kind"], kind=kind)]
        near = difflib.get_close_matches(name, names, 1, 0.6)
        if near:
            advice = f"did you mean '{near[0]}'?"
        elif names:
            advice = f"'setpoint get {kind}' lists those that there are"
        else:
            advice = f"there is no {kind} at all; 'setpoint apply' stores one"
        raise NotFound(f"there is no {kind} named '{name}'; {advice}")


def _key(resource: Resource) -> _Key:
    """What identifies a stored resource: kind and name."""
    return resource.kind, resource.name


def _by_key(documents: Sequence[Document]) -> dict[_Key, Document]:
    found: dict[_Key, Document] = {}
    for document in documents:
        if document.key in found:
            message = f"{document.kind} '{document.name}' is given twice; remove one"
            raise InvalidInput(problems=(document.problem(message, "metadata", "name"),))
        found[document.key] = document
    return found


def _update(document: Document, before: Resource | None, last: Mapping[_Key, int]) -> _Step:
    action: Action
    if before is None:
        action, revision, diff = "created", last.get(document.key, 0) + 1, unified_diff(None, document.body)
    elif json.dumps(before.body, sort_keys=True) == json.dumps(document.body, sort_keys=True):
        action, revision, diff = "unchanged", before.revision, ""
    else:
        action, revision, diff = "changed", before.revision + 1, unified_diff(before.body, document.body)
    return _Step(Change(document.kind, document.name, action, revision, diff), before, document)


def _deletion(resource: Resource, last: Mapping[_Key, int]) -> _Step:
    revision = last.get(_key(resource), resource.revision) + 1
    change = Change(resource.kind, resource.name, "deleted", revision, unified_diff(resource.body, None))
    return _Step(change, resource, None)


def _resource(row: Mapping[str, Any]) -> Resource:
    values = dict(row)
    return Resource(body=json.loads(values.pop("document")), **values)


def _service(source: Document | Resource) -> str:
    """The service that a resource is about: `spec.service`, or its own name for a Service."""
    if source.kind == "Service":
        return source.name
    spec = source.body.get("spec")
    service = spec.get("service") if isinstance(spec, dict) else None
    return service if isinstance(service, str) else ""


def _shortened(diff: str) -> str:
    if len(diff) <= _DIFF_IN_EVENT_MAX:
        return diff
    return diff[:_DIFF_IN_EVENT_MAX] + "\n… (shortened; the revisions have the whole)\n"
