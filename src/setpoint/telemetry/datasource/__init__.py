"""Data sources: other servers that speak Prometheus's HTTP API, whose samples objectives and pages read. `spec` is
the resource kind, `DataSources` keeps a `Source` for each; a source copies the recent samples of the selectors that
are asked for into a head of its own, so that nobody who evaluates ever waits for it.
"""

from setpoint.telemetry.datasource.sources import DataSources
from setpoint.telemetry.datasource.spec import DataSource
from setpoint.telemetry.datasource.status import SourceStatus

__all__ = ["DataSource", "DataSources", "SourceStatus"]
