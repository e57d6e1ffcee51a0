"""Published models opened by the daemon: one that cannot be used fails the run or the load, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from config.errors import RunFailedError
from perennial_artifact.errors import UnusableError


@contextmanager
def usable() -> Iterator[None]:
    """Raise `RunFailedError` where a published model cannot be used."""
    try:
        yield
    except UnusableError as error:
        message = f"{error}; it is not used. Publish the version again or roll back"
        raise RunFailedError(message) from error
