"""Ledgers: good and total events of every objective, minute by minute, held as matrices; loaded from and saved in
blocks of hours, sliced and summed without a walk.
"""

__all__: list[str] = []
