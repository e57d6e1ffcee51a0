"""A real daemon over tiny models, whose runs start when a test asks for one and take seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from config.clock import utc_now
from consumers.events import Label, Retrain
from daemon.demo.installation import Installation
from tests.support import ner_rows
from tests.support.tiny_models import make_tiny_bert, toy_rows

TOPICS, ENTITIES = "news-topics", "news-entities"
LIMIT_S = 150.0
LEASE_S = 2.0


def make_models(folder: Path) -> Path:
    """Write a tiny BERT to train, and the same as a sentence encoder, into `folder` and return it."""
    bert = str(make_tiny_bert(folder / "bert"))
    word = Transformer(bert, max_seq_length=32)
    SentenceTransformer(modules=[word, Pooling(word.get_embedding_dimension())], device="cpu").save(str(folder / "encoder"))
    return folder


def installation(
    folder: Path, models: Path, *, serve: bool = False, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Installation:
    """Return an installation that is not started yet; `settings` come on top of those for tests, section by section."""
    topics = {
        "base_model": str(models / "bert"),
        "trigger.min_new_examples": 100_000,  # runs start when a test asks for one
        "training.full_epochs": 45, "training.full_learning_rate": 5e-3, "training.batch_size": 16, "training.max_tokens": 32,
        "promotion.min_test_examples": 20,
    }  # fmt: skip
    entities = {"trigger.min_new_examples": 100_000, "training.full_epochs": 12, "promotion.min_test_examples": 5}
    sections: dict[str, dict[str, Any]] = {
        # Random vectors are all alike: only equal texts make a story.
        "enrich": {
            "encoder": str(models / "encoder"), "story_similarity": 1.0, "min_quality": 0.0, "test_fraction": 0.3,
            "interval_s": 0.2,
        },
        "ingest": {"batch_events": 20, "min_free_disk_mib": 1},
        "training": {"device": "cpu", "precision": "fp32", "threads": 1},
        "schedule": {"check_interval_s": 0.5},
        "registry": {"lease_s": LEASE_S},
        "serving": {"refresh_interval_s": 0.5},
    }  # fmt: skip
    for name, values in (settings or {}).items():
        sections[name] = {**sections.get(name, {}), **values}
    return Installation(folder, task_overrides={TOPICS: topics, ENTITIES: entities}, settings_overrides=sections, serve=serve)


def labels(count: int, *, prefix: str = "") -> Iterator[Label]:
    """Labels for the topics task; with another `prefix`, under other ids."""
    for row in toy_rows(("SPORT", "MARKETS"), count // 2, seed=8):
        event_id = prefix + row.example_id
        yield Label(event_id=event_id, occurred_at=utc_now(), task=TOPICS, text=row.text, target=dict(row.target))


def spans(count: int) -> Iterator[Label]:
    """Labels for the entities task."""
    for number, row in enumerate(ner_rows.examples(count, seed=2)):
        yield Label(event_id=f"e-{number}", occurred_at=utc_now(), task=ENTITIES, text=row.text, target=dict(row.target))


def ask(daemon: Installation, task: str) -> None:
    """Have everything enriched, then ask for a run."""
    daemon.wait_until(daemon.is_quiet, limit_s=LIMIT_S, what="enrichment")
    daemon.publish([Retrain(event_id=f"ask-{task}", occurred_at=utc_now(), task=task, full=True, reason="the test asks")])


def wait_for_training(daemon: Installation, task: str) -> psutil.Process:
    """Wait until the child is among its steps; return it."""

    def among_its_steps() -> bool:
        run = daemon.task(task).run
        return run is not None and (run["progress"] or {}).get("phase") == "training"

    daemon.wait_until(among_its_steps, limit_s=LIMIT_S, what="training")
    (child,) = [child for child in psutil.Process(daemon.pid).children() if "trainers.job" in child.cmdline()]
    return child


def wait_for_decision(daemon: Installation, task: str) -> None:
    """Wait until a run of the task has ended."""
    daemon.wait_until(lambda: daemon.task(task).last_run is not None, limit_s=LIMIT_S, what="the decision")


def logged(daemon: Installation, event: str) -> list[dict[str, Any]]:
    """Return the lines of the daemon's log with this name."""
    lines = (line for line in daemon.log_file.read_text(errors="replace").splitlines() if line.startswith("{"))
    return [line for line in map(json.loads, lines) if line.get("event") == event]
