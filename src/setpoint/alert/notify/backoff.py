"""How long to wait after an answer: by what the receiver said, not by how long we feel like it. Pure.

A receiver that is ill is asked again after 1 s, 2 s, … 5 min; one that wants fewer gets what it asked for; content that
is refused is offered a few times, slowly; a wrong address or a missing secret is looked at every few minutes for as
long as it takes, because a person has to mend it.
"""

from __future__ import annotations

import random

from setpoint.alert.notify.channel import Answer

__all__ = ["ABSURD_MS", "REFUSALS_MOST", "is_of_lane", "own_wait_s", "wait_s"]

_FIRST_S, _LONGEST_S = 1.0, 300.0
_OWN_FIRST_S, _OWN_FACTOR, _OWN_LONGEST_S = 1.0, 1.7, 10.0
_MISCONFIGURED_FIRST_S = 10.0
_REFUSED_S = (30.0, 120.0, 300.0, 600.0)
_ASKED_MOST_S = 600.0

REFUSALS_MOST = len(_REFUSED_S) + 1
"""After this many refusals a notification is given up."""

ABSURD_MS = round(2000 * _ASKED_MOST_S)
"""Nothing is due this far ahead unless the clock was set back: it is taken as due."""


def is_of_lane(answer: Answer) -> bool:
    """Whether the answer is about the receiver, so that everything for it waits, and not about one content."""
    return answer.kind != "refused"


def wait_s(answer: Answer, failures: int) -> float:
    """Seconds until the next attempt; `failures` counts those in a row, this one included (of its kind if refused)."""
    if answer.kind == "refused":
        return _jittered(_REFUSED_S[min(failures, len(_REFUSED_S)) - 1])
    first_s = _MISCONFIGURED_FIRST_S if answer.kind == "misconfigured" else _FIRST_S
    wait = _jittered(min(_LONGEST_S, first_s * 2 ** min(failures - 1, 20)))
    return max(wait, min(answer.retry_after_s, _ASKED_MOST_S))


def own_wait_s(answer: Answer, attempts: int) -> float:
    """Seconds until one notification is tried again, if its receiver is not stopped altogether; shorter, because a
    receiver that takes half of them would else keep the unlucky ones waiting for many minutes, and one that takes none
    is stopped.
    """
    if answer.kind != "retry":
        return wait_s(answer, attempts)
    return max(
        _jittered(min(_OWN_LONGEST_S, _OWN_FIRST_S * _OWN_FACTOR ** min(attempts - 1, 20))),
        min(answer.retry_after_s, _ASKED_MOST_S),
    )


def _jittered(seconds: float) -> float:
    """A little less, so that many that failed together do not come back together."""
    return seconds * random.uniform(0.8, 1.0)
