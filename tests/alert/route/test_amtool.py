"""Routing against the real `amtool config routes test`, on trees made at random."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from setpoint.alert.route.read import read_routing
from setpoint.errors import InvalidInput
from tests.conftest import require

LABELS = {"team": ["a", "b", "payments"], "severity": ["page", "ticket", ""], "env": ["prod", "test", "pro"]}
EXPRESSIONS = ["a|b", "pro.*", ".+", "p[ar].*", "", "(?:page|x)", "[^t].*", "a|"]
RECEIVERS = [f"r{number}" for number in range(8)]


@pytest.fixture(scope="module", autouse=True)
def _amtool() -> None:
    require("amtool", shutil.which("amtool") is not None, "prometheus-alertmanager")


def tree(chance: random.Random, depth: int) -> list[str]:
    """The lines of a route, without its root's indentation."""
    lines = [f"receiver: {chance.choice(RECEIVERS)}"] if depth == 0 or chance.random() < 0.8 else []
    if depth:
        lines += condition(chance)
        if chance.random() < 0.4:
            lines.append("continue: true")
    if depth < 3 and chance.random() < (0.9, 0.6, 0.4)[depth]:
        lines.append("routes:")
        for _ in range(chance.randint(1, 4)):
            below = tree(chance, depth + 1)
            lines += [f"  {'- ' if number == 0 else '  '}{line}" for number, line in enumerate(below)]
    return lines


def condition(chance: random.Random) -> list[str]:
    name = chance.choice([*LABELS, "missing"])
    value = chance.choice(LABELS.get(name, ["x"]))
    expression = chance.choice(EXPRESSIONS)
    return chance.choice(
        [
            [f"match: {{{name}: '{value}'}}"],
            [f"match_re: {{{name}: '{expression}'}}"],
            [f"matchers: ['{name}=\"{value}\"']"],
            [f"matchers: ['{name}!=\"{value}\"']"],
            [f"matchers: ['{name}=~\"{expression}\"']"],
            [f"matchers: ['{name}!~\"{expression}\"', 'team!=\"b\"']"],
            [f"matchers: ['{{{name}=~\"{expression}\", env != prod}}']"],
        ]
    )


def amtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", *words], capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.parametrize("seed", range(25))
def test_the_same_receivers_in_the_same_order(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    text = "route:\n" + "".join(f"  {line}\n" for line in tree(chance, 0))
    text += "receivers:\n" + "".join(f"- name: {name}\n" for name in RECEIVERS)
    file = tmp_path / "alertmanager.yml"
    file.write_text(text)
    routing = read_routing(str(file), text)
    for _ in range(6):
        labels = {name: chance.choice(values) for name, values in LABELS.items() if chance.random() < 0.8}
        labels = {name: value for name, value in labels.items() if value}
        done = amtool(
            "config",
            "routes",
            "test",
            f"--config.file={file}",
            *(f"{name}={value}" for name, value in labels.items()),
        )
        assert done.returncode == 0, done.stderr
        # amtool names a receiver once for each route that takes the alert.
        assert done.stdout.strip() == ",".join(one.receiver for one in routing.match(labels)), (labels, text)


BROKEN = [
    "route: {receiver: a, group_by: ['...', x]}",
    "route: {receiver: a, group_interval: 0s}",
    "route: {receiver: a, continue: true}",
    "route: {receiver: b}",
    "route: {receiver: a, routes: [{matchers: ['x=~(']}]}",
    "route: {receiver: a, routes: [{match_re: {x: }}]}",
    "route: {receiver: a, unknown: 1}",
    "route: {receiver: a, routes: [{mute_time_intervals: [x]}]}",
    "route: {receiver: a, matchers: [a=b]}",
    "route: {receiver: a, group_wait: 1x}",
    "route: {receiver: a}\nglobal: {smtp_smarthost: x}",
    "route: {receiver: a}\ntime_intervals: [{name: x, time_intervals: [{weekdays: [monday:sunday]}]}]",
    "route: {receiver: a}\ntime_intervals: [{name: x, time_intervals: "
    "[{times: [{start_time: '9:00', end_time: '10:00'}]}]}]",
]  # fmt: skip
GOOD = [
    "route: {receiver: a, group_by: []}",
    "route: {receiver: a, group_by: ['...'], routes: [{match: {x: 1}, continue: yes}]}",
    "route: {receiver: a, routes: [{matchers: [x=1]}]}\ninhibit_rules: [{source_match: {a: b}, equal: [c]}]",
    "route: {receiver: a}\nglobal:\n",
    "route: {receiver: a}\ntime_intervals: [{name: x, time_intervals: [{days_of_month: ['-3:-1'], years: [2026]}]}]",
    "route: {receiver: a, group_wait: 0s, group_interval: 1ms, repeat_interval: 1d2h}",
]


@pytest.mark.parametrize("text", [*BROKEN, *GOOD])
def test_what_alertmanager_takes_is_taken_and_the_rest_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(f"{text}\nreceivers: [{{name: a}}]\n")
    takes = amtool("check-config", str(file)).returncode == 0
    assert takes == (text in GOOD)
    if takes:
        read_routing(str(file), file.read_text())
    else:
        with pytest.raises(InvalidInput):
            read_routing(str(file), file.read_text())
