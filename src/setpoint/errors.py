"""The one error base class of Setpoint, and the few kinds that a caller can tell apart.

Every layer raises one of these; `web` turns `http_status` into an answer and `cli` turns `exit_code` into the
status of the process, so neither keeps a table of its own. A message says what is wrong and what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "ChecksFailed",
    "Conflict",
    "Forbidden",
    "Held",
    "InvalidInput",
    "NotEnough",
    "NotFound",
    "Problem",
    "SetpointError",
    "StartupRefused",
    "TooLarge",
    "Unavailable",
    "Undecided",
]


class SetpointError(Exception):
    """Something went wrong inside Setpoint. Report it with the message and the server's log."""

    code: str = "internal"
    http_status: int = 500
    exit_code: int = 1
    retryable: bool = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])

    @property
    def message(self) -> str:
        """The sentence for the person who reads it."""
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in what a user wrote, at a place.

    `file` and `line` (1-based) are None where the input has none; `path` is the dotted place inside the document,
    such as `spec.objectives[0].target`.
    """

    message: str
    file: str | None = None
    line: int | None = None
    path: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return ": ".join(part for part in (place, self.path, self.message) if part)


class InvalidInput(SetpointError):
    """The input is not valid; nothing was changed."""

    code = "invalid_input"
    http_status = 400
    exit_code = 2

    def __init__(self, message: str | None = None, problems: tuple[Problem, ...] = ()) -> None:
        self.problems = problems
        super().__init__(message or "\n".join(str(problem) for problem in problems) or None)


class NotFound(SetpointError):
    """There is nothing of that name."""

    code = "not_found"
    http_status = 404
    exit_code = 3


class Conflict(SetpointError):
    """The change contradicts what is stored; read the current state and try again."""

    code = "conflict"
    http_status = 409
    exit_code = 4


class Forbidden(SetpointError):
    """Not allowed: give a token with SETPOINT_TOKEN or --token."""

    code = "forbidden"
    http_status = 401
    exit_code = 5


class NotEnough(Forbidden):
    """Known, and not allowed: this needs a higher role, which an admin can give."""

    http_status = 403


class TooLarge(SetpointError):
    """The body is larger than the server takes; send it in smaller parts."""

    code = "too_large"
    http_status = 413
    exit_code = 2


class Unavailable(SetpointError):
    """The server cannot take this now; try again."""

    code = "unavailable"
    http_status = 503
    exit_code = 6
    retryable = True

    def __init__(self, message: str | None = None, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class StartupRefused(SetpointError):
    """Setpoint did not start; nothing was changed."""

    code = "startup_refused"
    http_status = 500
    exit_code = 7


class ChecksFailed(SetpointError):
    """The input is valid, and what it was checked for is not so; each failure says what was expected and what came."""

    code = "checks_failed"
    http_status = 422
    exit_code = 8


class Held(SetpointError):
    """The gate holds the change: an error budget policy is in force; the answer says which, and what lifts it."""

    code = "held"
    http_status = 423
    exit_code = 9


class Undecided(SetpointError):
    """The gate does not know whether the change may go: data or the service is missing; take it for a no."""

    code = "undecided"
    http_status = 424
    exit_code = 10
