"""A process that ingests until nothing is left: `DATA_DIR BATCH KILL_AT`.

It kills itself with SIGKILL at its commit number KILL_AT (0: never), after the batch was stored and before its position is
recorded. The fault lives here, around the real source; the code under test knows nothing of it.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))
from config.settings import load_settings
from consumers.buffer.open import open_writer
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSource, TopicPartition
from tests.support.sample_events import NOW, TASKS


class KillingSource:
    """The real source, except that one commit never happens because the process is gone."""

    def __init__(self, source: EventSource, kill_at: int) -> None:
        self._source = source
        self._commits = 0
        self._kill_at = kill_at
        self.poll = source.poll
        self.hold = source.hold
        self.lag = source.lag
        self.close = source.close

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self._commits += 1
        if self._commits == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self._source.commit(next_offsets)


def main() -> None:
    data_dir, batch, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    settings = load_settings(data_dir=data_dir, ingest={"batch_events": batch, "poll_timeout_s": 0.05, "min_free_disk_mib": 0})
    log = EmbeddedLog(settings.event_log_file, retention=timedelta(days=14))
    source = KillingSource(log.source("ingest", [ARTICLES_TOPIC, FEEDBACK_TOPIC]), kill_at)
    buffer = open_writer(settings.buffer_dir, settings.buffer, tasks=TASKS)
    dead_letters = DeadLetters(settings.dead_letter_file)
    ingest = Ingest(
        source,
        buffer,
        dead_letters,
        erasures=Erasures(data_dir),
        tasks=lambda: TASKS,
        settings=settings.ingest,
        data_dir=data_dir,
        clock=lambda: NOW,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while any(source.lag().values()):
        ingest.step()
    buffer.close()


if __name__ == "__main__":
    main()
