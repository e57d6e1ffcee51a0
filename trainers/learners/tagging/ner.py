"""Entity recognition with a token classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Predictor
from perennial_artifact.tagging.entities import TokenClassifier
from trainers.learners.entities.comparing import FindsNothing, aligned_on
from trainers.learners.protocols import Aligner, Example, TrainingPlan
from trainers.learners.tagging import labels as labelling
from trainers.learners.tagging.tagger import open_base, retag
from trainers.learners.tagging.training import train


class TaggingLearner:
    """Learns and finds entities with a Hugging Face token classifier."""

    learns_from_all = False

    def has_more_to_learn(self, champion: Path) -> bool:  # noqa: ARG002 - every champion was tuned on all that it knows
        """Return False: what a token classifier has learnt from it was tuned on."""
        return False

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a token classifier into the new folder `output`, as `training.train`."""
        train(plan, output)

    def aligner(self, model: Predictor) -> Aligner:
        """Return what lays gold and answers on the words of `model`, the candidate's for both models alike."""
        assert isinstance(model, TokenClassifier)  # noqa: S101 - narrows the type: this class loaded it
        return aligned_on(model.borders_of)

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:  # noqa: ARG002 - finding nothing needs no rows
        """Return the untouched base model where the task asks for it and it answers entities, else one that finds nothing."""
        if spec.promotion.baseline == "base":
            tagger = open_base(spec.base_model, max_tokens=spec.training.max_tokens)
            known_as = labelling.of_base(tagger, spec)
            if known_as:
                types = tuple(known_as)
                retag(tagger, types, known_as)
                return TokenClassifier.of_weights(
                    tagger.model, tagger.tokenizer, LabelSet(types, frozenset(types)), Compute(), max_tokens=tagger.max_tokens
                )
        return FindsNothing()
