"""Imported objectives of Sloth, judged by Setpoint and by Prometheus with the rules that are exported for it, over the
same counters: they agree. With Sloth's own expressions they agree while traffic is steady; where it is not, Sloth's are
wrong, and here stands by how much.

promtool runs Prometheus's rule engine on a clock of its own. Each test is twelve hours of one report a minute.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.conftest import require
from tests.objective.convert.documents import REGISTRY
from tests.objective.test_book import World

from setpoint.objective import ObjectiveStatus
from setpoint.objective.convert import Options, import_documents
from setpoint.objective.convert.rule_file import rule_file
from setpoint.objective.convert.rules import export_rules
from setpoint.objective.resolve import no_groups, resolve
from setpoint.resource import load_text

pytestmark = pytest.mark.timeout(120)

SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: answers
    objective: 99.9
    sli:
      events:
        error_query: sum(rate(requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(requests_total[{{.window}}]))
    alerting: {name: ShopFails}
"""
PERIOD = "12h"
MINUTES = 720
Load = tuple[int, int]
"""Requests of a minute, and how many of them fail."""

STEADY: list[Load] = [(100, 1)] * MINUTES
NIGHT_AND_DAY: list[Load] = [*[(10, 0)] * 600, *[(1000, 20)] * 120]
A_BREAK: list[Load] = [*[(100, 1)] * 340, *[(0, 0)] * 20, *[(100, 1)] * 360]

_PERIOD_RATIO = "slo:sli_error:ratio_rate12h"
_LEFT = "slo:period_error_budget_remaining:ratio"
_NOW = "slo:sli_error:ratio_rate5m"
_QUERIES = (_PERIOD_RATIO, _LEFT, _NOW, "slo:current_burn_rate:ratio", 'count(ALERTS{alertstate="firing"})')
_FOUND = re.compile(
    r'expr: "(?P<query>(?:[^"\\]|\\.)*)", time: [^\n]*\n\s*exp:[^\n]*\n\s*got:\s*(?P<got>[^\n]*)'
)


def _counters(load: Sequence[Load]) -> dict[str, list[int]]:
    good = itertools.accumulate((total - bad for total, bad in load), initial=0)
    return {"200": list(good), "500": list(itertools.accumulate((bad for _, bad in load), initial=0))}


def _by_setpoint(text: str, load: Sequence[Load]) -> ObjectiveStatus:
    world = World.make()
    start_ms = world.clock.now_ms()
    for code, values in _counters(load).items():
        for minute, value in enumerate(values):
            world.samples.add("requests_total", start_ms + minute * 60_000, value, code=code)
    world.clock.advance(len(load) * 60)
    world.book.apply(load_text([("made", text)], REGISTRY))
    for _ in range(200):
        world.book.tick()
        if not world.book.statuses()[0].backfilling:
            break
    world.book.tick()
    return world.book.status("shop-answers")


def _by_prometheus(
    text: str, load: Sequence[Load], folder: Path, *, as_sloth: bool
) -> dict[str, float | None]:
    """The value of each query at the end; None where there is none."""
    objectives = resolve(load_text([("made", text)], REGISTRY), no_groups)
    rules = rule_file(export_rules(objectives, {}, as_sloth=as_sloth), "prometheus")
    (folder / "rules.yml").write_text(rules)
    series = {f'requests_total{{code="{code}"}}': values for code, values in _counters(load).items()}
    return _asked(series, len(load), _QUERIES, folder)


def _asked(
    series: Mapping[str, Sequence[float]], minutes: int, queries: Sequence[str], folder: Path
) -> dict[str, float | None]:
    """What `queries` give after `minutes` in which rules.yml of the folder was evaluated over `series`."""
    given = [{"series": one, "values": " ".join(map(str, values))} for one, values in series.items()]
    never = [{"value": -12345}]
    asked = [{"expr": one, "eval_time": f"{minutes}m", "exp_samples": never} for one in queries]
    test = {"interval": "1m", "input_series": given, "promql_expr_test": asked}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}
    (folder / "test.yml").write_text(json.dumps(whole))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    found = {
        one["query"].replace('\\"', '"'): one["got"] for one in _FOUND.finditer(done.stdout + done.stderr)
    }
    assert set(found) == set(queries), done.stdout + done.stderr
    return {query: None if got == "nil" else float(got.split()[-1]) for query, got in found.items()}


@pytest.fixture(scope="module")
def imported() -> str:
    return import_documents([("shop.yml", SLOTH)], REGISTRY, options=Options(PERIOD)).text


@pytest.fixture(autouse=True)
def _promtool() -> None:
    require("promtool", shutil.which("promtool") is not None, "prometheus")


def _assert_agree(status: ObjectiveStatus, found: dict[str, float | None]) -> None:
    assert status.sli is not None
    assert found[_PERIOD_RATIO] == pytest.approx(1 - status.sli, rel=0.01)
    assert found[_LEFT] == pytest.approx(status.budget_left, rel=0.01)
    five = next(one for one in status.burn if one.short_s == 300 or one.long_s == 300)
    burn = five.long_burn if five.long_s == 300 else five.short_burn
    assert found["slo:current_burn_rate:ratio"] == pytest.approx(burn, rel=0.01)
    firing = sum(one.state == "firing" for one in status.alerts)
    assert bool(found['count(ALERTS{alertstate="firing"})']) is bool(firing)


@pytest.mark.parametrize("as_sloth", [False, True], ids=["right", "as-sloth"])
def test_under_steady_load_all_agree(imported: str, tmp_path: Path, as_sloth: bool) -> None:
    status = _by_setpoint(imported, STEADY)
    assert (status.total, status.bad) == (72_000, 720)
    _assert_agree(status, _by_prometheus(imported, STEADY, tmp_path, as_sloth=as_sloth))


def test_by_night_and_day_the_mean_of_ratios_hides_most_of_what_was_spent(
    imported: str, tmp_path: Path
) -> None:
    """Two hours of 1,000 requests a minute after ten of 10: of 126,000 requests 2,400 failed, 1.9 %. Sloth's mean of
    five-minute ratios is 0.33 % (its issue 241): it believes that three budgets are gone, where it is nineteen.
    """
    status = _by_setpoint(imported, NIGHT_AND_DAY)
    assert (status.total, status.bad) == (126_000, 2400)
    right = _by_prometheus(imported, NIGHT_AND_DAY, tmp_path, as_sloth=False)
    _assert_agree(status, right)
    sloth = _by_prometheus(imported, NIGHT_AND_DAY, tmp_path, as_sloth=True)
    assert right[_PERIOD_RATIO] == pytest.approx(2400 / 126_000, rel=0.01)
    assert sloth[_PERIOD_RATIO] == pytest.approx(0.02 * 120 / 720, rel=0.02)
    assert right[_LEFT] == pytest.approx(1 - 19.05, rel=0.01)
    assert sloth[_LEFT] == pytest.approx(1 - 3.33, rel=0.02)
    assert sloth[_NOW] == pytest.approx(right[_NOW])  # what pages is right: only the period is not


def test_after_a_break_without_traffic_sloth_knows_no_budget_for_a_whole_period(
    imported: str, tmp_path: Path
) -> None:
    """0/0 is NaN, and one NaN among the samples of the period makes their sum NaN (its issue 531)."""
    status = _by_setpoint(imported, A_BREAK)
    assert (status.total, status.bad) == (70_000, 700)
    _assert_agree(status, _by_prometheus(imported, A_BREAK, tmp_path, as_sloth=False))
    sloth = _by_prometheus(imported, A_BREAK, tmp_path, as_sloth=True)
    assert sloth[_NOW] == pytest.approx(0.01)
    assert all(sloth[query] is not None and math.isnan(sloth[query] or 0) for query in (_PERIOD_RATIO, _LEFT))


FORMS = """\
version: prometheus/v1
service: shop
slos:
  - name: quick
    objective: 95
    sli:
      events:
        error_query: sum(rate(took_count[{{.window}}])) - sum(rate(took_bucket{le="0.5"}[{{.window}}]))
        total_query: sum(rate(took_count[{{.window}}]))
  - name: known
    objective: 90
    sli:
      raw:
        error_ratio_query: 1 - sum(sum_over_time(known[{{.window}}])) / sum(count_over_time(known[{{.window}}]))
  - name: content
    objective: 50
    sli:
      events:
        error_query: sum_over_time(count(known < 0.9)[{{.window}}:]) or on() vector(0)
        total_query: sum_over_time(count(known)[{{.window}}:])
  - name: worst
    objective: 50
    sli: {raw: {error_ratio_query: '1 - min(known) + 0 * avg(avg_over_time(known[{{.window}}]))'}}
"""


def test_other_forms_of_queries_agree_too(tmp_path: Path) -> None:
    """Latency as a difference, a ratio that is a quotient of samples, a gauge that is looked at, and one that cannot be
    counted, over two hours that are uneven.
    """
    minutes = 120
    took = list(itertools.accumulate((5 if minute < 80 else 200 for minute in range(minutes)), initial=0))
    quick = list(itertools.accumulate((5 if minute < 80 else 180 for minute in range(minutes)), initial=0))
    known = {"a": [0.95 if minute < 60 else 0.8 for minute in range(minutes + 1)], "b": [1.0] * (minutes + 1)}
    series: dict[str, list[float]] = {
        "took_count": [float(one) for one in took],
        'took_bucket{le="0.5"}': [float(one) for one in quick],
        **{f'known{{shelf="{shelf}"}}': values for shelf, values in known.items()},
    }
    text = import_documents([("shop.yml", FORMS)], REGISTRY, options=Options("2h")).text
    world = World.make()
    start_ms = world.clock.now_ms()
    for selector, values in series.items():
        name, _, rest = selector.partition("{")
        labels = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        for minute, value in enumerate(values):
            world.samples.add(name, start_ms + minute * 60_000, value, **labels)
    world.clock.advance(minutes * 60)
    world.book.apply(load_text([("made", text)], REGISTRY))
    for _ in range(200):
        world.book.tick()
        if not any(one.backfilling for one in world.book.statuses()):
            break
    world.book.tick()
    objectives = resolve(load_text([("made", text)], REGISTRY), no_groups)
    (tmp_path / "rules.yml").write_text(rule_file(export_rules(objectives, {}), "prometheus"))
    queries = [f'slo:sli_error:ratio_rate2h{{sloth_id="{one.name}"}}' for one in objectives]
    found = _asked(series, minutes, queries, tmp_path)
    for one, query in zip(objectives, queries, strict=True):
        status = world.book.status(one.name)
        assert status.sli is not None, one.name
        # what is recorded over 5 minutes lags 2.5 behind, and the period is only two hours
        assert found[query] == pytest.approx(1 - status.sli, rel=0.04), one.name
