"""The query language: PromQL parsed by promql-parser, evaluated as matrices of series × steps in compiled
kernels.

This package imports neither numpy nor the kernels, so that a query can be checked offline in no time; who
evaluates imports `setpoint.promql.evaluate`, who answers the Prometheus API `setpoint.promql.format`.
"""

from setpoint.promql.errors import ExecutionError, QueryError, Unsupported
from setpoint.promql.exact import as_increase
from setpoint.promql.nodes import Node, value_type
from setpoint.promql.parse import parse, prettify

__all__ = [
    "ExecutionError",
    "Node",
    "QueryError",
    "Unsupported",
    "as_increase",
    "parse",
    "prettify",
    "value_type",
]
