"""Named SQL: each package keeps its statements in `queries.sql` (a large one in several `queries_<what>.sql`),
and this module reads them.

The format is one block per query: a line `-- name: append_event`, one comment line that says what it is for,
then the statement. Parameters are named (`:service` for state, `{service:String}` for telemetry).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.resources import files
from types import MappingProxyType

__all__ = ["load_queries", "parse_queries"]

_NAME = re.compile(r"^-- name: (?P<name>[a-z_0-9]+)[ \t]*$", re.MULTILINE)


def parse_queries(text: str) -> Mapping[str, str]:
    """Split the text of a `queries.sql` into {name: statement}; a duplicate name raises ValueError."""
    found: dict[str, str] = {}
    marks = list(_NAME.finditer(text))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = text[mark.end() : following.start() if following else len(text)]
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        name = mark["name"]
        if name in found:
            raise ValueError(f"query '{name}' is defined twice")
        found[name] = "\n".join(lines).strip().rstrip(";")
    return MappingProxyType(found)


def load_queries(package: str) -> Mapping[str, str]:
    """The queries of `package` (its dotted name), from every `queries*.sql` inside it."""
    scripts = sorted(
        (script for script in files(package).iterdir() if fnmatch(script.name, "queries*.sql")),
        key=lambda script: script.name,
    )
    return parse_queries("\n".join(script.read_text(encoding="utf-8") for script in scripts))
