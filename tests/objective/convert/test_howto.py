"""The page on Sloth and Pyrra is true: its command prints what it shows, and its table names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.program import setpoint

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/howto/bring-sloth-and-pyrra.md").read_text()


def test_the_list_is_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = setpoint("import", "examples/import/sloth.yml")
    (shown,) = re.findall(r"```\n(Changed:.*?)```", PAGE, re.DOTALL)
    assert done.stderr == shown


def test_options_and_names_of_rules_are_on_the_page() -> None:
    told = setpoint("import", "--help").stdout
    options = set(re.findall(r"(?<!\S)--[a-z]+", told)) - {"--help", "--output"}
    assert not [one for one in options if one not in PAGE]
    rules = (ROOT / "src/setpoint/objective/convert/rules.py").read_text()
    names = set(re.findall(r'"(slo:[a-z_]+:[a-z]+|sloth_[a-z_]+_info)"', rules))
    assert len(names) == 7
    assert not [one for one in names if f"`{one}`" not in PAGE]


@pytest.mark.parametrize("name", ["sloth", "pyrra"])
def test_what_is_imported_validates(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = tmp_path / "objectives.yaml"
    file.write_text(setpoint("import", f"examples/import/{name}.yml").stdout)
    assert setpoint("validate", "-f", str(file)).returncode == 0
