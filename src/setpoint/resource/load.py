"""Files to documents: finds them, reads them, and tells everything that is wrong at once. Used by `cli` and
`web`.

All or nothing: one problem anywhere, and no document is returned.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from setpoint.errors import InvalidInput, Problem
from setpoint.resource.model import Document
from setpoint.resource.read import Source, read_yaml
from setpoint.resource.registry import Registry

__all__ = ["BYTES_MAX", "load_paths", "load_text"]

BYTES_MAX = 1 << 20
"""Largest file, in bytes of UTF-8."""

_TOTAL_BYTES_MAX = 16 << 20
_PROBLEMS_MAX = 500
_SUFFIXES = (".yaml", ".yml")


def load_paths(paths: Sequence[str | Path]) -> list[tuple[str, str]]:
    """The name and text of each file; a folder stands for its `*.yaml` and `*.yml`, recursively, sorted.

    Hidden files and folders are left out, links to folders are not followed, and a file that is named twice
    is read once. Raises InvalidInput with a problem for every file that cannot be read.
    """
    problems: list[Problem] = []
    files: dict[Path, str] = {}
    for path in map(Path, paths):
        try:
            found = list(_files(path))
        except OSError as error:
            problems.append(_unreadable(str(error.filename or path), error))
            continue
        if not found:
            problems.append(Problem("the folder holds no *.yaml or *.yml; name another", str(path)))
        for one in found:
            files.setdefault(one.resolve(), str(one))
    texts: list[tuple[str, str]] = []
    for name in files.values():
        try:
            texts.append((name, _read(Path(name))))
        except InvalidInput as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return texts


def load_text(files: Sequence[tuple[str, str]], registry: Registry) -> list[Document]:
    """The documents of `files` (name, text), in their order; empty documents are left out. A list of documents, as
    OpenSLO's own tools take it, stands for each of them.

    Raises InvalidInput with all problems of all files, in the order of the files and lines.
    """
    if sum(len(text) for _, text in files) > _TOTAL_BYTES_MAX:
        raise InvalidInput(
            f"the files have more than {_TOTAL_BYTES_MAX >> 20} MiB together; apply them in parts"
        )
    documents: list[Document] = []
    problems: list[Problem] = []
    for name, text in files:
        found: list[Problem] = []
        if len(text.encode(errors="replace")) > BYTES_MAX:
            problems.append(_too_large(name))
            continue
        sources, ending = read_yaml(name, text)
        for source in chain.from_iterable(map(_items, sources)):
            document, wrong = registry.parse(source)
            found.extend(wrong)
            if document is not None:
                documents.append(document)
        problems.extend(sorted([*found, *ending], key=lambda problem: problem.line or 0))
    problems.extend(_duplicates(documents))
    if len(problems) > _PROBLEMS_MAX:
        more = len(problems) - _PROBLEMS_MAX
        problems[_PROBLEMS_MAX:] = [Problem(f"and {more} more problems; correct these first")]
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return documents


def _items(source: Source) -> Iterator[Source]:
    """The source itself, or those of a list of documents, each with its own lines."""
    body = source.body
    if (
        not isinstance(body, list)
        or not body
        or not all(isinstance(one, dict) and "apiVersion" in one for one in body)
    ):
        yield source
        return
    items = [
        Source(source.file, source.lines.get((index,), source.line), one) for index, one in enumerate(body)
    ]
    for place, line in source.lines.items():
        if len(place) > 1 and isinstance(place[0], int):
            items[place[0]].lines[place[1:]] = line
    for place, text in source.plain.items():
        if len(place) > 1 and isinstance(place[0], int):
            items[place[0]].plain[place[1:]] = text
    items[0].problems.extend(source.problems)
    yield from items


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        path.stat()
        yield path
        return

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(path, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise InvalidInput(
                problems=(Problem("is no regular file; name a YAML file or a folder", str(path)),)
            )
        with path.open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise InvalidInput(problems=(_unreadable(str(path), error),)) from error
    if len(raw) > BYTES_MAX:
        raise InvalidInput(problems=(_too_large(str(path)),))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        raise InvalidInput(problems=(Problem(message, str(path), line),)) from error


def _unreadable(path: str, error: OSError) -> Problem:
    reason = (error.strerror or str(error)).lower()
    return Problem(f"cannot be read: {reason}; check the path and its rights", path)


def _too_large(name: str) -> Problem:
    return Problem(f"is larger than {BYTES_MAX >> 20} MiB; split it into several files", name)


def _duplicates(documents: Sequence[Document]) -> Iterator[Problem]:
    first: dict[tuple[str, str], Document] = {}
    for document in documents:
        earlier = first.setdefault(document.key, document)
        if earlier is not document:
            place = f"{earlier.file}:{earlier.lines.get(('metadata', 'name'), earlier.line)}"
            message = (
                f"{document.kind} '{document.name}' is declared twice, first at {place}; rename or remove one"
            )
            yield document.problem(message, "metadata", "name")
