"""What a user's SQL may do: read tables of signals (or, on a server, other tables), compute, and nothing else.

Whoever may declare an objective can have a SELECT run in the server's name. A connection that can only read does not
stop it from reading the server's files (`file('/etc/passwd')`, a table named like a file) and the system tables, so
`sql_count` has each statement taken apart by the engine, which runs nothing of it, and `refuse_tree` looks at the
parts: which tables, which functions. A function is let through when the engine files it under a kind that only
computes, so that functions which come with a later engine are refused until somebody has looked at them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from setpoint.errors import InvalidInput

__all__ = ["computing", "refuse_text", "refuse_tree"]

_TEXT_MAX = 10_000
_PLACE = re.compile(r"\{(from|to)_(?:s|ms|ns):U?Int64\}")
_NODE = re.compile(r"( *)(\S+)(?: (.*?))??(?: \(alias .*?\))?(?: \(children \d+\))?")
_COMPUTING = frozenset({
    "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance", "Encoding",
    "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "Rounding", "String", "String Replacement",
    "String Search", "String Splitting", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
})  # fmt: skip
_ALSO = frozenset({
    "_cast", "cast", "lambda", "exists", "untuple", "materialize", "identity", "transform", "finalizeaggregation",
    "totypename", "isdecimaloverflow", "countdigits", "rownumberinallblocks", "runningdifference", "neighbor",
    "parsetimedelta", "formatreadablesize", "in", "notin", "globalin", "globalnotin", "nested",
})  # fmt: skip
_COMBINATORS = (
    "if", "array", "map", "state", "merge", "ornull", "ordefault", "distinct", "foreach", "argmin", "argmax",
)  # fmt: skip
_ROWS = frozenset({"numbers", "zeros", "values", "generateseries", "generate_series"})
_CLOSED = frozenset({"system", "information_schema"})


def refuse_text(query: str) -> None:
    """Raise InvalidInput for what can be seen without the engine: it is not one SELECT over a stretch of time."""
    if len(query) > _TEXT_MAX:
        raise InvalidInput(f"the SQL is longer than {_TEXT_MAX:,} characters")
    if not re.match(r"\s*(select|with)\b", query, re.IGNORECASE):
        raise InvalidInput("the SQL is no SELECT; write one that gives rows (minute, value)")
    if ";" in query:
        raise InvalidInput("the SQL holds a ';'; write one SELECT, and char(59) for a ';' within text")
    if {found.group(1) for found in _PLACE.finditer(query)} != {"from", "to"}:
        raise InvalidInput(
            "the SQL does not name {from_s:Int64} and {to_s:Int64}; limit it to that stretch of Unix seconds"
        )


def computing(names: Iterable[tuple[str, str, str, bool]]) -> frozenset[str]:
    """The functions that only compute, of the engine's rows (name, alias_to, categories, is_aggregate), lower case."""
    rows = list(names)
    allowed = {name for name, _, kinds, is_aggregate in rows if is_aggregate or kinds.strip() in _COMPUTING}
    return frozenset(allowed | {name for name, alias_to, _, _ in rows if alias_to in allowed} | _ALSO)


def refuse_tree(tree: Iterable[str], functions: Collection[str], *, own_database: str | None) -> None:
    """Raise InvalidInput where the lines of EXPLAIN AST name something that a user's SQL must not use.

    `functions` are those that only compute. With `own_database` only its tables may be read (an embedded engine
    shows the machine's files as tables of another); without it all but the system's, as far as the server lets.
    """
    above: list[tuple[int, str]] = []
    for line in tree:
        found = _NODE.fullmatch(line)
        if found is None:  # a name with a line break in it
            raise InvalidInput("a name in the SQL holds characters that it must not")
        depth, kind, name = len(found.group(1)), found.group(2), (found.group(3) or "").strip("'`\"")
        while above and above[-1][0] >= depth:
            above.pop()
        parent = above[-1][1] if above else ""
        above.append((depth, kind))
        if kind == "Set":
            raise InvalidInput("the SQL changes settings; leave the SETTINGS out")
        if kind in ("TableIdentifier", "Identifier"):
            _refuse_table(name, own_database, is_table=kind == "TableIdentifier")
        elif kind == "Function" and parent == "TableExpression":
            if name.lower() not in _ROWS:
                raise InvalidInput(
                    f"the SQL must not read from {name}(); read from tables, such as spans or logs"
                )
        elif kind == "Function" and not _only_computes(name.lower(), functions):
            raise InvalidInput(f"the function {name} must not be used in an objective's SQL")


def _refuse_table(name: str, own_database: str | None, *, is_table: bool) -> None:
    database, dot, table = name.partition(".")
    if not dot:
        return
    if database.lower() in _CLOSED or (own_database and database.lower() == "default"):
        raise InvalidInput(f"the SQL must not read {name}; read tables of signals, such as spans or logs")
    if is_table and own_database and database != own_database:
        raise InvalidInput(f"there is no table {name}; read from {table}, of the database '{own_database}'")


def _only_computes(name: str, functions: Collection[str]) -> bool:
    while name not in functions:
        shorter = next((name.removesuffix(one) for one in _COMBINATORS if name.endswith(one)), "")
        if not shorter:
            return False
        name = shorter
    return True
