"""What several acceptance tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.forked_commands import Commands


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    """A process that forks commands, started at the first one."""
    with Commands() as started:
        yield started
