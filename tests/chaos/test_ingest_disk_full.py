"""A disk that fills up under ingest: it says so, commits nothing that is not stored, and goes on when there is room."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from config.errors import RetryError
from config.settings import load_settings
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events.schemas import FEEDBACK_TOPIC
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import EventSource
from tests.support import disks
from tests.support.ingest_bench import open_buffer, publish, rows
from tests.support.sample_events import LABEL, NOW, TASKS

SETTINGS = load_settings().ingest.model_copy(update={"batch_events": 20, "poll_timeout_s": 0.01, "min_free_disk_mib": 0})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disks.small_disk(tmp_path, instead="tests/unit/test_ingest.py") as disk:
        yield disk


def drain(ingest: Ingest, source: EventSource) -> None:
    while any(source.lag().values()):
        ingest.step()


def test_a_full_disk_loses_nothing_and_ingest_goes_on_afterwards(small_disk: Path, tmp_path: Path) -> None:
    data = small_disk / "data"
    data.mkdir()
    ballast = small_disk / "ballast"
    chance = Random(5)
    texts = {f"l-{number}": chance.randbytes(20_000).hex() for number in range(100)}
    log = EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=14))
    publish(log, ((FEEDBACK_TOPIC, LABEL | {"event_id": event_id, "text": text}) for event_id, text in texts.items()))
    source = log.source("ingest", [FEEDBACK_TOPIC])
    dead_letters = DeadLetters(tmp_path / "dead.db")
    with closing(open_buffer(data / "buffer")) as buffer:
        ingest = Ingest(
            source,
            buffer,
            dead_letters,
            erasures=Erasures(tmp_path),
            tasks=lambda: TASKS,
            settings=SETTINGS,
            data_dir=data,
            clock=lambda: NOW,
        )
        first = ingest.step()
        assert first.inserted == 20
        ballast.write_bytes(b"." * (shutil.disk_usage(small_disk).free - 400_000))
        with pytest.raises(RetryError, match=r"disk is full.*not committed and are tried again.*Free space"):
            drain(ingest, source)
        (waiting,) = source.lag().values()
        kept = {row_id for row_id, _text in rows(buffer)["examples"]}
        committed = 100 - waiting
        assert {f"l-{number}" for number in range(committed)} <= kept, "what is committed is stored"
        ballast.unlink()
        drain(ingest, source)
        assert rows(buffer)["examples"] == sorted(texts.items())
    assert dead_letters.count() == 0
    source.close()
    log.close()


def test_ingest_pauses_before_the_disk_is_full(small_disk: Path, tmp_path: Path) -> None:
    data = small_disk / "data"
    log = EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=14))
    publish(log, [(FEEDBACK_TOPIC, LABEL)])
    source = log.source("ingest", [FEEDBACK_TOPIC])
    dead_letters = DeadLetters(tmp_path / "dead.db")
    with closing(open_buffer(data / "buffer")) as buffer:
        settings = SETTINGS.model_copy(update={"min_free_disk_mib": 8})
        ingest = Ingest(
            source,
            buffer,
            dead_letters,
            erasures=Erasures(tmp_path),
            tasks=lambda: TASKS,
            settings=settings,
            data_dir=data,
            clock=lambda: NOW,
        )
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"." * (10 << 20))
        outcome = ingest.step()
        assert outcome.paused is not None
        assert "8 MiB that must stay free" in outcome.paused
        assert sum(source.lag().values()) == 1
        ballast.unlink()
        assert ingest.step().inserted == 1
    source.close()
    log.close()
