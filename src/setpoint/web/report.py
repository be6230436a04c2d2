"""Reports as pages that print well, Markdown, CSV and JSON, and the teams with their week.

`setpoint.report` compiles and keeps them. What is asked for lives in the address: /reports/2026-W47?team=shop, also by
the words week, month, quarter and last-week, last-month, last-quarter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.objective import State
from setpoint.objective.overview import Overview
from setpoint.objective.spec.fields import zone as known_zone
from setpoint.report import Period, Report, period_at, read_period
from setpoint.report.period import KINDS
from setpoint.web import fleet
from setpoint.web.objective import segment
from setpoint.web.page import KEPT_NOWHERE, Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.report_text import as_csv, as_markdown, lead, when
from setpoint.web.roles import needs

__all__ = ["address_of", "as_json", "router"]

Format = Literal["html", "json", "md", "csv"]
_TEXTS: dict[str, tuple[Callable[[Report], str], str]] = {
    "md": (as_markdown, "text/markdown; charset=utf-8"),
    "csv": (as_csv, "text/csv; charset=utf-8"),
}
_STORED = 100
_SHOWN_ALERTS, _SHOWN_CAUSES = 20, 20

router = APIRouter()


@dataclass(frozen=True, slots=True)
class TeamLine:
    """A team in the list: how its objectives stand now."""

    name: str
    display_name: str
    description: str
    part_of: str
    services: tuple[str, ...]
    members: int
    contact: str
    objectives: int
    counts: dict[State, int]
    budget_left: float | None


@router.get("/reports")
@needs("viewer")
def list_reports(
    request: Request, parts: Parts, *, offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0
) -> Response:
    stored = parts.reports.store.stored(_STORED, offset)
    items = [
        plain(one) | {"url": address_of(one.period, one.scope_kind, one.scope_name, one.time_zone)}
        for one in stored
    ]
    if wants_json(request):
        scheduled = [_scheduled(kind) for kind in parts.reports.scheduled]
        return json_answer({"items": items, "scheduled": scheduled})
    overview = parts.objectives.overview()
    return render(
        request,
        "reports.html",
        stored=items,
        scheduled=[_scheduled(kind) for kind in parts.reports.scheduled],
        teams=_team_names(parts, overview),
        services=sorted(set(overview.services)),
        periods=_choices(parts.clock.now_ms()),
        older=f"/reports?offset={offset + _STORED}" if len(stored) == _STORED else None,
    )


@router.get("/reports/open")
@needs("viewer")
def open_report(*, scope: str = "", period: str = "last-week") -> Response:
    """Where the form of the page leads: `scope` is empty, team:NAME or service:NAME."""
    kind, _, name = scope.partition(":")
    return RedirectResponse(address_of(period or "last-week", kind, name), 303)


@router.get("/reports/{period}")
@needs("viewer")
def show_report(
    request: Request,
    parts: Parts,
    period: str,
    *,
    team: str | None = None,
    service: str | None = None,
    zone: str | None = None,
    format_: Annotated[Format | None, Query(alias="format")] = None,
) -> Response:
    if team and service:
        raise InvalidInput("write team or service, not both: a report has one scope")
    scope = parts.reports.scope(team=team, service=service)
    asked = _period(parts, period, zone or _zone_of(parts, team))
    report = parts.reports.get(scope, asked)

    def address(name: str, as_format: str | None = None) -> str:
        return address_of(name, scope.kind, scope.name, zone, as_format)

    return _answer(request, parts, report, format_, address=address, template="report.html")


@router.get("/teams")
@needs("viewer")
def list_teams(request: Request, parts: Parts) -> Response:
    overview = parts.objectives.overview()
    lines = [_team(parts, overview, name) for name in _team_names(parts, overview)]
    if wants_json(request):
        return json_answer({"items": lines})
    return render(request, "teams.html", teams=lines, unowned=_unowned(parts, overview))


@router.get("/teams/{name}")
@needs("viewer")
def show_team(
    request: Request,
    parts: Parts,
    name: str,
    *,
    period: str = "week",
    format_: Annotated[Format | None, Query(alias="format")] = None,
) -> Response:
    scope = parts.reports.scope(team=name)
    asked = _period(parts, period, _zone_of(parts, name))
    overview = parts.objectives.overview()
    line, members = _team(parts, overview, name), _members(parts, name)
    report = parts.reports.get(scope, asked)
    if format_ == "json" or (format_ is None and wants_json(request)):
        return json_answer(plain(line) | {"members": members, "report": as_json(report)})

    def address(period: str, as_format: str | None = None) -> str:
        return f"/teams/{segment(name)}{query_string(period=period, format=as_format)}"

    return _answer(
        request, parts, report, format_, address=address, template="team.html", team=line, members=members
    )


def _answer(
    request: Request,
    parts: App,
    report: Report,
    format_: Format | None,
    *,
    address: Callable[[str, str | None], str],
    template: str,
    **context: Any,
) -> Response:
    if format_ in _TEXTS:
        write, media_type = _TEXTS[format_]
        named = "-".join(part for part in (report.period.name, report.scope.name) if part)
        # A team may be called by a label only, and a label may hold anything; a header may not.
        plainly = re.sub(r"[^A-Za-z0-9._-]+", "-", named)
        headers = KEPT_NOWHERE | {"Content-Disposition": f'inline; filename="{plainly}.{format_}"'}
        return Response(write(report), headers=headers, media_type=media_type)
    if format_ == "json" or (format_ is None and wants_json(request)):
        return json_answer(as_json(report))
    now_ms = parts.clock.now_ms()
    following = report.period.after if report.period.end_ms < now_ms else None
    return render(
        request,
        template,
        report=report,
        lead=lead(report),
        when=when(report.period),
        before=address(report.period.before.name, None),
        after=address(following.name, None) if following else None,
        kinds=[(kind, address(kind, None)) for kind in KINDS],
        files=[(name, address(report.period.name, name)) for name in ("md", "csv", "json")],
        shown_alerts=report.alerts[:_SHOWN_ALERTS],
        shown_causes=report.causes[:_SHOWN_CAUSES],
        **context,
    )


def as_json(report: Report) -> dict[str, Any]:
    told = {"verdicts": report.verdicts, "pages": report.pages, "night_pages": report.night_pages}
    made: dict[str, Any] = plain(report) | plain(told) | {"is_final": report.is_final, "lead": lead(report)}
    return made


def address_of(period: str, kind: str, name: str, zone: str | None = None, format_: str | None = None) -> str:
    scope = {kind: name} if kind in ("team", "service") else {}
    return f"/reports/{period}{query_string(**scope, zone=None if zone == 'UTC' else zone, format=format_)}"


def _period(parts: App, text: str, zone: str) -> Period:
    now_ms = parts.clock.now_ms()
    try:
        known_zone(zone)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    for kind in KINDS:
        if text == kind:
            return period_at(kind, now_ms, zone)
        if text == f"last-{kind}":
            return period_at(kind, now_ms, zone).before
    return read_period(text, zone)


def _zone_of(parts: App, team: str | None) -> str:
    known = parts.reports.ownership.teams.get(team or "")
    return known.spec.time_zone if known is not None else "UTC"


def _choices(now_ms: int) -> list[tuple[str, str]]:
    found = []
    for kind in KINDS:
        running = period_at(kind, now_ms)
        found += [
            (f"last-{kind}", f"last {kind}, {running.before.name}"),
            (kind, f"this {kind}, {running.name}"),
        ]
    return found


def _scheduled(kind: Any) -> dict[str, Any]:
    spec = kind.spec
    scope = "team" if spec.team else "service" if spec.service else "organisation"
    return {
        "name": kind.metadata.name,
        "period": spec.period,
        "scope": scope,
        "of": spec.team or spec.service or "",
        "time_zone": spec.time_zone,
    }


def _team_names(parts: App, overview: Overview) -> list[str]:
    """Declared teams, and those that only labels of objectives name."""
    return sorted({*parts.reports.ownership.teams, *fleet.label_values(overview, "team")})


def _team(parts: App, overview: Overview, name: str) -> TeamLine:
    ownership = parts.reports.ownership
    known = ownership.teams.get(name)
    names = {name, *ownership.parts_of(name)}
    rows = fleet.rows_of(overview, lambda labels: bool(names.intersection(labels.get("team", ()))))
    least = overview.budget_left[rows]
    return TeamLine(
        name=name,
        display_name=known.metadata.display_name if known else "",
        description=known.spec.description if known else "",
        part_of=(known.spec.part_of or "") if known else "",
        services=ownership.services_of(name)
        or tuple(sorted({overview.services[row] for row in rows.tolist()})),
        members=len(known.spec.members) if known else 0,
        contact=known.spec.contact if known else "",
        objectives=len(rows),
        counts=fleet.counted(overview, rows),
        budget_left=min((float(left) for left in least if left == left), default=None),  # noqa: PLR0124 — not NaN
    )


def _members(parts: App, name: str) -> list[dict[str, str]]:
    known = parts.reports.ownership.teams.get(name)
    return [{"name": one.name, "email": one.email} for one in known.spec.members] if known else []


def _unowned(parts: App, overview: Overview) -> Sequence[str]:
    """Services with objectives that no team answers for."""
    pairs = zip(overview.services, overview.labels, strict=True)
    return sorted({service for service, labels in pairs if not labels.get("team")})
