"""Both models of a pair, open, and their answers to the same texts in the form in which they are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from perennial_artifact.predictor import Predictor
from trainers.compare.in_force import with_labels_in_force
from trainers.compare.metrics.metric import Target
from trainers.learners.catalog import learner_for
from trainers.learners.opening import described, open_model
from trainers.learners.protocols import Aligner
from trainers.pair.order import CANDIDATE_FOLDER, CHAMPION_FOLDER, PairOrder


@dataclass(frozen=True, slots=True)
class BothModels:
    """Candidate and champion."""

    candidate: Predictor
    champion: Predictor
    align: Aligner

    @classmethod
    def open(cls, order: PairOrder, folder: Path) -> Self:
        """Open both. Raises `RunFailedError` where one cannot be used."""
        candidate, champion = (
            with_labels_in_force(open_model(model, order.training), order.task, described(model).labels)
            for model in (folder / CANDIDATE_FOLDER, folder / CHAMPION_FOLDER)
        )
        return cls(candidate, champion, learner_for(order.task).aligner(candidate))

    def answers(self, texts: Sequence[str]) -> list[tuple[Target, Target]]:
        """Return what candidate and champion answer to each text."""
        pairs = zip(texts, self.candidate.predict(texts), self.champion.predict(texts), strict=True)
        found = []
        for text, ours, theirs in pairs:
            one, other = self.align(text, [ours, theirs])
            found.append((one, other))
        return found
