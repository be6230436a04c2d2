"""Heartbeats: a job that must be heard from in time, or an alert fires; and Setpoint's own, sent to an outside monitor
and withheld as soon as somebody might not be told.
"""

__all__: list[str] = []
