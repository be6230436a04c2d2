"""Thousands of objectives as a list: filtered, sorted, grouped, cut into pages.

Works on the columns of `Overview` and on row numbers, so that a page of a hundred rows costs about the same in a fleet
of ten thousand as in one of two hundred. `objectives` shows what it finds as page and as JSON; nothing here knows
of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from setpoint.objective import Objective, State
from setpoint.objective.overview import STATES as NUMBERED
from setpoint.objective.overview import Overview
from setpoint.web.page import STATES
from setpoint.web.terms import Term, read_terms, written_term

__all__ = [
    "GROUPINGS",
    "SORTS",
    "Group",
    "Row",
    "Rows",
    "Sort",
    "chosen",
    "counted",
    "ends_s",
    "group",
    "group_query",
    "grouped",
    "label_values",
    "most_urgent",
    "names_state",
    "note",
    "ordered",
    "row",
    "rows_of",
    "state_query",
    "without_state",
    "written_term",
]

Rows = npt.NDArray[np.int64]
Held = npt.NDArray[np.bool_]
Sort = Literal["remaining", "burn", "name"]
SORTS: tuple[Sort, ...] = ("remaining", "burn", "name")
GROUPINGS = ("team", "service", "state", "slo")
"""What the page offers to group by; any other label can be written into the address."""

_PAGES = 6.0
"""The burn of the dotted line where no alert of the objective pages."""

_WORST_FIRST = np.array([list(STATES).index(state) for state in NUMBERED], np.int8)
_URGENT_FIRST = np.array(
    [("burning", "exhausted", "no data", "healthy").index(state) for state in NUMBERED], np.int8
)


@dataclass(frozen=True, slots=True)
class Row:
    """An objective in the list. `tags` are what stands beside its service; `note` as the function of that name says."""

    name: str
    display_name: str
    service: str
    tags: tuple[str, ...]
    state: State
    target: float
    sli: float | None
    window_s: int
    budget_left: float | None
    burn_now: float | None
    burn_now_s: int
    limit: float
    spark: Sequence[float]
    alerts: int
    is_backfilling: bool
    note: tuple[str, float | None]


@dataclass(frozen=True, slots=True)
class Group:
    """The objectives that share a value, in the order of the list; `value` is empty for those without one."""

    value: str
    rows: Rows
    counts: Mapping[State, int]
    budget_left: float | None
    """The least of them."""


# ---- filter ----------------------------------------------------------------------------------------------------------


def chosen(overview: Overview, query: str) -> Rows:
    """The rows that every term holds for, by name.

    `state:`, `service:`, `name:`, `slo:`, `group:` (any value that a document was fanned out by), `alert:firing`, any
    label as `key:value`, or text in names and service; `key:=value` is exact, `-key:value` the others.
    """
    rows: Rows = np.arange(len(overview), dtype=np.int64)
    for term in read_terms(query):
        if len(rows):
            rows = _narrowed(overview, rows, term)
    return rows


def _narrowed(overview: Overview, rows: Rows, term: Term) -> Rows:
    key = term.key.removeprefix("-")
    held = _holding(overview, rows, replace(term, key=key))
    kept: Rows = rows[held != (key != term.key)]
    return kept


def _holding(overview: Overview, rows: Rows, term: Term) -> Held:
    if term.key == "state":
        wanted = [_joined(state).startswith(_joined(term.value)) for state in NUMBERED]
        held: Held = np.array(wanted, np.bool_)[overview.state[rows]]
        return held
    if term.key == "alert":
        fires: Held = overview.alerts[rows] > 0
        return fires if "firing".startswith(term.value) else np.zeros_like(fires)
    texts, value = _texts(overview, rows.tolist(), term.key), term.value
    if term.is_exact:
        return np.fromiter((value in known for known in texts), np.bool_, len(rows))
    return np.fromiter((any(value in text for text in known) for known in texts), np.bool_, len(rows))


def _texts(overview: Overview, rows: Iterable[int], key: str) -> Iterator[Sequence[str]]:
    """For each row what a term with this key is compared with, in lower case."""
    names, services, displayed = overview.names, overview.services, overview.display_names
    if not key:
        return ((f"{names[i]}\n{displayed[i]}\n{services[i]}".lower(),) for i in rows)
    if key == "service":
        return ((services[i].lower(),) for i in rows)
    if key == "name":
        return ((names[i].lower(), displayed[i].lower()) for i in rows)
    objectives = overview.objectives
    if key == "slo":
        return ((_slo(objectives[i]).lower(),) for i in rows)
    if key == "group":
        return ([value.lower() for value in objectives[i].group.values()] for i in rows)
    return ([value.lower() for value in _labelled(objectives[i], key)] for i in rows)


def _slo(objective: Objective) -> str:
    return objective.slo or objective.name


def _labelled(objective: Objective, key: str) -> Sequence[str]:
    """The values of a label, whose name is in lower case: of the document, else of the group."""
    known = objective.labels.get(key)
    if known is not None:
        return known
    for name, values in objective.labels.items():
        if name.lower() == key:
            return values
    return [value for name, value in objective.group.items() if name.lower() == key]


def _joined(state: str) -> str:
    return state.replace(" ", "").replace("-", "")


def label_values(overview: Overview, key: str) -> set[str]:
    """The values of a label over all objectives."""
    return {value for labels in overview.labels for value in labels.get(key, ())}


def names_state(query: str) -> bool:
    """True when `query` says something of states."""
    return any(_is_state(term) for term in read_terms(query))


def without_state(query: str) -> str:
    """`query` without what it says of states."""
    return " ".join(_written(term) for term in read_terms(query) if not _is_state(term))


def _is_state(term: Term) -> bool:
    return term.key.removeprefix("-") == "state"


def state_query(query: str, state: State) -> str:
    """`query` with this state in place of those that it asks for."""
    return f"{without_state(query)} state:{state.replace(' ', '-')}".strip()


def _written(term: Term) -> str:
    value = f'"{term.value}"' if " " in term.value else term.value
    return f"{term.key}:{'=' * term.is_exact}{value}" if term.key else value


# ---- order -----------------------------------------------------------------------------------------------------------


def ordered(overview: Overview, rows: Rows, sort: Sort) -> Rows:
    """Worst first (state, then least budget), fastest burn first, or by name; equal ones by name."""
    if sort == "name":
        return rows
    if sort == "burn":
        burn = overview.burn_now[rows]
        return rows[np.lexsort((rows, np.where(np.isnan(burn), np.inf, -burn)))]
    left = np.nan_to_num(overview.budget_left[rows], nan=np.inf)
    return rows[np.lexsort((rows, left, _WORST_FIRST[overview.state[rows]]))]


def most_urgent(overview: Overview, rows: Rows) -> int | None:
    """What to open first: the budget that is going, then what is gone, then what cannot be seen."""
    if not len(rows):
        return None
    state = _URGENT_FIRST[overview.state[rows]]
    seconds = np.where(state == 0, np.nan_to_num(overview.exhaustion_s[rows], nan=np.inf), np.inf)
    # Of what is gone, first what is still going: the others wait for their window.
    still = np.where(state == 1, -np.nan_to_num(overview.burn_now[rows]), 0.0)
    left = np.nan_to_num(overview.budget_left[rows], nan=np.inf)
    return int(rows[np.lexsort((rows, left, still, seconds, state))[0]])


def rows_of(overview: Overview, holds: Callable[[Mapping[str, Sequence[str]]], bool]) -> Rows:
    """The rows whose labels `holds` is true of."""
    return np.flatnonzero([holds(labels) for labels in overview.labels])


def counted(overview: Overview, rows: Rows) -> dict[State, int]:
    """How many are in each state, the worst first."""
    numbers = np.bincount(overview.state[rows], minlength=len(NUMBERED)).tolist()
    return {state: numbers[NUMBERED.index(state)] for state in STATES}


def grouped(overview: Overview, rows: Rows, by: str, sort: Sort) -> list[tuple[str, list[int]]]:
    """`rows`, which are in the order `sort`, by a label's value, `service`, `state` or `slo`.

    Pairs of a value and its rows, in the order of their first row, those without a value last; by name where the list
    is. `group` describes one of them.
    """
    members: dict[str, list[int]] = {}
    for index, value in zip(rows.tolist(), _values(overview, rows, by), strict=True):
        members.setdefault(value, []).append(index)
    found = sorted(members.items()) if sort == "name" else list(members.items())
    found.sort(key=lambda one: not one[0])
    return found


def group(overview: Overview, value: str, members: Sequence[int]) -> Group:
    """What the list shows of a group."""
    rows: Rows = np.array(members, np.int64)
    left = overview.budget_left[rows]
    known = left[~np.isnan(left)]
    return Group(value, rows, counted(overview, rows), float(known.min()) if len(known) else None)


def _values(overview: Overview, rows: Rows, by: str) -> Iterator[str]:
    if by == "state":
        return (NUMBERED[number] for number in overview.state[rows].tolist())
    if by == "service":
        return (overview.services[i] for i in rows.tolist())
    objectives = overview.objectives
    if by == "slo":
        return (_slo(objectives[i]) for i in rows.tolist())
    key = by.lower()
    return (", ".join(_labelled(objectives[i], key)) for i in rows.tolist())


def group_query(query: str, by: str, value: str) -> str:
    """`query` narrowed to one group."""
    if by == "state":
        return f"{query} state:{value.replace(' ', '-')}".strip()
    return f"{query} {written_term(by, value)}".strip()


# ---- rows ------------------------------------------------------------------------------------------------------------


def row(overview: Overview, index: int) -> Row:
    """What the list shows of one objective."""
    objective, state = overview.objectives[index], NUMBERED[overview.state[index]]
    limit = float(overview.page_threshold[index])
    team = _labelled(objective, "team")
    return Row(
        name=overview.names[index],
        display_name=overview.display_names[index] or overview.names[index],
        service=overview.services[index],
        tags=(*(team or next(iter(objective.labels.values()), ())), *objective.group.values()),
        state=state,
        target=float(overview.target[index]),
        sli=_known(overview.sli[index]),
        window_s=int(overview.window_s[index]),
        budget_left=_known(overview.budget_left[index]),
        burn_now=_known(overview.burn_now[index]),
        burn_now_s=int(overview.burn_now_s[index]),
        limit=_PAGES if np.isnan(limit) else limit,
        spark=overview.spark[index].tolist(),
        alerts=int(overview.alerts[index]),
        is_backfilling=bool(overview.backfilling[index]),
        note=note(
            state,
            _instant(overview.exhausted_since_ms[index]),
            _instant(overview.last_event_ms[index]),
            ends_s(overview, index),
        ),
    )


def _known(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)


def note(
    state: State, exhausted_since_ms: int | None, last_event_ms: int | None, ends_s: float | None
) -> tuple[str, float | None]:
    """What stands under the budget bar: which kind of note, and its figure (seconds, or an instant in ms).

    `ends_s` is None where the budget outlasts the window.
    """
    if state == "exhausted" and exhausted_since_ms is not None:
        return "since", exhausted_since_ms
    if state == "no data":
        return "silent", last_event_ms
    return ("gone", ends_s) if state == "burning" and ends_s is not None else ("", None)


def ends_s(overview: Overview, index: int) -> float | None:
    """Seconds until the budget is gone; None when that is after the window has moved on: such an end never comes."""
    seconds = float(overview.exhaustion_s[index])
    return seconds if seconds <= overview.window_s[index] else None


def _instant(at_ms: np.int64) -> int | None:
    return int(at_ms) if at_ms >= 0 else None
