"""Go's fmt: `printf "%.2f" $value` in a template, with what Go writes where verb and value do not fit.

Annotations are read by people and compared by tests, so a mistake such as `%d` of a float must look as in Prometheus:
`%!d(float64=12.5)`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from setpoint.alert.template.instant import Duration, Named
from setpoint.alert.template.values import shown, shown_float, type_name

__all__ = ["quoted", "sprint", "sprintf", "sprintln"]

_VERB = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\*|\d*)(?:\.(?P<precision>\*|\d*))?(?P<verb>.)?", re.DOTALL
)
_WIDEST = 10_000
_INTEGER_VERBS = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}


@dataclass(frozen=True, slots=True)
class _Form:
    """Flags, width and precision of one verb."""

    flags: str = ""
    width: int = 0
    precision: int | None = None

    def padded(self, text: str, *, is_number: bool = False) -> str:
        if "-" in self.flags:
            return text.ljust(self.width)
        if "0" in self.flags and is_number and len(text) < self.width:
            sign = text[:1] if text[:1] in "+-" else ""
            return sign + text[len(sign) :].rjust(self.width - len(sign), "0")
        return text.rjust(self.width)

    def signed(self, text: str) -> str:
        if text.startswith(("-", "+")):
            return text
        return f"+{text}" if "+" in self.flags else f" {text}" if " " in self.flags else text


def sprintf(layout: str, arguments: Sequence[Any]) -> str:
    """`layout` with its verbs filled."""
    found: list[str] = []
    position = taken = 0
    while (match := _VERB.search(layout, position)) is not None:
        found.append(layout[position : match.start()])
        position = match.end()
        verb = match["verb"]
        if verb is None:
            found.append("%!(NOVERB)")
            continue
        if verb == "%":
            found.append("%")
            continue
        numbers = []
        for text in (match["width"], match["precision"]):
            if text == "*":
                given = arguments[taken] if taken < len(arguments) else None
                taken += 1
                numbers.append(given if isinstance(given, int) else 0)
            else:
                numbers.append(int(text or 0))
        precision = None if match["precision"] is None else min(numbers[1], _WIDEST)
        form = _Form(match["flags"], min(numbers[0], _WIDEST), precision)
        if taken >= len(arguments):
            found.append(f"%!{verb}(MISSING)")
            continue
        found.append(_value(form, verb, arguments[taken]))
        taken += 1
    found.append(layout[position:])
    if taken < len(arguments):
        extra = ", ".join(_with_type(value) for value in arguments[taken:])
        found.append(f"%!(EXTRA {extra})")
    return "".join(found)


def _with_type(value: Any) -> str:
    return "<nil>" if value is None else f"{type_name(value)}={shown(value)}"


def _value(form: _Form, verb: str, value: Any) -> str:
    text = _known(form, verb, value)
    if text is not None:
        return text
    if value is None:
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_name(value)}={_known(form, 'v', value) or shown(value)})"


def _known(form: _Form, verb: str, value: Any) -> str | None:  # noqa: PLR0911
    """`value` by `verb`, or None where they do not fit."""
    if verb == "T":
        return form.padded(type_name(value))
    match value:
        case None:
            return form.padded("<nil>") if verb == "v" else None
        case bool():
            return form.padded("true" if value else "false") if verb in "tv" else None
        case Named() if verb in "vs":
            return form.padded(str(value))
        case int():
            return _integer(form, verb, value)
        case float():
            return _float(form, verb, value)
        case str():
            return _text(form, verb, value)
        case Duration() if verb not in "vsq":
            return _integer(form, verb, value.nanoseconds)
        case _ if verb == "q":
            return form.padded(quoted(shown(value)))
        case _:
            return form.padded(shown(value)) if verb in "vs" else None


def _integer(form: _Form, verb: str, value: int) -> str | None:
    verb = "d" if verb == "v" else verb
    if verb == "c":
        return form.padded(chr(value) if 0 <= value < 0x110000 else "\ufffd")
    if verb == "q":
        return form.padded(f"'{chr(value)}'") if 0 <= value < 0x110000 else None
    if verb == "U":
        return form.padded(f"U+{value:04X}")
    if verb not in _INTEGER_VERBS:
        return None
    digits = format(abs(value), _INTEGER_VERBS[verb])
    if form.precision is not None:
        digits = digits.rjust(form.precision, "0")
        form = replace(form, flags=form.flags.replace("0", ""))
    if "#" in form.flags and verb in "xXob":
        digits = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}[verb] + digits
    return form.padded(form.signed(f"-{digits}" if value < 0 else digits), is_number=True)


def _float(form: _Form, verb: str, value: float) -> str | None:
    if verb not in "veEfFgG":
        return None
    if not math.isfinite(value):
        text = shown_float(value)
        if not math.isnan(value) and value > 0 and "+" not in form.flags:
            text = "+Inf"
        return replace(form, flags=form.flags.replace("0", "")).padded(
            text if text[0] in "+-" else form.signed(text)
        )
    if verb in "vgG" and form.precision is None:
        text = shown_float(value)
        text = text.upper() if verb == "G" else text
    else:
        precision = 6 if form.precision is None else form.precision
        text = f"{value:.{precision}{'g' if verb == 'v' else verb}}"
    return form.padded(form.signed(text), is_number=True)


def _text(form: _Form, verb: str, value: str) -> str | None:
    if verb not in "vsqxX":
        return None
    if form.precision is not None:
        value = value[: form.precision]
    if verb == "q":
        value = f"`{value}`" if "#" in form.flags and "`" not in value else quoted(value)
    elif verb in "xX":
        value = value.encode().hex()
        value = value.upper() if verb == "X" else value
    return form.padded(value)


def quoted(text: str) -> str:
    """`text` as a string literal of Go."""
    return json.dumps(text, ensure_ascii=False)


def sprint(values: Sequence[Any]) -> str:
    """Go's Sprint: a space between neighbours of which neither is text."""
    parts: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            parts.append(" ")
        parts.append("<nil>" if value is None else shown(value))
    return "".join(parts)


def sprintln(values: Sequence[Any]) -> str:
    """Go's Sprintln: a space between all, and a line's end."""
    return " ".join("<nil>" if value is None else shown(value) for value in values) + "\n"
