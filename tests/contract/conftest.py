"""The registry on SQLite and on a real Postgres: what each contract over it runs on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.store import Registry
from tests.support import postgres
from tests.support.registries import Clock


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    return postgres.shared().empty_database()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(url: str, clock: Clock) -> Iterator[Registry]:
    with Registry.open(url, clock=clock) as opened:
        yield opened
