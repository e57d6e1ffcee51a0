"""One label per text with a Hugging Face sequence classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch

from perennial_artifact.compute import Compute
from perennial_artifact.description import Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LabelSet
from perennial_artifact.predictor import Answer
from perennial_artifact.transformer.encoder import Encoder, open_saved
from perennial_artifact.transformer.reading import by_length

FORMAT = "transformers-classification"
_ROWS_PER_BATCH = 32
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Classifier:
    """A loaded classifier: answers limited to the labels its training rows have shown."""

    def __init__(self, encoder: Encoder, labels: LabelSet, compute: Compute) -> None:
        if compute.precision not in _TYPES:
            message = f"precision {compute.precision!r} is not one of {', '.join(_TYPES)}"
            raise UnusableError(message)
        self._encoder = encoder
        self._device = compute.device
        self._names = [labels.names[number] for number in labels.seen_ids]
        self._seen = torch.tensor(labels.seen_ids, device=compute.device)
        # The decorated method's type loses its self.
        self._model = encoder.model.to(device=compute.device, dtype=_TYPES[compute.precision]).eval()  # type: ignore[call-arg]

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        """Return the classifier in `folder`. Raises `UnusableError` when it cannot be read."""
        labels = LabelSet.read(folder)
        encoder = open_saved(folder)
        if (outputs := encoder.model.config.num_labels) != len(labels.names):
            message = f"the model in {folder} has {outputs} outputs for {len(labels.names)} labels"
            raise UnusableError(message)
        if description.input.max_tokens is not None:
            encoder.tokenizer.model_max_length = description.input.max_tokens
        return cls(encoder, labels, compute)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"label", "scores", "truncated"}` per text, in order.

        Scores are probabilities over the answerable labels, highest first; `truncated` says that the text is longer than the
        model reads.
        """
        answers: list[Answer] = [{}] * len(texts)
        tokenised, cut = self._encoder.read(texts)
        with torch.inference_mode():
            for batch in by_length([len(tokens) for tokens in tokenised], _ROWS_PER_BATCH):
                padded = self._encoder.pad([tokenised[index] for index in batch])
                logits = self._model(**{key: tensor.to(self._device) for key, tensor in padded.items()}).logits
                probabilities = logits.float()[:, self._seen].softmax(dim=-1).tolist()
                for index, row in zip(batch, probabilities, strict=True):
                    scores = dict(sorted(zip(self._names, row, strict=True), key=lambda pair: -pair[1]))
                    answers[index] = {"label": next(iter(scores)), "scores": scores, "truncated": cut[index]}
        return answers
