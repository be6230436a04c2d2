"""What is known of a data source at an instant: for the page, the command, `/metrics`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SourceState", "SourceStatus"]

SourceState = Literal["up", "down", "waiting"]


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """`state`: up (the last answer was good), down (it was not, or never came), waiting (nothing was asked yet).

    `fault` is what it said, or what went wrong; `refused` what it refused although it is up. `since_ms` is when the
    state began, `reached_ms` up to when all samples that are wanted were read. Counters are since the start of the
    server. `requests_per_poll`: into how many requests the selectors are gathered.
    """

    name: str
    url: str
    state: SourceState
    fault: str
    refused: tuple[str, ...]
    since_ms: int
    answered_ms: int | None
    retry_ms: int | None
    failures: int
    latency_s: float | None
    selectors: int
    requests_per_poll: int
    reached_ms: int | None
    series: int
    samples: int
    requests: int
    failed: int
    received_bytes: int
    samples_read: int
