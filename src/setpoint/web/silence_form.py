"""A silence as its form and the API's JSON write it: read into a `Silence`, and written back for a change.

The same words as on the command line: matchers as amtool has them, a duration, a start, an RRULE for what recurs.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from setpoint.alert.route.matcher import Matcher, parse_matchers
from setpoint.alert.silence.model import Silence
from setpoint.clock import rfc3339
from setpoint.errors import InvalidInput, Problem
from setpoint.resource.duration import duration_ms, shown_duration
from setpoint.resource.recurrence import Recurrence, check_rule
from setpoint.resource.zone import zone as known_zone
from setpoint.web.form import Form

__all__ = ["FIELDS", "RULES", "draft_of", "read_matchers", "read_silence"]

FIELDS = ("id", "matchers", "duration", "starts", "every", "zone", "until", "comment", "created_by")

RULES: Mapping[str, str] = {
    "": "once",
    "FREQ=DAILY": "every day",
    "FREQ=WEEKLY": "every week",
    "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR": "on weekdays",
    "FREQ=WEEKLY;BYDAY=SA,SU": "on Saturdays and Sundays",
    "FREQ=MONTHLY": "every month",
}
"""What the form offers beside an RRULE of one's own."""

_DURATION = "2h"
_YEAR_MS = 366 * 86_400_000
_LONGEST_MS = 10 * _YEAR_MS
_MATCHERS_MAX, _COMMENT_MAX = 8192, 2000


def read_matchers(form: Form) -> tuple[Matcher, ...]:
    """The matchers; Raises InvalidInput, also for those that would mute whatever comes."""
    given = form.fields.get("matchers")
    if isinstance(given, list) and all(isinstance(one, str) for one in given):
        given = ", ".join(given)
        form = Form({"matchers": given}, is_json=True)
    text = form.text("matchers", _MATCHERS_MAX)
    matchers = parse_matchers(text) if text else ()
    if not matchers:
        raise _wrong("matchers", 'write at least one, such as alertname="Slow", service="checkout"')
    if all(one.takes_empty for one in matchers):
        raise _wrong(
            "matchers", "these hold for every alert that lacks the labels; write one that names a value"
        )
    return matchers


def read_silence(form: Form, now_ms: int, actor: str) -> Silence:
    """The silence that a form asks for. Raises InvalidInput with every problem, by field."""
    form.only(*FIELDS)
    problems: list[Problem] = []
    matchers: tuple[Matcher, ...] = ()
    try:
        matchers = read_matchers(form)
    except InvalidInput as error:
        problems += error.problems or (Problem(error.message, path="matchers"),)
    comment = form.text("comment", _COMMENT_MAX)
    if not comment:
        problems.append(Problem("say why, for those who wonder what is quiet", path="comment"))
    starts_ms = lasts_ms = now_ms
    try:
        zone = known_zone(form.text("zone", 100, "UTC"))
        starts_ms = _instant(form.text("starts", 40), zone, now_ms, "starts")
        lasts_ms = _duration(form.text("duration", 40, _DURATION))
        recurrence = _recurrence(form.text("every", 500), zone, starts_ms, lasts_ms)
        ends_ms = starts_ms + lasts_ms
        if recurrence is not None:
            ends_ms = _instant(form.text("until", 40), zone, starts_ms + _YEAR_MS, "until")
        if ends_ms <= max(starts_ms, now_ms):
            raise _wrong("until" if recurrence else "duration", "it would be over already; let it end later")
    except InvalidInput as error:
        problems += error.problems or (Problem(error.message),)
    except ValueError as error:
        problems.append(Problem(str(error), path="zone"))
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return Silence(
        id=form.text("id", 100),
        matchers=matchers,
        starts_ms=starts_ms,
        ends_ms=ends_ms,
        created_by=form.text("created_by", 255, actor),
        comment=comment,
        updated_ms=now_ms,
        recurrence=recurrence,
    )


def draft_of(silence: Silence) -> dict[str, str]:
    """What a form shows to change a silence."""
    recurrence = silence.recurrence
    lasts_ms = recurrence.duration_minutes * 60_000 if recurrence else silence.ends_ms - silence.starts_ms
    return {
        "id": silence.id,
        "matchers": ", ".join(map(str, silence.matchers)),
        "duration": shown_duration(lasts_ms - lasts_ms % 1000),
        "starts": rfc3339(silence.starts_ms),
        "every": recurrence.rule if recurrence else "",
        "zone": recurrence.time_zone if recurrence else "UTC",
        "until": rfc3339(silence.ends_ms) if recurrence else "",
        "comment": silence.comment,
        "created_by": silence.created_by,
    }


def _recurrence(rule: str, zone: str, starts_ms: int, lasts_ms: int) -> Recurrence | None:
    if not rule:
        return None
    if lasts_ms < 60_000:
        raise _wrong("duration", "what recurs lasts a minute at least")
    local = datetime.fromtimestamp(starts_ms / 1000, ZoneInfo(zone)).replace(tzinfo=None, microsecond=0)
    recurrence = Recurrence(local.isoformat(), zone, rule.removeprefix("RRULE:"), round(lasts_ms / 60_000))
    wrong = check_rule(recurrence)
    if wrong:
        raise _wrong("every", wrong)
    return recurrence


def _duration(text: str) -> int:
    try:
        lasts_ms = duration_ms(text)
    except InvalidInput as error:
        raise _wrong("duration", f"'{text}' is no duration; write 30m, 2h or 3d") from error
    if not 0 < lasts_ms <= _LONGEST_MS:
        raise _wrong("duration", "it lasts longer than nothing and at most ten years; write 30m, 2h or 3d")
    return lasts_ms


def _instant(text: str, zone: str, default_ms: int, path: str) -> int:
    """An instant as ISO 8601; by the clock of `zone` when it names no offset."""
    if not text:
        return default_ms
    try:
        at = datetime.fromisoformat(text)
        aware = at if at.tzinfo is not None else at.replace(tzinfo=ZoneInfo(zone))
        at_ms = round(aware.astimezone(UTC).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise _wrong(path, f"'{text}' is no time; write 2026-01-02T22:00, or with an offset or Z") from error
    if not 0 <= at_ms <= default_ms + _LONGEST_MS:
        raise _wrong(path, "that is too far away; write a time within ten years")
    return at_ms


def _wrong(path: str, message: str) -> InvalidInput:
    return InvalidInput(problems=(Problem(message, path=path),))
