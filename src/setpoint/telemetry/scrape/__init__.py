"""Scraping: targets that a prometheus.yml names are fetched at their interval and stored as Prometheus would.

`load` reads the file, `discover` finds targets, `relabel` and `target` shape their labels, `fetch` gets a
body, `exposition` and `series` make samples of it, `scraper` keeps the rhythm.
"""

from setpoint.telemetry.scrape.exposition import warm
from setpoint.telemetry.scrape.own import own_job
from setpoint.telemetry.scrape.scraper import Scraper
from setpoint.telemetry.scrape.status import Health, JobStatus, ScrapeStatus, TargetStatus

__all__ = ["Health", "JobStatus", "ScrapeStatus", "Scraper", "TargetStatus", "own_job", "warm"]
