"""What resources of alerting have in common: durations within bounds, and secrets that must not be there."""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator

from setpoint.errors import InvalidInput
from setpoint.resource.duration import duration_ms

__all__ = ["lasting", "refuse_secret"]


def lasting(shortest_ms: int, longest_ms: int, remedy: str) -> AfterValidator:
    """Validates the text of a duration between two; `remedy` says what to write instead."""

    def check(value: str) -> str:
        try:
            length_ms = duration_ms(value)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        if not shortest_ms <= length_ms <= longest_ms:
            raise ValueError(f"{value} is out of bounds; {remedy}")
        return value

    return AfterValidator(check)


def refuse_secret(value: Any) -> None:
    """Refuse a key that is written where only the name of its file may be. Raises ValueError."""
    if value is not None:
        raise ValueError(
            "a secret does not belong into a resource, which pages, diffs and the timeline show; put it into a file "
            "of the server's secrets folder and write keyFile: NAME"
        )
