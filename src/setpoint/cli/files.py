"""Resource files as a user names them: files, folders, standard input.

The text goes to the server as it is; the server knows the kinds and finds the faults, with file and line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from setpoint.errors import InvalidInput, Problem

__all__ = ["read_files", "resource_names"]

_SUFFIXES = (".yaml", ".yml")
_STDIN = "-"


def read_files(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Name and text of every file meant by `paths`, folders walked in order of names.

    Raises InvalidInput with all that cannot be read, and when nothing is left to do.
    """
    problems: list[Problem] = []
    files: list[tuple[str, str]] = []
    for path in paths:
        if str(path) == _STDIN:
            files.append(("stdin", sys.stdin.read()))
            continue
        found = _walk(path) if path.is_dir() else [path]
        if not found:
            problems.append(Problem("the folder holds no .yaml or .yml file", str(path)))
        for file in found:
            try:
                files.append((str(file), file.read_text("utf-8")))
            except OSError as error:
                problems.append(Problem(f"cannot be read: {error.strerror}", str(file)))
            except UnicodeDecodeError as error:
                problems.append(Problem(f"is not UTF-8 text (byte {error.start})", str(file)))
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return files


def _walk(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())


def resource_names(files: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Kind and name of every document in `files`. Raises InvalidInput for what has none."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    names: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for file, text in files:
        try:
            documents = list(YAML(typ="safe", pure=True).load_all(text))
        except YAMLError as error:
            problems.append(Problem(" ".join(str(error).split()), file))
            continue
        for document in documents:
            try:
                names.append((str(document["kind"]), str(document["metadata"]["name"])))
            except (KeyError, TypeError):
                if document is not None:
                    problems.append(Problem("a document has no kind or no metadata.name", file))
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return names
