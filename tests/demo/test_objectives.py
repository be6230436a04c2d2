"""The shop's objectives are valid, name its services, and use latency bounds that its histogram has."""

from __future__ import annotations

import re
from importlib.resources import files

from setpoint.app import default_registry
from setpoint.demo.fault import SERVICES
from setpoint.objective.policy.spec import ErrorBudgetPolicy
from setpoint.objective.spec import Slo
from setpoint.objective.spec.team import Team
from setpoint.resource import load_text

_BOUNDS = {
    "0.005",
    "0.01",
    "0.025",
    "0.05",
    "0.075",
    "0.1",
    "0.25",
    "0.5",
    "0.75",
    "1",
    "2.5",
    "5",
    "7.5",
    "10",
}


def test_the_objectives_are_valid_and_about_the_shop() -> None:
    text = files("setpoint.demo").joinpath("objectives.yaml").read_text()

    documents = load_text([("objectives.yaml", text)], default_registry())

    assert [found.name for found in documents if found.kind == "Service"] == list(SERVICES)
    objectives = {found.name: found.spec for found in documents if isinstance(found.spec, Slo)}
    assert {name: spec.spec.service for name, spec in objectives.items()} == {
        "storefront-availability": "storefront",
        "storefront-latency": "storefront",
        "checkout-availability": "checkout",
        "catalog-latency": "catalog",
        "payment-availability": "payment",
        "inventory-availability": "inventory",
    }
    (policy,) = [found.spec for found in documents if isinstance(found.spec, ErrorBudgetPolicy)]
    assert policy.spec.applies_to is not None
    assert policy.spec.applies_to.services == list(SERVICES)
    teams = [found.spec for found in documents if isinstance(found.spec, Team)]
    assert sorted(service for team in teams for service in team.spec.services) == sorted(SERVICES)
    assert len(documents) == len(SERVICES) + len(objectives) + len(teams) + 1
    for name, spec in objectives.items():
        assert set(re.findall(r'job="(\w+)"', str(spec))) == {spec.spec.service}, name
    assert set(re.findall(r'le="([^"]+)"', text)) <= _BOUNDS
