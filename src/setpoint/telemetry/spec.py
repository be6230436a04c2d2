"""The resource kind of telemetry that a user writes: `Retention` of setpoint/v1.

`resource` validates documents with this model; `register` adds it to a registry. The selectors in it are
PromQL, which this package does not know, so whoever registers the kind hands down how to read them.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from setpoint.resource import Metadata, Part

__all__ = ["API_VERSION", "RetentionKind", "RetentionRule", "days_of"]

API_VERSION: Final = "setpoint/v1"
_DURATION = re.compile(r"(?P<number>[1-9][0-9]{0,4})(?P<unit>[dwy])")
_DAYS = {"d": 1, "w": 7, "y": 365}
_LONGEST_DAYS = 3650


def days_of(text: str) -> int:
    """The days of a duration such as `7d`; ValueError says what can be written instead."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"'{text}' is no number of days; write a whole number and one unit of d, w, y, such as 7d "
            "(samples are dropped by whole days)"
        )
    days = int(match["number"]) * _DAYS[match["unit"]]
    if days > _LONGEST_DAYS:
        raise ValueError(f"{text} is longer than {_LONGEST_DAYS // 365} years; write less, such as 2y")
    return days


def _checked(text: str) -> str:
    days_of(text)
    return text


class RetentionRule(Part):
    match: Annotated[str, Field(min_length=1, max_length=10_000)] = Field(
        description='Which series: a selector such as `{__name__=~"debug_.*", job="api"}`, or a metric\'s name '
        "in which `*` stands for anything, such as `debug_*`."
    )
    keep: Annotated[str, AfterValidator(_checked)] = Field(
        description="How long their samples are kept: a whole number and one of d, w, y (365 d), such as `7d`."
    )


class _RetentionSpec(Part):
    rules: Annotated[list[RetentionRule], Field(min_length=1, max_length=100)] = Field(
        description="The first rule that matches a series counts; what none matches is kept for the setting "
        "retention_days."
    )


class RetentionKind(Part):
    """How long the samples of some metrics are kept, in place of the setting `retention_days`.

    Rules of several resources apply in the order of the resources' names.
    """

    api_version: Literal["setpoint/v1"] = API_VERSION
    kind: Literal["Retention"] = "Retention"
    metadata: Metadata
    spec: _RetentionSpec
