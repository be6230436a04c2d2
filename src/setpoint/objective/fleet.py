"""All objectives of one moment as columns: ledger rows, windows, targets, what is counted and derived.

`book` makes a new fleet whenever documents change something; a fleet itself never changes. Index i of every column is
`objectives[i]`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.objective.adjustment.plan import Plan as Adjustments
from setpoint.objective.alerting.table import PolicyTable
from setpoint.objective.calendar_window import window_at
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.plan import Plan
from setpoint.objective.derive import Derivation, budget_key
from setpoint.objective.ledger.ledgers import Ledgers, Slices
from setpoint.objective.live import Live
from setpoint.objective.model import Calendar, Objective
from setpoint.objective.standing import Standing

__all__ = ["Fleet", "Windows", "ledger_keys", "windows_at"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Keys:
    """The ledgers of one objective: of its events, of its budget, and how many minutes they keep.

    Of one that is adjusted, `plain` is the ledger that its budget would have otherwise, and `effective` that of its
    events as the adjustments leave them, where it has one: composites do.
    """

    raw: str
    budget: str
    minutes: int
    plain: str = ""
    effective: str = ""

    @property
    def is_adjusted(self) -> bool:
        """Whether it has ledgers of its own for that."""
        return bool(self.plain)

    def adjusted(self, objective: Objective) -> Keys:
        """The same objective with ledgers for what is adjusted."""
        effective = f"{self.raw}/adjusted" if objective.kind == "composite" else ""
        budget = effective if effective and self.budget == self.raw else f"{self.budget}/adjusted"
        return replace(self, budget=budget, plain=self.budget, effective=effective)

    @property
    def all(self) -> tuple[str, ...]:
        """Each ledger once."""
        return tuple(dict.fromkeys(one for one in (self.raw, self.effective, self.budget) if one))


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """n objectives. `raw`, `budget` int64[n] are ledger rows of events and budget (mostly the same one).

    `effective` int64[n] are the rows of events as they are adjusted, `raw` mostly. `fine` bool[n]: short windows are
    counted from slices of seconds, where nothing is adjusted (`adjustments`). `is_live` bool[n]: what the running
    minute counts is in the budget at once; budgets of slices wait for the minute to end. `order` int64[n]: the
    objectives by name.
    """

    objectives: tuple[Objective, ...]
    keys: tuple[Keys, ...]
    index: Mapping[str, int]
    plan: Plan
    feeds: Mapping[str, Feed]
    table: PolicyTable
    live: Live
    derivation: Derivation
    adjustments: Adjustments
    raw: _Ints
    effective: _Ints
    budget: _Ints
    of_row: Mapping[int, int]
    window_minutes: _Ints
    window_s: _Floats
    allowed: _Floats
    silent_after_s: _Floats
    is_fetched: _Bools
    fine: _Bools
    is_live: _Bools
    order: _Ints
    calendars: Sequence[tuple[Calendar, _Ints]]

    @classmethod
    def of(  # noqa: PLR0917 — the parts that a fleet is made of
        cls,
        objectives: Sequence[Objective],
        keys: Sequence[Keys],
        plan: Plan,
        feeds: Mapping[str, Feed],
        ledgers: Ledgers,
        slices: Slices,
        standing: Standing,
        *,
        no_data_after_s: float,
        adjustments: Adjustments | None = None,
    ) -> Fleet:
        """The fleet of these objectives; every key has a row in `ledgers` by now."""
        raw = np.array([ledgers.row_of(one.raw) for one in keys], np.int64)
        effective, budget = _rows_of(keys, ledgers)
        as_counted = np.array([(one.plain or one.budget) == one.raw for one in keys], np.bool_)
        adjustments = adjustments or Adjustments(objectives)
        after = [
            no_data_after_s if one.no_data.after_s is None else one.no_data.after_s for one in objectives
        ]
        calendars: dict[Calendar, list[int]] = {}
        for at, one in enumerate(objectives):
            if one.calendar is not None and not one.is_rolling:
                calendars.setdefault(one.calendar, []).append(at)
        return cls(
            objectives=tuple(objectives),
            keys=tuple(keys),
            index={one.name: at for at, one in enumerate(objectives)},
            plan=plan,
            feeds=feeds,
            table=PolicyTable(objectives, no_data_after_s=no_data_after_s),
            live=Live(plan, raw, ledgers, slices, standing),
            derivation=Derivation(
                objectives,
                raw,
                budget,
                ledgers,
                no_data_after_s=no_data_after_s,
                plan=adjustments,
                effective=effective,
                is_adjusted=_are_adjusted(keys),
            ),
            adjustments=adjustments,
            raw=raw,
            effective=effective,
            budget=budget,
            of_row={row: at for at, row in enumerate(raw.tolist())},
            window_minutes=np.array([-(-one.window_s // 60) for one in objectives], np.int64),
            window_s=np.array([one.window_s for one in objectives], np.float64),
            allowed=np.array([one.allowed_ratio for one in objectives], np.float64),
            silent_after_s=np.array(after, np.float64),
            is_fetched=np.array([feeds[one.source].fetch is not None for one in objectives], np.bool_),
            fine=plan.by_slice & as_counted,
            is_live=plan.by_slice & np.array([one.method == "Occurrences" for one in objectives], np.bool_),
            order=np.array(sorted(range(len(objectives)), key=lambda at: objectives[at].name), np.int64),
            calendars=[(one, np.array(some, np.int64)) for one, some in calendars.items()],
        )

    def __len__(self) -> int:
        return len(self.objectives)

    def rekeyed(
        self, keys: Sequence[Keys], adjustments: Adjustments, ledgers: Ledgers, *, no_data_after_s: float
    ) -> Fleet:
        """The same objectives with other adjustments, and so other ledgers of budgets; every key has a row by now."""
        effective, budget = _rows_of(keys, ledgers)
        derivation = Derivation(
            self.objectives,
            self.raw,
            budget,
            ledgers,
            no_data_after_s=no_data_after_s,
            plan=adjustments,
            effective=effective,
            is_adjusted=_are_adjusted(keys),
        )
        return replace(
            self,
            keys=tuple(keys),
            adjustments=adjustments,
            derivation=derivation,
            effective=effective,
            budget=budget,
        )

    @property
    def rows(self) -> set[int]:
        """The ledger rows of all of them."""
        return {*self.raw.tolist(), *self.effective.tolist(), *self.budget.tolist()}

    def reason_of(self, at: int, standing: Standing) -> str | None:
        """Why an objective cannot be computed at present."""
        row = int(self.raw[at])
        return self.derivation.missing.get(at) or standing.errors.get(row) or standing.faults.get(row)


def _rows_of(keys: Sequence[Keys], ledgers: Ledgers) -> tuple[_Ints, _Ints]:
    """The rows of events as they are adjusted, and of budgets."""
    return (
        np.array([ledgers.row_of(one.effective or one.raw) for one in keys], np.int64),
        np.array([ledgers.row_of(one.budget) for one in keys], np.int64),
    )


def _are_adjusted(keys: Sequence[Keys]) -> _Bools:
    return np.array([one.is_adjusted for one in keys], np.bool_)


@dataclass(frozen=True, slots=True)
class Windows:
    """The objectives' windows that end now: minutes `start` to before `end`, int64[n].

    `elapsed_s` float64[n]: how much of it has passed (a rolling one: all); `ends_s`: until it ends (rolling: inf).
    """

    start: _Ints
    end: _Ints
    elapsed_s: _Floats
    ends_s: _Floats


def windows_at(fleet: Fleet, now_ms: int) -> Windows:
    """The windows of all objectives: rolling ones end with the newest minute that can be counted, calendar ones begin
    where their calendar does.
    """
    end = np.where(fleet.is_live, (now_ms - 1) // _MINUTE_MS + 1, now_ms // _MINUTE_MS)
    start = end - fleet.window_minutes
    elapsed_s, ends_s = fleet.window_s.copy(), np.full(len(fleet), np.inf)
    for calendar, chosen in fleet.calendars:
        begin_ms, end_ms = window_at(calendar, now_ms)
        start[chosen] = np.minimum(begin_ms // _MINUTE_MS, end[chosen])
        elapsed_s[chosen] = (now_ms - begin_ms) / 1000
        ends_s[chosen] = (end_ms - now_ms) / 1000
    return Windows(start, end, elapsed_s, ends_s)


def _judged(composite: Objective, part: Objective) -> str:
    """How the events of a part are judged before they become the composite's."""
    if composite.method == "Occurrences":
        return str(part.target) if composite.all_of else ""
    met = (part.target, part.slice_target) if composite.all_of else ""
    return f"{composite.method} {composite.slice_s} {met}"


def ledger_keys(objectives: Sequence[Objective]) -> list[Keys]:
    """The ledgers of each objective. Those of a composite change with what its parts count (and, where all must meet
    their targets, with these); the ledgers of a part reach as far back as the window of what it is part of.
    """
    by_name = {one.name: one for one in objectives}
    minutes = {one.name: -(-one.window_s // 60) for one in objectives}
    raw: dict[str, str] = {}

    def key_of(one: Objective, seen: frozenset[str]) -> str:
        if one.name in raw:
            return raw[one.name]
        key = one.ledger_key
        if one.kind == "composite":
            parts = [by_name[part.objective] for part in one.parts if part.objective in by_name]
            counted = [
                f"{key_of(part, seen | {one.name})} {_judged(one, part)}"
                for part in parts
                if part.name not in seen
            ]
            for part in parts:
                minutes[part.name] = max(minutes[part.name], minutes[one.name])
            key = f"{key}/{hashlib.blake2b(chr(0).join(counted).encode(), digest_size=8).hexdigest()}"
        raw[one.name] = key
        return key

    keys = [key_of(one, frozenset({one.name})) for one in objectives]
    return [
        Keys(key, budget_key(one, key), minutes[one.name]) for one, key in zip(objectives, keys, strict=True)
    ]
