"""The data folder: one owner at a time, and nothing is touched that this version does not understand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.database import DataFolder
from setpoint.database.folder import FORMAT
from setpoint.errors import StartupRefused


def test_a_missing_folder_is_made_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"
    for _ in range(2):
        folder = DataFolder(path)
        assert json.loads((path / "format.json").read_text())["format"] == FORMAT
        folder.close()


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib; from setpoint.database import DataFolder; "
        "folder = DataFolder(pathlib.Path(sys.argv[1])); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"open\n"
        with pytest.raises(StartupRefused, match=rf"in use by process {holder.pid}; end that one, or choose"):
            DataFolder(tmp_path)
        holder.send_signal(signal.SIGKILL)
    DataFolder(tmp_path).close()  # the end of the process gave the lock back


def test_a_folder_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    marker = tmp_path / "format.json"
    marker.write_text(json.dumps({"format": FORMAT + 1, "setpoint": "9.9"}))
    before = marker.read_bytes()
    for _ in range(2):  # a refusal gives the lock back
        with pytest.raises(StartupRefused, match=r"written by Setpoint 9\.9 .* install 9\.9 or newer"):
            DataFolder(tmp_path)
    assert marker.read_bytes() == before


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": "x", "setpoint": "1"}', "null", "\ud83d"]
)
def test_a_damaged_marker_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "format.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(StartupRefused, match="is damaged"):
        DataFolder(tmp_path)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("mine")
    for where in (path, path / "below"):
        with pytest.raises(StartupRefused, match=r"cannot be used: .* choose another with --data"):
            DataFolder(where)
    assert path.read_text() == "mine"


def test_a_marker_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format.json").mkdir()
    with pytest.raises(StartupRefused, match="cannot be used"):
        DataFolder(tmp_path)


def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from setpoint.database import DataFolder\n"
        "try: DataFolder(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(error)"
    )
    # Root may write anywhere, unless it starts a program without the capability to.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    tmp_path.chmod(0o500)
    done = subprocess.run(
        [*drop, sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    tmp_path.chmod(0o700)
    assert "Permission denied; give yourself the right to write there, or choose another" in done.stdout
