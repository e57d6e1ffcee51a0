"""Opens the buffer at a URI, to read it or to write it. Today a URI names a folder of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from config.clock import Clock, utc_now
from config.places import folder_of
from config.sections import BufferSettings
from config.tasks import TaskSpec
from consumers.buffer import audit as buffer_audit
from consumers.buffer import folder as buffer_folder
from consumers.buffer.audit import RemovedEvents
from consumers.buffer.fencing import Fence
from consumers.buffer.reader import BufferReader
from consumers.buffer.writer import BufferWriter
from consumers.erasure.requests import Erasures
from consumers.tables.lance import Tables


def open_reader(
    uri: str | Path, *, tasks: Mapping[str, TaskSpec], min_quality: float = 0.3, clock: Clock = utc_now
) -> BufferReader:
    """Open the buffer at `uri` for reading while another process writes.

    Raises `UserError` where there is no buffer and for a place that cannot be used, `StopError` for a newer format.
    """
    folder = folder_of(uri, what="the buffer")
    buffer_folder.check(folder)
    return BufferReader(Tables(folder, writer=False), tasks=tasks, min_quality=min_quality, clock=clock)


def open_writer(
    uri: str | Path,
    settings: BufferSettings,
    *,
    tasks: Mapping[str, TaskSpec],
    fencing_token: int | None = None,
    erasures: Erasures | None = None,
    min_quality: float = 0.3,
    clock: Clock = utc_now,
    removed_events: RemovedEvents | None = None,
    numbered_up_to: int = 0,
) -> BufferWriter:
    """Open the buffer at `uri` for writing: make it where there is none, lock it, and fix what a power cut left.

    Every write carries `fencing_token`, the leader's (None: nobody else can lead). Nothing is stored of what `erasures` says
    was erased. `removed_events` asks the log whether an unreadable table can be rebuilt from it; `numbered_up_to` is the
    highest enrichment number that a run has seen, should the tables not tell.

    Raises `StopError` for a second writer, for the token of a former leader and for a newer format, `UserError` for a place that
    cannot be used.
    """
    folder = folder_of(uri, what="the buffer")
    buffer_folder.prepare(folder)
    lock = buffer_folder.lock_for_writing(folder)
    try:
        fence = Fence(folder, fencing_token)
        fence.take_over()
        tables, audit = buffer_audit.open_repaired(folder, removed_events, before_write=fence.check)
        return BufferWriter(
            tables,
            audit,
            lock=lock,
            fence=fence,
            settings=settings,
            tasks=tasks,
            erasures=erasures,
            min_quality=min_quality,
            clock=clock,
            numbered_up_to=numbered_up_to,
        )
    except BaseException:
        lock.close()
        raise
