"""`perennial`, with a fault put in from outside: `daemon_victim.py FAULT run --no-serve` (the faults are below)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from consumers.ingest import Ingest
from daemon import cli
from daemon.outbox import Publisher
from registry import artifacts, promotion
from registry.versions import Versions


def kill() -> None:
    """Die as in a crash: nothing is closed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, *, times: int = 1) -> None:
    """Die at the begin of the `times`-th call."""
    function, calls = getattr(owner, name), 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            kill()
        return function(*args, **kwargs)

    setattr(owner, name, wrapped)


def after(owner: Any, name: str) -> None:
    """Die when the first call has done its work, before it says so."""
    function = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        kill()

    setattr(owner, name, wrapped)


def stored_but_not_committed() -> None:
    """The third batch is stored, its positions are not committed."""
    take, calls = Ingest._take, 0

    def wrapped(self: Ingest, portion: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            before(self._source, "commit")
        return take(self, portion)

    Ingest._take = wrapped  # type: ignore[method-assign]  # the fault


def broken_outbox() -> None:
    """A side task meets an error nobody foresaw."""

    def step(_self: Publisher) -> float:
        message = "the outbox is upside down"
        raise LookupError(message)

    Publisher.step = step  # type: ignore[method-assign]  # the fault


FAULTS: Mapping[str, Callable[[], None]] = {
    "mid-ingest": stored_but_not_committed,
    "half-copied": lambda: after(artifacts, "_copy"),
    "published-unrecorded": lambda: before(Versions, "add"),
    "promoted-undecided": lambda: after(promotion, "promote"),
    "broken-outbox": broken_outbox,
}

if __name__ == "__main__":
    fault = sys.argv.pop(1)
    FAULTS[fault]()
    cli.main()
