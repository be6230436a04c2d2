"""Objectives for a service that has none: SLIs from what it emits by known conventions, targets from what it kept."""

__all__: list[str] = []
