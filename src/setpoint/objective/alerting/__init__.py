"""Alerts of all objectives: the policies and the published tables they come from, the rows that they are judged by,
and the words in which they are told.
"""

__all__: list[str] = []
