"""The result of a query by column: what both kinds of access to the telemetry database return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Columns", "run_query"]


class Columns(dict[str, npt.NDArray[Any]]):
    """A result by column name: numpy arrays, all of one length; text and maps have dtype object.

    An empty result names no columns, so any column of it is an empty array.
    """

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        if self:
            raise KeyError(name)
        return np.empty(0)


def run_query(client: Any, statement: str, parameters: Mapping[str, Any]) -> Columns:
    """Run a query with a client of the driver. Raises ClickHouseError."""
    context = client.create_query_context(
        query=statement, parameters=parameters, use_numpy=True, max_str_len=0
    )
    result = client.query(context=context)
    rows = result.np_result
    if not len(rows):
        return Columns()
    if rows.dtype.names is None:  # the columns share one type, so the client made a plain matrix
        return Columns(
            {name: np.ascontiguousarray(rows[:, index]) for index, name in enumerate(result.column_names)}
        )
    return Columns({name: np.ascontiguousarray(rows[name]) for name in result.column_names})
