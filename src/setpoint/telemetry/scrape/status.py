"""What a page or an API shows of scraping: the state of each target and job at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from setpoint.errors import Problem

__all__ = ["Health", "JobStatus", "ScrapeStatus", "TargetStatus"]

Health = Literal["up", "down", "unknown"]
"""How the last scrape of a target went; unknown before the first one."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target; `due_ms` is when it is scraped next. `samples` and `stored` are lines of the last body, and
    those of them left by relabelling; `note` says what of a good scrape was not stored.
    """

    job: str
    url: str
    labels: Mapping[str, str]
    discovered: Mapping[str, str]
    health: Health
    error: str
    note: str
    last_scrape_ms: int | None
    due_ms: int
    duration_s: float
    samples: int
    stored: int
    body_bytes: int
    interval_ms: int
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job: its targets, the discovered labels of those that relabelling dropped, how many those are, and
    what went wrong in finding targets.
    """

    name: str
    targets: tuple[TargetStatus, ...]
    dropped: tuple[Mapping[str, str], ...]
    dropped_total: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScrapeStatus:
    """Everything. `file` is the configuration, None without one; `fault` says why its last change is not
    used; `warnings` what of it is not. `scrapes`, `failed` and `missed` are counts since start: scrapes, those
    that failed, and those that were left out because the one before was not done.
    """

    file: str | None
    loaded_ms: int | None
    fault: str
    warnings: tuple[Problem, ...]
    jobs: tuple[JobStatus, ...]
    scrapes: int
    failed: int
    missed: int
