"""What this package takes from objectives: the policies' pure decision, and what it is made from."""

from setpoint.objective.policy.decide import Decision, decide
from setpoint.objective.policy.inputs import Inputs, Request
from setpoint.objective.policy.model import CHANGES
from setpoint.objective.policy.words import clipped

__all__ = ["CHANGES", "Decision", "Inputs", "Request", "clipped", "decide"]
