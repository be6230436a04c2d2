"""Who spent the budgets of a report: the largest causes over all of its objectives, and the rest of each objective that
nobody can be named for, so that the lines add up to all bad events of the objectives that were looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from setpoint.report.from_objective import Attribution
from setpoint.report.model import CauseLine

__all__ = ["OBJECTIVES_MOST", "UNEXPLAINED", "causes_by"]

OBJECTIVES_MOST = 40
"""Of how many objectives the causes are looked for, those first that used most of their budgets."""

UNEXPLAINED = "unexplained"

_EVENT = "event:"


def causes_by(
    of: Callable[[str, int, int], Attribution],
) -> Callable[[Sequence[str], int, int], list[CauseLine]]:
    """What `compile_report` asks for causes; `of` attributes one objective's bad events."""

    def causes(names: Sequence[str], start_ms: int, until_ms: int) -> list[CauseLine]:
        if until_ms <= start_ms:
            return []
        found = [of(name, start_ms, until_ms) for name in names[:OBJECTIVES_MOST]]
        whole = sum(one.bad for one in found)
        lines = [line for one in found for line in _lines(one, whole)]
        return sorted(lines, key=lambda line: (line.kind == UNEXPLAINED, -line.bad, line.objective))

    return causes


def _lines(found: Attribution, whole: float) -> list[CauseLine]:
    lines = [
        CauseLine(
            cause=share.cause.title,
            kind=share.cause.kind,
            service=share.cause.service,
            objective=found.name,
            bad=share.bad,
            share=share.bad / whole,
            event=int(share.cause.key.removeprefix(_EVENT)) if share.cause.key.startswith(_EVENT) else None,
            at_ms=share.cause.start_ms,
        )
        for share in found.shares
        if share.bad > 0
    ]
    if found.unexplained > 0:
        rest = found.unexplained
        lines.append(
            CauseLine(UNEXPLAINED, UNEXPLAINED, found.service, found.name, rest, rest / whole, None, None)
        )
    return lines
