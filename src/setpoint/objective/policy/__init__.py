"""Error budget policies: what happens when a budget goes or is gone, who may make an exception, and the pure function
that decides whether a change may be released. `PolicyBoard` keeps what is in force; `release` asks.
"""

from setpoint.objective.policy.board import PolicyBoard
from setpoint.objective.policy.decide import Decision, decide
from setpoint.objective.policy.inputs import Inputs, Request

__all__ = ["Decision", "Inputs", "PolicyBoard", "Request", "decide"]
