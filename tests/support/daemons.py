"""Real daemons over small models: how they are made, fed and watched, and what must hold of them whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import psutil
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

from config.clock import utc_now
from config.errors import PerennialError
from config.settings import environment_of
from consumers.dead_letters.store import DeadLetters
from consumers.events.schemas import LIFECYCLE_TOPIC, Label, Retrain
from consumers.log.open import open_event_log
from daemon.demo.installation import PROGRAM, Installation
from daemon.process import presence
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.runs import Run
from registry.store import Registry
from tests.support import ner_rows, served, waiting
from tests.support.tables import rows_of
from tests.support.tiny_models import make_tiny_bert, toy_rows

TOPICS, ENTITIES = "news-topics", "news-entities"
VICTIM = str(Path(__file__).with_name("daemon_victim.py"))
SPARED = "by-words,unsandboxed"
BY_WORDS = (VICTIM, SPARED)
"""A daemon as it is, but for its encoder and its sandbox: for tests where what it learns from texts is not the point."""
LIMIT_S = 150.0
"""How long anything may take on a busy machine."""
LEASE_S = 2.0


def make_models(folder: Path) -> Path:
    """Write a tiny BERT to train, and the same as a sentence encoder; return the folder."""
    bert = str(make_tiny_bert(folder / "bert"))
    word = Transformer(bert, max_seq_length=32)
    SentenceTransformer(modules=[word, Pooling(word.get_embedding_dimension())], device="cpu").save(str(folder / "encoder"))
    return folder


def installation(
    folder: Path, models: Path, *, serve: bool = False, kafka: str = "", **changes: Mapping[str, Any]
) -> Installation:
    """Return an installation whose runs start when a test asks for one; on the cluster at `kafka` when an address is given."""
    topics = {
        "base_model": str(models / "bert"),
        "trigger.min_new_examples": 100_000,
        "training.full_epochs": 45, "training.full_learning_rate": 5e-3, "training.batch_size": 16, "training.max_tokens": 32,
        "promotion.min_test_examples": 20,
    }  # fmt: skip
    entities = {"trigger.min_new_examples": 100_000, "training.full_epochs": 12, "promotion.min_test_examples": 5}
    settings: dict[str, dict[str, Any]] = {
        # Random vectors are all alike: only equal texts make a story.
        "enrich": {
            "encoder": str(models / "encoder"), "story_similarity": 1.0, "min_quality": 0.0, "test_fraction": 0.3,
            "max_test_fraction": 0.3, "interval_s": 0.2,
        },
        "ingest": {"batch_events": 20, "min_free_disk_mib": 1},
        "training": {"device": "cpu", "precision": "fp32", "threads": 1},
        "schedule": {"check_interval_s": 0.5},
        "registry": {"lease_s": LEASE_S},
        "serving": {"refresh_interval_s": 0.5, "threads": 1},
    }  # fmt: skip
    if kafka:
        settings |= {"events": {"backend": "kafka"}, "kafka": {"bootstrap_servers": kafka}}
    for section, values in changes.items():
        settings[section] = {**settings.get(section, {}), **values}
    return Installation(folder, task_overrides={TOPICS: topics, ENTITIES: entities}, settings_overrides=settings, serve=serve)


def labels(count: int, *, prefix: str = "") -> Iterator[Label]:
    """Yield labels of the topics task that a tiny BERT learns; `prefix` tells one portion's ids from another's."""
    for row in toy_rows(("SPORT", "MARKETS"), count // 2, seed=8):
        text = f"{prefix} {row.text}".strip()
        yield Label(event_id=f"{prefix}{row.example_id}", occurred_at=utc_now(), task=TOPICS, text=text, target=dict(row.target))


def spans(count: int) -> Iterator[Label]:
    """Yield labels of the entities task."""
    for number, row in enumerate(ner_rows.examples(count, seed=2)):
        yield Label(event_id=f"e-{number}", occurred_at=utc_now(), task=ENTITIES, text=row.text, target=dict(row.target))


def send(daemon: Installation, count: int, *, prefix: str = "") -> list[str]:
    """Publish labels and return their ids: they are acknowledged from here on."""
    made = list(labels(count, prefix=prefix))
    daemon.publish(made)
    return [label.event_id for label in made]


def ask(daemon: Installation, task: str, key: str = "ask") -> None:
    """Have everything enriched, then ask for a run."""
    daemon.wait_until(daemon.is_quiet, limit_s=LIMIT_S, what="enrichment")
    daemon.publish([Retrain(event_id=f"{key}-{task}", occurred_at=utc_now(), task=task, full=True, reason="the test asks")])


def wait_for_training(daemon: Installation, task: str) -> psutil.Process:
    """Wait until the training child is among its steps; return it."""

    def among_its_steps() -> bool:
        run = daemon.task(task).run
        return run is not None and run.progress is not None and run.progress.phase == "training"

    daemon.wait_until(among_its_steps, limit_s=LIMIT_S, what="training")
    return training_child(daemon)


def training_child(daemon: Installation) -> psutil.Process:
    """Return the process that trains."""
    (child,) = [child for child in psutil.Process(daemon.pid).children() if "trainers.job" in child.cmdline()]
    return child


def wait_for_decision(daemon: Installation, task: str) -> None:
    """Wait until a run of the task has ended."""
    daemon.wait_until(lambda: daemon.task(task).last_run is not None, limit_s=LIMIT_S, what="the decision")


def wait_until(happened: Callable[[], object], limit_s: float = LIMIT_S, *, every_s: float = 0.05, what: str = "it") -> float:
    """Wait, whatever becomes of any daemon; return the seconds it took."""
    return waiting.wait_until(happened, limit_s, every_s=every_s, what=what)


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process has ended."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


@contextmanager
def registry_of(daemon: Installation) -> Iterator[Registry]:
    """Open the daemon's registry for reading."""
    with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
        yield registry


def only_run(daemon: Installation, task: str) -> Run:
    """Return the one run that a task has had."""
    with registry_of(daemon) as registry:
        (run,) = registry.runs.list(task)
        return run


def stored_ids(daemon: Installation) -> list[str]:
    """Return the id of every example row; one that is stored twice is there twice."""
    ids: list[str] = rows_of(daemon.settings.buffer_dir, "examples", ["row_id"])["row_id"].to_pylist()
    return sorted(ids)


def check_stored_once(daemon: Installation, acknowledged: Collection[str]) -> None:
    """Every acknowledged event is stored, and no event twice."""
    stored = Counter(stored_ids(daemon))
    assert set(acknowledged) - stored.keys() == set(), "acknowledged and lost"
    assert [event_id for event_id, rows in stored.items() if rows > 1] == [], "stored twice"


def wait_until_stored(daemon: Installation, acknowledged: Collection[str]) -> float:
    """Wait until every one of these events is stored, each once; return the seconds it took."""
    took_s = wait_until(lambda: set(acknowledged) <= set(stored_ids(daemon)), what="storing every event")
    check_stored_once(daemon, acknowledged)
    return took_s


def check_one_champion(daemon: Installation, task: str, version: str | None = None) -> None:
    """The alias, the history and the files name one and the same champion: `version` where it is given."""
    with registry_of(daemon) as registry:
        (champion,) = [alias for alias in registry.versions.aliases(task) if alias.name == "champion"]
        moves = [move for move in registry.versions.history(task) if move.kind in ("promote", "rollback")]
        assert champion.version == moves[-1].to_version == (version or champion.version)
        assert [move.generation for move in moves] == list(range(1, len(moves) + 1))
        found = registry.versions.get(champion.version)
    LocalArtifacts(daemon.settings.artifacts_dir).fetch(found.artifact_id, found.manifest_sha256)


def announced(daemon: Installation) -> list[dict[str, Any]]:
    """Return everything that the daemon published for other programs."""
    with closing(open_event_log(daemon.settings)) as log, closing(log.source("test", [LIFECYCLE_TOPIC])) as source:
        return [json.loads(raw.value or b"") for raw in source.poll(timeout_s=0.1, max_events=1000)]


def dead_letters(daemon: Installation) -> Sequence[str]:
    """Return why each dead letter died, oldest first."""
    with closing(DeadLetters(daemon.settings.dead_letter_file)) as letters:
        return [letter.reason for letter in reversed(letters.list(limit=1_000))]


def lines_of(log_file: Path, event: str) -> list[dict[str, Any]]:
    """Return the lines of a daemon's log that tell of `event`."""
    lines = (line for line in log_file.read_text(errors="replace").splitlines() if line.startswith("{"))
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def logged(daemon: Installation, event: str) -> list[dict[str, Any]]:
    """Return what the daemon logged of `event`."""
    return lines_of(daemon.log_file, event)


def dies(daemon: Installation, fault: str) -> None:
    """Start a daemon with a fault put in, and see it killed by that."""
    daemon.start([VICTIM, f"{fault},{SPARED}"])
    assert daemon.wait(LIMIT_S) == -signal.SIGKILL


def give_champion(daemon: Installation) -> str:
    """Publish and promote a version of the entities task without training; return its name."""
    daemon.settings.data_dir.mkdir(parents=True, exist_ok=True)
    with Registry.open(daemon.settings.registry_url) as registry:
        version = served.publish_ruler(registry, LocalArtifacts(daemon.settings.artifacts_dir), ENTITIES, daemon.folder)
        champion = registry.versions.champion(ENTITIES)
        expected = champion.version if champion else None
        promotion.promote(registry, ENTITIES, version, expected=expected, actor="test", reason="test")
    return version


class Second:
    """Another daemon over the same folder; leaving the `with` block kills it."""

    def __init__(self, daemon: Installation, name: str = "standby", *, program: Sequence[str] = PROGRAM) -> None:
        self.log_file = daemon.folder / f"{name}.log"
        serve = [] if daemon.serve else ["--no-serve"]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", *serve], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=os.environ | environment_of(daemon.settings),
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for(self, event: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Wait until it has logged `event`; return that line."""

        def told() -> bool:
            assert self.process.poll() is None or lines_of(self.log_file, event), self.log_file.read_text()[-2000:]
            return bool(lines_of(self.log_file, event))

        wait_until(told, limit_s)
        return lines_of(self.log_file, event)[0]

    def stop(self) -> int:
        """Stop it politely; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


class Asker:
    """Asks serving for a prediction again and again, from a thread, while a fault lasts."""

    def __init__(self, daemon: Installation, *, pause_s: float = 0.05) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._daemon = daemon
        self._pause_s = pause_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="asker", daemon=True)

    def __enter__(self) -> Self:
        wait_until(self._is_ready)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._done.set()
        self._thread.join()
        if kind is None:
            assert self.failures == []
            assert self.answered > 0

    def _is_ready(self) -> bool:
        try:
            self._daemon.predict(ENTITIES, [served.TEXT])
        except PerennialError:
            return False
        return True

    def _ask(self) -> None:
        while not self._done.wait(self._pause_s):
            try:
                (prediction,) = self._daemon.predict(ENTITIES, [served.TEXT])["predictions"]
                assert prediction["spans"], prediction
                self.answered += 1
            except (PerennialError, AssertionError, KeyError) as error:
                self.failures.append(repr(error))


def serving(daemon: Installation) -> presence.Presence:
    """Return where serving is; it must be alive."""
    here = presence.read(daemon.settings.data_dir)
    assert here is not None
    assert presence.is_alive(here)
    return here


def end_serving(daemon: Installation) -> None:
    """End a serving process that outlived its daemons."""
    here = presence.read(daemon.settings.data_dir)
    if here is not None and presence.is_alive(here):
        psutil.Process(here.pid).terminate()
