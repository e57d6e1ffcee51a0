"""Who looks at the page waits for no look that takes long, and sees what was done here at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from config.errors import NothingRanError, RetryError, UserError
from config.settings import load_settings
from daemon.dashboard import sources
from daemon.dashboard.sources import Sources

TASKS: dict[str, Any] = {}


class Reader:
    """Each look takes as long as the clock is moved, and finds the next number."""

    def __init__(self) -> None:
        self.tasks = TASKS
        self.found = 0
        self.takes_s = 0.0
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Event()
        self.away = False
        self.trouble: UserError | None = None

    def read(self) -> Any:
        self.begun.set()
        assert self.go_on.wait(60)
        now[0] += self.takes_s
        if self.away:
            raise RetryError
        if self.trouble is not None:
            raise self.trouble
        self.found += 1
        return self.found

    def close(self) -> None:
        pass


now = [0.0]


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def looked_at(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    now[0] = 1_000.0
    monkeypatch.setattr(sources, "time", SimpleNamespace(monotonic=lambda: now[0]))
    made = Sources(load_settings(), tasks=lambda: TASKS)
    made._looker = reader  # type: ignore[assignment]  # stands in for the handles
    made._reader = Reader()  # type: ignore[assignment]  # likewise, of the pages
    yield made
    reader.go_on.set()
    made.close()


def behind(made: Sources) -> None:
    """Wait for the look that goes on behind."""
    thread = made._behind
    assert thread is not None
    thread.join(60)
    assert not thread.is_alive()


def test_what_is_wrong_with_a_file_is_not_taken_for_nothing_has_run(looked_at: Sources, reader: Reader) -> None:
    reader.trouble = NothingRanError()
    assert looked_at.status_or_none() is None
    reader.trouble = UserError()
    with pytest.raises(UserError):
        looked_at.status_or_none()


def test_a_quick_look_is_taken_whenever_the_last_is_old(looked_at: Sources) -> None:
    assert [looked_at.status(), looked_at.status()] == [1, 1]
    now[0] += 2
    assert looked_at.status() == 2


def test_nobody_waits_for_a_look_that_takes_long(looked_at: Sources, reader: Reader) -> None:
    reader.takes_s = 3.0
    assert looked_at.status() == 1
    now[0] += 31
    reader.go_on.clear()
    assert [looked_at.status(), looked_at.status()] == [1, 1], "the look behind has not ended"
    reader.go_on.set()
    behind(looked_at)
    assert (looked_at.status(), reader.found) == (2, 2)
    now[0] += 91
    assert looked_at.status() == 3, "what is known is too old to be shown"


def test_what_was_done_here_is_seen_at_once(looked_at: Sources, reader: Reader) -> None:
    reader.takes_s = 3.0
    assert looked_at.status() == 1
    now[0] += 31
    reader.go_on.clear()
    reader.begun.clear()
    assert looked_at.status() == 1
    assert reader.begun.wait(60)
    looked_at.look_anew()
    reader.go_on.set()
    behind(looked_at)
    assert looked_at.status() == 3, "the look that had begun before saw nothing of it"


def test_a_look_behind_that_fails_leaves_what_is_known(looked_at: Sources, reader: Reader) -> None:
    reader.takes_s = 3.0
    assert looked_at.status() == 1
    now[0] += 31
    reader.away = True
    assert looked_at.status() == 1
    behind(looked_at)
    assert looked_at.status() == 1
    now[0] += 91
    with pytest.raises(RetryError):
        looked_at.status()


def test_what_a_page_reads_with_is_not_what_a_look_holds(looked_at: Sources, reader: Reader) -> None:
    looked_at.status()
    assert looked_at.reader is not reader  # type: ignore[comparison-overlap]  # the stand-in
