"""From the 202 to the champion: a correction's fate, over the real log, ingest, buffer and registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.errors import RetryError
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.events import schemas as events
from consumers.ingest import Ingest
from consumers.log.embedded.log import EmbeddedLog
from consumers.rows.enrichment_rows import Enrichment
from daemon.serving.service import Service
from tests.support.buffers import judge, review, stored
from tests.support.served import TASK, TEXT, TOPICS, ServedData, listening, load_on_cpu


class Loop:
    """Serving and ingest over one data folder."""

    def __init__(self, data: ServedData, service: Service, client: httpx.Client, buffer: BufferWriter, ingest: Ingest) -> None:
        self.data = data
        self.service = service
        self.client = client
        self.buffer = buffer
        self.ingest = ingest

    def post(self, key: str, **changes: Any) -> None:
        body = {"task": TASK, "user_id": "editor", "verdict": "correction", "text": TEXT, "target": {"spans": []}, **changes}
        answer = self.client.post("/v1/feedback", json={name: value for name, value in body.items() if value is not None},
                                  headers={"Idempotency-Key": key})  # fmt: skip
        assert answer.status_code == 202, answer.text

    def fate(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/v1/feedback/{key}").json()
        return found

    def split(self, key: str, split: str) -> None:
        """Do what enrichment does to one example."""
        row = Enrichment(
            row_id=key, language="en", quality=1.0, quality_reasons=(), embedding=None, encoder_id="none", story_id=key,
            split=split,
        )  # fmt: skip
        assert self.buffer.apply_enrichment("examples", [row]) == 1
        judge(self.buffer)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    data = ServedData(tmp_path)
    settings = data.settings
    with (
        Service.open(settings, load=load_on_cpu) as service,
        listening(service) as address,
        httpx.Client(base_url=address) as client,
    ):
        log = EmbeddedLog(settings.event_log_file, retention=timedelta(days=1))
        source = log.source("buffer", [events.ARTICLES_TOPIC, events.FEEDBACK_TOPIC])
        letters = DeadLetters(settings.dead_letter_file)
        buffer = open_writer(settings.buffer_dir, settings.buffer, tasks=service.tasks)
        ingest = Ingest(
            source, buffer, letters, erasures=Erasures(settings.data_dir), tasks=lambda: service.tasks,
            settings=settings.ingest.model_copy(update={"min_free_disk_mib": 0}), data_dir=settings.data_dir,
        )  # fmt: skip
        yield Loop(data, service, client, buffer, ingest)
        buffer.close()
        letters.close()
        source.close()
        log.close()


def test_a_correction_is_followed_into_the_champion(loop: Loop) -> None:
    loop.post("fb-1")
    assert loop.fate("fb-1")["status"] == "queued"
    loop.ingest.step()
    joined = loop.fate("fb-1")
    assert (joined["status"], joined["in_champion"]) == ("joined", False)
    loop.split("fb-1", "train")
    assert loop.fate("fb-1")["status"] == "joined"

    candidate = loop.data.publish(learnt=(joined["example_id"], "other"))
    learnt = loop.fate("fb-1")
    assert (learnt["status"], learnt["learnt_in"]) == ("learnt", candidate)
    assert (learnt["in_champion"], learnt["champion"]) == (False, None)
    assert learnt["reason"].startswith(f"Used in {candidate}, which ")
    assert "It takes part again in the next run" in learnt["reason"]
    loop.data.promote(candidate)
    now = loop.fate("fb-1")
    assert now["in_champion"]
    assert now["reason"].startswith(f"Used in {candidate}, the live model.")

    child = loop.data.publish(parent=candidate)
    loop.data.promote(child)
    inherited = loop.fate("fb-1")
    assert (inherited["learnt_in"], inherited["in_champion"], inherited["champion"]) == (candidate, True, child)
    loop.data.promote(loop.data.publish())
    assert not loop.fate("fb-1")["in_champion"]


def test_feedback_sent_again_after_a_503_is_one_example(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"task": TASK, "user_id": "editor", "verdict": "correction", "text": TEXT, "target": {"spans": []}}

    def full(_timeout_s: float = 30.0) -> None:
        message = "the disk is full"
        raise RetryError(message)

    with monkeypatch.context() as patch:
        patch.setattr(loop.service.desk._sink, "flush", full)
        refused = loop.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": "fb-1"})
    assert refused.status_code == 503
    # Without a time of its own each copy carries the moment at which it came.
    loop.post("fb-1")
    taken = loop.ingest.step()
    assert (taken.inserted, taken.duplicates, taken.dead) == (1, 1, 0)
    assert loop.fate("fb-1")["status"] == "joined"


def test_two_readers_who_say_the_same_are_both_told_that_it_was_learnt(loop: Loop) -> None:
    loop.post("fb-1")
    loop.post("fb-2", user_id="editor-2")
    loop.ingest.step()
    for key in ("fb-1", "fb-2"):
        loop.split(key, "train")
    version = loop.data.publish(learnt=("fb-2",))
    assert [loop.fate(key)["learnt_in"] for key in ("fb-1", "fb-2")] == [version, version]


def test_a_correction_that_another_overrules_says_which(loop: Loop) -> None:
    loop.post("fb-1", occurred_at="2026-05-01T12:00:00Z")
    loop.post("fb-2", occurred_at="2026-05-01T13:00:00Z", target={"spans": [{"start": 4, "end": 11, "label": "ORG"}]})
    loop.ingest.step()
    for key in ("fb-1", "fb-2"):
        loop.split(key, "train")
    loop.data.publish(learnt=("fb-2",))
    overruled = loop.fate("fb-1")
    assert (overruled["status"], overruled["learnt_in"]) == ("set_aside", None)
    assert "its user has given a newer answer" in overruled["reason"]


def test_what_was_learnt_and_then_rejected_says_both(loop: Loop) -> None:
    loop.post("fb-1")
    loop.ingest.step()
    loop.split("fb-1", "train")
    version = loop.data.publish(learnt=("fb-1",))
    loop.buffer.insert(stored(review("r-1", "reject", event_ids=("fb-1",)), offset=500))
    judge(loop.buffer)
    found = loop.fate("fb-1")
    assert (found["status"], found["learnt_in"]) == ("learnt", version)
    assert "Now it is stored but not used for training: a person has reviewed" in found["reason"]


def test_a_correction_without_its_article_waits_visibly(loop: Loop) -> None:
    loop.post("fb-1", text=None, article_id="a-1")
    loop.ingest.step()
    waiting = loop.fate("fb-1")
    assert waiting["status"] == "waiting"
    assert waiting["reason"]


def test_a_correction_whose_spans_do_not_fit_its_article_is_refused_with_the_reason(loop: Loop) -> None:
    loop.post("fb-1", text=None, article_id="a-1", target={"spans": [{"start": 0, "end": 99, "label": "ORG"}]})
    article = events.Article(event_id="e-1", occurred_at="2026-05-01T12:00:00Z", article_id="a-1", title="Short")
    with_log = EmbeddedLog(loop.data.settings.event_log_file, retention=timedelta(days=1))
    sink = with_log.sink()
    sink.publish(events.ARTICLES_TOPIC, events.to_bytes(article))
    sink.close()
    with_log.close()
    loop.ingest.step()
    loop.ingest.step()
    loop.buffer.resolve_waiting()
    refused = loop.fate("fb-1")
    assert refused["status"] == "refused"
    assert "outside the text" in refused["reason"]


def test_a_correction_in_a_held_out_story_says_so(loop: Loop) -> None:
    loop.post("fb-1")
    loop.ingest.step()
    loop.split("fb-1", "test")
    held_out = loop.fate("fb-1")
    assert held_out["status"] == "held_out"
    assert held_out["reason"]


def test_an_event_that_ingest_cannot_use_is_told_as_a_dead_letter(loop: Loop) -> None:
    loop.post("fb-1", task=TOPICS, target={"label": "sports"})
    # The task file loses the label between acknowledgement and ingest.
    spec = loop.service.tasks[TOPICS].model_copy(update={"label_names": ("politics",)})
    loop.ingest._tasks = lambda: {**loop.service.tasks, TOPICS: spec}
    loop.ingest.step()
    dead = loop.fate("fb-1")
    assert dead["status"] == "dead_letter"
    assert "label 'sports' is not one of task 'topics'" in dead["reason"]
    assert "perennial dlq replay" in dead["reason"]
