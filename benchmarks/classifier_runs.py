"""Classification runs one after another in this process, through the daemon's own classes: what do they learn, and at what cost?

Rows are embedded as enrichment embeds them and frozen as a training set. Stored features are looked up, checked and computed as
the daemon does, and what a run learns from is selected as a training child selects it. Not part of it: events, the gate, and
starting processes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.huffpost import Row
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from consumers.enrichment.embedding import Encoder
from consumers.enrichment.feature_store import FeatureStore
from consumers.events.schemas import content_sha256 as text_id
from consumers.training_set.snapshot import SCHEMA, write_training_set
from daemon.training.preparing.features import Features, encoder_key
from perennial_artifact.sentence.head import Head
from registry.artifacts.local import LocalArtifacts
from registry.artifacts.protocol import Published
from trainers import hardware
from trainers.job.rows.examples import examples_of
from trainers.job.rows.replay import select
from trainers.job.spec import FEATURES_FILE, TRAINING_SET_FOLDER
from trainers.learners.catalog import learner_for, refresher_for
from trainers.learners.features import FeatureSet, from_column, read_features
from trainers.learners.heads.published.answering import open_from_features
from trainers.learners.opening import described, open_model
from trainers.learners.protocols import TrainingPlan
from trainers.learners.tried import Tried

Vector = npt.NDArray[np.float32]

SETTINGS = load_settings().training.model_copy(update={"threads": 1})
"""One thread, so that processor seconds are seconds of one core."""
_COMPUTED_FOR_A_LOOK = 2_000
"""What the daemon lets a slow run compute to ask whether tuning has paid."""
_COMPUTING = "features of all rows computed"


@dataclass(frozen=True, slots=True)
class Given:
    """A row to learn from."""

    row: Row
    by_user: bool = False
    """A correction: it was not chosen without looking at a model's answer."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds of a run: without starting a process and importing libraries."""

    learning_s: float
    """Choosing, tuning, solving, reading and writing models."""
    features_s: float = 0.0
    """Features of all rows with the encoder that will be served, and checking or completing stored ones."""
    tried: tuple[Tried, ...] = ()


class Embeddings:
    """What enrichment stores of texts: their embeddings, computed once."""

    def __init__(self, file: Path | None = None) -> None:
        """Where a file is given, what it holds is taken and what is computed is added to it."""
        self._encoder = Encoder(load_settings().enrich.encoder)
        self._file = file
        self._vectors: dict[str, Vector] = {}
        self.cpu_s = 0.0
        """Processor seconds spent so far."""
        if file is not None and file.exists():
            with np.load(file) as stored:
                if str(stored["encoder"]) == self.encoder_id:
                    self._vectors |= zip(stored["texts"].tolist(), stored["vectors"], strict=True)

    @property
    def encoder_id(self) -> str:
        """What made the embeddings."""
        return self._encoder.encoder_id

    def add(self, texts: Iterable[str]) -> None:
        """Compute those of the texts that are not there yet."""
        missing = [text for text in dict.fromkeys(texts) if text_id(text) not in self._vectors]
        if not missing:
            return
        began = time.process_time()
        self._vectors |= zip(map(text_id, missing), self._encoder.encode(missing), strict=True)
        self.cpu_s += time.process_time() - began
        if self._file is not None:
            vectors = np.stack(list(self._vectors.values()))
            np.savez(self._file, encoder=np.array(self.encoder_id), texts=np.array(list(self._vectors)), vectors=vectors)

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return the embeddings, shape (texts, dimensions)."""
        return np.stack([self._vectors[text_id(text)] for text in texts])


class Chain:
    """The runs of one task: each goes on from the model of the one before."""

    def __init__(
        self,
        folder: Path,
        embeddings: Embeddings,
        *,
        seed: int,
        training: Mapping[str, Any] | None = None,
        task: Mapping[str, Any] | None = None,
    ) -> None:
        """`task` are settings of the task that differ from the shipped ones, `training` those of its `training` section."""
        folder.mkdir(parents=True)
        shipped = load_tasks(SHIPPED_TASKS_DIR)["news-topics"].model_dump() | dict(task or {})
        self._task = TaskSpec.model_validate(shipped | {"training": shipped["training"] | dict(training or {})})
        self._folder, self._embeddings = folder, embeddings
        self._settings = SETTINGS.model_copy(update={"seed": seed})
        self._store = FeatureStore(folder)
        self._features = Features(self._store, self._settings, threading.Event())
        self._artifacts = LocalArtifacts(folder / "artifacts")
        self._learnt: set[str] = set()
        self._champion: Published | None = None
        self._number = 0

    def fork(self, folder: Path) -> Chain:
        """Return a chain that goes on from the same model, in a folder of its own; this one stays as it is."""
        other = Chain(folder, self._embeddings, seed=self._settings.seed, task=self._task.model_dump())
        other._champion, other._learnt, other._number = self._champion, set(self._learnt), self._number
        other._store, other._features = self._store, self._features
        return other

    def run(self, given: Sequence[Given], *, refresh: bool = False) -> Cost:
        """Learn from these rows, which include those of before, and let the new model be the champion."""
        self._number += 1
        run_dir = self._folder / f"run-{self._number}"
        run_dir.mkdir()
        training_set = write_training_set(
            run_dir / TRAINING_SET_FOLDER, self._frozen(given), run_id=run_dir.name, task=self._task.name,
            created_at=datetime.now(UTC), max_seq=len(given), table_versions={}, labels={},
        )  # fmt: skip
        champion, full = self._champion, self._champion is None
        began = time.process_time()
        prepared = champion is not None and self._features.prepare(
            run_dir, champion.folder, most_missing=None if refresh else _COMPUTED_FOR_A_LOOK
        )
        features_s = time.process_time() - began
        selection = select(
            training_set.rows("train"), self._task.training, full=full, seed=self._settings.seed, feedback=self._task.feedback,
            everything=True,
        )  # fmt: skip
        tried: list[Tried] = []
        kept: list[FeatureSet] = []
        plan = TrainingPlan(
            spec=self._task,
            rows=examples_of(selection.table),
            full=full,
            warm_start=None if champion is None else champion.folder,
            seed=self._settings.seed,
            hardware=hardware.resolve(self._settings),
            batch_size=self._task.training.batch_size,
            work_dir=run_dir / "work",
            report=lambda _step: None,
            to_tune=selection.sample,
            base_features=None if refresh else from_column(selection.table, "embedding"),
            champion_features=read_features(run_dir / FEATURES_FILE) if prepared else None,
            keep_features=kept.append,
            note_tried=tried.append,
        )
        began = time.process_time()
        (refresher_for(self._task) if refresh else learner_for(self._task)).train(plan, run_dir / "model")
        spent_s = time.process_time() - began
        computing_s = sum(one.cpu_s for one in tried if one.name.startswith(_COMPUTING))
        self._publish(run_dir / "model", given, kept)
        return Cost(spent_s - computing_s, features_s + computing_s, tuple(tried))

    @property
    def head(self) -> Head:
        """The champion's head."""
        assert self._champion is not None, "run something first"
        return Head.read(self._champion.folder)

    def answers(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return the champion's scores, by label, for each of the texts; the highest comes first.

        From the stored embeddings where the encoder is the base model as it came (each run has checked that they are the same).
        """
        assert self._champion is not None, "run something first"
        folder = self._champion.folder
        if Head.read(folder).solved.tuned_rows:
            model = open_model(folder, self._settings)
        else:
            stored = FeatureSet.of(list(texts), self._embeddings.of(texts))
            model = open_from_features(folder, stored, {text: text for text in texts})
        return [dict(answer["scores"]) for answer in model.predict(texts)]

    def _publish(self, model: Path, given: Sequence[Given], kept: Sequence[FeatureSet]) -> None:
        published = self._artifacts.publish(self._task.name, self._number, model)
        texts = {one.row.identifier: one.row.text for one in given}
        precision = hardware.resolve(self._settings).precision
        key = encoder_key(published.folder, described(published.folder), precision)
        for features in kept:
            ids = [identifier for identifier in texts if identifier in features]
            self._store.put(
                key,
                {text_id(texts[one]): vector for one, vector in zip(ids, features.rows(ids), strict=True)},
            )
        self._champion, self._learnt = published, set(texts)

    def _frozen(self, given: Sequence[Given]) -> pa.Table:
        vectors = self._embeddings.of([one.row.text for one in given])
        return pa.Table.from_pylist(
            [
                {
                    "example_id": one.row.identifier, "text": one.row.text, "target": json.dumps({"label": one.row.label}),
                    "weight": 1.0, "origin": "feedback" if one.by_user else "import",
                    "selected_by": "feedback" if one.by_user else "import", "story_id": one.row.identifier,
                    "event_time": one.row.at, "language": "en", "is_new": one.row.identifier not in self._learnt,
                    "role": "train", "contributor": number % 50 if one.by_user else None, "document_id": None,
                    "embedding": vector, "encoder_id": self._embeddings.encoder_id,
                }
                for number, (one, vector) in enumerate(zip(given, vectors, strict=True))
            ],
            schema=SCHEMA,
        )  # fmt: skip
