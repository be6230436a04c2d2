"""Who hears of an alert: Alertmanager's configuration as people have it, read with its lines; the tree of routes, what
inhibits what, time intervals; and what the tree would do with given labels, and why.
"""

__all__: list[str] = []
