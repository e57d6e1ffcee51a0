"""Errors by what the caller does with them: dead-letter, retry, fail the run, stop.

A message says what went wrong, with which id, what happens next and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence


class PerennialError(Exception):
    """Perennial could not do what was asked."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class DeadLetterError(PerennialError):
    """The event cannot be used; it is kept as a dead letter and its neighbours are processed normally."""

    def __init__(self, reason: str, *, field: str | None = None, problems: Sequence[tuple[str, str]] = ()) -> None:
        """`problems`: every field (empty: the whole) and what is wrong there; by default the reason is the only one."""
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.problems = tuple(problems) or ((field or "", reason),)


class RetryError(PerennialError):
    """A service or resource is not available now; the same step is tried again later."""


class RunFailedError(PerennialError):
    """This training run cannot succeed; the champion stays and the daemon continues."""


class StopError(PerennialError):
    """The process cannot continue safely and must stop; an operator has to act."""


class UserError(PerennialError):
    """The command, setting or file given by the user is wrong; nothing was changed."""


class NothingRanError(UserError):
    """Nothing has run here yet, so there is nothing to read."""
