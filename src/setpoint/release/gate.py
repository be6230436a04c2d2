"""The release gate: asks the pure decision, writes it on the timeline with its inputs, and can make it again.

A pipeline that asks again within the same minute, because a step was repeated or waits, gets the decision that was
written, with its id, as long as nothing has changed: so retries are harmless and do not flood the timeline. Another
answer, or the same for other reasons, is a decision of its own at once (decision 0030).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from setpoint.errors import Held, InvalidInput, NotFound, SetpointError, Undecided
from setpoint.release.from_objective import CHANGES, Decision, Inputs, Request, clipped, decide
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["DECIDED", "EXCEPTION_USED", "Decided", "Gate", "Replay"]

DECIDED, EXCEPTION_USED = "gate.decided", "policy.exception_used"
_MINUTE_MS: Final = 60_000
_TEXT_MAX: Final = 100
_WORDS: Final = ("reason", "lifted_when", "sentence", "formula", "ends_when")
"""Fields that only say in words what the others say; another version may have others."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as it stands on the timeline, under the event's id."""

    id: int
    decision: Mapping[str, Any]

    @property
    def http_status(self) -> int:
        """200 only for allow, so that a client which looks at nothing else is held."""
        kind = _KIND.get(self.decision["decision"])
        return 200 if kind is None else kind.http_status

    def as_json(self) -> dict[str, Any]:
        """The decision with its id, and where it can be made again."""
        kind = _KIND.get(self.decision["decision"])
        code = 0 if kind is None else kind.exit_code
        replay = f"/gate/decisions/{self.id}/replay"
        return {"id": self.id, **self.decision, "exit_code": code, "replay": replay}


_KIND: Final[Mapping[str, type[SetpointError]]] = {"hold": Held, "don't know": Undecided}


@dataclass(frozen=True, slots=True)
class Replay:
    """A decision made again. `differences`: the fields (wordings aside) in which it is another."""

    id: int
    recorded: Mapping[str, Any]
    replayed: Mapping[str, Any]
    differences: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Both decisions, and whether they are the same."""
        return {
            "id": self.id,
            "same": not self.differences,
            "differences": list(self.differences),
            "recorded": self.recorded,
            "replayed": self.replayed,
        }


class Gate:
    """See above; safe to use from several threads."""

    def __init__(self, inputs: Callable[[Request], Inputs], timeline: Timeline) -> None:
        """`inputs` gathers all that a decision is made from, as it is at the moment."""
        self._inputs, self._timeline = inputs, timeline

    def ask(self, request: Request, actor: str) -> Decided:
        """Decide, and write it on the timeline. Raises InvalidInput for what cannot be asked, and Unavailable when the
        decision cannot be stored: what is not written was not decided.
        """
        _check(request)
        inputs = self._inputs(request)
        decision = decide(inputs)
        event = self._told(decision, inputs, actor, _key(decision, actor))
        if event.kind != DECIDED or _answer_of(event) != decision.decision:
            # Somebody else's event has the key: it is no decision, whatever it says.
            event = self._told(decision, inputs, actor, None)
        for used in decision.exceptions if decision.decision == "allow" else ():
            self._timeline.append(
                EXCEPTION_USED,
                clipped(
                    f"{_what(decision)} passes by the exception {used.name} of {used.approved_by}",
                    SUMMARY_MAX,
                ),
                service=request.service,
                actor=actor,
                data={
                    "exception": used.name,
                    "approved_by": used.approved_by,
                    "reason": used.reason,
                    "until_ms": used.until_ms,
                    "decision": event.id,
                    "change": decision.change,
                    "version": decision.version,
                },
                key=f"{EXCEPTION_USED} {event.id} {used.name}",
            )
        return Decided(event.id, event.data["decision"])

    def _told(self, decision: Decision, inputs: Inputs, actor: str, key: str | None) -> Event:
        return self._timeline.append(
            DECIDED,
            clipped(_summary(decision), SUMMARY_MAX),
            service=decision.service,
            actor=actor,
            data={"decision": decision.as_json(), "inputs": inputs.as_json()},
            key=key,
        )

    def replay(self, event_id: int) -> Replay:
        """Make a decision again from what was written of it. Raises NotFound, and InvalidInput when another version
        wrote what this one cannot read.
        """
        event = self._timeline.event(event_id)
        if event is None or event.kind != DECIDED:
            raise NotFound(
                f"there is no decision {event_id}; `setpoint timeline --kind {DECIDED}` lists those that there are"
            )
        return _replayed(event)


def _answer_of(event: Event) -> Any:
    told = event.data.get("decision")
    return told.get("decision") if isinstance(told, Mapping) else None


def _replayed(event: Event) -> Replay:
    recorded, made_from = event.data.get("decision"), event.data.get("inputs")
    if not isinstance(recorded, Mapping) or not isinstance(made_from, Mapping):
        raise InvalidInput(
            f"event {event.id} holds no decision that can be made again; the gate did not write it"
        )
    replayed = json.loads(json.dumps(decide(Inputs.from_json(made_from)).as_json()))
    names = [name for name in {**recorded, **replayed} if name not in _WORDS]
    different = tuple(name for name in names if _plain(recorded.get(name)) != _plain(replayed.get(name)))
    return Replay(event.id, recorded, replayed, different)


def _plain(value: Any) -> Any:
    """Without what only says in words what stands beside it."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items() if name not in _WORDS}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _check(request: Request) -> None:
    if request.change not in CHANGES:
        raise InvalidInput(f"'{request.change}' is no kind of change; write one of {', '.join(CHANGES)}")
    for name, text, most in (
        ("service", request.service, 253),
        ("version", request.version, _TEXT_MAX),
        ("reviewed_by", request.reviewed_by, _TEXT_MAX),
    ):
        if len(text) > most or not text.isprintable():
            raise InvalidInput(f"{name} has {len(text)} characters; write at most {most}, on one line")
    if not request.service.strip():
        raise InvalidInput("the service is missing; name one, as in GET /gate/checkout")


def _what(decision: Decision) -> str:
    version = f" {decision.version}" if decision.version else ""
    return f"{decision.service}{version} ({decision.change})"


def _summary(decision: Decision) -> str:
    return f"{_what(decision)}: {decision.decision}: {decision.reason}"


def _key(decision: Decision, actor: str) -> str:
    """The same for the same question with the same answer for the same reasons, within a minute."""
    asked = [decision.service, decision.change, decision.version, decision.reviewed_by, actor]
    why = [
        (one.policy, one.rule, one.objective, one.exception, one.since_ms is None) for one in decision.because
    ]
    told = json.dumps([asked, decision.decision, decision.releases, list(decision.policies), why])
    digest = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
    return f"{DECIDED} {digest} {decision.at_ms // _MINUTE_MS}"
