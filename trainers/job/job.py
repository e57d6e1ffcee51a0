"""What every step of one run needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumers.training_set.snapshot import TrainingSet
from trainers.hardware import Hardware
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import MODEL_FOLDER, JobSpec
from trainers.learners.catalog import refreshes_from_features
from trainers.learners.features import FeatureSet
from trainers.learners.protocols import Learner


def from_features(spec: JobSpec) -> bool:
    """Return whether a run learns and answers from its `FEATURES_FILE` alone."""
    return spec.refresh and refreshes_from_features(spec.task.kind, spec.task.backend)


@dataclass(frozen=True, slots=True)
class Job:
    """One run in its child process."""

    spec: JobSpec
    learner: Learner | None
    """None in a refresh from features."""
    hardware: Hardware
    training_set: TrainingSet
    stop: StopRequest
    progress: ProgressLog
    features: FeatureSet | None
    """What the champion's encoder makes of the rows, where that is stored."""

    @property
    def model(self) -> Path:
        """Where the candidate is built."""
        return self.spec.run_dir / MODEL_FOLDER
