"""Sides against episodes: what each would have paged for and when, what it would have missed, what was noise.

A page sees an episode when it fires, or still does, between the episode's begin and half an hour after its end; the
first such page counts. A page that sees none is noise, unless silence made it fire.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from setpoint.objective.backtest.model import Alert, Episode, Sight, Totals
from setpoint.objective.backtest.tape import Tape
from setpoint.objective.model import AlertPolicy

__all__ = ["judged", "pages_of", "sight", "totals"]

_MINUTE_MS = 60_000


def pages_of(alerts: Sequence[Alert], policies: Sequence[AlertPolicy]) -> list[Alert]:
    """The alerts with `is_page` set: those of severity `page`, or all where no policy has it; if they are told."""
    everything = not any(one.severity == "page" for one in policies)
    return [replace(one, is_page=one.is_told and (everything or one.severity == "page")) for one in alerts]


def judged(alerts: Sequence[Alert], found: Sequence[Episode], quiet_ms: int) -> list[Alert]:
    """The alerts with `is_noise` set."""
    return [
        replace(
            one,
            is_noise=one.is_page
            and not one.by_silence
            and not any(_sees(one, episode, quiet_ms) for episode in found),
        )
        for one in alerts
    ]


def sight(tape: Tape, episode: Episode, alerts: Sequence[Alert], quiet_ms: int) -> Sight:
    """How a side's alerts, in order of their begins, saw an episode."""
    seen = [one for one in alerts if one.is_told and _sees(one, episode, quiet_ms)]
    page = next((one for one in seen if one.is_page), None)
    ticket = next((one for one in seen if not one.is_page), None)
    found = Sight()
    if page is not None:
        delay_s, spent = _at(tape, episode, page)
        found = replace(
            found,
            page_ms=page.from_ms,
            policy=page.policy,
            delay_s=delay_s,
            spent=spent,
            budget_left=page.budget_left,
        )
    if ticket is not None:
        delay_s, spent = _at(tape, episode, ticket)
        found = replace(
            found,
            ticket_ms=ticket.from_ms,
            ticket_policy=ticket.policy,
            ticket_delay_s=delay_s,
            ticket_spent=spent,
        )
    return found


def totals(alerts: Sequence[Alert], sights: Sequence[Sight], start_ms: int, end_ms: int) -> Totals:
    """A side in figures; the time of an alert is what of it lies in the stretch, and overlapping ones count once."""
    pages = [one for one in alerts if one.is_page]
    tickets = [one for one in alerts if one.is_told and not one.is_page]
    seen = [one for one in sights if one.page_ms is not None]
    return Totals(
        pages=len(pages),
        paged_s=_lasting_s(pages, start_ms, end_ms),
        tickets=len(tickets),
        ticketed_s=_lasting_s(tickets, start_ms, end_ms),
        seen=len(seen),
        missed=len(sights) - len(seen),
        unheard=sum(one.page_ms is None and one.ticket_ms is None for one in sights),
        noise=sum(one.is_noise for one in pages),
        silences=sum(one.by_silence for one in pages),
        delay_s=_median_and_most([one.delay_s for one in seen if one.delay_s is not None]),
        spent=_median_and_most([one.spent for one in seen if one.spent is not None]),
    )


def _sees(alert: Alert, episode: Episode, quiet_ms: int) -> bool:
    fires_after = alert.from_ms > episode.end_ms + quiet_ms
    ended_before = alert.until_ms is not None and alert.until_ms <= episode.begin_ms
    return not alert.by_silence and not fires_after and not ended_before


def _at(tape: Tape, episode: Episode, alert: Alert) -> tuple[float, float | None]:
    """Seconds from the episode's begin to the alert, and what of the budget it had spent by then."""
    begin = episode.begin_ms // _MINUTE_MS
    until = max(begin, min(alert.from_ms, episode.end_ms) // _MINUTE_MS)
    bad = float(tape.bad_and_total(np.array([begin]), np.array([until]))[0][0])
    spent = bad / episode.allowed if episode.allowed > 0 else None
    return max(0.0, (alert.from_ms - episode.begin_ms) / 1000), spent


def _lasting_s(alerts: Sequence[Alert], start_ms: int, end_ms: int) -> float:
    lasting, reached = 0, start_ms
    for one in sorted(alerts, key=lambda one: one.from_ms):
        begin, stop = max(one.from_ms, reached), end_ms if one.until_ms is None else min(one.until_ms, end_ms)
        lasting += max(0, stop - begin)
        reached = max(reached, stop)
    return lasting / 1000


def _median_and_most(values: Sequence[float]) -> tuple[float, float] | None:
    return (float(np.median(values)), float(max(values))) if values else None
