"""The page on tests of rules and queries is true: its files are the examples, and the program says what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.program import setpoint

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/howto/test-rules-and-queries.md").read_text()
EXAMPLES = ROOT / "examples/rules"


def _without_time(text: str) -> str:
    return re.sub(r"\(\d+\.\d s\)", "(… s)", text)


@pytest.mark.parametrize("name", ["bookshop_rules.yml", "bookshop_test.yml", "bookshop.test"])
def test_the_files_on_the_page_are_the_examples(name: str) -> None:
    blocks = re.findall(rf"`{re.escape(name)}`:\n\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert blocks == [(EXAMPLES / name).read_text()]


def test_the_examples_pass() -> None:
    done = setpoint("test", str(EXAMPLES / "bookshop_test.yml"), str(EXAMPLES / "bookshop.test"))
    assert done.returncode == 0, done.stdout
    assert "2 files, 4 tests, 6 checks: all passed" in done.stdout


def test_a_failure_looks_as_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bookshop_rules.yml").write_text((EXAMPLES / "bookshop_rules.yml").read_text())
    text = (EXAMPLES / "bookshop_test.yml").read_text()
    (tmp_path / "bookshop_test.yml").write_text(text.replace("fails 5%", "fails 50%"))
    done = setpoint("test", "bookshop_test.yml")
    assert done.returncode == 8
    (shown,) = re.findall(r"```\n(■.*?)```", PAGE, re.DOTALL)
    assert _without_time(done.stdout) == _without_time(shown)
