"""Prometheus's functions for templates: `humanize`, `query`, `first`, `reReplaceAll` and the others.

Their answers are Prometheus's to the letter (template/template.go and prometheus/common, helpers/templates), because
annotations are compared by tests and read by people who know them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from setpoint.alert.from_telemetry import compile_expression, is_dangerous
from setpoint.alert.template.instant import Duration, Instant
from setpoint.alert.template.values import Arguments, Sample, type_name
from setpoint.resource.duration import duration_ms

__all__ = ["FUNCTION_NAMES", "Surroundings", "functions"]

_LARGE = ("k", "M", "G", "T", "P", "E", "Z", "Y")
_SMALL = ("m", "u", "n", "p", "f", "a", "z", "y")
_BINARY = ("ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi")
_GROUP = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")
_WORD = re.compile(r"\w+(?:['’.:·]\w+)*")
_LARGEST_NS = 2**63
_LONGEST_MATCHED = 10_000
_LONGEST_REPLACED = 1_000_000
_LARGEST_ARGUMENTS = 1_000_000

Query = Callable[[str], Sequence[Sample]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a template may ask of the world: queries at the instant of the evaluation, and where the server is."""

    query: Query
    at_ms: int = 0
    external_url: str = ""


def _number(value: Any) -> float:
    """Raises ValueError for what is no number."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Duration):
        return value.seconds
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f'strconv.ParseFloat: parsing "{value}": invalid syntax') from None
    raise ValueError(f"can't convert {type_name(value)} to float")


def _g4(value: float) -> str:
    """Go's `%.4g`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return f"{value:.4g}"


def _scaled_down(value: float) -> tuple[float, str]:
    prefix = ""
    for step in _SMALL:
        if abs(value) >= 1:
            break
        prefix, value = step, value * 1000
    return value, prefix


def _scaled_up(value: float, prefixes: Sequence[str], base: float) -> str:
    prefix = ""
    for step in prefixes:
        if abs(value) < base:
            break
        prefix, value = step, value / base
    return f"{_g4(value)}{prefix}"


def _humanize(given: Any) -> str:
    value = _number(given)
    if value == 0 or not math.isfinite(value):
        return _g4(value)
    if abs(value) >= 1:
        return _scaled_up(value, _LARGE, 1000)
    value, prefix = _scaled_down(value)
    return f"{_g4(value)}{prefix}"


def _humanize1024(given: Any) -> str:
    value = _number(given)
    return _g4(value) if abs(value) <= 1 or not math.isfinite(value) else _scaled_up(value, _BINARY, 1024)


def _humanize_duration(given: Any) -> str:
    value = _number(given)
    if not math.isfinite(value):
        return _g4(value)
    if value == 0:
        return f"{_g4(value)}s"
    if abs(value) < 1:
        value, prefix = _scaled_down(value)
        return f"{_g4(value)}{prefix}s"
    sign, value = ("-", -value) if value < 0 else ("", value)
    whole = int(value)
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if not (days or hours or minutes):
        return f"{sign}{_g4(value)}s"
    day, hour = f"{days}d " if days else "", f"{hours}h " if days or hours else ""
    return f"{sign}{day}{hour}{minutes}m {seconds}s"


def _humanize_percentage(given: Any) -> str:
    return f"{_g4(_number(given) * 100)}%"


def _to_time(given: Any) -> Instant:
    value = _number(given)
    if not math.isfinite(value):
        raise ValueError("value is NaN or Inf")
    if abs(value * 1e9) > _LARGEST_NS:
        raise ValueError(
            f"{value:g} cannot be represented as a nanoseconds timestamp since it overflows int64"
        )
    return Instant(int(value * 1e9) // 1_000_000)


def _humanize_timestamp(given: Any) -> str:
    value = _number(given)
    return str(_to_time(value)) if math.isfinite(value) else _g4(value)


def _arguments(*values: Any) -> Arguments:
    found = Arguments({f"arg{index}": value for index, value in enumerate(values)})
    if found.size > _LARGEST_ARGUMENTS:
        raise ValueError(f"the arguments hold more than {_LARGEST_ARGUMENTS} characters")
    return found


def _first(samples: Any) -> Sample:
    found = _samples(samples)
    if not found:
        raise ValueError("first() called on vector with no elements")
    return found[0]


def _samples(given: Any) -> list[Sample]:
    if not isinstance(given, list):
        raise ValueError(f"wrong type for value; expected template.queryResult; got {type_name(given)}")
    return given


def _sample(given: Any) -> Sample:
    if not isinstance(given, Sample):
        raise ValueError(f"wrong type for value; expected *template.sample; got {type_name(given)}")
    return given


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(given)}")
    return given


def _sort_by_label(label: Any, samples: Any) -> list[Sample]:
    name = _text(label)
    return sorted(_samples(samples), key=lambda sample: sample.labels.get(name, ""))


def _replace(pattern: Any, replacement: Any, text: Any) -> str:
    """Go's ReplaceAllString: `$1`, `${name}` and `$name` in the replacement are what the groups matched."""
    expression = _expression(pattern)
    shape, made = _short(replacement), 0

    def expanded(found: re.Match[str]) -> str:
        def group(reference: re.Match[str]) -> str:
            if reference[1]:
                return "$"
            name = reference[2] or reference[3]
            try:
                return found[int(name) if name.isdigit() else name] or ""
            except IndexError:
                return ""

        nonlocal made
        part = _GROUP.sub(group, shape)
        made += len(part)
        if made > _LONGEST_REPLACED:
            raise ValueError(f"the replacements have more than {_LONGEST_REPLACED} characters")
        return part

    return expression.sub(expanded, _short(text))


def _match(pattern: Any, text: Any) -> bool:
    expression = _expression(pattern)
    return expression.search(_short(text)) is not None


def _expression(pattern: Any) -> re.Pattern[str]:
    """Raises ValueError for one that Python could match for ever, though Go cannot."""
    expression = compile_expression(_text(pattern), dot_takes_newlines=False)
    if is_dangerous(expression):
        raise ValueError(
            f"the expression {pattern!r} repeats what repeats; write it without nested repetitions"
        )
    return expression


def _short(text: Any) -> str:
    """Python's expressions can take for ever on long text, unlike Go's."""
    if len(_text(text)) > _LONGEST_MATCHED:
        raise ValueError(
            f"the text has {len(text)} characters; {_LONGEST_MATCHED} are the most for an expression"
        )
    return str(text)


def _title(text: Any) -> str:
    return _WORD.sub(lambda found: found[0][0].title() + found[0][1:], _text(text))


def _host_port(text: str) -> tuple[str, str] | None:
    """Host and port as Go's net.SplitHostPort takes them apart, None where it refuses."""
    found = re.fullmatch(r"\[([^\[\]]*)\]:([^:\[\]]*)|([^:\[\]]*):([^:\[\]]*)", text)
    if found is None:
        return None
    return (found[1], found[2]) if found[1] is not None else (found[3], found[4])


def _strip_port(text: Any) -> str:
    found = _host_port(_text(text))
    return str(text) if found is None else found[0]


def _strip_domain(text: Any) -> str:
    host, port = _host_port(_text(text)) or (str(text), "")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        short = host.split(".")[0]
        return f"{short}:{port}" if port else short
    return str(text)


def _parse_duration(text: Any) -> float:
    sign, magnitude = (-1, text[1:]) if _text(text).startswith("-") else (1, text)
    return sign * duration_ms(magnitude) / 1000


_FREE: dict[str, Callable[..., Any]] = {
    "args": _arguments,
    "first": _first,
    "graphLink": lambda query: f"/graph?g0.expr={quote_plus(_text(query), safe='~')}&g0.tab=0",
    "humanize": _humanize,
    "humanize1024": _humanize1024,
    "humanizeDuration": _humanize_duration,
    "humanizePercentage": _humanize_percentage,
    "humanizeTimestamp": _humanize_timestamp,
    "label": lambda label, sample: _sample(sample).labels.get(_text(label), ""),
    "match": _match,
    "parseDuration": _parse_duration,
    "reReplaceAll": _replace,
    "safeHtml": _text,
    "sortByLabel": _sort_by_label,
    "stripDomain": _strip_domain,
    "stripPort": _strip_port,
    "strvalue": lambda sample: _sample(sample).labels.get("__value__", ""),
    "tableLink": lambda query: f"/graph?g0.expr={quote_plus(_text(query), safe='~')}&g0.tab=1",
    "title": _title,
    "toDuration": lambda seconds: Duration(_number(seconds)),
    "toLower": lambda text: _text(text).lower(),
    "toTime": _to_time,
    "toUpper": lambda text: _text(text).upper(),
    "urlQueryEscape": lambda text: quote_plus(_text(text), safe="~"),
    "value": lambda sample: _sample(sample).value,
}

FUNCTION_NAMES = frozenset(_FREE) | {"externalURL", "now", "pathPrefix", "query"}
"""All functions of this module."""


def functions(around: Surroundings) -> dict[str, Callable[..., Any]]:
    """Name to function; they raise ValueError with Prometheus's words, or InvalidInput."""
    return _FREE | {
        "externalURL": lambda: around.external_url,
        "now": lambda: around.at_ms / 1000,
        "pathPrefix": lambda: urlsplit(around.external_url).path,
        "query": lambda text: list(around.query(_text(text))),
    }
