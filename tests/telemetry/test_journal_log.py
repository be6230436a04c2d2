"""The journal's files: what was appended is there after a kill at any byte, and damage costs what is damaged."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import Unavailable
from setpoint.telemetry.journal_log import FileLog

HEADER_BYTES = 24


def groups_of(log: FileLog, generation: int) -> list[tuple[int, bytes]]:
    return [(seq, bytes(block)) for seq, block in log.read(generation)]


def file_of(folder: Path) -> Path:
    (path,) = folder.glob("*.journal")
    return path


def written(folder: Path, blocks: list[bytes]) -> FileLog:
    log = FileLog(folder)
    log.begin(1)
    for seq, block in enumerate(blocks):
        log.append(seq, len(block), block)
    log.close()
    return log


def test_groups_come_back_in_order_from_generation_to_generation(tmp_path: Path) -> None:
    log = FileLog(tmp_path / "journal")
    assert log.samples() == {}
    log.begin(65536)
    log.append(0, 3, b"first")
    assert log.samples() == {65536: 3}
    log.append(1, 4, b"")
    assert log.samples() == {65536: 7}
    log.begin(131072)
    log.append(0, 5, b"other")
    again = FileLog(tmp_path / "journal")
    assert again.samples() == {65536: 7, 131072: 5}
    assert groups_of(again, 65536) == [(0, b"first"), (1, b"")]
    again.drop(65536)
    again.drop(65536)
    assert again.samples() == {131072: 5}
    assert groups_of(again, 131072) == [(0, b"other")]
    with pytest.raises(Unavailable):
        again.begin(131072)  # never write into what is there
    log.close()
    with pytest.raises(Unavailable, match="closed"):
        log.append(1, 1, b"late")


def test_rows_of_new_series_are_kept_beside_their_group(tmp_path: Path) -> None:
    log = FileLog(tmp_path)
    log.begin(1)
    log.append(0, 2, b"group", b"rows")
    log.append(1, 2, b"next")
    log.append(2, 2, b"last", b"more rows")
    log.close()
    assert groups_of(log, 1) == [(0, b"group"), (1, b"next"), (2, b"last")]
    assert list(log.series(1)) == [b"rows", b"more rows"]
    assert log.samples() == {1: 6}


@settings(max_examples=60, deadline=None)
@given(blocks=st.lists(st.binary(max_size=40), min_size=1, max_size=4), data=st.data())
def test_a_kill_within_a_group_costs_only_that_group(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    log = written(folder, blocks)
    path = file_of(folder)
    whole = path.read_bytes()
    ends = [0]
    for block in blocks:
        ends.append(ends[-1] + HEADER_BYTES + len(block))
    assert ends[-1] == len(whole)
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    complete = sum(end <= cut for end in ends[1:])
    assert groups_of(log, 1) == list(enumerate(blocks[:complete]))
    assert log.samples() == {1: sum(len(block) for block in blocks[:complete])}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damage_never_yields_what_was_not_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    blocks = [b"a" * 30, b"b" * 10, b"c" * 50]
    log = written(folder, blocks)
    path = file_of(folder)
    spoiled = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(spoiled)
    found = groups_of(log, 1)
    assert set(found) < set(enumerate(blocks))
    assert (0, blocks[0]) in found or place < HEADER_BYTES + 30


def test_damage_in_a_block_costs_that_group_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = written(tmp_path, [b"a" * 30, b"b" * 10, b"c" * 50])
    path = file_of(tmp_path)
    spoiled = bytearray(path.read_bytes())
    spoiled[2 * HEADER_BYTES + 30 + 3] ^= 1
    path.write_bytes(spoiled)
    with caplog.at_level(logging.ERROR):
        assert groups_of(log, 1) == [(0, b"a" * 30), (2, b"c" * 50)]
    assert "group 1 of" in caplog.text


def test_what_a_refused_group_left_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = FileLog(tmp_path)
    log.begin(1)
    log.append(0, 1, b"first")
    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", _full)
        with pytest.raises(Unavailable, match="No space left"):
            log.append(1, 1, b"x" * 1000)
    assert log.samples() == {1: 1}
    log.append(2, 1, b"second")
    assert groups_of(log, 1) == [(0, b"first"), (2, b"second")]
    log.close()


def _full(file: int) -> None:
    raise OSError(28, "No space left on device")


def test_the_folder_survives_a_power_cut_as_its_files_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(file: int) -> None:
        synced.append(Path(f"/proc/self/fd/{file}").readlink())
        fsync(file)

    monkeypatch.setattr(os, "fsync", noted)
    log = FileLog(tmp_path / "journal")
    log.begin(1)
    log.close()
    assert synced == [tmp_path, tmp_path / "journal"]
