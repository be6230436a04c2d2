"""Where targets come from: one file per kind of discovery. `scraper` refreshes each at its interval."""

from setpoint.telemetry.scrape.discover.model import Discovery, Refreshed

__all__ = ["Discovery", "Refreshed"]
