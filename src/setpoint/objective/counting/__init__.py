"""Counting the events of thousands of objectives at once: what their queries say, in one pass over the samples that
are new.
"""

__all__: list[str] = []
