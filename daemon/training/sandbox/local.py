"""Puts a published candidate through the sandbox on this machine: whole, or its head alone where only that is new."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import structlog

from config.errors import RunFailedError
from config.settings import Settings
from config.task_files.sections import must_not_break
from config.tasks import TaskSpec
from daemon.training.preparing.features import Features, StoppedError
from daemon.training.retries import TryLaterError
from daemon.training.sandbox import process, texts
from daemon.training.sandbox.order import FEATURES_FILE, FOLDER, Asked, Findings, Order
from daemon.training.sandbox.protocol import recorded
from perennial_artifact import manifest
from perennial_artifact.sentence.layout import is_of_the_encoder
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry
from registry.versions import Version
from trainers.hardware import usable_cores
from trainers.job import origin
from trainers.job import spec as job_spec
from trainers.job.spec import JobSpec
from trainers.learners.catalog import refreshes_from_features
from trainers.learners.features import FeatureSet, read_features, write_features

log = structlog.get_logger(__name__)


class LocalSandbox:
    """Opens candidates from the artifact store in a child of this process."""

    def __init__(
        self, settings: Settings, registry: Registry, artifacts: ArtifactStore, features: Features, stop: threading.Event,
        *, command: Sequence[str] = process.CHILD,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._registry = registry
        self._artifacts = artifacts
        self._features = features
        self._stop = stop
        self._command = command

    def check(self, version: Version, spec: JobSpec, task: TaskSpec, ended: Callable[[], bool]) -> Findings | None:
        """Return what was found, as `protocol.Sandbox` says."""
        published = self._artifacts.folder(version.artifact_id)
        if not published.is_dir():
            message = f"the files of {version.name} cannot be found at {published}; perhaps the artifact store is away"
            raise TryLaterError(message)
        folder = spec.run_dir / FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            try:
                opened = self._artifacts.fetch(version.artifact_id, version.manifest_sha256)
            except RunFailedError as error:
                return Findings(outcome="failed", reason=f"its published files are damaged: {error}", scope="model")
            order = self._order(version, spec, _with_examples(spec.task, task), opened, folder)
            log.info("sandbox.started", version=version.name, texts=len(order.asked), head_alone=order.features is not None)
            return process.carry_out(
                order, folder, time_limit_s=self._settings.sandbox.time_limit_s,
                stopped=lambda: self._stop.is_set() or ended(), command=self._command,
            )  # fmt: skip
        except StoppedError:
            return None
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _order(self, version: Version, spec: JobSpec, task: TaskSpec, opened: Path, folder: Path) -> Order:
        limits, cores = self._settings.sandbox, usable_cores()
        threads = min(self._settings.serving.threads or cores, max(1, cores - 1))  # serving answers meanwhile
        whole = Order(
            version=version.name, kind=task.kind, backend=task.backend, folder=opened, training=self._settings.training,
            threads=threads, text_time_s=self._settings.serving.text_time_s, memory_limit_mib=limits.memory_limit_mib,
            modules=self._settings.extensions.names, asked=(), task=task.model_dump(mode="json"),
        )  # fmt: skip
        head = self._head_alone(version, spec, task, opened, folder)
        if head is not None:
            return whole.model_copy(update={"asked": tuple(head), "features": folder / FEATURES_FILE})
        return whole.model_copy(update={"asked": tuple(texts.chosen(spec, limits.texts))})

    def _head_alone(self, version: Version, spec: JobSpec, task: TaskSpec, opened: Path, folder: Path) -> list[Asked] | None:
        """Return what the head alone is asked, its features in `folder`; None where the whole model must be opened."""
        if not (spec.refresh and spec.champion_version and refreshes_from_features(spec.task.kind, spec.task.backend)):
            return None
        before = self._registry.versions.get(spec.champion_version)
        passed = recorded(before)
        if passed is None or passed.outcome != "passed" or passed.code != origin.code():
            return None
        content = {
            name: {one: file.sha256 for one, file in manifest.unchecked(at).items()}
            for name, at in (("new", opened), ("old", self._artifacts.folder(before.artifact_id)))
        }
        new, old = content["new"], content["old"]
        if not old or any(is_of_the_encoder(name) for name in new.keys() | old.keys() if new.get(name) != old.get(name)):
            return None
        try:
            asked = texts.chosen(spec, self._settings.sandbox.texts, compared_alone=True)
            self._write_features(spec, task, opened, asked, folder / FEATURES_FILE)
        except (RunFailedError, OSError, KeyError) as error:
            log.warning("sandbox.no_features", version=version.name, reason=str(error), next="the whole model is opened")
            return None
        return asked

    def _write_features(self, spec: JobSpec, task: TaskSpec, opened: Path, asked: Sequence[Asked], path: Path) -> None:
        """Write what the encoder makes of the texts, under each text itself: of those compared as the run had it."""
        stored = read_features(spec.run_dir / job_spec.FEATURES_FILE)
        ids = {text: example_id for text, example_id in texts.ids(spec) if example_id in stored}
        found = {one.text: stored.rows([ids[one.text]])[0] for one in asked}
        if examples := [example.text for example in task.must_not_break if example.text not in found]:
            found |= self._features.of_texts(opened, examples)
        if not found:
            message = "no text of the run has features"
            raise RunFailedError(message)
        write_features(FeatureSet.of(list(found), np.stack(list(found.values()))), path)


def _with_examples(begun: TaskSpec, now: TaskSpec) -> TaskSpec:
    """Return the task as the run began with it, with the examples of today where they fit it."""
    today = begun.model_copy(update={"must_not_break": now.must_not_break})
    today = today.model_copy(update={"must_not_break": must_not_break.still_asked(today)})
    return begun if must_not_break.misfit(today) else today
