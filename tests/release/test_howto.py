"""The page on gating releases is true: its shell parts run against a server, and end as the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.cli.program import PROGRAM
from tests.release.answers import answer

PAGE = (Path(__file__).parents[2] / "docs/howto/gate-releases.md").read_text()
OUTCOMES = {"allow": 0, "hold": 9, "don't know": 10}


class _Server(ThreadingHTTPServer):
    decision = "allow"
    asked: list[str]


class _Gate(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        found = answer(self.server.decision, always_ok="always_ok" in self.path)
        self.send_response(found.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(found.body)))
        self.end_headers()
        self.wfile.write(found.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    """Answers as `GET /gate` does, with the decision that a test wants."""
    made = _Server(("127.0.0.1", 0), _Gate)
    made.asked = []
    thread = Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(5)


def _block(language: str, containing: str) -> str:
    found = [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in one]
    assert len(found) == 1, f"the page has {len(found)} such blocks"
    return str(found[0])


def _github() -> str:
    job = YAML(typ="safe").load(_block("yaml", "runs-on"))["jobs"]["release"]
    return str(job["steps"][0]["run"]).replace("--wait 1m", "--wait 1s")


def _gitlab() -> str:
    job = YAML(typ="safe").load(_block("yaml", "allow_failure"))
    assert job["gate"]["allow_failure"]["exit_codes"] == [OUTCOMES["hold"]]
    return "\n".join(job["gate"]["script"])


def _jenkins() -> str:
    (script,) = re.findall(r"sh '''(.*?)'''", _block("groovy", "pipeline"), re.DOTALL)
    return str(script)


def _run(script: str, server: _Server, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    port = server.server_address[1]
    names = {"GITHUB_REF_NAME": "1.4.2", "CI_COMMIT_TAG": "1.4.2", "TAG_NAME": "1.4.2", "VERSION": "1.4.2"}
    return subprocess.run(
        ["sh", "-e", "-c", script],
        env=os.environ
        | names
        | {
            "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}",
            "SETPOINT_SERVER": f"http://127.0.0.1:{port}",
            "SETPOINT_TOKEN": "s3cret",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )


@pytest.mark.parametrize("decision", sorted(OUTCOMES))
@pytest.mark.parametrize("snippet", [_github, _gitlab])
def test_the_snippets_end_with_the_exit_code(
    server: _Server, tmp_path: Path, snippet: Any, decision: str
) -> None:
    server.decision = decision
    done = _run(snippet(), server, tmp_path)
    assert done.returncode == OUTCOMES[decision], done.stderr
    assert "/gate/checkout?change=feature&version=1.4.2" in server.asked[0]


@pytest.mark.parametrize("decision", sorted(OUTCOMES))
def test_curl_succeeds_only_where_it_is_allowed(server: _Server, tmp_path: Path, decision: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing; install it with: apt-get install curl")
    server.decision = decision
    done = _run(_jenkins(), server, tmp_path)
    assert (done.returncode == 0) is (decision == "allow"), done.stderr
    assert f'"decision": "{decision}"' in done.stdout
    assert server.asked == ["/gate/checkout?version=1.4.2"]


@pytest.mark.parametrize("decision", sorted(OUTCOMES))
def test_hold_and_dont_know_can_be_told_apart(server: _Server, tmp_path: Path, decision: str) -> None:
    server.decision = decision
    done = _run(_block("sh", "case $code in"), server, tmp_path)
    assert done.returncode == OUTCOMES[decision]
    told = {"allow": "release\n", "hold": "held: see gate.json\n", "don't know": "nobody knows (10)\n"}
    assert done.stdout == told[decision]
    assert f'"decision": "{decision}"' in (tmp_path / "gate.json").read_text()


def test_the_documents_on_the_page_are_of_these_kinds() -> None:
    kinds = re.findall(r"^kind: (\w+)$", PAGE, re.MULTILINE)
    assert kinds == ["ErrorBudgetPolicy", "AlertNotificationTarget", "PolicyException"]
