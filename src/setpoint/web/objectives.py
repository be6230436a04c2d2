"""The page and JSON of all objectives: filter, groups, order and place in the list live in the URL.

So a view can be sent to somebody, works without JavaScript, and is what a live page asks for again. `fleet` computes it
from the book's columns; whole statuses are made only for the rows that are shown, and only for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.app import App
from setpoint.objective import State
from setpoint.objective.overview import Overview
from setpoint.web import fleet
from setpoint.web.fleet import GROUPINGS, SORTS, Group, Row, Rows, Sort
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_PAGE, _PAGE_MAX = 100, 10_000
_GROUPS, _OF_A_GROUP = 20, 5
_TERMS = 60
_BIG_PAGE = 50

Groups = Sequence[tuple[str, list[int]]]

router = APIRouter()


@dataclass(frozen=True, slots=True)
class View:
    """What the address says."""

    q: str
    sort: Sort
    group: str
    offset: int
    limit: int | None

    def address(self, **changed: Any) -> str:
        """The address with some of it changed; another view begins at its first page."""
        now: dict[str, Any] = {"q": self.q, "sort": self.sort, "group": self.group, "limit": self.limit}
        now |= changed
        now["sort"] = now["sort"] if now["sort"] != SORTS[0] else ""
        return "/objectives" + query_string(**{name: value or "" for name, value in now.items()})


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of the list: the whole of it, or a group with its first rows."""

    group: Group | None
    rows: Sequence[Row]
    narrowed: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of the list is shown: `first` to `last` of `total`, and the addresses around it."""

    first: int
    last: int
    total: int
    before: str | None
    after: str | None


@router.get("/")
@needs("viewer")
async def home() -> Response:
    return RedirectResponse("/objectives", 307)


@router.get("/objectives")
@needs("viewer")
def list_objectives(
    request: Request,
    parts: Parts,
    *,
    q: str = "",
    sort: Sort = "remaining",
    group: Annotated[str, Query(max_length=100)] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int | None, Query(ge=1, le=_PAGE_MAX)] = None,
) -> Response:
    view = View(q, sort, group, offset, limit)
    overview = parts.objectives.overview()
    matching = fleet.chosen(overview, q)
    rows = fleet.ordered(overview, matching, sort)
    groups = fleet.grouped(overview, rows, group, sort) if group else None
    if wants_json(request):
        return _as_json(parts, overview, view, rows, groups)
    return _as_page(request, overview, view, rows, groups)


def _place(view: View, total: int, size: int) -> Place:
    """Where the view stands in a list of `total` that is cut into pieces of `size`."""
    first = min(view.offset, max(0, total - 1) // size * size)
    before = view.address(offset=max(0, first - size) or None) if first else None
    after = view.address(offset=first + size) if first + size < total else None
    return Place(first, min(total, first + size), total, before, after)


def _as_json(parts: App, overview: Overview, view: View, rows: Rows, groups: Groups | None) -> Response:
    size = view.limit or _PAGE
    place = _place(view, len(rows) if groups is None else len(groups), size)
    answer: dict[str, Any] = {
        "total": len(overview),
        "matching": len(rows),
        "counts": fleet.counted(overview, rows),
        "offset": place.first,
        "limit": size,
        "next": place.after,
    }
    if groups is not None:
        shown = [fleet.group(overview, *one) for one in groups[place.first : place.last]]
        return json_answer({"groups": [_group_json(overview, one) for one in shown]} | answer)
    names = [overview.names[index] for index in rows[place.first : place.last].tolist()]
    known = {status.name: status for status in parts.objectives.statuses(names)}
    return json_answer({"items": [known[name] for name in names if name in known]} | answer)


def _group_json(overview: Overview, group: Group) -> dict[str, Any]:
    return {
        "value": group.value,
        "objectives": len(group.rows),
        "counts": group.counts,
        "budget_left": group.budget_left,
        "first": overview.names[int(group.rows[0])],
    }


def _as_page(request: Request, overview: Overview, view: View, rows: Rows, groups: Groups | None) -> Response:
    size = view.limit or (_PAGE if groups is None else _GROUPS)
    place = _place(view, len(rows) if groups is None else len(groups), size)
    sections = _sections(overview, view, rows, groups, place)
    windows = set(overview.window_s.tolist())
    first = fleet.most_urgent(overview, rows)
    return render(
        request,
        "objectives.html",
        sections=sections,
        place=place,
        counts=_counts(overview, view, rows),
        total=len(overview),
        matching=len(rows),
        first=None if first is None else fleet.row(overview, first),
        first_ends_s=None if first is None else fleet.ends_s(overview, first),
        common_window_s=windows.pop() if len(windows) == 1 else None,
        view=view,
        sorts=[(name, view.address(sort=name)) for name in SORTS],
        groupings=_groupings(view),
        terms=_suggested(overview),
        every_s=2 if sum(len(section.rows) for section in sections) <= _BIG_PAGE else 6,
    )


def _sections(
    overview: Overview, view: View, rows: Rows, groups: Groups | None, place: Place
) -> list[Section]:
    def made(some: Rows) -> list[Row]:
        return [fleet.row(overview, index) for index in some.tolist()]

    if groups is None:
        return [Section(None, made(rows[place.first : place.last]))]
    shown = [fleet.group(overview, *one) for one in groups[place.first : place.last]]
    each = _PAGE if len(rows) <= _PAGE else _OF_A_GROUP
    return [
        Section(
            one,
            made(one.rows[:each]),
            view.address(q=fleet.group_query(view.q, view.group, one.value), group=""),
        )
        for one in shown
    ]


def _counts(overview: Overview, view: View, rows: Rows) -> list[tuple[State, int, str]]:
    """How many are in each state of those that the rest of the filter chooses, and the way to them."""
    if fleet.names_state(view.q):
        rows = fleet.chosen(overview, fleet.without_state(view.q))
    counts = fleet.counted(overview, rows)
    links = {state: view.address(q=fleet.state_query(view.q, state)) for state in counts}
    return [(state, number, links[state]) for state, number in counts.items() if number]


def _groupings(view: View) -> list[tuple[str, str, str]]:
    """Name, address and value of each way to group; the one in the address too, when it is another label."""
    ways = [*GROUPINGS, *([view.group] if view.group and view.group not in GROUPINGS else [])]
    return [("none", view.address(group=""), ""), *((way, view.address(group=way), way) for way in ways)]


def _suggested(overview: Overview) -> list[str]:
    """Terms that the filter offers while somebody types: the services and teams that exist, as far as they are few."""
    found = []
    for key, values in (("service", set(overview.services)), ("team", fleet.label_values(overview, "team"))):
        found += [fleet.written_term(key, value) for value in sorted(values)[:_TERMS] if value]
    return found
