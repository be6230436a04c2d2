"""The page on tests of objectives is true: its file is the example, and the program says what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from setpoint.objective.scenario.expect import NAMES
from tests.cli.program import setpoint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/test-an-objective.md").read_text()
EXAMPLE = ROOT / "examples/scenarios/bookshop_test.yml"


def _without_time(text: str) -> str:
    return re.sub(r"\(\d+\.\d s\)", "(… s)", text)


def test_the_file_on_the_page_is_the_example() -> None:
    (block,) = re.findall(r"`bookshop_test.yml`:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert block == EXAMPLE.read_text()


def test_the_example_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = setpoint("test", "examples/scenarios/bookshop_test.yml")
    assert done.returncode == 0, done.stdout
    (shown,) = re.findall(r"```\n(●.*?)```", PAGE, re.DOTALL)
    assert _without_time(done.stdout) == _without_time(shown)


def test_a_failure_looks_as_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objectives").mkdir()
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "objectives/bookshop.yaml").write_text(
        (ROOT / "examples/objectives/bookshop.yaml").read_text()
    )
    changed = EXAMPLE.read_text().replace("budget_left: 93.1 %", "budget_left: 95 %")
    (tmp_path / "scenarios/bookshop_test.yml").write_text(changed)
    monkeypatch.chdir(tmp_path / "scenarios")
    done = setpoint("test", "bookshop_test.yml")
    assert done.returncode == 8
    (shown,) = re.findall(r"```\n(■.*?)```", PAGE, re.DOTALL)
    assert _without_time(done.stdout) == _without_time(shown)


def test_every_field_is_on_the_page() -> None:
    rows = "\n".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))
    assert not [name for name in NAMES if f"`{name}`" not in rows]
