"""Where the samples of some objectives come from, as functions: Setpoint's own telemetry, or a data source.

`app` makes them; `book` asks for the one of an objective's `source`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from setpoint.errors import InvalidInput
from setpoint.objective.from_telemetry import Select

__all__ = ["Feed", "no_feed"]


@dataclass(frozen=True, slots=True)
class Feed:
    """`select` serves live evaluation and never waits for another server. `take_oldest_write_ms` tells the oldest
    timestamp that came since it was last asked, `oldest_sample_ms` how far back history can be counted (None: there
    is none), `kept_from_ms` since when every sample is still there.

    `fault` tells why nothing comes at present, None when nothing is known to be wrong. `fetch`, where it is not None,
    serves history in its place, and may wait: a thread of its own counts with it.
    """

    select: Select
    take_oldest_write_ms: Callable[[], int | None]
    oldest_sample_ms: Callable[[], int | None]
    kept_from_ms: Callable[[], int]
    fetch: Select | None = None
    fault: Callable[[], str | None] = lambda: None


def no_feed(source: str) -> Feed:
    """For a server without data sources. Raises InvalidInput."""
    raise InvalidInput(f"there is no data source '{source}'; leave metricSourceRef out")
