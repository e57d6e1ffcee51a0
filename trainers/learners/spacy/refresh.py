"""The fast clock of entity recognition: what decides on entities learns anew, what reads the words stays."""

from __future__ import annotations

from pathlib import Path

from config.errors import RunFailedError
from trainers.learners.protocols import TrainingPlan
from trainers.learners.spacy.training import train


class RecogniserRefresh:
    """Learns the upper layers of a champion's recogniser, from new rows and a replay of older ones."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion (`plan.warm_start`) with other upper layers into the new folder `output`.

        Raises `RunFailedError` where there is no champion, or nothing can be learnt from the rows.
        """
        if plan.warm_start is None:
            message = "a refresh needs a champion, and there is none; ask for a full run"
            raise RunFailedError(message)
        train(plan, output, frozen=True)
