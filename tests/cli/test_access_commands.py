"""`setpoint user` and `setpoint token` against a real server: the first admin, the others, and what each may do."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.server import Server, free_port, running

from tests.cli.program import PROGRAM, setpoint

pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("cli-access")]

PASSWORD = "three small words\n"


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(["up"], tmp_path_factory.mktemp("data")) as started:
        started.wait_ready()
        yield started


def test_from_the_first_admin_to_a_token_that_is_revoked(server: Server) -> None:
    def run(*words: str, stdin: str = "", code: int = 0, token: str = "") -> str:
        done = setpoint(*words, stdin=stdin, SETPOINT_SERVER=server.url, SETPOINT_TOKEN=token)
        assert done.returncode == code, done.stderr
        assert "three small words" not in done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    assert "There are no users" in run("user", "list")
    assert "first make an admin" in run("user", "add", "eve", stdin=PASSWORD, code=4)
    assert "nothing came" in run("user", "add", "ada", "--role", "admin", code=2)
    assert "added ada, admin" in run("user", "add", "ada", "--role", "admin", stdin=PASSWORD)

    assert "setpoint token create" in run("user", "list", code=5)
    wrong = run("user", "list", "--as", "ada", stdin="some other words\n", code=5)
    assert "do not go together" in wrong
    made = run("user", "add", "eve", "--role", "viewer", "--as", "ada", "-o", "json", stdin=PASSWORD * 2)
    assert json.loads(made)["role"] == "viewer"
    token = run("token", "create", "laptop", "--role", "admin", "--as", "ada", stdin=PASSWORD).strip()
    assert token.startswith("sp_")

    users = json.loads(run("user", "list", "-o", "json", token=token))["items"]
    assert [(user["name"], user["role"]) for user in users] == [("ada", "admin"), ("eve", "viewer")]
    assert "eve is responder now" in run("user", "role", "eve", "responder", token=token)
    assert "no role" in run("user", "role", "eve", "root", code=2, token=token)
    assert "another password" in run("user", "password", "eve", stdin="four other small words\n", token=token)
    assert "needs the role admin; eve" in run(
        "user", "list", "--as", "eve", stdin="four other small words\n", code=5
    )
    sender = run("token", "create", "collector", "--expires", "90d", token=token).strip()
    assert "may bring telemetry" in run("status", token=sender, code=5)
    assert "laptop" in run("token", "list", token=token)
    run("event", "add", "checkout 7", token=token)
    told = json.loads(run("timeline", "-o", "json", token=token))["items"]
    assert told[0]["actor"] == "laptop"
    assert "removed eve" in run("user", "remove", "eve", token=token)
    assert "user list" in run("user", "remove", "eve", code=3, token=token)
    assert "revoked collector" in run("token", "revoke", "collector", token=token)
    run("token", "revoke", "laptop", token=token)
    assert "not known here" in run("status", code=5, token=token)


def test_the_howto_works_as_it_stands(server: Server, tmp_path: Path) -> None:
    """Every command of docs/howto/let-others-in.md, one after the other; each password is the same line."""
    page = (Path(__file__).parents[2] / "docs/howto/let-others-in.md").read_text()
    lines = re.findall(r"^ {4}((?:export|setpoint) .*)$", page, re.MULTILINE)
    assert len(lines) > 10
    wrapper = f"setpoint() {{ printf '{PASSWORD.strip()}\\n%.0s' 1 2 3 | {shlex.quote(PROGRAM)} \"$@\"; }}"
    script = "\n".join(["set -e", wrapper, *lines])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SETPOINT_")}
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=environment | {"SETPOINT_SERVER": server.url},
        cwd=tmp_path,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "grace is editor now" in done.stdout
    assert "revoked ci" in done.stdout


def test_an_outside_address_needs_a_user_or_a_token(tmp_path: Path) -> None:
    with running(["up"], tmp_path) as server:  # a state database that knows nobody
        server.wait_ready()
    ports = ("--listen", f"0.0.0.0:{free_port()}", "--otlp-grpc", "", "--otlp-http", "")
    refused = setpoint("up", "--data", str(tmp_path), *ports)
    assert refused.returncode == 7
    assert "setpoint user add NAME --role admin" in refused.stderr
    with running(["up"], tmp_path) as server:
        server.wait_ready()
        made = setpoint("user", "add", "ada", "--role", "admin", stdin=PASSWORD, SETPOINT_SERVER=server.url)
        assert made.returncode == 0, made.stderr
    with running(["up"], tmp_path, listen="0.0.0.0") as server:
        server.wait_ready()
        assert setpoint("status", SETPOINT_SERVER=server.url).returncode == 5
        listed = setpoint("user", "list", "--as", "ada", stdin=PASSWORD, SETPOINT_SERVER=server.url)
        assert listed.returncode == 0, listed.stderr
