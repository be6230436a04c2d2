"""What the series table is made of: interned strings, label pairs with the series that have them, rows, wire
keys, and the cached answers to matchers. Arrays of numbers and compiled loops over them, because a million
series of ten labels as Python objects would take gigabytes. Nothing here locks: `SeriesTable` does.
"""

__all__: list[str] = []
