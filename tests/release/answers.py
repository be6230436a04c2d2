"""Answers of the gate as its HTTP door gives them, for tests of those who ask it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from setpoint.objective.policy.decide import decide
from setpoint.release.gate import Decided
from tests.objective.policy.world import Seen, facts, inputs, left_at_most, policy

__all__ = ["Answer", "answer"]

_SEEN = {
    "allow": Seen(),
    "hold": Seen(left=-0.12, state="exhausted"),
    "don't know": Seen(state="no data"),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body."""

    status: int
    body: bytes


def answer(decision: str, *, always_ok: bool = False) -> Answer:
    """What `GET /gate/checkout` answers with this decision."""
    made = decide(inputs(facts(_SEEN[decision]), policy(left_at_most(0))))
    assert made.decision == decision
    found = Decided(17, made.as_json())
    return Answer(200 if always_ok else found.http_status, json.dumps(found.as_json()).encode())
