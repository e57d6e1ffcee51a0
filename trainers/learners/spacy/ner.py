"""Entity recognition with spaCy: start from the champion, a blank language or an installed pipeline, and train only `ner`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from thinc.api import require_cpu

from config.tasks import TaskSpec
from perennial_artifact.predictor import Predictor
from perennial_artifact.spacy.entities import Entities, recogniser_of
from trainers.learners.entities.comparing import FindsNothing, aligned_on
from trainers.learners.protocols import Aligner, Example, TrainingPlan
from trainers.learners.spacy.pipelines import BLANK, open_pipeline
from trainers.learners.spacy.training import train


class SpacyNerLearner:
    """Learns and finds entities with spaCy's transition-based recogniser, on the CPU."""

    learns_from_all = False

    def has_more_to_learn(self, champion: Path) -> bool:  # noqa: ARG002 - every pipeline has been trained on all that it knows
        """Return False: what a pipeline has learnt from it was trained on."""
        return False

    def train(self, plan: TrainingPlan, output: Path) -> None:
        """Learn from `plan.rows` and write a spaCy pipeline into the new folder `output`, as `training.train`."""
        train(plan, output)

    def aligner(self, model: Predictor) -> Aligner:
        """Return what lays gold and answers on the tokens of `model`, the candidate's for both models alike."""
        assert isinstance(model, Entities)  # noqa: S101 - narrows the type: this class loaded it
        return aligned_on(model.borders_of)

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:  # noqa: ARG002 - finding nothing needs no rows
        """Return the untouched base pipeline where the task asks for it and it has a recogniser, else one that finds nothing."""
        if spec.promotion.baseline == "base" and not spec.base_model.startswith(BLANK):
            require_cpu()
            nlp = open_pipeline(spec.base_model)
            if recogniser_of(nlp) is not None:
                return Entities(nlp, spec.label_names if spec.labels == "closed" else None)
        return FindsNothing()
