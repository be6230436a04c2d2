"""Whose fault it is when a query of somebody else fails, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from setpoint.database import LimitedQueries, Limits
from setpoint.errors import InvalidInput, SetpointError, Unavailable


class Failing:
    """A client whose queries end with an error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def create_query_context(self, **options: Any) -> None:
        raise self._error


def told(error: Exception) -> SetpointError:
    settings: list[Mapping[str, Any]] = []

    def open_client(wanted: Mapping[str, Any]) -> Failing:
        settings.append(wanted)
        return Failing(error)

    limited = LimitedQueries(open_client, Limits(seconds=2.5, memory_bytes=100_000_000))
    with pytest.raises(SetpointError) as raised:
        limited.query("SELECT 1")
    assert list(settings[0])[-1] == "readonly"
    return raised.value


@pytest.mark.parametrize(
    "message, sentence",
    [
        (
            "Code: 62. DB::Exception: Syntax error: failed at position 7 (1): 1 FORMAT Native. Expected one of: token, "
            "Dot. (SYNTAX_ERROR)",
            "Syntax error: failed at position 7 (1): 1 FORMAT Native",
        ),
        (
            ":HTTPDriver for http://db:8123 returned response code 404)\n Code: 60. DB::Exception: Unknown table "
            "expression identifier 'x'. In scope SELECT 1\nFROM x. (UNKNOWN_TABLE) (version 26.9.2.1 (official build))",
            "Unknown table expression identifier 'x'",
        ),
        ("Code: 159. DB::Exception: Timeout exceeded. (TIMEOUT_EXCEEDED)", "it takes longer than 2.5 s"),
        (
            "Code: 241. DB::Exception: Query memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)",
            "it needs more than 100 MB",
        ),
    ],
)
def test_a_query_that_is_wrong_says_why(message: str, sentence: str) -> None:
    error = told(DatabaseError(message))
    assert isinstance(error, InvalidInput)
    assert error.message.startswith(sentence)
    assert "DB::" not in error.message
    assert "version" not in error.message


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("Unexpected Http Driver Exception"),
        DatabaseError(
            "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"
        ),
        DatabaseError("Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"),
    ],
)
def test_a_database_that_cannot_answer_is_tried_again(error: Exception) -> None:
    assert isinstance(told(error), Unavailable)
