"""`setpoint import` as a user runs it: OpenSLO on standard output, what is different or missing on standard error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.program import setpoint

ROOT = Path(__file__).parents[2]
EXAMPLE = str(ROOT / "examples/import/sloth.yml")
LOSSY = """version: prometheus/v1
service: shop
slos:
  - name: made
    objective: 99
    sli: {plugin: {id: mine}}
  - name: kept
    objective: 99
    sli:
      events:
        error_query: sum(rate(a[{{.window}}]))
        total_query: sum(rate(b[{{.window}}]))
"""


@pytest.fixture
def lossy(tmp_path: Path) -> str:
    file = tmp_path / "shop.yml"
    file.write_text(LOSSY)
    return str(file)


def test_what_it_prints_can_be_piped_into_the_next_command() -> None:
    done = setpoint("import", EXAMPLE)
    assert done.returncode == 0
    assert "4 SLOs: 0 not carried over, 4 changed, 0 without meaning here" in done.stderr
    checked = setpoint("validate", "-f", "-", stdin=done.stdout)
    assert (checked.returncode, checked.stdout) == (0, "7 resources valid\n")


def test_what_is_lost_is_listed_with_file_and_line(lossy: str) -> None:
    done = setpoint("import", lossy)
    assert done.returncode == 0
    assert "name: shop-kept" in done.stdout
    assert "shop-made" not in done.stdout
    assert f"Not carried over:\n  {lossy}:6: slos[0].sli.plugin: 'shop-made' is left out" in done.stderr


def test_strict_prints_nothing_when_something_is_lost(lossy: str) -> None:
    done = setpoint("import", lossy, "--strict")
    assert (done.returncode, done.stdout) == (8, "")
    assert "1 SLO: 1 not carried over, 0 changed, 0 without meaning here; nothing was printed" in done.stderr
    assert setpoint("import", EXAMPLE, "--strict").returncode == 0


def test_the_same_of_many_files_is_said_once(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.yml").write_text(
            f"apiVersion: v1\nkind: Secret\nmetadata: {{name: a{number}}}\n"
        )
    (tmp_path / "shop.yml").write_text(LOSSY)
    done = setpoint("import", str(tmp_path))
    assert done.stderr.count("a document of v1 Secret is none of Sloth, Pyrra or OpenSLO") == 1
    assert "and is left out (and 2 more)\n1 SLO: 1 not carried over, 0 changed, 3 without" in done.stderr


def test_json_has_documents_and_notes(lossy: str) -> None:
    done = setpoint("import", lossy, "-o", "json")
    told = json.loads(done.stdout)
    assert done.stderr == ""
    assert [one["kind"] for one in told["documents"]] == ["Service", "SLO"]
    (lost,) = told["lost"]
    assert (lost["file"], lost["line"], lost["path"]) == (lossy, 6, "slos[0].sli.plugin")
    assert (told["changed"], told["idle"]) == ([], [])


def test_what_cannot_be_read_changes_nothing_and_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "bad.yml"
    file.write_text(LOSSY.replace("objective: 99", "objective: 101"))
    done = setpoint("import", str(file), EXAMPLE)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:5: slos[0].objective: '101' is no percentage" in done.stderr
    assert setpoint("import", str(tmp_path / "none.yml")).returncode == 2


def test_who_applies_such_a_document_is_told_what_to_run() -> None:
    done = setpoint("validate", "-f", EXAMPLE)
    assert done.returncode == 2
    assert f"this is a Sloth document; run: setpoint import {EXAMPLE} | setpoint apply -f -" in done.stderr
    done = setpoint("validate", "-f", str(ROOT / "examples/import/pyrra.yml"))
    assert done.stderr.count("this is a Pyrra document") == 3
    assert "run: setpoint import FILE |" in setpoint("validate", "-f", "-", stdin=LOSSY).stderr
