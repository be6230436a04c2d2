"""The functions and aggregations that can be computed, by name, so that `parse` can refuse the others
offline.

It stands apart from the code that computes them because that needs numpy and the kernels; a test keeps both
equal.
"""

from __future__ import annotations

from setpoint.promql.errors import Unsupported
from setpoint.promql.nodes import Aggregation, Call, Node, walk

__all__ = ["AGGREGATIONS", "FUNCTIONS", "refuse_unsupported"]

_NAMES = """
    abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp
    clamp_max clamp_min cos cosh count_over_time day_of_month day_of_week day_of_year days_in_month deg
    delta deriv double_exponential_smoothing end exp first_over_time floor histogram_avg histogram_count
    histogram_fraction histogram_quantile histogram_quantiles histogram_stddev histogram_stdvar
    histogram_sum hour idelta increase info irate label_join label_replace last_over_time ln log10 log2
    mad_over_time max_of max_over_time min_of min_over_time minute month pi predict_linear
    present_over_time quantile_over_time rad range rate resets round scalar sgn sin sinh sort
    sort_by_label sort_by_label_desc sort_desc sqrt start stddev_over_time stdvar_over_time step
    sum_over_time tan tanh time timestamp ts_of_first_over_time ts_of_last_over_time ts_of_max_over_time
    ts_of_min_over_time vector year
"""
FUNCTIONS = frozenset(_NAMES.split())

AGGREGATIONS = frozenset(
    (
        "avg",
        "bottomk",
        "count",
        "count_values",
        "group",
        "limit_ratio",
        "limitk",
        "max",
        "min",
        "quantile",
        "stddev",
        "stdvar",
        "sum",
        "topk",
    )
)


def refuse_unsupported(node: Node, query: str) -> None:
    """Raise Unsupported, naming the construct, when `node` holds something that cannot be computed yet."""
    for part in walk(node):
        match part:
            case Call() if part.name not in FUNCTIONS:
                raise Unsupported(f"the function {part.name}() is not supported yet; in: {query}")
            case Aggregation() if part.op not in AGGREGATIONS:
                raise Unsupported(f"the aggregation {part.op} is not supported yet; in: {query}")
            case _:
                pass
