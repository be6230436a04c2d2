"""What is broken in the shop: the faults that exist, and the board on which the current ones stand.

The server keeps one `FaultBoard`; pages and commands write to it, the shop's runner polls it (which doubles
as its heartbeat) and makes the processes so. The board is not stored apart: every change is an event on the
timeline, and at start the board is read back from there, so a restarted server goes on with the same faults.
The processes of the shop import this module for its names, so at run time it imports nothing but the floor's
light modules.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from setpoint.clock import Clock
from setpoint.errors import Conflict, InvalidInput

if TYPE_CHECKING:  # the timeline brings SQLAlchemy with it, which no process of the shop should load
    from setpoint.timeline import Timeline

__all__ = [
    "FAULTS",
    "GOOD_VERSION",
    "HEARTBEAT_S",
    "SERVICES",
    "Fault",
    "FaultBoard",
    "FaultKind",
    "Parameter",
]

SERVICES = ("storefront", "catalog", "checkout", "payment", "inventory")
"""The shop's services, from the customer inwards; each is `service.name` of what it sends."""

SERVICES_WITH_DATABASE = ("inventory",)

GOOD_VERSION = "1.0.0"
"""The version that every service runs unless a `version` fault says otherwise."""

HEARTBEAT_S = 10.0
"""After this silence of its runner the shop counts as not running."""

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
_HISTORY = 1000  # events read back at start; a board never holds more than services × kinds of fault


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number that a fault takes, with its bounds (inclusive); `default` None means that it must be
    given."""

    description: str
    minimum: float
    maximum: float
    default: float | None = None


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A way to break a service."""

    description: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)


_RATIO_OF_ERRORS = "share of requests answered 500, 0 to 1"
_ADDED_LATENCY = "time added to a request, in milliseconds"

FAULTS: Mapping[str, FaultKind] = MappingProxyType(
    {
        "errors": FaultKind(
            "a share of the requests is answered 500",
            {"error_ratio": Parameter(_RATIO_OF_ERRORS, 0, 1)},
        ),
        "latency": FaultKind(
            "requests take longer",
            {
                "latency_ms": Parameter(_ADDED_LATENCY, 0, 60_000),
                "ratio": Parameter("share of requests that are slow, 0 to 1", 0, 1, 1.0),
            },
        ),
        "leak": FaultKind(
            "memory grows until it holds 300 MB more",
            {"mb_per_minute": Parameter("growth in megabytes per minute", 1, 6000, 60.0)},
        ),
        "slow-query": FaultKind(
            "each stock check runs a query without an index first",
            {"rows": Parameter("rows that the query walks through", 1, 50_000_000, 5_000_000.0)},
        ),
        "dead": FaultKind("the process is killed and stays away"),
        "version": FaultKind(
            "a bad release: the service restarts as another version with errors and latency of its own",
            {
                "error_ratio": Parameter(_RATIO_OF_ERRORS, 0, 1, 0.2),
                "latency_ms": Parameter(_ADDED_LATENCY, 0, 60_000, 100.0),
            },
        ),
    }
)
"""The faults by name. `version` also takes the text parameter `version` (default 1.1.0)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is in force at a service since `since_ms` (Unix milliseconds)."""

    service: str
    fault: str
    parameters: Mapping[str, float | str]
    since_ms: int
    actor: str

    def as_json(self) -> dict[str, Any]:
        """What `GET /api/demo/faults` lists for it."""
        return {
            "service": self.service,
            "fault": self.fault,
            "parameters": dict(self.parameters),
            "since_ms": self.since_ms,
            "actor": self.actor,
            "summary": self.summary,
        }

    @property
    def summary(self) -> str:
        """One sentence for the timeline."""
        told = {
            "errors": "answers 500 to {error_ratio:.0%} of its requests",
            "latency": "takes {latency_ms:.0f} ms longer for {ratio:.0%} of its requests",
            "leak": "leaks {mb_per_minute:.0f} MB per minute",
            "slow-query": "walks {rows:,.0f} rows before each stock check",
            "dead": "is killed and stays away",
            "version": "is released as {version}: {error_ratio:.0%} errors, {latency_ms:.0f} ms slower",
        }[self.fault]
        return f"{self.service} " + told.format(**self.parameters)


class FaultBoard:
    """The faults in force; safe to use from several threads."""

    def __init__(self, timeline: Timeline, clock: Clock) -> None:
        """Read back from `timeline` what was in force when the last server ended."""
        self._timeline = timeline
        self._clock = clock
        self._guard = threading.RLock()  # the timeline's subscribers may ask for the faults meanwhile
        self._polled_ms: int | None = None
        self._shop_version: str | None = None
        self._faults = self._read_back()

    def set(
        self, service: str, fault: str, parameters: Mapping[str, Any] | None = None, actor: str = "setpoint"
    ) -> Fault:
        """Break `service`; the same fault set again replaces its parameters.

        Raises InvalidInput for an unknown service, fault or parameter or a value out of bounds, and Conflict
        when the shop is not running; nothing is changed then.
        """
        checked = _check(service, fault, parameters or {})
        with self._guard:
            if not self.is_shop_running():
                raise Conflict("the shop is not running; start it with: setpoint demo")
            made = Fault(service, fault, checked, self._clock.now_ms(), actor)
            self._timeline.append(
                "demo.fault",
                made.summary,
                service=service,
                actor=actor,
                data={"fault": fault, "parameters": dict(checked)},
                at_ms=made.since_ms,
            )
            self._faults[service, fault] = made
            return made

    def heal(self, service: str | None = None, actor: str = "setpoint") -> list[Fault]:
        """End every fault of `service`, or all with None, and return those that ended.

        Works without a running shop. One event is written per service that had a fault; none when all was
        well. Raises InvalidInput for an unknown service.
        """
        if service is not None:
            _check_name("service", service, SERVICES)
        with self._guard:
            ended = [found for found in self.faults() if service in (None, found.service)]
            for name in dict.fromkeys(found.service for found in ended):
                kinds = [found.fault for found in ended if found.service == name]
                self._timeline.append(
                    "demo.heal",
                    f"{name} is healed: {', '.join(kinds)} ended",
                    service=name,
                    actor=actor,
                    data={"faults": kinds},
                )
                for kind in kinds:
                    del self._faults[name, kind]
            return ended

    def faults(self) -> list[Fault]:
        """The faults in force, in the order of the services."""
        with self._guard:
            return sorted(
                self._faults.values(), key=lambda found: (SERVICES.index(found.service), found.since_ms)
            )

    def poll(self, version: str | None = None) -> list[Fault]:
        """What the runner asks for twice a second: the faults in force. Remembers that the shop is there.

        `version` is the shop's own version, when its runner tells.
        """
        with self._guard:
            self._polled_ms = self._clock.now_ms()
            self._shop_version = version or self._shop_version
            return self.faults()

    @property
    def polled_ms(self) -> int | None:
        """When the runner last asked (Unix milliseconds); None when it never has since the server started."""
        return self._polled_ms

    def is_shop_running(self) -> bool:
        """True when the runner has polled within the last `HEARTBEAT_S` seconds."""
        return self._polled_ms is not None and self._clock.now_ms() - self._polled_ms <= HEARTBEAT_S * 1000

    def _read_back(self) -> dict[tuple[str, str], Fault]:
        events = self._timeline.query(kinds=("demo.fault", "demo.heal"), limit=_HISTORY)
        found: dict[tuple[str, str], Fault] = {}
        for event in reversed(events):
            if event.service not in SERVICES:
                continue
            if event.kind == "demo.heal":
                found = {key: fault for key, fault in found.items() if key[0] != event.service}
            elif (kind := str(event.data.get("fault"))) in FAULTS:
                try:
                    parameters = _check(event.service, kind, event.data.get("parameters") or {})
                except InvalidInput:  # another release of Setpoint wrote it, or somebody through the API
                    continue
                found[event.service, kind] = Fault(event.service, kind, parameters, event.at_ms, event.actor)
        return found


def _check(service: str, fault: str, given: Mapping[str, Any]) -> Mapping[str, float | str]:
    _check_name("service", service, SERVICES)
    _check_name("fault", fault, tuple(FAULTS))
    if fault == "slow-query" and service not in SERVICES_WITH_DATABASE:
        owners = " and ".join(SERVICES_WITH_DATABASE)
        raise InvalidInput(f"{service} has no database, so it has no slow query; {owners} has one")
    known = FAULTS[fault].parameters
    names = (*known, "version") if fault == "version" else tuple(known)
    for name in given:
        _check_name(f"parameter of '{fault}'", name, names)
    checked: dict[str, float | str] = {
        name: _number(fault, name, parameter, given.get(name)) for name, parameter in known.items()
    }
    if fault == "version":
        checked["version"] = _version(given.get("version"))
    return MappingProxyType(checked)


def _check_name(noun: str, name: str, known: tuple[str, ...]) -> None:
    if name in known:
        return
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    choice = f"choose from: {', '.join(known)}" if known else "it takes none"
    raise InvalidInput(f"there is no {noun} '{name}'; {hint}{choice}")


def _number(fault: str, name: str, parameter: Parameter, value: Any) -> float:
    if value is None:
        value = parameter.default
    if value is None:
        raise InvalidInput(f"the fault '{fault}' needs {name} ({parameter.description})")
    bounds = f"from {parameter.minimum:g} to {parameter.maximum:g}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{name} is '{value}'; write a number {bounds} ({parameter.description})")
    if not parameter.minimum <= value <= parameter.maximum:  # also refuses NaN
        raise InvalidInput(f"{name} is {value:g}; write a number {bounds} ({parameter.description})")
    return float(value)


def _version(value: Any) -> str:
    version = "1.1.0" if value is None else str(value)
    if not _VERSION.fullmatch(version):
        raise InvalidInput(f"'{version}' is no version; write up to 32 letters, digits, dots, such as 1.1.0")
    if version == GOOD_VERSION:
        raise InvalidInput(f"{GOOD_VERSION} is the version that runs; choose another, such as 1.1.0")
    return version
