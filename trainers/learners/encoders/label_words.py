"""What the words of labels say before a run learns: as its encoder reads them, or as a base model for inference judges texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV

from config.task_files.labels.label_words import words_of
from config.words import named
from perennial_artifact.labels import LabelSet
from trainers.learners.encoders.entailment import entailment_of, log_odds
from trainers.learners.features import Features
from trainers.learners.heads.label_words.starts import Starts
from trainers.learners.protocols import Example, TrainingPlan
from trainers.learners.tried import Tried

_MOST_PAIRS = 4_000
"""Of a text and a hypothesis that a run asks about: each takes as long as reading a text."""
_LEAST_TEXTS, _MOST_TEXTS = 32, 512
"""Texts that a hypothesis is asked of."""
_PENALTIES = np.geomspace(0.01, 100.0, 9)


@dataclass(frozen=True, slots=True)
class LabelWords:
    """Labels and what they mean; from a base model for inference also what it says of some texts of the run."""

    labels: tuple[str, ...]
    words: tuple[str, ...]
    places: tuple[int, ...] = ()
    """Which rows of the run were asked about."""
    odds: npt.NDArray[np.float64] | None = None
    """Log of the odds that a text is entailed by a label's words, shape (places, labels); None: the words are embedded."""

    def starts(self, read: Callable[[Sequence[str]], Features], features: Callable[[Sequence[int]], Features]) -> Starts:
        """Return what the words say in an encoder's features.

        `read` returns those of texts, `features` those of the run's rows by their number.
        """
        if self.odds is None:
            return Starts(dict(zip(self.labels, read(self.words), strict=True)), "embedding")
        model = RidgeCV(alphas=_PENALTIES).fit(features(self.places), self.odds)
        rows = np.asarray(model.coef_, dtype=np.float32).reshape(len(self.labels), -1)
        return Starts(dict(zip(self.labels, rows, strict=True)), "entailment")


def of(plan: TrainingPlan, rows: Sequence[Example], labels: LabelSet) -> LabelWords | None:
    """Return what the task's labels mean; None where heads are to start from nothing. The plan is told of labels without words.

    Raises `UserError` when the base model's head for inference cannot be loaded.
    """
    spec = plan.spec
    entails = None if spec.label_words == "none" else entailment_of(spec.base_model)
    if spec.label_words == "none" or (spec.label_words == "auto" and entails is None):
        return None
    given = spec.label_words if isinstance(spec.label_words, dict) else {}
    names = [name for name in dict.fromkeys((*labels.names, *given)) if spec.teaches(name) and name not in spec.renames]
    words = {name: said for name in names if (said := words_of(name, spec.label_words)) is not None}
    if without := [name for name in names if name not in words]:
        plan.note_tried(
            Tried(name=f"labels without words, which start from nothing: {named(without)}", scores={}, cpu_s=0.0, chosen=True)
        )
    if not words:
        return None
    return LabelWords(tuple(words), tuple(words.values())) if entails is None else _asked(plan, rows, words)


def _asked(plan: TrainingPlan, rows: Sequence[Example], words: dict[str, str]) -> LabelWords:
    """Ask the base model of some texts, spread evenly, and of the labels with fewest rows where there are too many for all."""
    counts = dict.fromkeys(words, 0)
    for row in rows:
        for name in {row.target.get("label"), *row.target.get("labels", ())} & counts.keys():
            counts[name] += 1
    labels = sorted(words, key=lambda name: counts[name])[: _MOST_PAIRS // _LEAST_TEXTS]
    most = max(_LEAST_TEXTS, min(_MOST_TEXTS, _MOST_PAIRS // len(labels)))
    places = range(0, len(rows), -(-len(rows) // most))
    plan.tell(f"asking the base model whether {len(places)} texts entail the words of {len(labels)} labels")
    began = time.process_time()
    hypotheses = [plan.spec.hypothesis.format(words[name]) for name in labels]
    odds = log_odds(plan.spec.base_model, [rows[at].text for at in places], hypotheses, device=plan.hardware.device)
    name = f"entailment of {len(labels)} labels asked of {len(places)} texts"
    plan.note_tried(Tried(name=name, scores={}, cpu_s=time.process_time() - began, chosen=True))
    return LabelWords(tuple(labels), tuple(words[name] for name in labels), tuple(places), odds)
