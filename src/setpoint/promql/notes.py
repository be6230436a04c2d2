"""What an answer says beside its values: warnings (it may be wrong) and infos, in Prometheus's words.

Every part of an evaluation adds to the `Notes` of its context; `evaluate` puts their texts into the result. A note
that is made for many series is one text, with the first place that it was made for. The texts are those of
Prometheus's util/annotations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from setpoint.clock import rfc3339
from setpoint.promql.model import FloatGrid, Times
from setpoint.promql.nodes import Node

__all__ = ["Notes", "shown"]

_MOST = 10


def shown(value: float) -> str:
    """A number as Go's %g writes it: shortest digits, with an exponent below 1e-4 and from 1e6."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        text: str = np.format_float_positional(value, trim="-")
        return text
    scientific: str = np.format_float_scientific(value, trim="-", exp_digits=2)
    return scientific


@dataclass(slots=True)
class _Forced:
    """Steps at which buckets were not cumulative, all of one text."""

    place: str
    first_ms: int
    last_ms: int
    lowest: float
    highest: float
    largest: float
    count: int

    def text(self, said: str) -> str:
        first, last = (rfc3339(at_ms // 1000 * 1000)[:19] + "Z" for at_ms in (self.first_ms, self.last_ms))
        return (
            f"{said}, from buckets {shown(self.lowest)} to {shown(self.highest)}, with a max diff of "
            f"{self.largest:.2g}, over {self.count} samples from {first} to {last}"
        )


@dataclass(slots=True)
class Notes:
    """The warnings and infos of one query, by text."""

    _warnings: dict[str, str] = field(default_factory=dict)
    _infos: dict[str, str] = field(default_factory=dict)
    _forced: dict[str, _Forced] = field(default_factory=dict)

    def warn(self, node: Node, text: str) -> None:
        """Add a warning about `node`; `text` without its prefix and place."""
        self._warnings.setdefault(f"PromQL warning: {text}", _place(node))

    def inform(self, node: Node, text: str) -> None:
        """Add an info about `node`."""
        self._infos.setdefault(f"PromQL info: {text}", _place(node))

    def quantile_outside(self, node: Node, quantiles: Sequence[float]) -> None:
        """`node` gave a quantile that is none."""
        for value in quantiles:
            self.warn(node, f"quantile value should be between 0 and 1, got {shown(value)}")

    def malformed_bucket(self, node: Node, name: str, bound: str) -> None:
        """A series that is to be a bucket has no number in `le`."""
        text = f'bucket label "le" is missing or has a malformed value of "{bound}"'
        self.warn(node, f'{text} for metric name "{name}"' if name else text)

    def forced(self, node: Node, name: str, times_ms: Times, fixed: FloatGrid) -> None:
        """The buckets of a histogram were not cumulative: per step `fixed` float64[3, s] of `histogram_quantile`."""
        text = (
            "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
            "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
        )
        if name:
            text += f' for metric name "{name}"'
        steps = np.flatnonzero(fixed[2] > 0)
        first_ms, last_ms = int(times_ms[steps[0]]), int(times_ms[steps[-1]])
        low, high, largest = float(fixed[0].min()), float(fixed[1].max()), float(fixed[2].max())
        known = self._forced.get(text)
        if known is None:
            self._forced[text] = _Forced(_place(node), first_ms, last_ms, low, high, largest, len(steps))
            return
        known.first_ms, known.last_ms = min(known.first_ms, first_ms), max(known.last_ms, last_ms)
        known.lowest, known.highest = min(known.lowest, low), max(known.highest, high)
        known.largest = max(known.largest, largest)
        known.count += len(steps)

    @property
    def warnings(self) -> tuple[str, ...]:
        """At most ten, and how many more there are, as Prometheus's API answers."""
        return _limited([f"{text}{place}" for text, place in self._warnings.items()], "warning")

    @property
    def infos(self) -> tuple[str, ...]:
        """As `warnings`."""
        said = [f"{text}{place}" for text, place in self._infos.items()]
        said += [f"{one.text(text)}{one.place}" for text, one in self._forced.items()]
        return _limited(said, "info")


def _place(node: Node) -> str:
    place = getattr(node, "place", "")
    return f" ({place})" if place else ""


def _limited(texts: list[str], kind: str) -> tuple[str, ...]:
    omitted = len(texts) - _MOST
    if omitted <= 0:
        return tuple(texts)
    return (*texts[:_MOST], f"{omitted} more {kind} annotations omitted")
