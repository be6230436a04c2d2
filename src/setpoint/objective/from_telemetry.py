"""The only door to `telemetry`: the function that fetches samples, whether they are in memory or in the
database, and the names of files that hold secrets.
"""

from __future__ import annotations

from setpoint.telemetry.datasource.spec import SecretFile
from setpoint.telemetry.model import Matcher, Select

__all__ = ["Matcher", "SecretFile", "Select"]
