"""Counting history: what was stored is loaded, what it lacks is counted newest first in threads beside the ticks."""

__all__: list[str] = []
