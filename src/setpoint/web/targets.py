"""What is scraped: the page and JSON of targets, Prometheus's `/api/v1/targets`, and reloading.

`Scraper.status` knows; this module filters, sorts and shows. A thousand targets make a short page: what is
down comes first, and what is well is cut off behind a number.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.clock import rfc3339
from setpoint.telemetry.scrape import Health, JobStatus, TargetStatus
from setpoint.web import ready_queries
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.prometheus import Given, answers
from setpoint.web.roles import needs
from setpoint.web.terms import Term, read_terms

__all__ = ["matches", "router"]

HEALTHS: tuple[Health, ...] = ("down", "unknown", "up")
"""From worst to best, which is their order on the page."""

_ROWS, _ROWS_MAX = 200, 5000
_MANY = 100
_DROPPED_SHOWN = 20
_NEVER = "0001-01-01T00:00:00Z"
_WORDS = {"down": "down", "unknown": "waiting", "up": "up"}

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Row:
    """A target on the page; `extra` are its labels but job and instance, `id` names its row."""

    id: str
    target: TargetStatus
    extra: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A job on the page: the rows that are shown, and how many of its targets match in all."""

    job: JobStatus
    rows: Sequence[Row]
    total: int
    counts: Mapping[Health, int]
    intervals_ms: tuple[int, ...]


def matches(target: TargetStatus, terms: Sequence[Term]) -> bool:
    """True when every term holds: `state:`, `job:`, any label as `key:value`, or text in URL, labels or error."""
    return all(_holds(target, term) for term in terms)


def _holds(target: TargetStatus, term: Term) -> bool:
    if not term.key:
        return term.value in _haystack(target)
    if term.key == "state":
        return _WORDS[target.health].startswith(term.value) or target.health.startswith(term.value)
    known = [value for name, value in target.labels.items() if name.lower() == term.key]
    if known:
        return any(term.holds(value.lower()) for value in known)
    # `localhost:9100` is an address and no label.
    return f"{term.key}:{term.value}" in _haystack(target)


def _haystack(target: TargetStatus) -> str:
    return "\n".join([target.url, target.error, *target.labels.values()]).lower()


@router.get("/targets")
@needs("viewer")
def show_targets(
    request: Request, parts: Parts, q: str = "", limit: Annotated[int, Query(ge=1, le=_ROWS_MAX)] = _ROWS
) -> Response:
    status = parts.scraper.status
    everything = [target for job in status.jobs for target in job.targets]
    terms = list(read_terms(q))
    found = [target for target in everything if matches(target, terms)]
    if wants_json(request):
        return json_answer(
            {
                "file": status.file,
                "loaded_ms": status.loaded_ms,
                "fault": status.fault,
                "warnings": status.warnings,
                "items": found,
                "jobs": [
                    {"name": job.name, "dropped": job.dropped_total, "faults": job.faults}
                    for job in status.jobs
                ],
            }
        )
    counts = Counter(target.health for target in everything)
    sections, hidden = _sections(status.jobs, found, limit)
    return render(
        request,
        "targets.html",
        q=q,
        status=status,
        sections=[section for section in sections if section.total or not terms],
        counts={health: counts[health] for health in HEALTHS if counts[health]},
        words=_WORDS,
        total=len(everything),
        found=len(found),
        hidden=hidden,
        explore=_explore,
        more="/targets" + query_string(q=q, limit=min(_ROWS_MAX, 10 * limit)) if hidden else None,
        first=next(
            (row for section in sections for row in section.rows if row.target.health == "down"), None
        ),
        jobs=[job.name for job in status.jobs],
        is_configured=status.file is not None,
        dropped_shown=_DROPPED_SHOWN,
        every_s=4 if len(found) < _MANY else 10,
    )


def _explore(metric: str, target: TargetStatus) -> str:
    """The page of metrics with what a scrape of `target` says of itself, such as `up`."""
    labels = {name: target.labels[name] for name in ("job", "instance") if name in target.labels}
    return ready_queries.address(ready_queries.selector(metric, labels))


def _sections(
    jobs: Sequence[JobStatus], found: Sequence[TargetStatus], limit: int
) -> tuple[list[Section], int]:
    """The jobs, those with something down first, and how many matching targets are not shown.

    When there is not room for all, every job shows what is down before any shows what is well.
    """
    by_job: dict[str, list[TargetStatus]] = {job.name: [] for job in jobs}
    for target in found:
        by_job[target.job].append(target)
    shown = {id(target) for target in sorted(found, key=_rank)[:limit]}
    sections = []
    for job in jobs:
        targets = sorted(by_job[job.name], key=_rank)
        rows = [_row(target) for target in targets if id(target) in shown]
        intervals = sorted({target.interval_ms for target in job.targets})
        counts = Counter(target.health for target in job.targets)
        sections.append(Section(job, rows, len(targets), counts, tuple(intervals)))
    sections.sort(key=lambda section: (not section.counts["down"], section.job.name))
    return sections, max(0, len(found) - limit)


def _rank(target: TargetStatus) -> tuple[int, str, str, str]:
    return HEALTHS.index(target.health), target.job, target.labels.get("instance", ""), target.url


def _row(target: TargetStatus) -> Row:
    digest = hashlib.blake2b(f"{target.job}\n{target.url}\n{target.labels}".encode(), digest_size=8)
    extra = tuple(pair for pair in target.labels.items() if pair[0] not in ("job", "instance"))
    return Row(f"t-{digest.hexdigest()}", target, extra)


@router.post("/-/reload")
@needs("editor")
def reload(parts: Parts) -> Response:
    parts.scraper.reload()
    return json_answer({"status": "reloaded", "jobs": len(parts.scraper.status.jobs)})


@answers(router, "/api/v1/targets")
def targets(parts: App, given: Given) -> Any:
    state, pool = given.get("state").lower(), given.get("scrapePool")
    jobs = [job for job in parts.scraper.status.jobs if pool in ("", job.name)]
    active = [target for job in jobs for target in job.targets] if state in ("", "any", "active") else []
    dropped = jobs if state in ("", "any", "dropped") else []
    return {
        "activeTargets": [_active(target) for target in active],
        "droppedTargets": [
            {"discoveredLabels": labels, "scrapePool": job.name} for job in dropped for labels in job.dropped
        ],
        "droppedTargetCounts": {job.name: job.dropped_total for job in dropped},
    }


@answers(router, "/api/v1/scrape_pools")
def scrape_pools(parts: App, given: Given) -> Any:
    return {"scrapePools": [job.name for job in parts.scraper.status.jobs]}


def _active(target: TargetStatus) -> dict[str, Any]:
    """A target as Prometheus's API has it."""
    return {
        "discoveredLabels": target.discovered,
        "labels": target.labels,
        "scrapePool": target.job,
        "scrapeUrl": target.url,
        "globalUrl": target.url,
        "lastError": target.error,
        "lastScrape": _NEVER if target.last_scrape_ms is None else rfc3339(target.last_scrape_ms),
        "lastScrapeDuration": target.duration_s,
        "health": target.health,
        "scrapeInterval": target.discovered.get("__scrape_interval__", ""),
        "scrapeTimeout": target.discovered.get("__scrape_timeout__", ""),
    }
