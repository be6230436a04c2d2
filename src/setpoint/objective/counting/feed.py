"""Where the samples of some objectives come from, as functions: Setpoint's own telemetry, or a data source.

`app` makes them; `book` asks for the one of an objective's `source`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from setpoint.errors import InvalidInput
from setpoint.objective.from_telemetry import Matcher, Select

if TYPE_CHECKING:
    from setpoint.objective.from_telemetry import Head

__all__ = ["Feed", "no_feed"]


@dataclass(frozen=True, slots=True)
class Feed:
    """`select` serves live evaluation and never waits for another server. `take_oldest_write_ms` tells the oldest
    timestamp that came since it was last asked, `oldest_sample_ms` how far back history can be counted (None: there
    is none), `kept_from_ms` since when every sample is still there.

    `fault` tells why nothing comes at present, None when nothing is known to be wrong. `fetch`, where it is not None,
    serves history in its place, and may wait: a thread of its own counts with it. `series`, where it is not None, tells
    the labels of the series that satisfy one of some selectors in a range (ms), without reading samples.
    """

    select: Select
    take_oldest_write_ms: Callable[[], int | None]
    oldest_sample_ms: Callable[[], int | None]
    kept_from_ms: Callable[[], int]
    fetch: Select | None = None
    fault: Callable[[], str | None] = lambda: None
    series: Callable[[Sequence[Sequence[Matcher]], int, int], Sequence[Mapping[str, str]]] | None = None
    head: Head | None = None
    """The recent samples that `select` reads, where they are in memory: many objectives are counted there at once."""


def no_feed(source: str) -> Feed:
    """For a server without data sources. Raises InvalidInput."""
    raise InvalidInput(f"there is no data source '{source}'; leave metricSourceRef out")
