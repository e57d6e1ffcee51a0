"""The events of an import go out: those of the file that the buffer does not know yet, once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from config.files.private import prepare
from config.settings import Settings
from consumers.events import schemas as events
from consumers.formats.imported import known_rows
from consumers.formats.importing import Import
from consumers.log.open import open_event_log
from daemon.flow.groups import CONSUMERS

_FLUSH_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Sent:
    """What an import came to."""

    new: int
    known: int
    """Events that were sent before, and so were left out."""
    seconds: float


def send(settings: Settings, found: Import, *, rate: float | None, progress: Callable[[float], None]) -> Sent:
    """Publish the events that are not known yet, durably, at most `rate` a second; `progress` receives the share that is done."""
    prepare(settings.data_dir)
    known_lines = known_rows(settings, found.identity, CONSUMERS)
    started = time.monotonic()
    sent = known = 0
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        for event in found.events(progress):
            if not isinstance(event, events.AnyEvent):
                continue
            if int(event.event_id.rpartition("-")[2]) in known_lines:
                known += 1
                continue
            sink.publish(events.TOPIC_OF_TYPE[event.type], events.to_bytes(event), key=events.key_of(event))
            sent += 1
            if rate or sent % _FLUSH_EVERY == 0:
                sink.flush()
            if rate:
                time.sleep(max(0.0, started + sent / rate - time.monotonic()))
    return Sent(sent, known, time.monotonic() - started)
