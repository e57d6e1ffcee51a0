from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from config.tasks import TaskSpec
from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.predictor import Answer, Predictor
from trainers.learners.protocols import Example, TrainingPlan, TrainingStep

FORMAT = "tone-words"
_FILE = "words.json"


class WordTones:
    """Answers with the mean over a text's words of the tones of the training texts that they stood in."""

    def __init__(self, tones: Mapping[str, float]) -> None:
        self._tones = tones

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        return cls(json.loads((folder / _FILE).read_text()))

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        found = [[self._tones[word] for word in text.lower().split() if word in self._tones] for text in texts]
        return [{"tone": sum(tones) / len(tones) if tones else 0.0} for tones in found]


class OneTone:
    def __init__(self, tone: float) -> None:
        self._tone = tone

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        return [{"tone": self._tone} for _ in texts]


class ToneLearner:
    learns_from_all = False

    def has_more_to_learn(self, champion: Path) -> bool:
        """Return False: it counts words, and has counted them."""
        return False

    def train(self, plan: TrainingPlan, output: Path) -> None:
        sums: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for row in plan.rows:
            for word in set(row.text.lower().split()):
                sums[word][0] += row.target["tone"] * row.weight
                sums[word][1] += row.weight
        # Words that stand in texts of any tone say nothing.
        tones = {word: total / weight for word, (total, weight) in sums.items() if abs(total) > 0.5 * weight > 0}
        output.mkdir()
        (output / _FILE).write_text(json.dumps(tones))
        spec = plan.spec
        Description(kind=spec.kind, backend=spec.backend, format=FORMAT, base=spec.base_model, labels=()).write(output)
        plan.report(TrainingStep(step=1, steps=1, epoch=1.0, loss=0.0, examples_per_s=float(len(plan.rows))))

    def aligner(self, model: Predictor) -> Any:
        return lambda _text, targets: targets

    def baseline(self, spec: TaskSpec, rows: Sequence[Example]) -> Predictor:
        ((tone, _count),) = Counter(row.target["tone"] for row in rows).most_common(1)
        return OneTone(float(tone))
