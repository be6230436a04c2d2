"""The only package that imports a database driver: telemetry (ClickHouse) and state (SQLite, PostgreSQL).

`app` opens both once and hands them to the stores; a store keeps its SQL in `queries.sql` beside it
(`load_queries`).
"""

from setpoint.database.columns import Columns
from setpoint.database.folder import DataFolder
from setpoint.database.limited import LimitedQueries, Limits
from setpoint.database.queries import load_queries
from setpoint.database.state import StateDatabase, Transaction
from setpoint.database.telemetry import TelemetryDatabase

__all__ = [
    "Columns",
    "DataFolder",
    "LimitedQueries",
    "Limits",
    "StateDatabase",
    "TelemetryDatabase",
    "Transaction",
    "load_queries",
]
