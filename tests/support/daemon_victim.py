"""`perennial`, with faults put in from outside: `daemon_victim.py FAULT,FAULT run --no-serve` (the faults are below)."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from consumers.buffer.writer import BufferWriter
from consumers.enrichment.enrich import Enricher, EnrichOutcome
from consumers.ingest import Ingest
from consumers.log.kafka import source as sources
from daemon import app
from daemon.cli import main as cli
from daemon.flow.outbox import Publisher
from daemon.process import side_task
from daemon.training.sandbox.local import LocalSandbox
from daemon.training.sandbox.order import Findings
from registry import promotion
from registry.artifacts import local as artifacts
from registry.database import engine as database
from registry.database.engine import Database
from registry.versions import Versions
from tests.support.encoders import WordEncoder


def kill() -> None:
    """Die as in a crash: nothing is closed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)


def freeze() -> None:
    """Stand still, every thread, until somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)
    # Another thread may be the one that takes the signal, a moment later.
    time.sleep(0.5)


def freeze_outside_the_registry() -> None:
    """Stand still at a moment when no thread is within a transaction of the registry."""
    with _in_the_registry:
        freeze()


_in_the_registry = threading.RLock()


def _one_transaction_at_a_time(name: str) -> None:
    transaction = getattr(Database, name)

    @contextmanager
    def wrapped(self: Database, *args: Any, **kwargs: Any) -> Iterator[Any]:
        with _in_the_registry, transaction(self, *args, **kwargs) as connection:
            yield connection

    setattr(Database, name, wrapped)


def frozen(owner: Any, name: str, *, times: int = 1) -> None:
    """Stand still at the begin of a call, so that the registry stays free for others."""
    for transaction in ("read", "write"):
        _one_transaction_at_a_time(transaction)
    before(owner, name, times=times, fault=freeze_outside_the_registry)


def before(owner: Any, name: str, *, times: int = 1, fault: Callable[[], None] = kill) -> None:
    """Have the fault at the begin of the `times`-th call."""
    function, calls = getattr(owner, name), 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == times:
            fault()
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


def impatient() -> None:
    """Waits that a test need not sit through are short, the ones for a hung or frozen process too."""
    # Above the client's heartbeat, every three seconds.
    sources._SESSION_MS = 4_000
    side_task._LONGEST_BACKOFF_S = 4.0
    app.SIDE_TASKS_LIMIT_S = 3.0
    database.BUSY_TIMEOUT_S = 2.0


def unenriched() -> None:
    """Store texts and leave them so: where nothing is trained, that spares a daemon the encoder and its libraries."""
    Enricher.step = lambda _self: EnrichOutcome()  # type: ignore[method-assign]  # the point


def by_words() -> None:
    """Enrich with an encoder that knows only words: spares a daemon a sentence encoder's libraries, 3 s of a core."""
    app.Enricher = partial(Enricher, encoder=WordEncoder())  # type: ignore[assignment,misc]  # the point


def unsandboxed() -> None:
    """Let every candidate pass: where it is not the point, that spares each run a process, 2 s of a core."""
    LocalSandbox.check = lambda *_given: Findings(outcome="passed", scope="model", texts=1)  # type: ignore[method-assign]  # the point


FAULTS: Mapping[str, Callable[[], None]] = {
    "impatient": impatient,
    "unenriched": unenriched,
    "by-words": by_words,
    "unsandboxed": unsandboxed,
    "mid-ingest": stored_but_not_committed,
    "before-store": lambda: before(BufferWriter, "insert", times=3),
    "frozen-before-store": lambda: frozen(BufferWriter, "insert", times=3),
    "frozen-before-promotion": lambda: frozen(promotion, "promote"),
    "frozen-in-the-registry": lambda: before(promotion, "_check_still", fault=freeze),
    "half-copied": lambda: after(artifacts, "_copy"),
    "published-unrecorded": lambda: before(Versions, "add"),
    "promoted-undecided": lambda: after(promotion, "promote"),
    "broken-outbox": broken_outbox,
}

if __name__ == "__main__":
    for fault in sys.argv.pop(1).split(","):
        FAULTS[fault]()
    cli.main()
