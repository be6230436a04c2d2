"""How noisy the alerts are, as page and JSON: rules to mend or delete, and what shifts of each team had to bear.

`alert.quality.noise` measures, `mend` proposes; every figure comes with its formula.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.alert.quality.mend import formulas, lead, proposals, team_formula
from setpoint.alert.quality.noise import PAGES_PER_SHIFT, Habits, Noise, RuleNoise
from setpoint.errors import InvalidInput
from setpoint.resource.duration import duration_ms
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_WINDOWS: Final = (1, 7, 28)
_ON_A_PAGE = 50
_NIGHT = re.compile(r"([01]?\d|2[0-4])-([01]?\d|2[0-4])")
_FLAP_MAX_MS = 86_400_000

router = APIRouter()


@router.get("/noise")
@needs("viewer")
def show_noise(
    request: Request,
    parts: Parts,
    *,
    days: Annotated[int, Query(ge=1, le=28)] = 7,
    team: Annotated[str, Query(max_length=255)] = "",
    service: Annotated[str, Query(max_length=255)] = "",
    night: Annotated[str, Query(max_length=10)] = "22-8",
    flap: Annotated[str, Query(max_length=20)] = "15m",
    order: Annotated[Literal["noise", "pages", "firings"], Query()] = "noise",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = _ON_A_PAGE,
) -> Response:
    habits = Habits(night=_night(night), flap_ms=_flap(flap))
    noise = parts.noise.measure(days, habits=habits, team=team or None, service=service or None)
    rules = _ordered(noise, order)
    shown = [_rule(rule, noise) for rule in rules[offset : offset + limit]]
    asked: dict[str, Any] = {"days": days, "team": team, "service": service, "order": order}
    asked |= {"night": night if night != "22-8" else None, "flap": flap if flap != "15m" else None}
    answer = {
        "lead": lead(noise),
        "days": days,
        "since_ms": noise.since_ms,
        "until_ms": noise.until_ms,
        "night": list(noise.habits.night),
        "flap_s": noise.habits.flap_ms // 1000,
        "pages": noise.pages,
        "night_pages": noise.night_pages,
        "wasted": noise.wasted,
        "firings": noise.firings,
        "unsent": noise.unsent,
        "counts_unsent": noise.counts_unsent,
        "pages_per_shift_at_most": PAGES_PER_SHIFT,
        "teams": [plain(one) | {"formula": team_formula(one)} for one in noise.teams],
        "rules": shown,
        "total": len(rules),
        "next": "/noise" + query_string(**asked, offset=offset + limit)
        if offset + limit < len(rules)
        else None,
    }
    if wants_json(request):
        return json_answer(answer)
    return render(
        request,
        "noise.html",
        **answer,
        asked=asked,
        offset=offset,
        windows=[(size, "/noise" + query_string(**(asked | {"days": size}))) for size in _WINDOWS],
        orders=[
            (name, "/noise" + query_string(**(asked | {"order": name})))
            for name in ("noise", "pages", "firings")
        ],
        whole="/noise" + query_string(**(asked | {"team": "", "service": ""})) if team or service else None,
    )


def _ordered(noise: Noise, order: str) -> list[RuleNoise]:
    if order == "noise":
        return list(noise.rules)
    return sorted(noise.rules, key=lambda rule: (-getattr(rule, order), rule.rule, rule.source))


def _rule(rule: RuleNoise, noise: Noise) -> dict[str, Any]:
    made: dict[str, Any] = plain(rule)
    for name in ("lasted_ms", "gaps_ms"):
        del made[name]
    told = {"noise": rule.noise, "is_paging": rule.is_paging, "formulas": formulas(rule, noise)}
    return made | told | {"proposals": plain(proposals(rule))}


def _night(text: str) -> tuple[int, int]:
    found = _NIGHT.fullmatch(text)
    if found is None or int(found[1]) % 24 == int(found[2]) % 24:
        raise InvalidInput(f"'{text}' is no night; write its hours, such as 22-8")
    return int(found[1]) % 24, int(found[2]) % 24


def _flap(text: str) -> int:
    flap_ms = duration_ms(text)
    if not 0 < flap_ms <= _FLAP_MAX_MS:
        raise InvalidInput("flap is longer than nothing and at most a day; write 15m")
    return flap_ms
