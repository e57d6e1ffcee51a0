"""What a champion's encoders make of the rows, put into a run's folder: from the buffer, from the store, else computed."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import structlog

from config.errors import RunFailedError
from config.files.durable import sha256_of_file
from config.sections import TrainingSettings
from consumers.enrichment.feature_store import FeatureStore
from consumers.events.schemas import content_sha256
from consumers.training_set.snapshot import ROLES, ROWS_FILE
from daemon.training.preparing import heads
from daemon.training.preparing.heads import StandingHeadError
from perennial_artifact import manifest
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.sentence.head import read_solved
from perennial_artifact.sentence.layout import BASE_FOLDER, ON_ENCODER, is_of_the_encoder, makes_the_variant
from perennial_artifact.variants.opening import served_as
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry
from registry.versions import Version
from trainers import hardware
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec
from trainers.learners.catalog import refreshes_from_features
from trainers.learners.features import (
    FeatureSet,
    alike,
    from_column,
    read_features,
    spread_by_length,
    usual_maker,
    write_features,
)
from trainers.learners.heads.published.conversion import OLD_FORMAT, convert
from trainers.learners.opening import described

if TYPE_CHECKING:
    from perennial_artifact.sentence.encoder import SentenceEncoder

_TEXTS_PER_PORTION = 128
_ENCODERS_KEPT = 2
_MOST_FOR_A_LOOK = 2_000
"""Features that a slow run lets compute: it only asks whether tuning has paid, and a tuning costs as much."""
_LEARNT = ("train",)

Vectors = dict[str, npt.NDArray[np.float32]]
Embeddings = Callable[[Sequence[str]], pa.Table]
"""Returns `example_id`, `embedding` and `encoder_id` of examples, in any order."""

log = structlog.get_logger(__name__)


class StoppedError(Exception):
    """The daemon stops."""


@dataclass(frozen=True, slots=True)
class _Served:
    """An encoder as it is served."""

    key: str
    folder: Path
    description: Description
    """Of the model that it belongs to."""
    tuned: bool
    """Whether it was tuned; else it may be the encoder that fills the buffer."""


class Features:
    """Prepares features for runs; one caller at a time."""

    def __init__(self, store: FeatureStore, settings: TrainingSettings, stop: threading.Event) -> None:
        self._store = store
        self._settings = settings
        self._stop = stop
        self._encoders: dict[str, SentenceEncoder] = {}
        self._trusted: set[str] = set()
        """Encoders whose stored features were checked, or computed, since this process began."""
        self._same_as_buffer: dict[tuple[str, str], bool] = {}
        """By encoder and the buffer's: whether both make the same vectors."""

    def for_run(self, spec: JobSpec, embeddings: Embeddings | None = None) -> None:
        """Write `FEATURES_FILE` into a run's folder where the run has a use for it.

        `embeddings` tells the buffer's, which a refresh asks for where they may be what an encoder makes; None: its training set
        has them. Raises `RunFailedError` where a refresh cannot have its features (`StandingHeadError`: nor can another of this
        champion); `StoppedError` when the daemon stops meanwhile.
        """
        if (
            spec.champion is None
            or spec.champion_version is None
            or spec.full
            or not refreshes_from_features(spec.task.kind, spec.task.backend)
        ):
            return
        if not spec.refresh:
            try:
                # A slow run only asks them whether tuning has paid, and that of the rows that it learns from.
                self.prepare(spec.run_dir, spec.champion, roles=_LEARNT, most_missing=_MOST_FOR_A_LOOK)
            except RunFailedError as error:
                log.warning("features.not_prepared", reason=str(error), next="the run tunes without asking whether it pays")
            return
        with heads.of_the_champion():
            if described(spec.champion).format == OLD_FORMAT:
                _convert(spec.champion)
        if not self.prepare(spec.run_dir, spec.champion, embeddings=embeddings):
            message = f"the format of {spec.champion_version} has no head of its own"
            raise StandingHeadError(message)

    def prepare(
        self, run_dir: Path, champion: Path, *, roles: Collection[str] = ROLES, most_missing: int | None = None,
        embeddings: Embeddings | None = None,
    ) -> bool:  # fmt: skip
        """Write `FEATURES_FILE` for a training set's rows of these `roles`; False where the champion's format has no features.

        Where its head reads the base model's features too, they stand behind the encoder's. Rows whose features are not stored
        are computed and stored, unless more than `most_missing` are: then False, too.
        """
        description = described(champion)
        if description.format not in ON_ENCODER:
            return False
        began = time.monotonic()
        with pq.ParquetFile(run_dir / job_spec.TRAINING_SET_FOLDER / ROWS_FILE) as file:
            names = [
                name for name in ("example_id", "text", "embedding", "encoder_id", "role") if name in file.schema_arrow.names
            ]
            rows = file.read(columns=names, use_threads=False)
        # What a teacher labels is read by the student alone.
        rows = rows.filter(pc.is_in(rows["role"], value_set=pa.array(sorted(roles))))
        hashes = [content_sha256(text) for text in rows["text"].to_pylist()]
        rows = rows.append_column("sha256", pa.array(hashes, pa.string()))
        texts = dict(zip(hashes, rows["text"].to_pylist(), strict=True))
        encoders = self._served(champion, description)
        if embeddings is not None and not all(one.tuned for one in encoders):
            rows = _with(embeddings(rows["example_id"].to_pylist()), rows)
        found = [self._buffered(one, rows) or self._stored(one, texts) for one in encoders]
        missing = [[sha256 for sha256 in texts if sha256 not in vectors] for vectors in found]
        count = sum(map(len, missing))
        if most_missing is not None and count > most_missing:
            log.info("features.too_many_missing", missing=count, limit=most_missing, next="the run goes without them")
            return False
        for one, vectors, absent in zip(encoders, found, missing, strict=True):
            vectors.update(self._computed(one, {sha256: texts[sha256] for sha256 in absent}))
        write_features(_by_example(rows, found), run_dir / job_spec.FEATURES_FILE)
        log.info("features.prepared", rows=rows.num_rows, computed=count, seconds=round(time.monotonic() - began, 2))
        return True

    def of_texts(self, folder: Path, texts: Sequence[str]) -> Vectors:
        """Return what the encoders of a model make of texts, by text: stored before, else computed and stored.

        Raises `RunFailedError` where the model has no features, or its encoder cannot be used.
        """
        description = described(folder)
        if description.format not in ON_ENCODER:
            message = f"format {description.format} has no features"
            raise RunFailedError(message)
        by_hash = {content_sha256(text): text for text in texts}
        sides = []
        for one in self._served(folder, description):
            vectors = self._stored(one, by_hash)
            vectors |= self._computed(one, {sha256: text for sha256, text in by_hash.items() if sha256 not in vectors})
            sides.append(vectors)
        return {text: np.hstack([vectors[sha256] for vectors in sides]) for sha256, text in by_hash.items()}

    def keep(self, run_dir: Path, registry: Registry, artifacts: ArtifactStore, version: str) -> None:
        """Store what a run's candidate, now champion, made of the rows; forget what no champion needs, nor the last one.

        What cannot be stored is logged, and computed again by the next refresh.
        """
        try:
            self._keep(run_dir, registry, artifacts, version)
        except Exception:  # a cache never undoes a decision
            log.exception("features.not_kept", version=version, next="the next refresh computes them")

    def _keep(self, run_dir: Path, registry: Registry, artifacts: ArtifactStore, version: str) -> None:
        path, keys = run_dir / job_spec.NEW_FEATURES_FILE, self._keys_of(artifacts, registry.versions.get(version))
        if keys and path.exists():
            with pq.ParquetFile(run_dir / job_spec.TRAINING_SET_FOLDER / ROWS_FILE) as file:
                rows = file.read(columns=["example_id", "text"], use_threads=False).to_pylist()
            features = read_features(path)
            known = [row for row in rows if row["example_id"] in features]
            matrix = features.rows([row["example_id"] for row in known])
            self._store.put(keys[0], {content_sha256(row["text"]): vector for row, vector in zip(known, matrix, strict=True)})
            path.unlink()
        in_use = [registry.versions.get(alias.version) for alias in registry.versions.all_aliases()]
        self._store.keep_encoders({key for one in in_use for key in self._keys_of(artifacts, one)})

    def _keys_of(self, artifacts: ArtifactStore, version: Version) -> list[str]:
        """Return what names a version's encoders; none where its files are gone, or of a format without features."""
        folder = artifacts.folder(version.artifact_id)
        try:
            description = described(folder)
            return [one.key for one in self._served(folder, description)] if description.format in ON_ENCODER else []
        except (RunFailedError, UnusableError, OSError):
            return []

    def _served(self, folder: Path, description: Description) -> list[_Served]:
        """Return the encoders of a model whose head has features, in the order in which it reads them."""
        compute = hardware.resolve(self._settings, backend=description.backend).compute
        computes = served_as(folder, compute, makes_the_variant).name
        with heads.of_the_champion():
            tuned = read_solved(folder).tuned_rows > 0
        found = [_Served(encoder_key(folder, description, computes), folder, description, tuned)]
        if (base := folder / BASE_FOLDER).is_dir():
            key = encoder_key(folder, description, compute.precision, part=BASE_FOLDER)
            found.append(_Served(key, base, description, tuned=False))
        return found

    def _buffered(self, served: _Served, rows: pa.Table) -> Vectors:
        """Return the buffer's embeddings where they are what an encoder makes of the texts; else nothing."""
        maker = usual_maker(rows) if "encoder_id" in rows.column_names and not served.tuned else None
        if maker is None:
            return {}
        own = rows.filter(pc.equal(rows["encoder_id"], maker))
        embeddings = from_column(own, "embedding")
        own = own.filter(pa.array([example_id in embeddings for example_id in own["example_id"].to_pylist()], pa.bool_()))
        texts, matrix = own["text"].to_pylist(), embeddings.rows(own["example_id"].to_pylist())
        key = served.key
        if (key, maker) not in self._same_as_buffer:
            some = spread_by_length(range(len(texts)), [len(text) for text in texts])
            again, _cut = self._encoder(served).features([texts[at] for at in some])
            same = alike(again, matrix[some])
            self._same_as_buffer[key, maker] = same
            log.info("features.buffer_checked", encoder=key, buffer=maker, same=same, texts=len(some))
        if not self._same_as_buffer[key, maker]:
            return {}
        return dict(zip(own["sha256"].to_pylist(), matrix, strict=True))

    def _stored(self, served: _Served, texts: Mapping[str, str]) -> Vectors:
        key = served.key
        found = self._store.get(key, texts.keys())
        if found and key not in self._trusted:
            names = list(found)
            chosen = [names[at] for at in spread_by_length(range(len(names)), [len(texts[sha256]) for sha256 in names])]
            again, _cut = self._encoder(served).features([texts[sha256] for sha256 in chosen])
            same = alike(again, np.stack([found[sha256] for sha256 in chosen]))
            log.info("features.store_checked", encoder=key, same=same, texts=len(chosen))
            if not same:
                self._store.drop(key)
                found = {}
        self._trusted.add(key)
        return found

    def _computed(self, served: _Served, texts: Mapping[str, str]) -> Vectors:
        found: Vectors = {}
        missing = sorted(texts, key=lambda sha256: len(texts[sha256]))
        for start in range(0, len(missing), _TEXTS_PER_PORTION):
            if self._stop.is_set():
                message = "the daemon stops; what was computed is stored, and the run goes on at the next start"
                raise StoppedError(message)
            portion = missing[start : start + _TEXTS_PER_PORTION]
            matrix, _cut = self._encoder(served).features([texts[sha256] for sha256 in portion])
            vectors = dict(zip(portion, matrix, strict=True))
            self._store.put(served.key, vectors)
            found |= vectors
        return found

    def _encoder(self, served: _Served) -> SentenceEncoder:
        if served.key not in self._encoders:
            from perennial_artifact.sentence.encoder import SentenceEncoder  # noqa: PLC0415 - loads torch

            while len(self._encoders) >= _ENCODERS_KEPT:
                del self._encoders[next(iter(self._encoders))]
            compute = hardware.resolve(self._settings, backend=served.description.backend).compute
            with heads.of_the_champion():
                opened = SentenceEncoder.open(served.folder, compute, max_tokens=served.description.input.max_tokens)
            self._encoders[served.key] = opened
        return self._encoders[served.key]


def encoder_key(folder: Path, description: Description, computes: str, *, part: str = "") -> str:
    """Return what names an encoder as it is served: its files by content, how long a text it reads, and what it computes by.

    `part` is a folder inside the model's: of the base model that stands beside the tuned one.
    """
    digest = hashlib.sha256(repr((description.input.max_tokens, computes)).encode())
    published = {name: file.sha256 for name, file in manifest.unchecked(folder).items()}
    for name in sorted(manifest.regular_files(folder)):
        if _part_of(name) == part and is_of_the_encoder(own := name.removeprefix(f"{part}/")):
            digest.update(f"{own}\0{published.get(name) or sha256_of_file(folder / name)}\n".encode())
    return digest.hexdigest()[:24]


def _part_of(name: str) -> str:
    return BASE_FOLDER if name.startswith(f"{BASE_FOLDER}/") else ""


def _convert(champion: Path) -> None:
    """Replace a classifier of the first release in a run's folder by an encoder and a head that answer the same."""
    building = champion.with_name(f".{champion.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    convert(champion, building)
    shutil.rmtree(champion)
    building.rename(champion)


def _with(embeddings: pa.Table, rows: pa.Table) -> pa.Table:
    """Return rows with these embeddings, and what made them, in the place of those that they have."""
    places = {example_id: at for at, example_id in enumerate(embeddings["example_id"].to_pylist())}
    at = pa.array([places.get(example_id) for example_id in rows["example_id"].to_pylist()], pa.int64())
    for name in ("embedding", "encoder_id"):
        rows = rows.drop_columns([name] if name in rows.column_names else []).append_column(name, embeddings[name].take(at))
    return rows


def _by_example(rows: pa.Table, found: Sequence[Vectors]) -> FeatureSet:
    if not rows.num_rows:
        message = "the training set has no text to make features of"
        raise RunFailedError(message)
    matrices = [np.stack([vectors[sha256] for sha256 in rows["sha256"].to_pylist()]) for vectors in found]
    return FeatureSet.of(rows["example_id"].to_pylist(), np.hstack(matrices))
