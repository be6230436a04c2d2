"""Which causes there may be: events of the timeline, and dependencies that burned, as candidates for `split`.

`who` hands in the events of the objective's service and of what it depends on. Ranks, the most specific first: what
was broken on purpose (faults, experiments), deploys, dependencies that burned without such a reason (the farthest
first, because it explains the nearer ones), incidents. Decision 0032 has the reasons.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.objective.attribution.model import Cause, CauseKind
from setpoint.objective.attribution.split import Candidate, Reference, elevated
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.ledger.ledger import Slots
from setpoint.timeline import Event

__all__ = ["KINDS", "LOOKBACK_MS", "Burned", "Possible", "all_burned", "burned", "possible_causes"]

_MINUTE_MS = 60_000
LOOKBACK_MS = 7 * 86_400_000
"""How long a cause works at most; what lasts longer is how things are."""

_TAIL = 2
"""Minutes after its end that a cause still spends in: what began before ends later, and is counted later."""
_ROLLBACK_TAIL = 5
_BEFORE_INCIDENT = 60
"""An incident is opened when the damage shows: it reaches so many minutes back."""
_BURN_WINDOWS, _BURN_GAP = (5, 60), 5
_SAME_DEPLOY_MS = 10 * _MINUTE_MS

_EXPERIMENT, _DEPLOY, _DEPENDENCY, _INCIDENT = 10, 20, 40, 50
_BEGINS = ("started", "begun", "injected", "opened", "fault")
_ENDS = (
    "ended",
    "finished",
    "completed",
    "stopped",
    "aborted",
    "reverted",
    "failed",
    "healed",
    "resolved",
    "heal",
)
_KINDS_OF: Mapping[str, CauseKind] = {
    "demo": "fault",
    "experiment": "experiment",
    "chaos": "experiment",
    "incident": "incident",
}
KINDS = ("deploy", *(f"{prefix}.{word}" for prefix in _KINDS_OF for word in (*_BEGINS, *_ENDS)))
"""The kinds of events that tell of causes."""

_Interval = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Burned:
    """When the objectives of a service burned: minutes since 1970, end exclusive, ascending; and which of them did."""

    intervals: tuple[_Interval, ...]
    objectives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Possible:
    """A cause and when it may have cost events."""

    cause: Cause
    candidate: Candidate


def burned(slots: Slots, allowed_ratio: float, by_chance: bool) -> tuple[_Interval, ...]:
    """When an objective spent budget faster than its target allows (a burn above 1) and by more than chance, of the
    minutes that it counted; `by_chance` as in `split.Minutes`.
    """
    bad = slots.total - slots.good
    allowed = Reference(allowed_ratio, allowed_ratio, 0.0, 0)
    hot = (
        np.flatnonzero(elevated(bad, slots.total, allowed, by_chance, _BURN_WINDOWS) & (bad > 0))
        + slots.first
    )
    if not len(hot):
        return ()
    cuts = np.flatnonzero(np.diff(hot) > _BURN_GAP)
    starts, ends = hot[np.concatenate(([0], cuts + 1))], hot[np.concatenate((cuts, [len(hot) - 1]))]
    return tuple(zip(starts.tolist(), (ends + 1).tolist(), strict=True))


def all_burned(found: Mapping[str, tuple[_Interval, ...]]) -> Burned:
    """When any of the objectives of a service burned, by what `burned` gives of each."""
    intervals = _merged((one for own in found.values() for one in own), _BURN_GAP)
    return Burned(tuple(intervals), tuple(name for name, own in found.items() if own))


def possible_causes(
    events: Iterable[Event],
    service: str,
    dependencies: Dependencies,
    burning: Mapping[str, Burned],
    end_ms: int,
) -> list[Possible]:
    """All that may have cost events of an objective of `service` up to `end_ms`.

    `events` may be in any order. `burning` has the services behind it that have objectives: a deploy of one of these
    is a cause only while one of them burned.
    """
    ways = {service: (service,)} | {
        name: dependencies.path(service, name) for name in dependencies.all_of(service)
    }
    by_service: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda one: (one.at_ms, one.id)):
        if event.service in ways and event.at_ms < end_ms:
            by_service.setdefault(event.service, []).append(event)
    found: list[Possible] = []
    for name, own in by_service.items():
        found += _deploys([one for one in own if one.kind == "deploy"], ways[name], burning.get(name), end_ms)
        found += _pairs([one for one in own if one.kind != "deploy"], ways[name], burning.get(name), end_ms)
    for name, one in burning.items():
        if one.intervals and name in ways:
            found.append(_dependency(name, one, ways[name]))
    return found


def _deploys(
    events: Sequence[Event], way: tuple[str, ...], burn: Burned | None, end_ms: int
) -> Iterator[Possible]:
    """A deploy works until the next one of its service, or until it has spent nothing for an hour. One back to the
    version before is how a deploy ends, and no cause.
    """
    single = _single(events)
    before = ""
    for number, (event, told) in enumerate(single):
        version = _text(event, "version")
        following = single[number + 1][0] if number + 1 < len(single) else None
        previous, before = before, _text(event, "previous") or _version_at(single, number - 1)
        if number and _is_back(event, previous, _version_at(single, number - 1)):
            continue
        until_ms = end_ms if following is None else following.at_ms
        tail = 0
        if following is not None and _is_back(following, before, version):
            tail = _ROLLBACK_TAIL
        start = event.at_ms // _MINUTE_MS
        end = min(
            _ceil(until_ms) if following is None else until_ms // _MINUTE_MS + tail,
            start + LOOKBACK_MS // _MINUTE_MS,
        )
        is_own = len(way) == 1 or burn is None
        yield Possible(
            Cause(
                key=f"event:{event.id}",
                kind="deploy",
                title=f"{event.service} {version}" if version else event.summary,
                service=event.service,
                start_ms=event.at_ms,
                end_ms=None if following is None else following.at_ms,
                event_ids=told,
                via=way,
                version=version,
                objectives=_overlapping(burn, start, end) if burn else (),
            ),
            Candidate(
                _DEPLOY,
                ((start, max(end, start + 1)),),
                until_quiet=True,
                within=None if is_own or burn is None else _padded(burn.intervals),
            ),
        )


def _single(events: Sequence[Event]) -> list[tuple[Event, tuple[int, ...]]]:
    """Deploys, each once where several tell of the same version within minutes, with the ids of all that tell."""
    found: list[tuple[Event, tuple[int, ...]]] = []
    for event in events:
        version = _text(event, "version")
        if found and version and version == _text(found[-1][0], "version"):
            last, told = found[-1]
            if event.at_ms - last.at_ms <= _SAME_DEPLOY_MS:
                found[-1] = last, (*told, event.id)
                continue
        found.append((event, (event.id,)))
    return found


def _version_at(single: Sequence[tuple[Event, tuple[int, ...]]], number: int) -> str:
    return _text(single[number][0], "version") if number >= 0 else ""


def _is_back(event: Event, before: str, version: str) -> bool:
    """Whether a deploy puts back the version that ran `before` the one it replaces."""
    back = _text(event, "version")
    return bool(event.data.get("rollback")) or (bool(before) and back == before and back != version)


def _pairs(
    events: Sequence[Event], way: tuple[str, ...], burn: Burned | None, end_ms: int
) -> Iterator[Possible]:
    """Faults, experiments and incidents, from their begin to their end."""
    open_: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        prefix, _, word = event.kind.partition(".")
        if word in _BEGINS:
            if event.data.get("fault") == "version":  # a release of the shop: its deploy tells of it
                continue
            name = _name(event)
            for begun in open_.pop(
                (prefix, name), []
            ):  # the same once more takes the place of the one before
                yield _pair(begun, event.at_ms, way, burn, end_ms)
            open_[prefix, name] = [event]
        elif word in _ENDS:
            ended = event.data.get("faults")
            names = [str(one) for one in ended] if isinstance(ended, list) else [_name(event)]
            keys = [(prefix, name) for name in names if (prefix, name) in open_]
            for key in keys or ([one for one in open_ if one[0] == prefix] if not names[0] else []):
                for begun in open_.pop(key):
                    yield _pair(begun, event.at_ms, way, burn, end_ms, event.id)
    for left in open_.values():
        for begun in left:
            yield _pair(begun, None, way, burn, end_ms)


def _pair(  # noqa: PLR0917 — an event's end and where it happened
    event: Event,
    ended_ms: int | None,
    way: tuple[str, ...],
    burn: Burned | None,
    end_ms: int,
    end_id: int | None = None,
) -> Possible:
    kind = _KINDS_OF[event.kind.partition(".")[0]]
    is_incident = kind == "incident"
    start = event.at_ms // _MINUTE_MS - (_BEFORE_INCIDENT if is_incident else 0)
    end = _ceil(end_ms) if ended_ms is None else _ceil(ended_ms) + _TAIL
    return Possible(
        Cause(
            key=f"event:{event.id}",
            kind=kind,
            title=event.summary,
            service=event.service,
            start_ms=event.at_ms,
            end_ms=ended_ms,
            event_ids=(event.id,) if end_id is None else (event.id, end_id),
            via=way,
            objectives=_overlapping(burn, start, end) if burn else (),
        ),
        Candidate(_INCIDENT if is_incident else _EXPERIMENT, ((start, max(end, start + 1)),)),
    )


def _dependency(name: str, burn: Burned, way: tuple[str, ...]) -> Possible:
    intervals = _padded(burn.intervals)
    return Possible(
        Cause(
            key=f"dependency:{name}",
            kind="dependency",
            title=f"{name} burned its own budget",
            service=name,
            start_ms=burn.intervals[0][0] * _MINUTE_MS,
            end_ms=burn.intervals[-1][1] * _MINUTE_MS,
            via=way,
            objectives=burn.objectives,
        ),
        # The farthest first: what burned there is why the nearer ones did.
        Candidate(_DEPENDENCY - min(len(way), _DEPENDENCY - _DEPLOY - 1), intervals),
    )


def _overlapping(burn: Burned, start: int, end: int) -> tuple[str, ...]:
    return burn.objectives if any(low < end and start < high for low, high in burn.intervals) else ()


def _padded(intervals: Sequence[_Interval]) -> tuple[_Interval, ...]:
    """With the minutes before and after in which the same fault may be counted elsewhere."""
    return tuple(_merged([(low - _TAIL, high + _TAIL) for low, high in intervals], 0))


def _merged(intervals: Iterable[_Interval], gap: int) -> list[_Interval]:
    """Ascending and apart; those with at most `gap` minutes between them are one."""
    found: list[_Interval] = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + gap:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found


def _name(event: Event) -> str:
    """What tells faults, experiments and incidents of one service apart."""
    given = (event.data.get(key) for key in ("experiment", "incident", "fault", "id", "name"))
    return next((str(one) for one in given if isinstance(one, str | int) and one != ""), "")


def _text(event: Event, name: str) -> str:
    value = event.data.get(name)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _ceil(at_ms: int) -> int:
    """The minute after the one that holds an instant."""
    return -(-at_ms // _MINUTE_MS)
