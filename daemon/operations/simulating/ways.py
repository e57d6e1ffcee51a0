"""How a replay trains, checks and asks models: as the daemon does, or in a cheaper way that is said with the result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from config.settings import Settings
from config.tasks import TaskSpec
from daemon.training.preparing.features import Features
from daemon.training.runners.open import open_runner
from daemon.training.runners.protocol import Runner
from daemon.training.sandbox.local import LocalSandbox
from daemon.training.sandbox.order import Findings
from daemon.training.sandbox.protocol import Sandbox
from registry.artifacts.protocol import ArtifactStore
from registry.store import Registry
from registry.versions import Version
from trainers.compare import scoring
from trainers.compare.answers import Answers
from trainers.compare.metrics import catalog
from trainers.job.spec import JobSpec
from trainers.learners.catalog import learner_for, refreshes_from_features
from trainers.learners.opening import open_model

_SAMPLED_ROWS = 5_000
_SAMPLED_ENTITY_ROWS = 1_000

Score = Callable[[TaskSpec, Settings, Path, pa.Table], float]
"""Returns what the model in a folder scores on rows with the columns of a training set, by the metric that decides."""


def score(task: TaskSpec, settings: Settings, folder: Path, rows: pa.Table) -> float:
    """Return the score of a published model, which is opened in this process. Raises `RunFailedError` where it cannot be used."""
    opened = open_model(folder, settings.training)
    scores = scoring.score(opened, None, rows, align=learner_for(task).aligner(opened))
    return float(catalog.of(task).pair(*Answers.read(scores).columns).scores()[0])


def _local_sandbox(
    settings: Settings, registry: Registry, artifacts: ArtifactStore, features: Features, stop: threading.Event
) -> Sandbox:
    return LocalSandbox(settings, registry, artifacts, features, stop)


class NoSandbox:
    """Lets every candidate pass unopened."""

    def check(self, version: Version, spec: JobSpec, task: TaskSpec, ended: Callable[[], bool]) -> Findings | None:  # noqa: ARG002 - the protocol's
        """Return that it passed."""
        return Findings(outcome="passed", scope="model")


def _no_sandbox(*_what: object) -> Sandbox:
    return NoSandbox()


@dataclass(frozen=True, slots=True)
class Ways:
    """What a replay works with."""

    name: str
    """`real` or `sampled`."""
    task: Callable[[TaskSpec], TaskSpec]
    """What is trained in place of a task."""
    told: Callable[[TaskSpec], str]
    """In words, what stands in the place of the daemon's own training."""
    runner: Callable[[Settings, threading.Event], Runner] = open_runner
    sandbox: Callable[[Settings, Registry, ArtifactStore, Features, threading.Event], Sandbox] = _local_sandbox
    score: Score = score


def _sampled(task: TaskSpec) -> TaskSpec:
    changes: dict[str, object] = {"teacher": None}
    if refreshes_from_features(task.kind, task.backend):
        changes |= {"tuning": "never", "max_rows": min(task.training.max_rows, _SAMPLED_ROWS)}
    else:
        changes |= {"epochs": 1, "full_epochs": 1, "max_rows": min(task.training.max_rows, _SAMPLED_ENTITY_ROWS)}
    return task.model_copy(update={"training": task.training.model_copy(update=changes), "export": "none"})


def _sampled_told(task: TaskSpec) -> str:
    if refreshes_from_features(task.kind, task.backend):
        how = f"each run solves a head on features of the untuned base and at most {_SAMPLED_ROWS:,} rows, and tunes nothing"
    else:
        how = f"each run passes once over at most {_SAMPLED_ENTITY_ROWS:,} rows"
    return (
        f"Sampled training: {how}; no candidate goes through the sandbox. Triggers, rows and gate are the daemon's own; scores, "
        "and with them verdicts, can differ from those of real training."
    )


def _real_told(_task: TaskSpec) -> str:
    return "Real training: every run is trained, compared and put through the sandbox as the daemon does it."


REAL = Ways("real", lambda task: task, _real_told)
SAMPLED = Ways("sampled", _sampled, _sampled_told, sandbox=_no_sandbox)
