"""Errors by what the caller does with them: fix the request, try again later, or fix the installation."""

from __future__ import annotations

from perennial_artifact.errors import UnusableError


class PerennialError(Exception):
    """Perennial could not do what was asked: `what` went wrong, `where`, and the `remedy`."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} ({self.where}); {self.remedy}"


class RefusedError(PerennialError):
    """The request, or the address it went to, is wrong: sent again as it is, it is refused again.

    `status` is that of the HTTP answer, None when it was refused before it was sent; `field` is what the server names.
    """

    def __init__(self, what: str, where: str, remedy: str, status: int | None = None, field: str | None = None) -> None:
        super().__init__(what, where, remedy)
        self.args = (what, where, remedy, status, field)
        self.status = status
        self.field = field


class UnavailableError(PerennialError):
    """It could not be done within the deadline; later it may. `status` is that of the last HTTP answer, if there was one."""

    def __init__(self, what: str, where: str, remedy: str, status: int | None = None) -> None:
        super().__init__(what, where, remedy)
        self.args = (what, where, remedy, status)
        self.status = status


class NoChampionError(UnavailableError):
    """The task has no champion yet: serving said so at once, and asking again in a moment is of no use."""


class ModelError(PerennialError):
    """This version cannot be used here: its bytes are not those on record, or it cannot be loaded."""


class MissingExtraError(PerennialError):
    """A library that this needs is not installed."""


def missing_extra(error: ImportError, extra: str) -> MissingExtraError:
    """Return the error that names the extra to install."""
    what = f"{error.name or error} is not installed"
    return MissingExtraError(what, f"extra {extra}", f"pip install 'perennial-client[{extra}]'")


def unusable(error: UnusableError, version: str) -> ModelError:
    """Return the error for a version that cannot be used."""
    remedy = "it is not used; the model in use keeps answering. Publish the version again, or roll back"
    return ModelError(str(error), version, remedy)
