"""The one error of templates: while they are parsed, and while they are run."""

from __future__ import annotations

from setpoint.errors import InvalidInput

__all__ = ["TemplateError"]


class TemplateError(InvalidInput):
    """The template cannot be used. `line` counts in the template, from 1."""

    def __init__(self, message: str, line: int = 1) -> None:
        self.line = line
        super().__init__(message)
