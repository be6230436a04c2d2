"""Scraping: targets that a prometheus.yml names are fetched at their interval and stored as Prometheus would.

`load` reads the file, `discover` finds targets, `relabel` and `target` shape their labels, `fetch` gets a
body, `exposition` and `series` make samples of it, `scraper` keeps the rhythm.
"""

__all__: list[str] = []
