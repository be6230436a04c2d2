"""Objectives: what was promised (`spec`), what was counted (the ledger), what is left of the error budget,
and how fast it goes. `ObjectiveBook` keeps all of it current; the rest of the package is arithmetic or
storage for it.
"""

from setpoint.objective.book import ObjectiveBook
from setpoint.objective.model import BudgetHistory, BurnRate, Objective, ObjectiveStatus, State
from setpoint.objective.register import register
from setpoint.objective.spec import API_VERSION, Service, Slo
from setpoint.objective.store import LedgerStore

__all__ = [
    "API_VERSION",
    "BudgetHistory",
    "BurnRate",
    "LedgerStore",
    "Objective",
    "ObjectiveBook",
    "ObjectiveStatus",
    "Service",
    "Slo",
    "State",
    "register",
]
