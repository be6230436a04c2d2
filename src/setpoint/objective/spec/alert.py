"""When somebody is told, and who: the kinds AlertPolicy, AlertCondition and AlertNotificationTarget, each also
inside another document.

Beyond OpenSLO: a policy has several conditions, all of which must hold (so that a long and a short window can be
written), there are three more kinds of condition, and a webhook has an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.objective.duration import parse_duration
from setpoint.objective.from_telemetry import SecretFile
from setpoint.objective.spec.fields import (
    API_VERSION,
    Comparison,
    Description,
    Fault,
    InlineMetadata,
    Name,
    OpenSloMetadata,
    decimal_of,
    duration_field,
    error_at,
    errors_at,
)
from setpoint.resource import Part

__all__ = [
    "AlertCondition",
    "AlertNotificationTarget",
    "AlertPolicy",
    "AlertPolicySpec",
    "ConditionSpec",
    "LowTrafficSpec",
    "PolicyEntry",
    "TargetSpec",
    "severity_fault",
]

_YEAR_S = 366 * 86_400
_URL_MAX = 2000
_NO_SECRET = (
    "a secret does not belong into a resource, which pages, diffs and the timeline show; put it into a file of the "
    "server's secrets folder and write secretFile: NAME"
)


class LowTrafficSpec(Part):
    min_events: Annotated[float, Field(ge=0, le=1e15)] = Field(
        0, description="The longest window of an alert must hold this many events before it may fire."
    )
    min_bad: Annotated[float, Field(ge=0, le=1e15)] = Field(
        0, description="And this many bad ones, so that one failure alone wakes nobody."
    )


def _threshold(value: Any) -> Any:
    """A number, a percentage (`10%`) as a part of 1, or the text of a duration."""
    if isinstance(value, str) and value.strip()[-1:].isalpha():
        return value.strip()
    if isinstance(value, str) and value.strip().endswith("%"):
        return _number(value.strip()[:-1]) / 100
    return _number(value)


def _number(value: Any) -> Decimal:
    number = decimal_of(value)
    if not isinstance(number, Decimal):
        raise ValueError("is empty; write a number")
    return number


class _Condition(Part):
    kind: Literal["burnrate", "timeToExhaustion", "budgetDrop", "remainingBudget"] = Field(
        "burnrate",
        description="burnrate: how fast the budget goes (1: it lasts exactly the window). timeToExhaustion: how long "
        "it still lasts at that rate. budgetDrop: which part of it went within lookbackWindow. remainingBudget: "
        "which part of it is left. The last three are Setpoint's.",
    )
    op: Comparison = Field(description="How the measured value compares with threshold.")
    threshold: Annotated[Decimal | str, BeforeValidator(_threshold)] = Field(
        description="burnrate: a factor such as 14.4. timeToExhaustion: a duration such as 4h. budgetDrop, "
        "remainingBudget: a part of the budget such as 0.1 or 10%."
    )
    lookback_window: Annotated[str, duration_field(60, _YEAR_S, "1m to 366d, such as 1h")] | None = Field(
        None, description="The time that is looked at; needed by all but remainingBudget."
    )
    alert_after: Annotated[str, duration_field(0, 31 * 86_400, "0m to 31d, such as 5m")] = Field(
        "0m", description="How long the condition must hold before anybody is told."
    )

    @model_validator(mode="after")
    def _fits(self) -> _Condition:
        faults: list[Fault] = []
        if self.kind == "remainingBudget":
            if self.lookback_window is not None:
                faults.append(
                    (("lookbackWindow",), "what is left is a matter of the whole window; leave it out")
                )
        elif self.lookback_window is None:
            faults.append(((), "lookbackWindow is missing; write the time to look at, such as 1h"))
        sentence = self._threshold_fault()
        if sentence:
            faults.append((("threshold",), sentence))
        if faults:
            raise errors_at(self, faults)
        return self

    def _threshold_fault(self) -> str:
        value = self.threshold
        if self.kind == "timeToExhaustion":
            if not isinstance(value, str):
                return f"{value} is no duration; write how long the budget must still last, such as 4h"
            seconds = parse_duration(value)
            return "" if seconds <= _YEAR_S else f"{value} is out of bounds; write 1m to 366d, such as 4h"
        if isinstance(value, str):
            return f"'{value[:80]}' is no number; write one, such as {'14.4' if self.kind == 'burnrate' else '0.1'}"
        low, high, such = {
            "burnrate": (Decimal(0), Decimal(1_000_000), "14.4"),
            "budgetDrop": (Decimal(0), Decimal(1), "0.1 for a tenth of the budget"),
            "remainingBudget": (Decimal(-100), Decimal(1), "0.25 for a quarter of the budget"),
        }[self.kind]
        if self.kind == "remainingBudget":
            return (
                "" if low <= value < high else f"{value} is out of bounds; write less than 1, such as {such}"
            )
        return "" if low < value <= high else f"{value} is out of bounds; write more than 0, such as {such}"

    @property
    def threshold_number(self) -> float:
        """The threshold as the model has it: a factor, seconds, or a part of the budget."""
        value = self.threshold
        return float(parse_duration(value) if isinstance(value, str) else value)

    @property
    def lookback_s(self) -> int:
        """`lookbackWindow` in seconds; 0 where there is none."""
        return parse_duration(self.lookback_window) if self.lookback_window else 0

    @property
    def after_s(self) -> int:
        """`alertAfter` in seconds."""
        return 0 if self.alert_after == "0m" else parse_duration(self.alert_after)


class ConditionSpec(Part):
    description: Description = ""
    severity: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="How urgent it is, such as page or ticket."
    )
    condition: _Condition


class AlertCondition(Part):
    """When the budget goes too fast, or too much of it is gone; policies name it as `conditionRef`."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertCondition"] = "AlertCondition"
    metadata: OpenSloMetadata
    spec: ConditionSpec


class ConditionEntry(Part):
    """A condition of a policy: the name of one, or one written here."""

    condition_ref: Name | None = Field(None, description="The AlertCondition that is meant.")
    kind: Literal["AlertCondition"] | None = None
    metadata: InlineMetadata | None = None
    spec: ConditionSpec | None = None

    @model_validator(mode="after")
    def _one(self) -> ConditionEntry:
        _refuse_both(self.condition_ref, self.spec, self.metadata, "conditionRef")
        return self


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"is no URL: {error}; write one such as https://hooks.example.com/slo") from error
    is_clean = value.isascii() and value.isprintable() and " " not in value and len(value) <= _URL_MAX
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_clean:
        raise ValueError("is no URL of a server; write one such as https://hooks.example.com/slo")
    if parts.username is not None or parts.password is not None:
        raise ValueError(_NO_SECRET)
    return value


def _refuse_secret(value: Any) -> None:
    if value is not None:
        raise ValueError(_NO_SECRET)


class TargetSpec(Part):
    description: Description = ""
    target: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        description="webhook: alerts are posted to `url`. Others (slack, email, …) are kept and shown; nothing is sent "
        "to them yet."
    )
    url: Annotated[str, AfterValidator(_url)] | None = Field(
        None, description="webhook: where alerts are posted to, as JSON."
    )
    secret_file: SecretFile | None = Field(
        None,
        description="webhook: the file of the server's secrets folder with the key that requests are signed with.",
    )
    secret: Annotated[None, BeforeValidator(_refuse_secret)] = Field(
        None, description="Refused: secrets stand in files."
    )

    @model_validator(mode="after")
    def _address(self) -> TargetSpec:
        if self.is_webhook and self.url is None:
            raise error_at(self.target, ("target",), "a webhook needs its address; add 'url: …' beside it")
        for name, value in (("url", self.url), ("secretFile", self.secret_file)):
            if value is not None and not self.is_webhook:
                raise error_at(
                    value, (name,), f"belongs to target: webhook, and this is {self.target}; leave it out"
                )
        return self

    @property
    def is_webhook(self) -> bool:
        """True where alerts are sent to `url`."""
        return self.target.lower().replace("-", "") == "webhook"


class AlertNotificationTarget(Part):
    """Where alerts go; policies name it as `targetRef`."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertNotificationTarget"] = "AlertNotificationTarget"
    metadata: OpenSloMetadata
    spec: TargetSpec


class TargetEntry(Part):
    """A target of a policy: the name of one, or one written here."""

    target_ref: Name | None = Field(None, description="The AlertNotificationTarget that is meant.")
    kind: Literal["AlertNotificationTarget"] | None = None
    metadata: InlineMetadata | None = None
    spec: TargetSpec | None = None

    @model_validator(mode="after")
    def _one(self) -> TargetEntry:
        _refuse_both(self.target_ref, self.spec, self.metadata, "targetRef")
        return self


class AlertPolicySpec(Part):
    description: Description = ""
    alert_when_no_data: bool = Field(False, description="Tell when there is no data to judge by.")
    alert_when_resolved: bool = Field(True, description="Tell when it is over.")
    alert_when_breaching: bool = Field(True, description="Tell when the conditions hold.")
    conditions: Annotated[list[ConditionEntry], Field(min_length=1, max_length=10)] = Field(
        description="All must hold. OpenSLO allows one; several are Setpoint's, such as a long and a short window."
    )
    notification_targets: Annotated[list[TargetEntry], Field(max_length=20)] = Field(
        default_factory=list, description="Who is told. Alerts are on the timeline and the pages in any case."
    )
    low_traffic: LowTrafficSpec | None = Field(
        None, description="How much must have happened before it may fire; else the SLO's. Setpoint's."
    )

    @model_validator(mode="after")
    def _tells(self) -> AlertPolicySpec:
        if not (self.alert_when_breaching or self.alert_when_no_data):
            raise error_at(
                self,
                ("alertWhenBreaching",),
                "a policy that tells neither of a breach nor of missing data never fires; write "
                "alertWhenBreaching: true",
            )
        sentence = severity_fault([entry.spec for entry in self.conditions if entry.spec is not None])
        if sentence:
            raise error_at(self, ("conditions",), sentence)
        return self


class AlertPolicy(Part):
    """When somebody is told of an SLO's budget, and who; SLOs name it as `alertPolicyRef`."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["AlertPolicy"] = "AlertPolicy"
    metadata: OpenSloMetadata
    spec: AlertPolicySpec


class PolicyEntry(Part):
    """A policy of an SLO: the name of one, or one written here."""

    alert_policy_ref: Name | None = Field(None, description="The AlertPolicy that is meant.")
    kind: Literal["AlertPolicy"] | None = None
    metadata: InlineMetadata | None = None
    spec: AlertPolicySpec | None = None

    @model_validator(mode="after")
    def _one(self) -> PolicyEntry:
        _refuse_both(self.alert_policy_ref, self.spec, self.metadata, "alertPolicyRef")
        return self


def severity_fault(conditions: Sequence[ConditionSpec]) -> str:
    """What is wrong with the severities of a policy's conditions; empty when nothing is."""
    found = list(dict.fromkeys(one.severity for one in conditions))
    if len(found) < 2:
        return ""
    return (
        f"the conditions of a policy hold together, and these are {' and '.join(found)}; give them one severity, or "
        "write a policy for each"
    )


def _refuse_both(reference: str | None, spec: Any, metadata: Any, name: str) -> None:
    if reference is None and spec is None:
        raise ValueError(f"write {name}: NAME, or metadata and spec of one here")
    if reference is not None and (spec is not None or metadata is not None):
        raise ValueError(f"{name} and one that is written here exclude each other; keep one")
