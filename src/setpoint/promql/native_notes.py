"""What an answer over native histograms says beside its values, in Prometheus's words (util/annotations).

Every note of the `native_*` modules goes through here, so that their texts stand in one place.
"""

from __future__ import annotations

from setpoint.promql.context import Context
from setpoint.promql.model import NAME, Labels
from setpoint.promql.nodes import Node

__all__ = [
    "bad_type",
    "collision",
    "ignored_in_aggregation",
    "ignored_in_range",
    "incompatible_layout",
    "mixed_aggregation",
    "mixed_classic",
    "mixed_range",
    "mixed_schemas",
    "nan_fraction",
    "nan_result",
    "nan_skew",
    "not_a_counter",
    "not_a_gauge",
    "reconciled",
]


def _warn(context: Context, node: Node, text: str) -> None:
    context.notes.warn(node, text)


def _inform(context: Context, node: Node, text: str) -> None:
    context.notes.inform(node, text)


def _name(labels: Labels) -> str:
    return labels.get(NAME, "")


def _for_name(labels: Labels) -> str:
    return f' for metric name "{_name(labels)}"' if _name(labels) else ""


def mixed_range(context: Context, node: Node, labels: Labels) -> None:
    """A window holds floats and histograms: no value."""
    _warn(
        context,
        node,
        f'encountered a mix of histograms and floats for metric name "{_name(labels)}"',
    )


def mixed_aggregation(context: Context, node: Node) -> None:
    """A group holds floats and histograms: no value."""
    _warn(context, node, "encountered a mix of histograms and floats for aggregation")


def mixed_schemas(context: Context, node: Node, labels: Labels) -> None:
    """Exponential and custom buckets meet: no value."""
    _warn(
        context,
        node,
        "vector contains a mix of histograms with exponential and custom buckets schemas for metric name "
        f'"{_name(labels)}"',
    )


def mixed_classic(context: Context, node: Node, labels: Labels) -> None:
    """A classic and a native histogram have the same labels: no value."""
    _warn(context, node, f"vector contains a mix of classic and native histograms{_for_name(labels)}")


def incompatible_layout(context: Context, node: Node, operator: str) -> None:
    """Exponential and custom buckets on the two sides of an operator: no value."""
    _warn(context, node, f"incompatible bucket layout encountered for binary operator {operator}")


def not_a_counter(context: Context, node: Node, labels: Labels) -> None:
    """rate() and its kin of a gauge."""
    _warn(context, node, f'this native histogram metric is not a counter: "{_name(labels)}"')


def not_a_gauge(context: Context, node: Node, labels: Labels) -> None:
    """delta() and its kin of a counter."""
    _warn(context, node, f'this native histogram metric is not a gauge: "{_name(labels)}"')


def collision(context: Context, node: Node, operation: str) -> None:
    """Of the histograms of an `addition`, `subtraction` or `aggregation` some were reset and some were not."""
    _warn(context, node, f"conflicting counter resets during histogram {operation}")


def reconciled(context: Context, node: Node, operation: str) -> None:
    """Custom bounds differ: only those that all have are left."""
    _inform(context, node, f"mismatched custom buckets were reconciled during {operation}")


def bad_type(context: Context, node: Node, operator: str, left: str, right: str) -> None:
    """An operator between types (`float`, `histogram`) for which it has no meaning: no value."""
    _inform(
        context,
        node,
        f'incompatible sample types encountered for binary operator "{operator}": {left} {operator} {right}',
    )


def ignored_in_aggregation(context: Context, node: Node, op: str) -> None:
    """min(), quantile() and others see floats only."""
    _inform(context, node, f"ignored histogram in {op} aggregation")


def ignored_in_range(context: Context, node: Node, labels: Labels) -> None:
    """min_over_time() and others see floats only, in a window that has some."""
    _inform(
        context,
        node,
        "ignored histograms in a range containing both floats and histograms for metric name "
        f'"{_name(labels)}"',
    )


def nan_result(context: Context, node: Node, labels: Labels) -> None:
    """The quantile lies among observations of NaN."""
    text = f"input to histogram_quantile has NaN observations, result is NaN{_for_name(labels)}"
    _inform(context, node, text)


def nan_skew(context: Context, node: Node, labels: Labels) -> None:
    """Observations of NaN count as the largest."""
    text = f"input to histogram_quantile has NaN observations, result is skewed higher{_for_name(labels)}"
    _inform(context, node, text)


def nan_fraction(context: Context, node: Node, labels: Labels) -> None:
    """Observations of NaN are in no fraction."""
    text = "input to histogram_fraction has NaN observations, which are excluded from all fractions"
    _inform(context, node, f"{text}{_for_name(labels)}")
