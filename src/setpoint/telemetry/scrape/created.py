"""Zeros at the instants that OpenMetrics calls `_created`, so that a new counter's first events count.

A counter that appears with the value 5 has counted five events since it was created; a query that takes
differences of samples would see none of them. `series` asks for the zeros of what has appeared in a scrape.
The zero of one creation is always the same sample, so that writing it again after a restart changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["CREATED", "zeros"]

CREATED = b"_created"
_SUFFIXES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}
_YOUNG_MS = 3_600_000
"""How far back a zero is written; what a series counted before is not ours to count."""

_Group = tuple[str, frozenset[tuple[str, str]]]


def zeros(
    appeared: Iterable[tuple[int, Mapping[str, str], float]], types: Mapping[str, str], at_ms: int
) -> list[tuple[int, int]]:
    """(row, Unix ms) of each series that needs a zero, among the (row, labels, value) that have `appeared` in
    the scrape at `at_ms`. `types` are those of the metric families.
    """
    created: dict[_Group, int] = {}
    counting: dict[_Group, list[int]] = {}
    for row, labels, value in appeared:
        name = labels["__name__"]
        family = name.removesuffix(CREATED.decode())
        if family != name and types.get(family) in _SUFFIXES:
            if abs(value) < 9e15:
                created[_group(family, labels)] = int(value * 1000)
            continue
        for suffix in ("_total", "_bucket", "_count", "_sum"):
            family = name.removesuffix(suffix)
            if family != name and suffix in _SUFFIXES.get(types.get(family, ""), ()):
                counting.setdefault(_group(family, labels), []).append(row)
    return [
        (row, created[group])
        for group, rows in counting.items()
        if group in created and at_ms - _YOUNG_MS <= created[group] < at_ms
        for row in rows
    ]


def _group(family: str, labels: Mapping[str, str]) -> _Group:
    return family, frozenset(pair for pair in labels.items() if pair[0] not in ("__name__", "le"))
