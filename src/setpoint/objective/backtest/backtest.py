"""`backtest`: policies of one or two sides over an objective's history, compared. `web` calls it with `book.past`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from setpoint.errors import InvalidInput
from setpoint.objective import budget
from setpoint.objective.alerting.checks import faults
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.backtest.compare import judged, pages_of, sight, totals
from setpoint.objective.backtest.episodes import episodes, quiet_minutes
from setpoint.objective.backtest.model import Backtest, BurnLine, Episode, Side, Sight
from setpoint.objective.backtest.replay import replay, warm_up_minutes
from setpoint.objective.backtest.tape import Tape
from setpoint.objective.duration import spoken_duration
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import AlertPolicy, Objective

__all__ = ["LONGEST_S", "Candidate", "Kept", "backtest"]

LONGEST_S = 366 * 86_400
"""How long a stretch may be."""

_MINUTE_MS = 60_000
_ALERTS_MOST = 10_000
_LINE_POINTS = 360
_STEPS_MINUTES = (1, 5, 15, 30, 60, 180, 360, 1440)


class Kept(Protocol):
    """What is asked of `objective.past.Past`."""

    def objective(self, name: str) -> Objective: ...

    def events(self, name: str, start_ms: int, end_ms: int, *, raw: bool = False) -> Slots: ...

    def first_ms(self, name: str) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A side to be tried: its name and its policies; None: the defaults of the objective's window and target."""

    name: str
    policies: tuple[AlertPolicy, ...] | None


def backtest(
    past: Kept,
    name: str,
    candidates: Sequence[Candidate],
    start_ms: int,
    end_ms: int,
    *,
    least: float = 0.02,
    no_data_after_s: float = 90,
) -> Backtest:
    """What the policies of each candidate would have done in (start_ms, end_ms], by whole minutes that have ended.

    `least`: the part of the budget from which on an episode counts. Raises NotFound, InvalidInput for a stretch or a
    policy that cannot be replayed, and Unavailable when minutes on disk cannot be read.
    """
    objective = past.objective(name)
    if start_ms >= end_ms:
        raise InvalidInput(f"since ({start_ms}) is not before until ({end_ms}); both are instants in Unix ms")
    if end_ms - start_ms > LONGEST_S * 1000:
        raise InvalidInput(f"a backtest takes at most {spoken_duration(LONGEST_S)}; ask for less")
    for one in candidates:
        _refuse(objective, one)
    after_s = no_data_after_s if objective.no_data.after_s is None else float(objective.no_data.after_s)
    first_ms = past.first_ms(name)
    begin = max(start_ms, end_ms if first_ms is None else first_ms)
    start, end = -(-begin // _MINUTE_MS), end_ms // _MINUTE_MS
    start = min(start, end)
    tape = _tape(past, objective, candidates, start, end, after_s)
    quiet = quiet_minutes(tape)
    everything = episodes(tape, start, end)
    found = [one for one in everything if one.spent >= least]
    sides, seen = [], []
    for one in candidates:
        side, sights = _side(tape, one, found, start, end, quiet * _MINUTE_MS)
        sides.append(side)
        seen.append(sights)
    bad, total = (float(one[0]) for one in tape.bad_and_total(np.array([start]), np.array([end])))
    return Backtest(
        objective=name,
        service=objective.service,
        target=objective.target,
        window_s=objective.window_s,
        asked_ms=start_ms,
        start_ms=start * _MINUTE_MS,
        end_ms=end * _MINUTE_MS,
        minutes=end - start,
        gap_minutes=int(tape.gaps[max(0, start - tape.first) : max(0, end - tape.first)].sum()),
        least=least,
        quiet_s=quiet * 60,
        sides=tuple(sides),
        episodes=tuple(
            replace(one, sights=tuple(sights[at] for sights in seen)) for at, one in enumerate(found)
        ),
        small_episodes=len(everything) - len(found),
        bad=bad,
        total=total,
        line=_line(tape, start, end),
        notes=tuple(_notes(objective, start_ms, start * _MINUTE_MS, end - start)),
    )


def _side(  # noqa: PLR0917 — the columns of a comparison
    tape: Tape, candidate: Candidate, found: Sequence[Episode], start: int, end: int, quiet_ms: int
) -> tuple[Side, list[Sight]]:
    objective = replace(tape.objective, policies=candidate.policies)
    policies = policies_of(objective)
    alerts = judged(pages_of(replay(tape, candidate.policies, start, end), policies), found, quiet_ms)
    sights = [sight(tape, episode, alerts, quiet_ms) for episode in found]
    figures = totals(alerts, sights, start * _MINUTE_MS, end * _MINUTE_MS)
    warnings = [told for policy in policies for told in faults(objective, policy)]
    if not policies:
        warnings.append("it has no policy: nobody is told of anything")
    elif not any(policy.severity == "page" for policy in policies):
        warnings.append("no policy has the severity page, so that all its alerts count as pages")
    side = Side(candidate.name, policies, tuple(warnings), figures, tuple(alerts[:_ALERTS_MOST]), len(alerts))
    return side, sights


def _tape(  # noqa: PLR0917 — what a tape is made of
    past: Kept, objective: Objective, candidates: Sequence[Candidate], start: int, end: int, after_s: float
) -> Tape:
    """The minutes that a replay of `start` to before `end` looks at."""
    back = 0
    for one in candidates:
        policies = policies_of(replace(objective, policies=one.policies))
        longest_s = max((each.lookback_s for policy in policies for each in policy.conditions), default=0)
        back = max(back, warm_up_minutes(policies) + -(-longest_s // 60))
    each = max(1, objective.slice_s // 60)
    first = (start - max(back, 1440) - -(-objective.window_s // 60)) // each * each
    name, first_ms, end_ms = objective.name, max(0, first) * _MINUTE_MS, end * _MINUTE_MS
    return Tape(
        objective,
        _cut(past.events(name, first_ms, end_ms), end),
        _cut(past.events(name, first_ms, end_ms, raw=True), end),
        after_s,
    )


def _cut(slots: Slots, end: int) -> Slots:
    """Without the running minute."""
    size = max(0, min(end, slots.end) - slots.first)
    return Slots(slots.first, slots.good[:size], slots.total[:size], slots.present[:size])


def _refuse(objective: Objective, candidate: Candidate) -> None:
    for policy in candidate.policies or ():
        for one in policy.conditions:
            if one.lookback_s > objective.window_s:
                back, window = spoken_duration(one.lookback_s), spoken_duration(objective.window_s)
                raise InvalidInput(
                    f"{policy.name}: a condition looks back {back}, and the window of '{objective.name}' has {window}; "
                    "write a shorter lookbackWindow"
                )


def _line(tape: Tape, start: int, end: int) -> BurnLine:
    minutes = max(0, end - start)
    step = next((one for one in _STEPS_MINUTES if minutes <= one * _LINE_POINTS), _STEPS_MINUTES[-1])
    ends = np.arange(end, start, -step)[::-1]
    bad, total = tape.bad_and_total(ends - step, ends)
    return BurnLine(
        step * 60, ends * _MINUTE_MS, budget.burn_rates(total - bad, total, tape.objective.allowed_ratio)
    )


def _notes(objective: Objective, asked_ms: int, start_ms: int, minutes: int) -> list[str]:
    """What the result does not know."""
    if not minutes:
        return ["there is no minute with data in this stretch, so there is nothing to replay"]
    told = []
    if start_ms - asked_ms >= 2 * _MINUTE_MS:
        told.append("it begins with the first minute that has data")
    told.append(
        "policies are judged at the end of every minute, live ones every second: a live page comes up to a minute "
        "earlier, and one that holds for seconds only is not found"
    )
    if objective.engine != "promql":
        told.append("its events are counted by a query now and then; live they were known that much later")
    return told
