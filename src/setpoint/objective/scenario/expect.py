"""What a scenario expects of an objective, how it is written, and whether it is so.

A number is as exact as it is written: `57.1 %` holds for 57.06 %, not for 57.2 %; `57.1 % ± 1 %` says otherwise.
Counts of events must be met. `none` is for what is not known.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from setpoint.clock import rfc3339
from setpoint.errors import InvalidInput
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import ObjectiveStatus
from setpoint.resource.duration import duration_ms, shown_duration
from setpoint.resource.fields import Fields

__all__ = ["NAMES", "Wanted", "read_wanted"]

_NUMBER = re.compile(
    r"(?P<value>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?P<percent>%?)"
    r"(?:\s*(?:±|\+/-)\s*(?P<within>\d+\.?\d*(?:e[+-]?\d+)?)\s*%?)?",
    re.IGNORECASE,
)
_STATES = ("healthy", "burning", "exhausted", "no data")
_ALERT_STATES = ("pending", "firing")
_ROUNDING = 1e-9

Look = Callable[[ObjectiveStatus], str | None]
"""What is found instead, as it would be written; None when it is as expected."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that is expected: the text to show, its line, and the check."""

    name: str
    text: str
    line: int
    look: Look


def read_wanted(fields: Fields, name: str) -> list[Wanted]:
    """What a field of an expectation wants; its faults go to the fields' problems."""
    return _READERS[name](fields, name)


def _state(fields: Fields, name: str) -> list[Wanted]:
    text = fields.text(name)
    if text not in _STATES:
        fields.report(f"'{text}' is no state; write one of {', '.join(_STATES)}", name)
    return [_one(fields, name, text, lambda status: None if status.state == text else status.state)]


def _reason(fields: Fields, name: str) -> list[Wanted]:
    text = fields.text(name)
    return [_one(fields, name, text, lambda status: None if text in status.reason else status.reason)]


def _window_start(fields: Fields, name: str) -> list[Wanted]:
    text = fields.text(name)

    def look(status: ObjectiveStatus) -> str | None:
        found = rfc3339(status.window_start_ms).replace(".000Z", "Z")
        return None if found == text else found

    return [_one(fields, name, text, look)]


def _gap_minutes(fields: Fields, name: str) -> list[Wanted]:
    wanted = fields.whole(name)

    def look(status: ObjectiveStatus) -> str | None:
        return None if status.gap_minutes == wanted else str(status.gap_minutes)

    return [_one(fields, name, str(wanted), look)]


def _ratio(read: Callable[[ObjectiveStatus], float | None]) -> Callable[[Fields, str], list[Wanted]]:
    def reader(fields: Fields, name: str) -> list[Wanted]:
        return [_number(fields, name, fields.text(name), read, is_count=False)]

    return reader


def _count(read: Callable[[ObjectiveStatus], float | None]) -> Callable[[Fields, str], list[Wanted]]:
    def reader(fields: Fields, name: str) -> list[Wanted]:
        return [_number(fields, name, fields.text(name), read, is_count=True)]

    return reader


def _duration(read: Callable[[ObjectiveStatus], float | None]) -> Callable[[Fields, str], list[Wanted]]:
    def reader(fields: Fields, name: str) -> list[Wanted]:
        text = fields.text(name)
        if text == "none":
            return [_one(fields, name, text, lambda status: _spoken(read(status)))]
        wanted_s = fields.duration(name) / 1000
        within_s = _unit_s(text)

        def look(status: ObjectiveStatus) -> str | None:
            found = read(status)
            if found is not None and abs(found - wanted_s) <= within_s:
                return None
            return _spoken(found) or "none"

        return [_one(fields, name, text, look)]

    return reader


def _spoken(found_s: float | None) -> str | None:
    return None if found_s is None else spoken_duration(found_s)


def _unit_s(text: str) -> float:
    """The smallest unit of a duration, in seconds: it is as exact as that."""
    unit = re.sub(r"[\d\s.]", " ", text).split()
    return duration_ms(f"1{unit[-1]}") / 1000 if unit else 1.0


def _burn(fields: Fields, name: str) -> list[Wanted]:
    below = fields.below(name)
    found = []
    for window in below.names if below is not None else ():
        assert below is not None
        try:
            window_s = duration_ms(window) // 1000
        except InvalidInput as error:
            below.report(error.message, window)
            continue
        read = _burn_over(window_s)
        one = _number(below, window, below.text(window), read, is_count=False)
        found.append(Wanted(f"burn over {window}", one.text, one.line, one.look))
    return found


def _burn_over(window_s: int) -> Callable[[ObjectiveStatus], float | str | None]:
    def read(status: ObjectiveStatus) -> float | str | None:
        windows = {one.long_s: one.long_burn for one in status.burn}
        windows |= {one.short_s: one.short_burn for one in status.burn}
        if window_s not in windows:
            known = ", ".join(shown_duration(one * 1000) for one in sorted(windows))
            return f"not measured; the alerts look at {known or 'no window'}"
        return windows[window_s]

    return read


def _alerts(fields: Fields, name: str) -> list[Wanted]:
    below = fields.below(name)
    wanted: dict[str, str] = {}
    for policy in below.names if below is not None else ():
        assert below is not None
        wanted[policy] = below.text(policy)
        if wanted[policy] not in _ALERT_STATES:
            below.report(f"write {' or '.join(_ALERT_STATES)}; those left out must be inactive", policy)

    def look(status: ObjectiveStatus) -> str | None:
        found = {
            one.policy: str(one.state)
            for one in status.alerts
            if one.state != "inactive" and one.severity != "watch"
        }
        return None if found == wanted else _alerts_text(found)

    return [_one(fields, name, _alerts_text(wanted), look)]


def _alerts_text(states: dict[str, str]) -> str:
    return ", ".join(f"{policy} {state}" for policy, state in sorted(states.items())) or "none"


def _number(
    fields: Fields,
    name: str,
    text: str,
    read: Callable[[ObjectiveStatus], float | str | None],
    *,
    is_count: bool,
) -> Wanted:
    if text == "none":
        return _one(fields, name, text, lambda status: _shown(read(status), is_percent=False, digits=6))
    match = _NUMBER.fullmatch(text.strip())
    if match is None:
        fields.report(f"'{text}' is no number; write one such as 12, 57.1 %, 14.4 ± 0.1 or none", name)
        return _one(fields, name, text, lambda status: None)
    is_percent = bool(match["percent"])
    scale = 100.0 if is_percent else 1.0
    wanted = float(match["value"])
    digits = _digits(match["value"])
    within = float(match["within"] or (0.0 if is_count else 0.5 * 10.0**-digits))

    def look(status: ObjectiveStatus) -> str | None:
        found = read(status)
        if isinstance(found, str):
            return found
        is_met = found is not None and abs(found * scale - wanted) <= within + _ROUNDING * max(
            1.0, abs(wanted)
        )
        return None if is_met else _shown(found, is_percent=is_percent, digits=max(6, digits + 2)) or "none"

    return _one(fields, name, text, look)


def _digits(text: str) -> int:
    """How many digits stand behind the point; an exponent moves it."""
    mantissa, _, exponent = text.lower().partition("e")
    return len(mantissa.partition(".")[2]) - int(exponent or 0)


def _shown(found: float | str | None, *, is_percent: bool, digits: int) -> str | None:
    if found is None or isinstance(found, str):
        return found
    if not math.isfinite(found):
        return str(found)
    text = f"{found * (100 if is_percent else 1):.{digits}f}".rstrip("0").rstrip(".")
    return f"{text} %" if is_percent else text


def _one(fields: Fields, name: str, text: str, look: Look) -> Wanted:
    return Wanted(name.replace("_", " "), text, fields.line_of(name), look)


_READERS: dict[str, Callable[[Fields, str], list[Wanted]]] = {
    "state": _state,
    "reason": _reason,
    "budget_left": _ratio(lambda status: status.budget_left),
    "sli": _ratio(lambda status: status.sli),
    "good": _count(lambda status: status.good),
    "bad": _count(lambda status: status.bad),
    "total": _count(lambda status: status.total),
    "burn": _burn,
    "alerts": _alerts,
    "exhaustion": _duration(lambda status: status.exhaustion_s),
    "covered": _duration(lambda status: status.covered_s),
    "gap_minutes": _gap_minutes,
    "window_start": _window_start,
}
NAMES = tuple(_READERS)
