"""`setpoint test` from the command line: exit codes, JSON, JUnit, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.cli.program import setpoint

DATA = Path(__file__).parents[1] / "alert" / "data"
BROKEN = Path(__file__).parents[1] / "alert" / "broken"


def test_failures_and_problems_have_their_exit_codes() -> None:
    assert setpoint("test", str(DATA / "notation.yml")).returncode == 0
    assert setpoint("test", str(DATA / "notation.yml"), str(DATA / "wrong.test")).returncode == 8
    broken = setpoint("test", str(BROKEN / "bad_query.yml"), "absent.yml", str(DATA / "notation.yml"))
    assert broken.returncode == 2
    assert f"{BROKEN}/bad_query.yml:2: tests[0].promql_expr_test[0].expr: " in broken.stdout
    assert "absent.yml: cannot be read: No such file or directory" in broken.stdout
    assert broken.stdout.splitlines()[-1].startswith("3 files, 2 tests, 9 checks: 2 files cannot be run (")
    assert setpoint("test", str(DATA / "notation.yml"), "--run", "(").returncode == 2


def test_unknown_fields_are_refused_unless_they_are_to_be_ignored(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        "groups: [{name: g, tenant: a, rules: [{record: r, expr: up, owner: b}]}]"
    )
    file = tmp_path / "test.yml"
    file.write_text(
        "rule_files: [rules.yml]\nteam: c\ntests: [{tags: d, promql_expr_test: [{expr: r, eval_time: 0m}]}]"
    )
    refused = setpoint("test", str(file))
    assert refused.returncode == 2
    assert f"{file}:2: team: the field 'team' does not exist here" in refused.stdout
    assert setpoint("test", str(file), "--ignore-unknown-fields").returncode == 0


def test_an_error_of_several_lines_keeps_its_place() -> None:
    lines = setpoint("test", str(DATA / "wrong.test"), COLUMNS="40").stdout.splitlines()
    assert all(line.startswith(("■", "  ", "1 file")) for line in lines), lines


def test_json_has_every_check() -> None:
    done = setpoint("test", str(DATA / "wrong.yml"), str(DATA / "plain.json"), "-o", "json")
    assert done.returncode == 8
    found = json.loads(done.stdout)
    wrong, plain = found["files"]
    assert not found["passed"]
    assert not wrong["passed"]
    assert plain["passed"]
    assert plain["warnings"] == ["no file is named no_such_*.yml"]
    assert [(test["name"], test["checks"], len(test["failures"])) for test in wrong["tests"]] == [
        ("alerts", 6, 5),
        ("expressions", 12, 9),
    ]
    failure = wrong["tests"][0]["failures"][0]
    assert failure["line"] == 10
    assert failure["title"] == "alert OvenHot at 10m"
    assert failure["expected"] == ["no alert fires"]
    assert failure["got"] == ['{oven="1"}', '  degrees: "220.0"']


def test_junit_has_a_case_for_each_test(tmp_path: Path) -> None:
    target = tmp_path / "results.xml"
    files = [str(DATA / "wrong.test"), str(DATA / "notation.yml"), str(BROKEN / "bad_query.yml")]
    assert setpoint("test", *files, "--junit", str(target)).returncode == 8
    scripts, rules, broken = ET.parse(target).getroot()
    assert [suite.get("name") for suite in (scripts, rules, broken)] == files
    assert (scripts.get("tests"), scripts.get("failures"), scripts.get("errors")) == ("7", "7", "0")
    assert (rules.get("tests"), rules.get("failures")) == ("2", "0")
    assert (broken.get("tests"), broken.get("errors")) == ("1", "1")
    first = scripts[0]
    assert (first.get("name"), first.get("line")) == ("a", "4")
    assert first[0].text == 'line 4\n- a{x="1"} 4\n+ a{x="1"} 3'
    assert setpoint("test", *files, "--junit", str(tmp_path / "no" / "folder")).returncode == 2


def test_no_database_is_loaded() -> None:
    code = (
        "import sys; from setpoint.cli.entry import run; "
        f"run(['test', {str(DATA / 'burn.yml')!r}, '-o', 'json']); "
        "print({name.partition('.')[0] for name in sys.modules} & {'chdb', 'clickhouse_connect', 'fastapi', 'psycopg'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.stdout.endswith("set()\n"), done.stdout + done.stderr
