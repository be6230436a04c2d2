"""The job that scrapes Setpoint itself, through the same code as every other target.

`app` gives it to the `Scraper`. A job `setpoint` in the configuration stands in its place: to scrape less
often, with other labels, or (without targets) not at all.
"""

from __future__ import annotations

from pathlib import Path

from setpoint.settings import Address
from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.spec import PROTOCOLS, ScrapeConfig

__all__ = ["OWN_JOB", "own_job"]

OWN_JOB = "setpoint"
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that stand for all of the machine's own, and one of those."""


def own_job(listen: Address, token: str) -> Job | None:
    """The job that scrapes `/metrics` at our own address every 15 s; None without a port."""
    if not listen.port:
        return None
    host = _EVERY.get(listen.host, listen.host)
    target = f"[{host}]:{listen.port}" if ":" in host else f"{host}:{listen.port}"
    spec = {
        "job_name": OWN_JOB,
        "scrape_interval": "15s",
        "scrape_timeout": "10s",
        "scrape_protocols": PROTOCOLS,
        "bearer_token": token,
        "static_configs": [{"targets": [target]}],
    }
    return Job(ScrapeConfig.model_validate(spec), Path("/"))
