"""Reports: what was promised and kept in a week, month or quarter, for a service, a team or everything; compiled from
ledgers and the timeline, shown as page, Markdown, CSV and JSON, made when they are due and kept.
"""

from setpoint.report.compile import compile_report
from setpoint.report.model import Report, Scope
from setpoint.report.period import Period, period_at, read_period

__all__ = ["Period", "Report", "Scope", "compile_report", "period_at", "read_period"]
