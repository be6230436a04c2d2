"""Names of time zones as users write them: those of the IANA database, the same on every machine."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

__all__ = ["zone"]

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,64}(/[A-Za-z0-9_+-]{1,64}){0,3}", re.ASCII)
_OF_THE_MACHINE = frozenset({"localtime", "posixrules", "Factory"})


def zone(value: str) -> str:
    """A time zone of the IANA database; ValueError says what to write instead."""
    try:
        if not _ZONE.fullmatch(value) or value in _OF_THE_MACHINE:
            raise ValueError(value)
        ZoneInfo(value)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"'{value[:80]}' is no time zone of the IANA database; write one such as UTC or Europe/Berlin"
        ) from error
    return value
