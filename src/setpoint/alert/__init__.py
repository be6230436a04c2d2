"""Alerts: Prometheus's rule files, read and evaluated. Recording rules make series, alerting rules make alerts that are
pending, then firing; `setpoint test` runs users' unit tests of such rules on a clock of its own.
"""

__all__: list[str] = []
