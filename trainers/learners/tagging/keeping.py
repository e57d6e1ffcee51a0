"""What a run keeps of its champion: rows kept back judge the candidate and averages of both models' weights."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from perennial_artifact.compute import Compute
from perennial_artifact.labels import LabelSet
from perennial_artifact.tagging.entities import TokenClassifier
from trainers.learners.entities.averaging import KeptBack, Weights, keep_back, settle
from trainers.learners.entities.judging import Judge
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tagging.tagger import Tagger
from trainers.learners.tagging.weights import from_the_start, put, weights_of

_LOG = structlog.get_logger(__name__)


class Keeping:
    """Judges one run; without a champion, a metric or enough older rows it leaves the candidate as it is."""

    def __init__(self, plan: TrainingPlan, tagger: Tagger, champion: LabelSet | None) -> None:
        """Keep rows back and let the champion, which `tagger` still is where there is one, answer them."""
        self._plan, self._tagger = plan, tagger
        # Adapters leave the body as it is.
        self._whole = plan.spec.training.lora_rank is None
        judged = champion is not None and plan.score is not None
        self._rows = keep_back(plan.rows, plan.seed) if judged else KeptBack(plan.rows, (), ())
        self._judge: Judge | None = None
        if champion is None or plan.score is None or not self._rows.older:
            return
        model = self._model(champion)
        self._judge = Judge(model.borders_of, (*self._rows.older, *self._rows.newer), plan.score)
        # Before it knows the new types: it would answer with them unlearnt.
        self._before = self._judge.score(model, self._rows.older)

    @property
    def learnt(self) -> Sequence[Example]:
        """The rows that the run learns from."""
        return self._rows.learnt

    @property
    def kept_back(self) -> Sequence[Example]:
        """The rows that it does not learn from; none without a champion."""
        return (*self._rows.older, *self._rows.newer)

    def weights(self) -> Weights:
        """Return a copy of the weights as they are, where they will be needed."""
        return weights_of(self._tagger.model, whole=self._whole) if self._judge else {}

    def settle(self, start: Weights, labels: LabelSet, *, trained_cpu_s: float) -> None:
        """Give the model the weights to publish: its own, or an average with `start`, the champion's, that forgets less."""
        judge = self._judge
        if judge is None:
            return

        def score(tried: Weights, rows: Sequence[Example]) -> float:
            self._plan.tell("candidate and averages answer older training rows that were kept back")
            put(self._tagger.model, tried)
            return judge.score(self._model(labels), rows)

        end = weights_of(self._tagger.model, whole=self._whole)
        chosen, tried = settle(
            score, from_the_start(start, end), end, self._rows, before=self._before,
            max_forgetting=self._plan.spec.promotion.max_forgetting, trained_cpu_s=trained_cpu_s,
        )  # fmt: skip
        put(self._tagger.model, chosen)
        for one in tried:
            self._plan.note_tried(one)
            _LOG.info("tried", task=self._plan.spec.name, **one.model_dump())

    def _model(self, labels: LabelSet) -> TokenClassifier:
        return as_served(self._plan, self._tagger, labels)


def as_served(plan: TrainingPlan, tagger: Tagger, labels: LabelSet) -> TokenClassifier:
    """Return what answers as the model will, as it is now; in full precision, because its weights go on to be learnt."""
    return TokenClassifier.of_weights(
        tagger.model, tagger.tokenizer, labels, Compute(plan.hardware.device), max_tokens=tagger.max_tokens
    )
