"""Reads the registry for the checks that need it, without making one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config.settings import Settings


def has_registry(settings: Settings) -> bool:
    """Return whether there is a registry; one in Postgres is taken to be there."""
    prefix = "sqlite:///"
    url = settings.registry_url
    return not url.startswith(prefix) or Path(url.removeprefix(prefix)).exists()


@contextlib.contextmanager
def open_registry(settings: Settings) -> Iterator[Any]:
    """Open the registry for reading."""
    from registry.store import Registry  # noqa: PLC0415 - loaded only where it is checked

    with Registry.open(settings.registry_url, read_only=True) as registry:
        yield registry
