"""Prometheus's rules: read from files and resources, evaluated group by group, and tested as promtool does."""

__all__: list[str] = []
