"""What can be wrong with a query: it does not parse, it cannot be computed yet, or its data contradict it.

These are `InvalidInput`, so that the command line and the page need no case of their own; the Prometheus API
tells them apart by `code`, which for `ExecutionError` is Prometheus's `execution` (HTTP 422). A query that was
stopped is none: the same query may be answered at another time.
"""

from __future__ import annotations

from setpoint.errors import InvalidInput, SetpointError

__all__ = ["ExecutionError", "QueryCanceled", "QueryError", "QueryTimeout", "Unsupported"]


class QueryError(InvalidInput):
    """The query does not parse.

    `query` is the text, `position` the 0-based character at which it goes wrong, or None where that is not
    known.
    """

    code = "bad_data"

    def __init__(self, message: str, query: str, position: int | None = None) -> None:
        self.query = query
        self.position = position
        super().__init__(message)

    @property
    def reason(self) -> str:
        """What is wrong, without the query and the advice."""
        return self.message.partition("; in: ")[0]

    @property
    def advice(self) -> str:
        """What to write instead; empty where that is not obvious."""
        rest = self.message.partition("; in: ")[2]
        return "" if rest == self.query else rest.rpartition("\n")[2] if "\n" in rest else ""


class Unsupported(InvalidInput):
    """The query is valid PromQL that Setpoint cannot compute yet; no answer is better than a wrong one."""

    code = "unsupported"


class ExecutionError(InvalidInput):
    """The query parses but cannot be computed on these data."""

    code = "execution"
    http_status = 422


class QueryTimeout(SetpointError):
    """The query took longer than it may; ask for fewer series or a shorter time."""

    code = "timeout"
    http_status = 503
    exit_code = 6
    retryable = True


class QueryCanceled(SetpointError):
    """Nobody waits for the answer any more."""

    code = "canceled"
    http_status = 499
    exit_code = 6
