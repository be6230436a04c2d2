"""Named SQL: what `queries.sql` may look like, and that every package's own file reads."""

from __future__ import annotations

from pathlib import Path

import pytest

import setpoint
from setpoint.database import load_queries
from setpoint.database.queries import parse_queries


def test_queries_are_found_by_name_without_comments_and_semicolons() -> None:
    found = parse_queries(
        "-- A heading that belongs to no query.\n\n"
        "-- name: one\n-- Says what it is for.\nSELECT 1,\n    '--';\n"
        "\n-- name: two_2\nSELECT ';' AS a\n"
    )
    assert dict(found) == {"one": "SELECT 1,\n    '--'", "two_2": "SELECT ';' AS a"}


def test_a_name_that_is_used_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="'one' is defined twice"):
        parse_queries("-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n")


@pytest.mark.parametrize(
    "path", sorted(Path(setpoint.__file__).parent.glob("*/queries.sql")), ids=lambda p: p.parent.name
)
def test_every_query_has_one_line_that_says_what_it_is_for(path: Path) -> None:
    queries = load_queries(f"setpoint.{path.parent.name}")
    assert queries and all(queries.values())
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith("-- name:"):
            assert lines[number + 1].startswith("-- "), f"{line} has no comment"
