"""Tells listeners what is new: states of objectives once each, and every change of an alert.

What a listener cannot take at present (`retryable`) is told again on the next tick, in order; what it will never take
is logged and left. The book owns one; `app` gives the listeners, which put what they hear on the timeline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from setpoint.clock import stopwatch
from setpoint.errors import SetpointError
from setpoint.objective.alerting.table import AlertChange
from setpoint.objective.fleet import Fleet
from setpoint.objective.model import ObjectiveStatus, State
from setpoint.objective.overview import STATES
from setpoint.objective.verdict import Verdicts

__all__ = ["OnAlert", "OnChange", "Telling"]

logger = logging.getLogger(__name__)

OnChange = Callable[[ObjectiveStatus, ObjectiveStatus | None], None]
OnAlert = Callable[[Sequence[AlertChange]], None]

_NOTHING = -1
_LEAST_S = 0.2


class Telling:
    """Remembers what was told."""

    def __init__(
        self, on_change: OnChange, on_alert: OnAlert, told_states: Callable[[], Mapping[str, State]]
    ) -> None:
        """`told_states`: the states that the listener knows from the process before; asked once."""
        self._on_change, self._on_alert = on_change, on_alert
        self._told_states: Callable[[], Mapping[str, State]] | None = told_states
        self._state = np.zeros(0, np.int8)
        self._names: tuple[str, ...] = ()
        self._told: dict[str, ObjectiveStatus] = {}
        self._alerts: list[AlertChange] = []
        self._waits = False

    def keep(self, fleet: Fleet) -> None:
        """The objectives are these from now on."""
        before = dict(zip(self._names, self._state.tolist(), strict=True))
        self._names = tuple(one.name for one in fleet.objectives)
        if self._told_states is not None:
            before = {name: STATES.index(state) for name, state in self._told_states().items()}
            self._told_states = None
        self._state = np.array([before.get(name, _NOTHING) for name in self._names], np.int8)
        self._told = {name: one for name, one in self._told.items() if name in fleet.index}

    def states(self, verdicts: Verdicts, status: Callable[[str], ObjectiveStatus], limit_s: float) -> None:
        """Tell the states that are new, for about `limit_s` seconds at most; the others come with the next tick."""
        elapsed_s, limit_s = stopwatch(), max(_LEAST_S, limit_s)
        for at in np.flatnonzero(self._state != verdicts.state).tolist():
            name = self._names[at]
            found = status(name)
            try:
                self._on_change(found, self._told.get(name))
                self._waits = False
            except SetpointError as error:
                if error.retryable:
                    self._wait(error)
                    return  # the others would wait as long for the same thing
                logger.error("the state of objective %s was not passed on: %s", name, error.message)
            except Exception:  # a fault of the listener, which it would have again
                logger.exception("the new state of objective %s was not passed on", name)
            self._told[name] = replace(found, alerts=(), burn=(), spark=())  # of thousands, what is small
            self._state[at] = verdicts.state[at]
            if elapsed_s() > limit_s:
                return

    def alerts(self, changes: Iterable[AlertChange]) -> None:
        """Tell what changed of alerts, after what waits from before."""
        self._alerts.extend(changes)
        if not self._alerts:
            return
        try:
            self._on_alert(tuple(self._alerts))
        except SetpointError as error:
            if error.retryable:
                self._wait(error)
                return
            logger.error("changes of alerts were not passed on: %s", error.message)
        except Exception:  # a fault of the listener, which it would have again
            logger.exception("changes of alerts were not passed on")
        self._alerts.clear()

    def _wait(self, error: SetpointError) -> None:
        if not self._waits:  # once, not every second
            logger.warning("new states of objectives wait to be passed on: %s", error.message)
        self._waits = True
