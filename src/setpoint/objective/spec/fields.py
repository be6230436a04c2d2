"""Fields that several kinds share, each with the sentence that says what to write instead.

Every check raises at the field that has to change; `resource` turns the place into a line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, field_validator
from pydantic_core import InitErrorDetails

from setpoint.objective.duration import parse_duration
from setpoint.resource import Metadata, Part
from setpoint.resource.zone import zone

__all__ = [
    "API_VERSION",
    "Annotations",
    "Comparison",
    "Description",
    "Fault",
    "InlineMetadata",
    "Labels",
    "Name",
    "Number",
    "OpenSloMetadata",
    "Target",
    "TargetPercent",
    "decimal_of",
    "duration_field",
    "error_at",
    "errors_at",
    "ratio_of",
    "zone",
]

API_VERSION: Final = "openslo/v1"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_DNS = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.ASCII)
_PREFIX_MAX = 253
_DIGITS_MAX = 40


Fault = tuple[tuple[str | int, ...], str]
"""A place below the model that is being validated, and the sentence that says what to write there."""


def error_at(value: Any, place: tuple[str | int, ...], sentence: str) -> ValidationError:
    """An error at `place` below the model that is being validated, to be raised in its validator."""
    return errors_at(value, [(place, sentence)])


def errors_at(value: Any, faults: Sequence[Fault]) -> ValidationError:
    """Several errors at once."""
    details = [
        InitErrorDetails(type="value_error", loc=place, input=value, ctx={"error": ValueError(sentence)})
        for place, sentence in faults
    ]
    return ValidationError.from_exception_data("document", details)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"'{value[:80]}' is no name; write up to 63 lower-case letters, digits and '-', such as checkout"
        )
    return value


def decimal_of(value: Any) -> Any:
    """A YAML number as the decimal number that was written."""
    if value is None or isinstance(value, Decimal):
        return value
    try:
        if isinstance(value, bool) or len(str(value)) > _DIGITS_MAX:
            raise InvalidOperation
        number = Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"'{str(value)[:80]}' is no number; write one, such as 0.999") from error
    if not number.is_finite():
        raise ValueError(f"'{value}' is no number that can be used; write a finite one")
    return number


def _target(value: Decimal) -> Decimal:
    if 0 < value <= 1 and float(value) == 1:
        raise ValueError(
            "a target of 100 % leaves no error budget: the first failure would spend more than all of it, "
            "and no decision could rest on it; write the most that users would notice, such as 0.999"
        )
    if not 0 < float(value) < 1:
        hint = f", or targetPercent: {value}" if 1 < value < 100 else ""
        raise ValueError(
            f"{value} is no ratio of events; write a number between 0 and 1, such as 0.999{hint}"
        )
    return value


def _target_percent(value: Decimal) -> Decimal:
    if not 0 < value <= 100:
        raise ValueError(
            f"{value} is no percentage of events; write a number between 0 and 100, such as 99.9"
        )
    _target(value / 100)
    return value


def duration_field(shortest_s: int, longest_s: int, spoken: str) -> AfterValidator:
    """A duration of OpenSLO from `shortest_s` to `longest_s`; `spoken` says in a sentence what to write."""

    def check(value: str) -> str:
        if value == "0m" and shortest_s == 0:
            return value
        seconds = parse_duration(value)
        if value.strip().endswith("s"):
            raise ValueError(
                f"'{value}' is in seconds, which OpenSLO does not have; write minutes, such as 5m"
            )
        if not shortest_s <= seconds <= longest_s:
            raise ValueError(f"{value} is out of bounds; write {spoken}")
        return value.strip()

    return AfterValidator(check)


def ratio_of(target: Decimal | None, percent: Decimal | None) -> float:
    """A target between 0 and 1, of the two ways to write it."""
    return float(target if target is not None else (percent or Decimal(0)) / 100)


Name = Annotated[str, AfterValidator(_name)]
Number = BeforeValidator(decimal_of)
Target = Annotated[Decimal, Number, AfterValidator(_target)]
TargetPercent = Annotated[Decimal, Number, AfterValidator(_target_percent)]
Comparison = Literal["lte", "gte", "lt", "gt"]
Description = Annotated[str, Field(max_length=1050)]


def _labels(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(
                f"'{key[:80]}' is no key of a label; write up to 63 letters, digits, '-', '_' and '.', with a "
                "letter or digit at both ends"
            )
    return value


def _annotations(value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        prefix, slash, name = key.rpartition("/")
        is_prefix = not slash or (len(prefix) <= _PREFIX_MAX and _DNS.fullmatch(prefix))
        if not is_prefix or not _LABEL_KEY.fullmatch(name):
            raise ValueError(
                f"'{key[:80]}' is no key of an annotation; write a name of up to 63 letters, digits, '-', '_' and "
                "'.', if need be after a domain and '/', such as example.com/dashboard"
            )
    return value


Labels = Annotated[dict[str, str | list[str]], AfterValidator(_labels)]
Annotations = Annotated[dict[str, str], AfterValidator(_annotations)]


class OpenSloMetadata(Metadata):
    """OpenSLO's metadata: the name, and what people and tools add to it."""

    @field_validator("labels")
    @classmethod
    def _keys_of_labels(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _labels(value)

    @field_validator("annotations")
    @classmethod
    def _keys_of_annotations(cls, value: dict[str, Any]) -> dict[str, Any]:
        return _annotations(value)


class InlineMetadata(Part):
    """The metadata of what is written inside another document; the name may be left out."""

    name: str = ""
    display_name: str = ""
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
