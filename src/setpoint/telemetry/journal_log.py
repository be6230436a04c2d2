"""Where the journal's groups are kept: files beside the embedded engine, tables on a server.

`journal` numbers generations and encodes groups, and chooses one of the two. Files because a group is small and there
are many: the engine takes two milliseconds of processor time for an insert of any size, a file takes a tenth of one,
flush to the disk included (docs/decisions/0014). What was appended is on the disk when `append` returns, so neither a
killed process nor a power cut loses it.

A file is a record after another: a header with the length, the number and the samples of the group and a checksum over
all of it, then the block. A group with new series has one more record before its own, with their rows. A record that a
killed process left unfinished was never acknowledged and is left out; one that is damaged costs itself, and everything
behind it when its length cannot be right.
"""

from __future__ import annotations

import logging
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.errors import Unavailable

__all__ = ["FileLog", "Group", "JournalLog", "TableLog", "files_size", "open_log"]

_QUERIES = load_queries("setpoint.telemetry")

_HEADER = struct.Struct("<IQIII")
"""Bytes of the block, number of the group, samples, kind, CRC-32 of the block and these four."""

_SAMPLES, _SERIES = 0, 1
"""Kinds of records."""

_FOLDER = "journal"
_FILE = re.compile(r"([0-9]+)\.journal")
_TABLE = re.compile(r"journal_([0-9]+)")
_COLUMNS = ("generation", "seq", "samples", "block")
_JOURNAL = "/* journal */"
_TABLE_SETTINGS = "old_parts_lifetime = 30, max_bytes_to_merge_at_max_space_in_pool = 1048576"
_ROWS_AT_ONCE = 5_000
_SAMPLES_AT_ONCE = 4_000_000

_log = logging.getLogger(__name__)


class Group(NamedTuple):
    """A group that was read: its number within the generation, and its block."""

    seq: int
    block: bytes | memoryview


class JournalLog(Protocol):
    """Generations of groups. `begin`, `append` and `close` belong to one thread, the rest to any. What is refused
    raises Unavailable.
    """

    keeps_series: bool
    """Whether `append` takes rows of new series along, to be inserted by and by; else they must be in their table."""

    def begin(self, generation: int) -> None:
        """Begin a generation; `append` writes to it from now on."""

    def append(self, seq: int, samples: int, block: bytes, series: bytes = b"") -> None:
        """Store a group and the rows of its new series. It is stored when this returns; when this raises, it may or
        may not be.
        """

    def samples(self) -> Mapping[int, int]:
        """What is kept: generations, ascending, and how many samples each holds."""

    def read(self, generation: int) -> Iterator[Group]:
        """The groups of a generation in the order in which they were written."""

    def series(self, generation: int) -> Iterator[bytes]:
        """The rows of new series of a generation."""

    def drop(self, generation: int) -> None:
        """Delete a generation, if it is there."""

    def close(self) -> None:
        """Give back what is open; nothing can be appended any more."""


def open_log(db: TelemetryDatabase) -> JournalLog:
    """The log that belongs to a telemetry database."""
    return TableLog(db) if db.folder is None else FileLog(db.folder / _FOLDER)


def files_size(db: TelemetryDatabase) -> tuple[int, int]:
    """(bytes, files) of the log of an embedded database; nothing for a server. Raises OSError."""
    folder = None if db.folder is None else db.folder / _FOLDER
    if folder is None or not folder.exists():
        return 0, 0
    sizes = [entry.stat().st_size for entry in os.scandir(folder)]
    return sum(sizes), len(sizes)


class FileLog:
    """A file per generation in `folder`, which is made when it is needed."""

    keeps_series = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._generation = 0
        self._size = 0
        self._counted: dict[int, tuple[int, int]] = {}

    def begin(self, generation: int) -> None:
        self.close()
        try:
            self._folder.mkdir(exist_ok=True)
            path = self._path(generation)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _sync_folder(self._folder.parent)
            _sync_folder(self._folder)
        except OSError as error:
            raise _refused(self._folder, error) from error
        self._generation, self._size = generation, 0

    def append(self, seq: int, samples: int, block: bytes, series: bytes = b"") -> None:
        file = self._file
        if file is None:
            raise Unavailable("the journal is closed; send it again when the server is back")
        records = [
            *(_record(seq, 0, _SERIES, series) if series else ()),
            *_record(seq, samples, _SAMPLES, block),
        ]
        size = sum(map(len, records))
        try:
            written = os.pwritev(file, records, self._size)
            if written != size:
                raise OSError(0, f"only {written:,} of {size:,} bytes were written")
            os.fdatasync(file)
        except OSError as error:
            with suppress(OSError):  # what is there of this group; the next one is written over it
                os.ftruncate(file, self._size)
            raise _refused(self._path(self._generation), error) from error
        self._size += written

    def samples(self) -> Mapping[int, int]:
        found = {}
        for generation in self._generations():
            with suppress(FileNotFoundError):  # a flush has just dropped it
                found[generation] = self._count(generation)
        return found

    def read(self, generation: int) -> Iterator[Group]:
        return (Group(seq, block) for seq, block in self._records(generation, _SAMPLES))

    def series(self, generation: int) -> Iterator[bytes]:
        return (block for _, block in self._records(generation, _SERIES))

    def _records(self, generation: int, wanted: int) -> Iterator[tuple[int, bytes]]:
        path = self._path(generation)
        with path.open("rb") as file:
            at, end = 0, os.fstat(file.fileno()).st_size
            while (found := _next_header(file, at, end)) is not None:
                length, seq, samples, kind, checksum = found
                block = file.read(length)
                at += _HEADER.size + length
                if _checksum(length, seq, samples, kind, block) == checksum:
                    if kind == wanted:
                        yield seq, block
                elif at < end:
                    _log.error("group %d of %s is damaged and left out; check the disk", seq, path.name)
            if at < end:
                _log.warning(
                    "the last %d bytes of %s are no whole group and were left out", end - at, path.name
                )

    def drop(self, generation: int) -> None:
        self._counted.pop(generation, None)
        try:
            self._path(generation).unlink(missing_ok=True)
        except OSError as error:
            raise _refused(self._path(generation), error) from error

    def close(self) -> None:
        file, self._file = self._file, None
        self._generation = 0
        if file is not None:
            os.close(file)

    def _count(self, generation: int) -> int:
        """Samples of a generation; only what was appended since the last count is looked at."""
        at, total = self._counted.get(generation, (0, 0))
        with self._path(generation).open("rb") as file:
            end = self._size if generation == self._generation else os.fstat(file.fileno()).st_size
            file.seek(at)
            while (found := _next_header(file, at, end)) is not None:
                total += found[2]
                at += _HEADER.size + found[0]
                file.seek(at)
        self._counted[generation] = at, total
        return total

    def _generations(self) -> list[int]:
        return _numbers(os.listdir(self._folder), _FILE) if self._folder.exists() else []

    def _path(self, generation: int) -> Path:
        return self._folder / f"{generation:020d}.journal"


class TableLog:
    """A table per generation on a ClickHouse server, which can replicate it."""

    keeps_series = False

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db
        self._generation = 0

    def begin(self, generation: int) -> None:
        self._db.command(
            f"CREATE TABLE {_table(generation)} {_QUERIES['journal_columns']} "
            f"ENGINE = MergeTree ORDER BY seq SETTINGS {_TABLE_SETTINGS}"
        )
        self._generation = generation

    def append(self, seq: int, samples: int, block: bytes, series: bytes = b"") -> None:
        rows = _row(self._generation, seq, samples, block)
        self._db.insert_rows(_table(self._generation), _COLUMNS, rows)

    def samples(self) -> Mapping[int, int]:
        generations = _numbers(self._db.query(_QUERIES["list_journals"])["name"].tolist(), _TABLE)
        if not generations:
            return {}
        counts = self._db.query(_QUERIES["count_journal"])
        samples = dict(zip(counts["generation"].tolist(), counts["samples"].tolist(), strict=True))
        return {generation: samples.get(generation, 0) for generation in generations}

    def read(self, generation: int) -> Iterator[Group]:
        statement = _QUERIES["read_journal"].replace(_JOURNAL, _table(generation))
        for first, last in self._ranges(generation):
            yield from _parsed(self._db.query_rows(statement, first=first, last=last))

    def _ranges(self, generation: int) -> Iterator[tuple[int, int]]:
        """First and last number of rows that are read together, so that memory stays bounded."""
        found = self._db.query(_QUERIES["list_journal"].replace(_JOURNAL, _table(generation)))
        first, rows, samples = None, 0, 0
        for seq, count in zip(found["seq"].tolist(), found["samples"].tolist(), strict=True):
            if first is not None and (rows == _ROWS_AT_ONCE or samples + count > _SAMPLES_AT_ONCE):
                yield first, seq - 1
                first, rows, samples = None, 0, 0
            first = seq if first is None else first
            rows += 1
            samples += count
        if first is not None:
            yield first, seq

    def series(self, generation: int) -> Iterator[bytes]:
        return iter(())

    def drop(self, generation: int) -> None:
        self._db.command(f"DROP TABLE IF EXISTS {_table(generation)} SYNC")

    def close(self) -> None:
        self._generation = 0


def _numbers(names: Iterable[str], pattern: re.Pattern[str]) -> list[int]:
    return sorted(int(found[1]) for name in names if (found := pattern.fullmatch(name)))


def _record(seq: int, samples: int, kind: int, block: bytes) -> tuple[bytes, bytes]:
    """Header and block."""
    checksum = _checksum(len(block), seq, samples, kind, block)
    return _HEADER.pack(len(block), seq, samples, kind, checksum), block


def _next_header(file: BinaryIO, at: int, end: int) -> tuple[int, int, int, int, int] | None:
    """The header of the record at `at`; None when there is no whole record any more."""
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size:
        return None
    found: tuple[int, int, int, int, int] = _HEADER.unpack(head)
    return found if at + _HEADER.size + found[0] <= end else None


def _checksum(length: int, seq: int, samples: int, kind: int, block: bytes) -> int:
    return zlib.crc32(block, zlib.crc32(struct.pack("<IQII", length, seq, samples, kind)))


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(path: Path, error: OSError) -> Unavailable:
    return Unavailable(f"the journal {path} cannot be written: {error.strerror or error}")


def _table(generation: int) -> str:
    return f"journal_{generation:d}"


def _row(generation: int, seq: int, samples: int, block: bytes) -> npt.NDArray[np.uint8]:
    """The row as RowBinary."""
    length = bytearray()
    rest = len(block)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    head = b"".join(
        number.to_bytes(size, "little") for number, size in ((generation, 8), (seq, 8), (samples, 4))
    )
    return np.frombuffer(head + bytes(length) + block, np.uint8)


def _parsed(rows: bytes) -> Iterator[Group]:
    """The groups in rows of RowBinary."""
    view, at = memoryview(rows), 0
    while at < len(view):
        seq = int.from_bytes(view[at : at + 8], "little")
        at += 8
        length = shift = 0
        while view[at] > 127:
            length |= (view[at] & 127) << shift
            shift += 7
            at += 1
        length |= view[at] << shift
        at += 1
        yield Group(seq, view[at : at + length])
        at += length
