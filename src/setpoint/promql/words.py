"""What each function and aggregation of PromQL does, in words with gaps for its arguments.

`explain` fills the gaps with the arguments' own words; completion shows them with ellipses. A range argument reads
"over 5 minutes of x", so a gap for one stands where that fits.
"""

from __future__ import annotations

import re

__all__ = ["AGGREGATIONS", "FUNCTIONS", "PARAMETRIC", "hint"]

AGGREGATIONS: dict[str, tuple[str, str]] = {
    "sum": ("summed", "over all series"),
    "avg": ("averaged", "over all series"),
    "min": ("the lowest", "of all series"),
    "max": ("the highest", "of all series"),
    "count": ("counted", "over all series"),
    "group": ("1 for each group", "of all series"),
    "stddev": ("the standard deviation", "of all series"),
    "stdvar": ("the variance", "of all series"),
}
"""Per aggregation that takes no parameter: what it does, and what follows when it has no grouping."""

_RANGED = {
    "absent_over_time": "1 if there is no sample",
    "avg_over_time": "average",
    "changes": "number of changes of value",
    "count_over_time": "number of samples",
    "delta": "change between first and last value",
    "deriv": "per-second slope",
    "first_over_time": "first value",
    "idelta": "change between the last two samples",
    "increase": "increase",
    "irate": "per-second rate between the last two samples",
    "last_over_time": "last value",
    "mad_over_time": "median absolute deviation",
    "max_over_time": "highest value",
    "min_over_time": "lowest value",
    "present_over_time": "1 if there is any sample",
    "rate": "per-second rate",
    "resets": "number of counter resets",
    "stddev_over_time": "standard deviation",
    "stdvar_over_time": "variance",
    "sum_over_time": "sum of the samples",
    "ts_of_first_over_time": "time of the first sample",
    "ts_of_last_over_time": "time of the last sample",
    "ts_of_max_over_time": "time of the highest sample",
    "ts_of_min_over_time": "time of the lowest sample",
}
_OF_ONE = {
    "abs": "absolute value",
    "acos": "arc cosine",
    "acosh": "inverse hyperbolic cosine",
    "asin": "arc sine",
    "asinh": "inverse hyperbolic sine",
    "atan": "arc tangent",
    "atanh": "inverse hyperbolic tangent",
    "cos": "cosine",
    "cosh": "hyperbolic cosine",
    "day_of_month": "day of the month (UTC)",
    "day_of_week": "day of the week (UTC, Sunday is 0)",
    "day_of_year": "day of the year (UTC)",
    "days_in_month": "number of days in the month (UTC)",
    "exp": "exponential",
    "histogram_avg": "average observation",
    "histogram_count": "number of observations",
    "histogram_stddev": "standard deviation of the observations",
    "histogram_stdvar": "variance of the observations",
    "histogram_sum": "sum of the observations",
    "hour": "hour of the day (UTC)",
    "ln": "natural logarithm",
    "log10": "decimal logarithm",
    "log2": "binary logarithm",
    "minute": "minute of the hour (UTC)",
    "month": "month (UTC)",
    "sgn": "sign",
    "sin": "sine",
    "sinh": "hyperbolic sine",
    "sqrt": "square root",
    "tan": "tangent",
    "tanh": "hyperbolic tangent",
    "timestamp": "time of the newest sample",
    "year": "year (UTC)",
}
_OTHERS = {
    "absent": "1 if there is no {0}",
    "ceil": "{0}, rounded up",
    "clamp": "{0}, held between {1} and {2}",
    "clamp_max": "{0}, at most {1}",
    "clamp_min": "{0}, at least {1}",
    "deg": "{0}, from radians to degrees",
    "double_exponential_smoothing": "smoothed value {0} (smoothing {1}, trend {2})",
    "end": "the end of the shown time, in Unix seconds",
    "floor": "{0}, rounded down",
    "histogram_fraction": "share of observations between {0} and {1} in {2}",
    "histogram_quantile": "{0} quantile, estimated from the buckets of {1}",
    "histogram_quantiles": "quantiles, estimated from the buckets of {0}, in the label {1}",
    "holt_winters": "smoothed value {0} (smoothing {1}, trend {2})",
    "info": "{0}, with the labels of its info metrics",
    "label_join": "{0}, with the label {1} joined by {2} from other labels",
    "label_replace": "{0}, with the label {1} set to {2} where {3} matches {4}",
    "max_of": "the larger of {0} and {1}",
    "min_of": "the smaller of {0} and {1}",
    "pi": "π",
    "predict_linear": "value expected {1} seconds ahead, by the straight line {0}",
    "quantile_over_time": "{0} quantile {1}",
    "rad": "{0}, from degrees to radians",
    "range": "the length of the shown time, in seconds",
    "round": "{0}, rounded",
    "scalar": "the single value of {0}",
    "sort": "{0}, smallest first",
    "sort_by_label": "{0}, sorted by label",
    "sort_by_label_desc": "{0}, sorted by label, last first",
    "sort_desc": "{0}, largest first",
    "start": "the start of the shown time, in Unix seconds",
    "step": "the step of the query, in seconds",
    "time": "the time of each step, in Unix seconds",
    "vector": "{0} as a series without labels",
}
FUNCTIONS: dict[str, str] = (
    {name: f"{words} {{0}}" for name, words in _RANGED.items()}
    | {name: f"{words} of {{0}}" for name, words in _OF_ONE.items()}
    | _OTHERS
)
"""Per function its words, with the gaps `{0}`, `{1}`, … for its arguments."""

PARAMETRIC = {
    "bottomk": "the {0} smallest of {1}",
    "count_values": "how many series have each value of {1}, with the value as the label {0}",
    "limit_ratio": "a share of {0} of the series of {1}",
    "limitk": "any {0} series of {1}",
    "quantile": "the {0} quantile across the series of {1}",
    "topk": "the {0} largest of {1}",
}
"""Per aggregation with a parameter its words, with gaps for the parameter and the operand."""


def hint(name: str) -> str:
    """What the function or aggregation `name` does, without its arguments; empty where that is not known."""
    if name in _RANGED:
        return f"{_RANGED[name]} over a range"
    if name in FUNCTIONS:
        return _OF_ONE.get(name) or re.sub(r"\{\d\}", "…", FUNCTIONS[name])
    if name in AGGREGATIONS:
        return AGGREGATIONS[name][0]
    return re.sub(
        r" of \{1\}.*|\{0\}", lambda found: "" if "of" in found[0] else "…", PARAMETRIC.get(name, "")
    )
