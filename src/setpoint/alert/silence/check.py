"""What is wrong with a silence, in Alertmanager's words and with the remedy; whether a change keeps its id."""

from __future__ import annotations

from setpoint.alert.silence.model import Silence
from setpoint.errors import InvalidInput
from setpoint.resource.recurrence import check_rule
from setpoint.resource.zone import zone

__all__ = ["can_update", "refuse_invalid"]

_AT_MS_MAX = 253_402_300_799_999
_MATCHERS_MOST = 100
_LENGTHS = {"created_by": 255, "comment": 10_000}


def refuse_invalid(silence: Silence, now_ms: int) -> None:
    """Raise InvalidInput when a silence cannot be posted."""
    told = _wrong_times(silence, now_ms) or _wrong_matchers(silence) or _wrong_texts(silence)
    if told:
        raise InvalidInput(told)
    if silence.recurrence is not None:
        try:
            zone(silence.recurrence.time_zone)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        told = check_rule(silence.recurrence) or ""
        if told:
            raise InvalidInput(told)
        if silence.next_change_ms(max(now_ms, silence.starts_ms) - 1) is None:
            raise InvalidInput("it never takes place between its start and its end; write a later end")


def can_update(old: Silence, new: Silence, now_ms: int) -> bool:
    """Whether a change is made in place. False: it is a new silence, and the old one ends now.

    The past does not change: what a silence muted must be read from it later.
    """
    if sorted(one.order for one in old.matchers) != sorted(one.order for one in new.matchers):
        return False
    if now_ms < old.starts_ms:
        return new.starts_ms >= now_ms
    if now_ms >= old.ends_ms:
        return False
    return new.starts_ms // 1000 == old.starts_ms // 1000 and new.ends_ms >= now_ms


def _wrong_times(silence: Silence, now_ms: int) -> str:
    if silence.starts_ms >= silence.ends_ms:
        return "Failed to create silence: start time must be before end time; write a later end"
    if silence.ends_ms < now_ms:
        return "Failed to create silence: end time can't be in the past; write a later end"
    if silence.starts_ms < 0 or silence.ends_ms > _AT_MS_MAX:
        return "invalid silence: start and end must lie between the years 1970 and 9999"
    return ""


def _wrong_matchers(silence: Silence) -> str:
    if not silence.matchers:
        return 'invalid silence: at least one matcher required; write one such as service="checkout"'
    if len(silence.matchers) > _MATCHERS_MOST:
        return f"invalid silence: it has {len(silence.matchers)} matchers; write at most {_MATCHERS_MOST}"
    for index, one in enumerate(silence.matchers):
        if not one.name or not _is_storable(one.name):
            return f'invalid silence: invalid label matcher {index}: invalid label name "{one.name}"; write a name'
        if not _is_storable(one.value):
            return (
                f"invalid silence: invalid label matcher {index}: invalid label value; remove what is no text"
            )
    # One that asks for another value counts as a choice, as in Alertmanager: people silence all but one team.
    if all(one.is_equal and one.takes_empty for one in silence.matchers):
        return (
            "invalid silence: at least one matcher must not match the empty string, or it would silence everything; "
            'add one such as alertname=~".+"'
        )
    return ""


def _wrong_texts(silence: Silence) -> str:
    for name, most in _LENGTHS.items():
        text = getattr(silence, name)
        if len(text) > most:
            return f"invalid silence: {name} has {len(text)} characters; write at most {most}"
        if not _is_storable(text):
            return f"invalid silence: {name} holds a character that is no text; remove it"
    return ""


def _is_storable(text: str) -> bool:
    """False for what no database stores as text: NUL, and halves of surrogate pairs."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
