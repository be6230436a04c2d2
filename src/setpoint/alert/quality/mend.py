"""What to do about a noisy rule: the reasons it stands out, and a change with what it would have done to this window.

Each proposal is computed from what the rule did: "with `for: 5m` more, 6 of 9 firings would not have been" counts the
firings that lasted less. Pages and the command line print these; nothing is changed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from setpoint.alert.from_objective import spoken_duration
from setpoint.alert.quality.noise import PAGES_PER_SHIFT, Noise, RuleNoise, TeamNoise

__all__ = ["Proposal", "formulas", "lead", "proposals", "team_formula"]

_MINUTES = (1, 2, 5, 10, 15, 30)
_FEW = 5
"""So many firings that nobody answered are a habit, fewer may be chance."""
_LONG_MS = 7 * 86_400_000


@dataclass(frozen=True, slots=True)
class Proposal:
    """Why a rule is noisy, in a sentence with its numbers; and what would mend it, in one with its effect."""

    reason: str
    mend: str


def proposals(rule: RuleNoise) -> list[Proposal]:
    """What stands out of a rule, the strongest first; empty when nothing does."""
    return [
        *_never_answered(rule),
        *_flaps(rule),
        *_short(rule),
        *_nights(rule),
        *_lasts(rule),
        *_no_runbook(rule),
    ]


def _never_answered(rule: RuleNoise) -> Iterator[Proposal]:
    if rule.ended < _FEW or rule.unanswered < rule.ended:
        return
    yield Proposal(
        f"all {rule.ended} firings ended before anyone looked: it may not be actionable",
        "delete it, or lower it to a ticket: take away the severity that pages"
        if rule.is_paging
        else "delete it, or make it a panel of a dashboard",
    )


def _flaps(rule: RuleNoise) -> Iterator[Proposal]:
    if rule.again < 2 or rule.again * 4 < rule.firings:
        return
    longest_ms = rule.gaps_ms[-1]
    minutes = next((minutes for minutes in _MINUTES if minutes * 60_000 >= longest_ms), _MINUTES[-1])
    joined = sum(gap <= minutes * 60_000 for gap in rule.gaps_ms)
    yield Proposal(
        f"it flaps: {rule.again} of {rule.firings} firings came shortly after the same alert had ended",
        f"give the policy a longer window, and try it: setpoint backtest {rule.objective}"
        if rule.objective
        else f"set keep_firing_for: {minutes}m; it would have joined {joined} of these {rule.again} to the one before",
    )


def _short(rule: RuleNoise) -> Iterator[Proposal]:
    """A longer `for`, where most firings that nobody answered were over soon."""
    if rule.unanswered < 3 or rule.unanswered * 2 < rule.ended:
        return
    for minutes in _MINUTES[:5]:
        gone = sum(lasted < minutes * 60_000 for lasted in rule.lasted_ms)
        if gone * 2 >= rule.ended:
            break
    else:
        return
    yield Proposal(
        f"{rule.unanswered} of {rule.ended} firings ended before anyone looked; "
        f"half were over within {spoken_duration((rule.median_ms or 0) / 1000)}",
        f"raise the threshold or its windows, and try it: setpoint backtest {rule.objective}"
        if rule.objective
        else f"raise `for` by {minutes}m: {gone} of {rule.ended} firings would not have been; the others come later",
    )


def _nights(rule: RuleNoise) -> Iterator[Proposal]:
    if rule.wasted_at_night >= 2:
        yield Proposal(
            f"{rule.wasted_at_night} of {rule.night_pages} pages at night came to nothing",
            "let it wait for the morning: a route with a time interval, or a severity that does not page",
        )


def _lasts(rule: RuleNoise) -> Iterator[Proposal]:
    if rule.longest_ms >= _LONG_MS:
        yield Proposal(
            f"one firing lasted {spoken_duration(rule.longest_ms / 1000)}: nobody waits for it to end",
            "mend what it tells of, or delete it; a silence only hides it",
        )


def _no_runbook(rule: RuleNoise) -> Iterator[Proposal]:
    if rule.is_paging and not rule.has_runbook and not rule.objective:
        yield Proposal(
            "whoever it wakes finds no runbook",
            "add the annotation runbook_url: what to look at, and what to do first",
        )


def formulas(rule: RuleNoise, noise: Noise) -> dict[str, str]:
    """Each figure of a rule with the numbers that it comes from."""
    begin, end = noise.habits.night
    heard = rule.pages + rule.bundled
    what = "firings" if noise.counts_unsent else "firings that somebody was told of"
    told = {
        "noise": f"noise = pages for nothing + those at night = {rule.wasted} + {rule.wasted_at_night} = {rule.noise}",
        "pages": f"pages = {what} − within 60 s of another page of the team = {heard} − {rule.bundled} = {rule.pages}",
        "wasted": f"pages for nothing: {rule.wasted} of {rule.pages} ended before anyone acknowledged, silenced or "
        "opened it, or came shortly after the same alert had ended",
        "night": f"at night (from {begin}:00 to {end}:00, in the team's zone): {rule.night_pages} of {rule.pages}",
        "again": f"fired again within {spoken_duration(noise.habits.flap_ms / 1000)} of its end: "
        f"{rule.again} of {rule.firings} firings",
        "unanswered": f"ended before anyone looked: {rule.unanswered} of {rule.ended} that ended",
    }
    if rule.share is not None:
        told["share"] = (
            f"share = its pages / all pages = {rule.pages} / {noise.pages} = {100 * rule.share:.3g} %"
        )
    if not rule.is_paging:
        del told["noise"], told["pages"], told["wasted"], told["night"]
        told.pop("share", None)
    return told


def team_formula(team: TeamNoise) -> str:
    """How many pages a shift of a team had to bear."""
    return (
        f"pages per shift = pages / shifts of 12 h = {team.pages} / {team.shifts:.4g} = {team.per_shift:.2g}; "
        f"{PAGES_PER_SHIFT:.0f} are as many as one can bear"
    )


def lead(noise: Noise) -> str:
    """The measurement in a sentence."""
    days = round((noise.until_ms - noise.since_ms) / 86_400_000)
    when = "in a day" if days == 1 else f"in {days} days"
    if not noise.firings:
        return f"Nothing fired {when}."
    if not noise.pages:
        return f"{noise.firings:,} {_word('alert', noise.firings)} fired {when}; none of them woke anybody."
    nights = f", {noise.night_pages} of them at night" if noise.night_pages else ""
    wasted = f"; {noise.wasted} came to nothing" if noise.wasted else ""
    return f"{noise.pages:,} {_word('page', noise.pages)} {when}{nights}{wasted}."


def _word(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
