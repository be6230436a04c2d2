"""From an alert to who has to be told: the book of alerts, groups and their timers, what is decided for each receiver
and why, and one dispatcher among replicas.
"""

__all__: list[str] = []
