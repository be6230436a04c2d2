"""Native histograms as Prometheus's test files write them: `{{schema:1 count:3 sum:4 buckets:[1 2]}}+{{count:1}}x5`.

`notation` reads series with it, tests compare with `same_histogram`. Described in prometheus/prometheus,
docs/configuration/unit_testing_rules.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

from setpoint.errors import InvalidInput
from setpoint.promql.from_telemetry import CUSTOM_SCHEMA, NativeHistogram, ResetHint, Span
from setpoint.promql.native import Histogram, IncompatibleBuckets, add, subtract

__all__ = ["WrittenHistogram", "histograms", "read_histogram", "same_histogram", "tokens"]

_HISTOGRAM = r"\{\{[^{}]*\}\}"
_TOKEN = re.compile(rf"{_HISTOGRAM}(?:[+-]{_HISTOGRAM})?(?:x\d+)?(?=\s|$)|\S+")
_SEQUENCE = re.compile(
    rf"(?P<start>{_HISTOGRAM})(?:(?P<sign>[+-])(?P<delta>{_HISTOGRAM}))?(?:x(?P<count>\d+))?"
)
_FIELD = re.compile(r"\s*(?P<name>\w+)\s*:\s*(?:\[(?P<list>[^\]]*)\]|(?P<value>[^\s\]]+))(?=\s|$)")
_NUMBERS = {"sum", "count", "z_bucket", "z_bucket_w"}
_INTEGERS = {"schema", "offset", "n_offset"}
_LISTS = {"buckets", "n_buckets", "custom_values"}
_HINTS = ("unknown", "reset", "not_reset", "gauge")
_LARGEST_REPEAT = 1_000_000


@dataclass(frozen=True, slots=True)
class WrittenHistogram(NativeHistogram):
    """A histogram from a test file. `hint_given`: the counter reset hint is written, and so must be met."""

    hint_given: bool = False


def tokens(text: str) -> list[str]:
    """The values of a series, one token each, a histogram with what follows it being one."""
    return _TOKEN.findall(text)


def histograms(token: str, number: Callable[[str], float]) -> Iterator[WrittenHistogram]:
    """The histograms that a token stands for; `number` reads a number. Raises InvalidInput."""
    found = _SEQUENCE.fullmatch(token)
    if found is None:
        raise InvalidInput(
            f"{token} is not a histogram; write one such as {{{{count:3 sum:4 buckets:[1 2]}}}}"
        )
    first = read_histogram(found["start"], number)
    count = int(found["count"] or 0)
    if count > _LARGEST_REPEAT:
        raise InvalidInput(f"{token} makes {count} samples; {_LARGEST_REPEAT} are the most")
    yield first
    if found["delta"] is None:
        for _ in range(count):
            yield first
        return
    delta = Histogram.of(read_histogram(found["delta"], number))
    operation = add if found["sign"] == "+" else subtract
    value = Histogram.of(first)
    for _ in range(count):
        if value.layout.schema > delta.layout.schema:
            raise InvalidInput(
                f"{token}: the second histogram has schema {delta.layout.schema}; give it at least that of the "
                f"first, {value.layout.schema}"
            )
        try:
            value = operation(value, delta)[0]
        except IncompatibleBuckets as error:
            raise InvalidInput(f"{token}: one has custom buckets, the other has not") from error
        yield _written(value.stored(), first.hint_given)


def read_histogram(text: str, number: Callable[[str], float]) -> WrittenHistogram:
    """`{{…}}` as a histogram. Raises InvalidInput, which names the field."""
    inner = text.strip().removeprefix("{{").removesuffix("}}").rstrip()
    fields: dict[str, str] = {}
    position = 0
    while position < len(inner):
        found = _FIELD.match(inner, position)
        if found is None:
            raise InvalidInput(f"{text} is not well written at '{inner[position:].strip()}'")
        name, is_list = found["name"], found["list"] is not None
        if name in fields:
            raise InvalidInput(f"{text} has '{name}' twice")
        if is_list != (name in _LISTS) or name not in {*_NUMBERS, *_INTEGERS, *_LISTS, "counter_reset_hint"}:
            known = ", ".join(sorted((*_NUMBERS, *_INTEGERS, *_LISTS, "counter_reset_hint")))
            raise InvalidInput(f"'{name}' is no field of a histogram, or no list; there are {known}")
        fields[name] = found["list"] if is_list else found["value"]
        position = found.end()
    return _histogram(fields, number, text)


def _histogram(fields: dict[str, str], number: Callable[[str], float], text: str) -> WrittenHistogram:
    try:
        schema, offset, n_offset = (int(fields.get(name, "0")) for name in ("schema", "offset", "n_offset"))
    except ValueError:
        raise InvalidInput(f"{text}: schema and offsets are whole numbers") from None
    hint = fields.get("counter_reset_hint", "unknown")
    if hint not in _HINTS:
        raise InvalidInput(f"'{hint}' is no counter_reset_hint; write {', '.join(_HINTS)}")
    if not -4 <= schema <= 8 and schema != CUSTOM_SCHEMA:
        raise InvalidInput(f"{text}: the schema is -4 to 8, or {CUSTOM_SCHEMA}")
    lists = {name: tuple(map(number, fields.get(name, "").split())) for name in _LISTS}
    return WrittenHistogram(
        schema,
        number(fields.get("count", "0")),
        number(fields.get("sum", "0")),
        number(fields.get("z_bucket_w", "0")),
        number(fields.get("z_bucket", "0")),
        _span(offset, lists["buckets"]),
        lists["buckets"],
        _span(n_offset, lists["n_buckets"]),
        lists["n_buckets"],
        lists["custom_values"],
        cast(ResetHint, hint),
        is_float=True,
        hint_given="counter_reset_hint" in fields,
    )


def _span(offset: int, counts: tuple[float, ...]) -> tuple[Span, ...]:
    return ((offset, len(counts)),) if counts else ()


def _written(histogram: NativeHistogram, hint_given: bool) -> WrittenHistogram:
    names = NativeHistogram.__dataclass_fields__
    return WrittenHistogram(**{name: getattr(histogram, name) for name in names}, hint_given=hint_given)


def same_histogram(
    expected: NativeHistogram, found: NativeHistogram, same: Callable[[float, float], bool]
) -> bool:
    """Equal as promqltest compares: numbers by `same`, bucket for bucket, hints where one is written."""
    wanted, given = Histogram.of(expected).stored(), Histogram.of(found).stored()
    exact = ("schema", "zero_threshold", "custom_bounds", "positive_spans", "negative_spans")
    if any(getattr(wanted, name) != getattr(given, name) for name in exact):
        return False
    if (
        isinstance(expected, WrittenHistogram)
        and expected.hint_given
        and wanted.reset_hint != given.reset_hint
    ):
        return False
    numbers = (
        (one.count, one.sum, one.zero_count, *one.positive_counts, *one.negative_counts)
        for one in (wanted, given)
    )
    return all(same(a, b) for a, b in zip(*numbers, strict=True))
