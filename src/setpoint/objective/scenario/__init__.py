"""Scenario files of `setpoint test`: objectives, what comes in, a virtual clock, and what must be known of them when
(`file`, `expect`). `run` plays them with the same `ObjectiveBook` as the server, in memory. Users test their objectives
with them, and so do we (tests/scenario/objectives).
"""

from setpoint.objective.scenario.run import check_scenarios

__all__ = ["check_scenarios"]
