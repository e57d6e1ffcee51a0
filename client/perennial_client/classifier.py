"""One label per text with a Hugging Face sequence classifier: the answers of a published model, as serving gives them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from perennial_client.errors import ModelError
from perennial_client.loading import Answer

_LABELS_FILE = "labels.json"
_ROWS_PER_BATCH = 32
_LONGEST_TOKEN_CHARS = 64
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Classifier:
    """A loaded classifier, on the processor."""

    def __init__(self, folder: Path, precision: str) -> None:
        names, seen = _labels(folder)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True, trust_remote_code=False,
            output_loading_info=True,
        )  # fmt: skip
        if absent := sorted(loading["missing_keys"]):
            # The library would fill what is missing with random numbers.
            raise _broken(folder, f"it lacks {', '.join(absent[:3])}")
        if model.config.num_labels != len(names):
            raise _broken(folder, f"it has {model.config.num_labels} outputs for {len(names)} labels")
        if precision not in _DTYPES:
            raise _broken(folder, f"precision {precision!r} is not known to this client")
        self._model = model.to(dtype=_DTYPES[precision]).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model.config.pad_token_id = self._tokenizer.pad_token_id
        self._names = [names[number] for number in seen]
        self._seen = torch.tensor(seen)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"label", "scores", "truncated"}` per text, in order.

        Scores are probabilities over the answerable labels, highest first; `truncated` says that the text is longer than the
        model reads.
        """
        answers: list[Answer] = [{}] * len(texts)
        tokenised, cut = self._read(texts)
        order = sorted(range(len(texts)), key=lambda index: len(tokenised[index]))
        with torch.inference_mode():
            for start in range(0, len(order), _ROWS_PER_BATCH):
                batch = order[start : start + _ROWS_PER_BATCH]
                logits = self._model(**self._pad([tokenised[index] for index in batch])).logits
                probabilities = logits.float()[:, self._seen].softmax(dim=-1).tolist()
                for index, row in zip(batch, probabilities, strict=True):
                    scores = dict(sorted(zip(self._names, row, strict=True), key=lambda pair: -pair[1]))
                    answers[index] = {"label": next(iter(scores)), "scores": scores, "truncated": cut[index]}
        return answers

    def _read(self, texts: Sequence[str]) -> tuple[list[list[int]], list[bool]]:
        """Return the token ids of every text, and whether it was cut."""
        if not texts:
            return [], []
        longest_chars = self._tokenizer.model_max_length * _LONGEST_TOKEN_CHARS
        found = self._tokenizer([text[:longest_chars] for text in texts], truncation=True)
        ids: list[list[int]] = found["input_ids"]
        if found.encodings is None:
            # A tokenizer written in Python does not tell what it left out; one that fills the length may have.
            whole = [len(one) < self._tokenizer.model_max_length for one in ids]
            over = [not fits and self._is_over(text[:longest_chars]) for fits, text in zip(whole, texts, strict=True)]
        else:
            over = [bool(one.overflowing) for one in found.encodings]
        return ids, [cut or bool(text[longest_chars:].strip()) for cut, text in zip(over, texts, strict=True)]

    def _is_over(self, text: str) -> bool:
        return len(self._tokenizer(text, truncation=False)["input_ids"]) > self._tokenizer.model_max_length

    def _pad(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        longest, fill = max(map(len, rows)), self._tokenizer.pad_token_id
        return {
            "input_ids": torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        }


def _labels(folder: Path) -> tuple[list[str], list[int]]:
    """Return the label of every output, and the outputs that may be answered, ascending."""
    content = json.loads((folder / _LABELS_FILE).read_text(encoding="utf-8"))
    if content["format_version"] != 1:
        raise _broken(folder, f"{_LABELS_FILE} has format {content['format_version']}, and this client reads 1")
    names, seen = list(content["labels"]), set(content["seen"])
    return names, [number for number, name in enumerate(names) if name in seen]


def _broken(folder: Path, what: str) -> ModelError:
    return ModelError(what, f"model {folder}", "upgrade perennial-client, publish the version again, or roll back")
