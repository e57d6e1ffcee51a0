"""The fast clock of a token classifier: its head learns anew, the transformer below stays."""

from __future__ import annotations

from pathlib import Path

from config.errors import RunFailedError
from trainers.learners.protocols import TrainingPlan
from trainers.learners.tagging.training import train


class TaggingRefresh:
    """Learns the head of a champion, from new rows and a replay of older ones."""

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Write the champion (`plan.warm_start`) with another head into the new folder `output`.

        Raises `RunFailedError` where there is no champion to go on from, or nothing can be learnt from the rows.
        """
        if plan.warm_start is None:
            message = "a refresh needs a champion, and there is none; ask for a full run"
            raise RunFailedError(message)
        train(plan, output, frozen=True)
