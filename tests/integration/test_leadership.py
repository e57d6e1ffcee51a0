"""How a process comes to lead: its token is the buffer's too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from config.settings import Settings, load_settings
from consumers.buffer.fencing import highest_token
from consumers.buffer.writer import BufferWriter
from consumers.erasure.requests import Erasures
from daemon.process.leadership import Leadership
from registry.store import Registry
from tests.support.buffers import TASKS, label, stored


class Candidate:
    """A process that wants to lead."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        self.settings = settings
        self.registry = stack.enter_context(Registry.open(settings.registry_url))
        self.erasures = stack.enter_context(closing(Erasures(settings.data_dir)))
        self.leadership = Leadership(
            settings, self.registry, threading.Event(), meanwhile=lambda: None, stands_by=lambda: pytest.fail("another leads")
        )

    def lead(self) -> tuple[int, BufferWriter]:
        token = self.leadership.acquire()
        assert token is not None
        buffer = self.leadership.open_buffer(self.erasures, token, tasks=lambda: TASKS, patience_s=1.0)
        assert buffer is not None
        return token, buffer


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_the_buffer_is_written_under_the_leases_token(settings: Settings, stack: ExitStack) -> None:
    token, buffer = Candidate(settings, stack).lead()
    with closing(buffer):
        buffer.insert(stored(label("l-1")))
        assert highest_token(settings.buffer_dir) == token == 1


def test_a_new_registry_beside_an_older_buffer_counts_on_from_its_token(settings: Settings) -> None:
    for expected in (1, 2):
        with ExitStack() as stack:
            candidate = Candidate(settings, stack)
            token, buffer = candidate.lead()
            buffer.close()
            candidate.registry.lease.release(candidate.leadership.holder, token)
            assert token == expected
    (settings.data_dir / "registry.db").unlink()
    with ExitStack() as stack:
        token, buffer = Candidate(settings, stack).lead()
        with closing(buffer):
            buffer.insert(stored(label("l-1")))
        assert token == highest_token(settings.buffer_dir) == 3
