"""Who spent the budget of an objective: its page and JSON for any stretch of time, and the section of its own page.

`Attributions` computes, `words` tells; this module shows. The bands are drawn here, so that they are there without
JavaScript: the budget as it went, from whole down to what is left, and above that line what each cause took of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.attribution.causes import KINDS
from setpoint.objective.attribution.model import Attribution, Share
from setpoint.objective.attribution.words import RULE, spent_formula, stretch_formula, sum_formula, way
from setpoint.objective.model import Objective, ObjectiveStatus
from setpoint.timeline import Event
from setpoint.web.chart import ticks
from setpoint.web.explanation import counted_as
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["Spent", "router", "spent_lately", "spent_of"]

_MINUTE_MS = 60_000
_BANDS_MOST = 6
_POINTS, _POINTS_MAX = 180, 2000
_ROWS_MOST = 8
_STRETCHES_MOST = 20
_EVENTS_AROUND_MS = 60_000
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 900, 260, 56, 16, 12, 34
_LABEL_ROOM = 18
_RANGES_S = (3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400, 90 * 86400)
router = APIRouter()


@dataclass(frozen=True, slots=True)
class Band:
    """What a cause took, as an area: its number in the table (0: the rest, -1: all further ones), what it is called,
    its outline, and where its number has room.
    """

    number: int
    title: str
    points: str
    label: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class SpentPicture:
    """Coordinates in a `width` × `height` view box."""

    width: int
    height: int
    left: int
    right: float
    bottom: float
    bands: list[Band]
    line: str
    grid: list[tuple[float, str]]
    ticks: list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Row:
    """A cause in the table."""

    number: int
    share: Share
    way: str
    formulas: list[str]
    more: int
    href: str
    state: str


@dataclass(frozen=True, slots=True)
class Spent:
    """All that the section and the page show."""

    found: Attribution
    rows: list[Row]
    more: int
    more_bad: float
    more_of_budget: float | None
    picture: SpentPicture | None
    formula: str
    sum: str
    rule: tuple[str, ...]
    href: str


def spent_lately(parts: App, status: ObjectiveStatus) -> Spent | str:
    """What there is to show of who spent the budget in an objective's own window; or why there is nothing at present:
    the rest of its page must not wait for it.
    """
    name, end_ms = status.name, parts.clock.now_ms()
    start_ms = status.window_start_ms or end_ms - status.window_s * 1000
    try:
        return spent_of(parts.attribution.lately(name, start_ms, end_ms), _ROWS_MOST)
    except SetpointError as error:
        return error.message


def spent_of(found: Attribution, rows: int) -> Spent:
    """What there is to show; of the causes the first `rows`."""
    shown = found.shares[:rows]
    hidden = found.shares[rows:]
    hidden_bad = sum(share.bad for share in hidden)
    return Spent(
        found=found,
        rows=[_row(number, share) for number, share in enumerate(shown, 1)],
        more=len(hidden),
        more_bad=hidden_bad,
        more_of_budget=hidden_bad / found.allowed if found.allowed > 0 else None,
        picture=_picture(found) if found.bad > 0 and found.allowed > 0 else None,
        formula=spent_formula(found),
        sum=sum_formula(found),
        rule=RULE,
        href=f"/objectives/{quote(found.name, safe='')}/spent"
        + query_string(since=found.start_ms, until=found.end_ms),
    )


@router.get("/objectives/{name}/spent")
@needs("viewer")
def show_spent(
    request: Request,
    parts: Parts,
    name: str,
    *,
    since: int | None = None,
    until: int | None = None,
    range_s: Annotated[int | None, Query(alias="range", ge=60)] = None,
    points: Annotated[int, Query(ge=2, le=_POINTS_MAX)] = _POINTS,
) -> Response:
    objective = parts.objectives.past.objective(name)
    status = parts.objectives.status(name)
    end_ms = parts.clock.now_ms() if until is None else until
    if since is not None:
        start_ms = since
    elif range_s is not None:
        start_ms = end_ms - range_s * 1000
    else:
        start_ms = status.window_start_ms or end_ms - objective.window_s * 1000
    if start_ms >= end_ms:
        raise InvalidInput(f"since ({start_ms}) is not before until ({end_ms}); both are Unix milliseconds")
    if wants_json(request):
        found = parts.attribution.of(name, start_ms, end_ms)
        return json_answer(_answer(parts, objective, found, points))
    spent = spent_of(parts.attribution.of(name, start_ms, end_ms), 100)
    choices = sorted({*_RANGES_S, objective.window_s})
    shown_s = round((end_ms - start_ms) / 1000) if until is None else None
    return render(
        request,
        "spent.html",
        objective=objective,
        spent=spent,
        events=sorted(_events_of(parts, spent.found).values(), key=lambda event: (event.at_ms, event.id)),
        unit=counted_as(objective),
        ranges=[
            (one, f"/objectives/{quote(name, safe='')}/spent{query_string(range=one)}") for one in choices
        ],
        shown_s=objective.window_s if since is None and range_s is None else shown_s,
    )


def _row(number: int, share: Share) -> Row:
    cause = share.cause
    formulas = [stretch_formula(one) for one in share.stretches[:_STRETCHES_MOST]]
    return Row(
        number=number,
        share=share,
        way=way(cause),
        formulas=formulas,
        more=len(share.stretches) - len(formulas),
        href=_href(share),
        state="burn" if cause.kind in ("fault", "experiment") else "",
    )


def _href(share: Share) -> str:
    """Where a cause is told of: a dependency on its objective's page, anything else on the timeline."""
    cause = share.cause
    if cause.kind == "dependency" and cause.objectives:
        return f"/objectives/{quote(cause.objectives[0], safe='')}"
    kind = {"deploy": "deploy", "fault": "demo.fault"}.get(cause.kind)
    place = f"#e-{cause.event_ids[0]}" if cause.event_ids else ""
    return f"/timeline{query_string(service=cause.service, kind=kind)}{place}"


def _events_of(parts: App, found: Attribution) -> dict[int, Event]:
    """The timeline's events that shares refer to."""
    known: dict[int, Event] = {}
    for share in found.shares:
        wanted = {*share.cause.event_ids, *share.related} - known.keys()
        if not wanted:
            continue
        cause = share.cause
        events = parts.timeline.query(
            None if share.related else cause.service,
            (*KINDS, "objective.state", "alert.fired"),
            since_ms=min(cause.start_ms, share.first_ms) - 60 * _EVENTS_AROUND_MS - 1,
            until_ms=max(cause.end_ms or 0, share.last_ms) + 60 * _EVENTS_AROUND_MS,
            limit=1000,
        )
        known |= {event.id: event for event in events if event.id in wanted}
    return known


def _answer(parts: App, objective: Objective, found: Attribution, points: int) -> dict[str, Any]:
    """The JSON: numbers, each with its formula, causes with their events, and bands over time."""
    events = _events_of(parts, found)
    edges = _edges(found, points)
    bands, rest = found.bands(edges)
    return {
        "name": found.name,
        "service": found.service,
        "start_ms": found.start_ms,
        "end_ms": found.end_ms,
        "target": found.target,
        "window_s": objective.window_s,
        "good": found.good,
        "total": found.total,
        "bad": found.bad,
        "allowed": found.allowed,
        "of_budget": found.of_budget,
        "formula": spent_formula(found),
        "sum": sum_formula(found),
        "causes": [_cause(share, events) for share in found.shares],
        "unexplained": {
            "bad": found.unexplained,
            "of_budget": found.unexplained_of_budget,
            "of_spent": found.unexplained / found.bad if found.bad > 0 else 0.0,
        },
        "harmless": found.harmless,
        "unit": found.unit,
        "rule": RULE,
        "dependencies": parts.dependencies.known().all_of(found.service),
        "dependencies_traced_ms": parts.dependencies.traced_ms,
        "bands": {
            "ends_ms": np.minimum(edges[1:] * _MINUTE_MS, max(found.end_ms, found.start_ms)),
            "causes": bands,
            "unexplained": rest,
        },
    }


def _cause(share: Share, events: Mapping[int, Event]) -> dict[str, Any]:
    cause = share.cause
    return {
        "key": cause.key,
        "kind": cause.kind,
        "title": cause.title,
        "service": cause.service,
        "via": cause.via,
        "version": cause.version,
        "objectives": cause.objectives,
        "start_ms": cause.start_ms,
        "end_ms": cause.end_ms,
        "bad": share.bad,
        "of_budget": share.of_budget,
        "of_spent": share.of_spent,
        "first_ms": share.first_ms,
        "last_ms": share.last_ms,
        "url": _href(share),
        "stretches": [
            {
                "start_ms": one.start_ms,
                "end_ms": one.end_ms,
                "total": one.total,
                "bad": one.bad,
                "expected": one.expected,
                "baseline": one.baseline,
                "reference_minutes": one.reference_minutes,
                "among": one.among,
                "attributed": one.attributed,
                "formula": stretch_formula(one),
            }
            for one in share.stretches[:_STRETCHES_MOST]
        ],
        "stretches_total": len(share.stretches),
        "events": [_told(events[one]) for one in cause.event_ids if one in events],
        "related": [_told(events[one]) for one in share.related if one in events],
    }


def _told(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "at_ms": event.at_ms,
        "kind": event.kind,
        "summary": event.summary,
        "actor": event.actor,
    }


def _edges(found: Attribution, points: int, skipped: int = 0) -> npt.NDArray[np.int64]:
    """Minutes since 1970 between which bands are summed; the first ones may be skipped."""
    first, size = found.first + skipped, max(1, len(found.rest) - skipped)
    edges: npt.NDArray[np.int64] = (
        np.linspace(first, first + size, min(points, size) + 1).round().astype(np.int64)
    )
    return np.unique(edges)


def _untouched(found: Attribution) -> int:
    """Minutes at the begin that a chart leaves out: those in which nothing was spent, where they are most of it."""
    begin = int(np.flatnonzero(found.spent)[0])
    size = len(found.spent)
    return max(0, begin - (size - begin) // 20) if begin > size // 2 else 0


def _picture(found: Attribution) -> SpentPicture:
    """The rest first, below the whole budget, then the causes, the largest last: the line ends the last one."""
    edges = _edges(found, _POINTS, _untouched(found))
    bands, rest = found.bands(edges)
    layers = [("", 0, rest)]
    if len(bands) > _BANDS_MOST:
        layers.append((f"{len(bands) - _BANDS_MOST} more", -1, bands[_BANDS_MOST:].sum(axis=0)))
    numbered = list(enumerate(zip(found.shares, bands, strict=True), 1))[:_BANDS_MOST]
    layers += [(share.cause.title, number, band) for number, (share, band) in reversed(numbered)]
    allowed = found.allowed
    spent = [np.concatenate(([0.0], np.cumsum(np.maximum(layer, 0.0)))) / allowed for _, _, layer in layers]
    tops = np.cumsum(np.array([np.zeros(len(edges)), *spent]), axis=0)
    low = min(0.0, 1 - float(tops[-1].max()))
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    x = _LEFT + (edges - edges[0]) / max(1, int(edges[-1] - edges[0])) * width

    def y(gone: Any) -> Any:
        return _TOP + gone / (1 - low) * height

    drawn = []
    for at, (title, number, layer) in enumerate(layers):
        if layer.any():
            upper, lower = y(tops[at]), y(tops[at + 1])
            outline = [*zip(x, upper, strict=True), *zip(x[::-1], lower[::-1], strict=True)]
            room = lower - upper
            wide = int(np.argmax(np.minimum(room, _LABEL_ROOM) + x / (1000 * width)))
            fits = number > 0 and room[wide] >= _LABEL_ROOM * 0.8
            label = (
                (min(float(x[wide]), _WIDTH - _RIGHT - 10), float(upper[wide] + room[wide] / 2))
                if fits
                else None
            )
            drawn.append(Band(number, title or "unexplained", _points(outline), label))
    start_ms, end_ms = int(edges[0]) * _MINUTE_MS, int(edges[-1]) * _MINUTE_MS
    scale = width / max(1, end_ms - start_ms)
    return SpentPicture(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_LEFT + width,
        bottom=_TOP + height,
        bands=drawn,
        line=_points(list(zip(x, y(tops[-1]), strict=True))),
        grid=[(y(1 - level), f"{level * 100:,.0f} %".replace("-", "−")) for level in _levels(low)],
        ticks=[(_LEFT + (at - start_ms) * scale, text) for at, text in ticks(start_ms, end_ms)],
    )


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _levels(low: float) -> list[float]:
    """Four to eight round values from 1 down to `low`."""
    step = 0.25
    while (1 - low) / step > 8:
        step *= 2
    return [1 - step * index for index in range(int((1 - low) / step + 1e-9) + 1)]
