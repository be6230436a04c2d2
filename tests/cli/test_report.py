"""`setpoint report` and `setpoint team` against a server with objectives in every state."""

from __future__ import annotations

import json

import httpx

from tests.cli.program import setpoint
from tests.web.conftest import (  # noqa: F401 — fixtures
    client,
    make_app,
    parts,
    populated,
    serve,
)
from tests.web.test_report import told  # noqa: F401 — a fixture


def _run(told: httpx.Client, *arguments: str) -> tuple[int, str, str]:  # noqa: F811
    done = setpoint(*arguments, SETPOINT_SERVER=str(told.base_url), COLUMNS="140")
    return done.returncode, done.stdout, done.stderr


def test_report_and_team(told: httpx.Client) -> None:  # noqa: F811
    code, out, _ = _run(told, "report", "show", "week")
    assert code == 0
    assert "2027-W01: everything (not over yet)" in out
    assert "2 of 4 objectives are kept" in out
    assert "  99 % " in out
    assert out.index("search-availability") < out.index("catalog-availability"), "worst first"
    assert "2027-W01" in _run(told, "report", "show", "2027-W01", "--team", "web", "--format", "md")[1]
    assert len(_run(told, "report", "show", "week", "--format", "csv")[1].splitlines()) == 5
    assert json.loads(_run(told, "report", "show", "week", "-o", "json")[1])["pages"] == 1
    assert "weekly: every week, of shop, UTC" in _run(told, "report", "list")[1]
    listed = _run(told, "team", "list")[1]
    assert [line.split()[0] for line in listed.splitlines()] == ["TEAM", "finding", "payments", "shop", "web"]
    shown = _run(told, "team", "show", "finding")[1]
    assert "#finding · Ann Example · invoicing, search" in shown
    assert "no data" in shown
    code, out, error = _run(told, "report", "show", "yesterday")
    assert (code, out) == (2, "")
    assert "'yesterday' is no period" in error
    code, _, error = _run(told, "report", "show", "week", "--team", "nobody", "--format", "md")
    assert code == 3
    assert "there is no team 'nobody'" in error
