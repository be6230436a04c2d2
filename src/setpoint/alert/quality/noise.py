"""How noisy alert rules are: pages per shift, at night, flapping, and what ended before anyone looked.

Pure: `measure` takes firings and gives figures, with the formula of each. Definitions, with their sources:

- A page is a firing of a severity that pages (`is_paging`). Within 60 s of another page of the same team it is the
  same interruption (PagerDuty's operational reviews count so), and belongs to the rule that woke first. So the pages
  of all rules add up to the pages of all teams.
- A shift has 12 hours, from 08:00 and from 20:00 in the team's zone; two pages in it are as many as somebody can
  handle well (Site Reliability Engineering, chapter "Being On-Call").
- A page is for nothing when nobody looked before it ended, or when the same alert had ended shortly before.
- Noise is the pages for nothing, those at night counted twice. It ranks the rules.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from statistics import median
from zoneinfo import ZoneInfo

from setpoint.alert.quality.firing import Firing
from setpoint.alert.quality.severity import is_paging

__all__ = ["BUNDLE_MS", "PAGES_PER_SHIFT", "SHIFT_MS", "Habits", "Noise", "RuleNoise", "TeamNoise", "measure"]

BUNDLE_MS = 60_000
"""Pages of a team within this time are one interruption."""

SHIFT_MS = 12 * 3600 * 1000
PAGES_PER_SHIFT = 2.0
"""What a shift can bear."""

_SHIFT_BEGINS_H = 8
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class Habits:
    """What counts as night (from which hour to before which), as flapping, and where teams live (zones by team)."""

    night: tuple[int, int] = (22, 8)
    flap_ms: int = 15 * 60_000
    zones: Mapping[str, str] = field(default_factory=dict)

    def zone_of(self, team: str) -> str:
        """The time zone of a team; UTC when it has none."""
        return self.zones.get(team, "UTC")


@dataclass(frozen=True, slots=True)
class RuleNoise:
    """What one rule did in the window; times in milliseconds.

    `firings` are all that began in it, `pages` the interruptions that it began. `ended` of its firings are over,
    `unanswered` of these without anybody having looked; `again` began shortly after the same alert had ended. `wasted`
    of its pages were for nothing, `wasted_at_night` of these at night; `noise` is their sum. `lasted_ms` are the
    lengths of what ended, `gaps_ms` the pauses before what fired again, both ascending.
    """

    rule: str
    source: str
    objective: str
    severity: str
    services: tuple[str, ...]
    teams: tuple[str, ...]
    firings: int
    pages: int
    night_pages: int
    bundled: int
    ended: int
    unanswered: int
    again: int
    wasted: int
    wasted_at_night: int
    longest_ms: int
    median_ms: int | None
    share: float | None
    is_firing: bool
    has_runbook: bool
    last_ms: int
    lasted_ms: tuple[int, ...] = ()
    gaps_ms: tuple[int, ...] = ()

    @property
    def noise(self) -> int:
        """Pages for nothing, those at night twice."""
        return self.wasted + self.wasted_at_night

    @property
    def is_paging(self) -> bool:
        """Whether it wakes somebody."""
        return is_paging(self.severity)


@dataclass(frozen=True, slots=True)
class TeamNoise:
    """What a team's shifts had to bear; `worst` is the begin of the shift with most pages, and how many these were."""

    team: str
    zone: str
    pages: int
    night_pages: int
    wasted: int
    shifts: float
    per_shift: float
    over: int
    worst: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Noise:
    """The measurement of a window: rules with most noise first, teams with most pages first.

    `counts_unsent`: nobody was told of anything that fired in the window, so it counts as if somebody had heard of it;
    else a firing that nobody was told of (muted, without a receiver) is no page, and `unsent` is how many these were.
    """

    since_ms: int
    until_ms: int
    habits: Habits
    rules: tuple[RuleNoise, ...]
    teams: tuple[TeamNoise, ...]
    pages: int
    night_pages: int
    wasted: int
    firings: int
    unsent: int
    counts_unsent: bool


@dataclass(frozen=True, slots=True)
class _Page:
    """An interruption: the firing that woke, whether it was night, whether it was for nothing."""

    firing: Firing
    at_night: bool
    is_wasted: bool


def measure(
    firings: Sequence[Firing],
    since_ms: int,
    until_ms: int,
    habits: Habits | None = None,
    *,
    is_anybody_told: bool = False,
) -> Noise:
    """Measure the firings that began in (`since_ms`, `until_ms`]; what fired before is known only as what flapped.

    `firings` are in order of their beginning. `is_anybody_told`: these are a part, and of others in the window somebody
    was told. Cost: one pass; 50,000 firings take about a second.
    """
    habits = habits or Habits()
    again = _fired_again(firings, habits.flap_ms)
    within = [index for index, one in enumerate(firings) if since_ms < one.started_ms <= until_ms]
    counts_unsent = not (is_anybody_told or any(firings[index].is_told for index in within))
    by_rule: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index in within:
        by_rule[firings[index].source, firings[index].rule].append(index)
    paging = [index for index in within if is_paging(firings[index].severity)]
    heard = [index for index in paging if counts_unsent or firings[index].is_told]
    pages = _interruptions(firings, heard, again, habits)
    pages_of: dict[tuple[str, str], list[_Page]] = defaultdict(list)
    for page in pages:
        pages_of[page.firing.source, page.firing.rule].append(page)
    heard_of = Counter((firings[index].source, firings[index].rule) for index in heard)
    rules = [
        _rule(
            [firings[index] for index in members],
            [again[index] for index in members if index in again],
            pages_of[key],
            heard=heard_of[key],
            total=len(pages),
            until_ms=until_ms,
        )
        for key, members in by_rule.items()
    ]
    rules.sort(key=lambda one: (-one.noise, -one.pages, -one.firings, one.rule, one.source))
    return Noise(
        since_ms=since_ms,
        until_ms=until_ms,
        habits=habits,
        rules=tuple(rules),
        teams=_teams(pages, {firings[index].team for index in paging}, since_ms, until_ms, habits),
        pages=len(pages),
        night_pages=sum(page.at_night for page in pages),
        wasted=sum(page.is_wasted for page in pages),
        firings=len(within),
        unsent=len(paging) - len(heard),
        counts_unsent=counts_unsent,
    )


def _fired_again(firings: Sequence[Firing], flap_ms: int) -> dict[int, int]:
    """By the place of a firing that followed the end of the same alert shortly: how long the pause was."""
    ended: dict[str, int] = {}
    found: dict[int, int] = {}
    for index, one in enumerate(firings):
        before = ended.get(one.identity)
        if before is not None and 0 <= one.started_ms - before <= flap_ms:
            found[index] = one.started_ms - before
        if one.ended_ms is not None:
            ended[one.identity] = one.ended_ms
    return found


def _interruptions(
    firings: Sequence[Firing], heard: Sequence[int], again: Mapping[int, int], habits: Habits
) -> list[_Page]:
    """The pages that interrupted somebody, those within a minute of a team's last one left out."""
    last: dict[str, int] = {}
    found = []
    for index in heard:
        one = firings[index]
        before = last.get(one.team)
        if before is not None and one.started_ms - before < BUNDLE_MS:
            continue
        last[one.team] = one.started_ms
        at_night = _is_night(one.started_ms, habits.zone_of(one.team), habits.night)
        found.append(_Page(one, at_night, index in again or _is_unanswered(one)))
    return found


def _is_unanswered(one: Firing) -> bool:
    return one.ended_ms is not None and one.answered_ms is None


def _rule(
    members: Sequence[Firing],
    gaps_ms: Sequence[int],
    pages: Sequence[_Page],
    *,
    heard: int,
    total: int,
    until_ms: int,
) -> RuleNoise:
    newest = members[-1]
    lasted = sorted(one.ended_ms - one.started_ms for one in members if one.ended_ms is not None)
    running = [until_ms - one.started_ms for one in members if one.ended_ms is None]
    return RuleNoise(
        rule=newest.rule,
        source=newest.source,
        objective=newest.objective,
        severity=newest.severity,
        services=tuple(sorted({one.service for one in members if one.service})),
        teams=tuple(sorted({one.team for one in members if one.team})),
        firings=len(members),
        pages=len(pages),
        night_pages=sum(page.at_night for page in pages),
        bundled=heard - len(pages),
        ended=len(lasted),
        unanswered=sum(_is_unanswered(one) for one in members),
        again=len(gaps_ms),
        wasted=sum(page.is_wasted for page in pages),
        wasted_at_night=sum(page.is_wasted and page.at_night for page in pages),
        longest_ms=max([*lasted[-1:], *running], default=0),
        median_ms=round(median(lasted)) if lasted else None,
        share=len(pages) / total if total else None,
        is_firing=bool(running),
        has_runbook=newest.has_runbook,
        last_ms=newest.started_ms,
        lasted_ms=tuple(lasted),
        gaps_ms=tuple(sorted(gaps_ms)),
    )


def _teams(
    pages: Sequence[_Page], teams: set[str], since_ms: int, until_ms: int, habits: Habits
) -> tuple[TeamNoise, ...]:
    by_team: dict[str, list[_Page]] = {team: [] for team in teams}
    for page in pages:
        by_team[page.firing.team].append(page)
    shifts = (until_ms - since_ms) / SHIFT_MS
    found = []
    for team, mine in by_team.items():
        zone = habits.zone_of(team)
        counts = Counter(_shift(page.firing.started_ms, zone) for page in mine)
        worst = min(counts.items(), key=lambda item: (-item[1], item[0]), default=None)
        found.append(
            TeamNoise(
                team=team,
                zone=zone,
                pages=len(mine),
                night_pages=sum(page.at_night for page in mine),
                wasted=sum(page.is_wasted for page in mine),
                shifts=shifts,
                per_shift=len(mine) / shifts if shifts else 0.0,
                over=sum(count > PAGES_PER_SHIFT for count in counts.values()),
                worst=(_begin_ms(worst[0], zone), worst[1]) if worst else None,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.pages, one.team)))


@lru_cache(maxsize=65_536)
def _offset_ms(quarter: int, zone: str) -> int:
    """How far a zone's clock is ahead of UTC in a quarter of an hour (counted since 1970); clocks change between."""
    offset = datetime.fromtimestamp(quarter * 900, ZoneInfo(zone)).utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)


def _wall_ms(at_ms: int, zone: str) -> int:
    """What a zone's clock shows at an instant, as milliseconds since its own 1970."""
    return at_ms if zone == "UTC" else at_ms + _offset_ms(at_ms // 900_000, zone)


def _is_night(at_ms: int, zone: str, night: tuple[int, int]) -> bool:
    begin, end = night
    hour = _wall_ms(at_ms, zone) // _HOUR_MS % 24
    return begin <= hour < end if begin <= end else hour >= begin or hour < end


def _shift(at_ms: int, zone: str) -> int:
    """The number of the shift of an instant, by the zone's clock: one that has 11 or 13 hours is one, too."""
    return (_wall_ms(at_ms, zone) - _SHIFT_BEGINS_H * _HOUR_MS) // SHIFT_MS


def _begin_ms(shift: int, zone: str) -> int:
    """When a shift begins."""
    wall = datetime(1970, 1, 1, tzinfo=ZoneInfo(zone)) + timedelta(
        milliseconds=shift * SHIFT_MS + _SHIFT_BEGINS_H * _HOUR_MS
    )
    return round(wall.timestamp() * 1000)
