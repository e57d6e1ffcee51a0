"""What a checkpoint for natural language inference says of texts and of words: whether the one entails the other.

Such checkpoints (MNLI, or "zero-shot" classifiers) read a text and a hypothesis together, and one of their labels is called
entailment. After Yin, Hay and Roth, "Benchmarking Zero-shot Text Classification" (EMNLP 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from perennial_artifact.transformer.encoder import UNREADABLE
from perennial_artifact.transformer.reading import LONGEST_TOKEN_CHARS, by_length
from trainers.learners.encoders.bases import fitted, source_of, unloadable

_ENTAILMENT = "entailment"
_PAIRS_PER_BATCH = 16
_MOST_TOKENS = 256
"""Of a text and a hypothesis; a longer text is cut."""


def entailment_of(name: str) -> int | None:
    """Return which output of a base model says that a text entails a hypothesis; None for one that is not for inference.

    None too for a base that cannot be read: who opens it says so.
    """
    try:
        config: Any = AutoConfig.from_pretrained(source_of(name))
    except UNREADABLE:
        return None
    classifies = any(str(one).endswith("ForSequenceClassification") for one in config.architectures or ())
    found = [int(at) for at, label in (config.id2label or {}).items() if str(label).strip().lower() == _ENTAILMENT]
    return found[0] if classifies and len(found) == 1 and config.num_labels > 1 else None


def log_odds(name: str, texts: Sequence[str], hypotheses: Sequence[str], *, device: str) -> npt.NDArray[np.float64]:
    """Return the log of the odds that each text entails each hypothesis, shape (texts, hypotheses).

    `name` is a base model that `entailment_of` knows. Raises `UserError` when it cannot be loaded, or lacks weights of its head.
    """
    source, entails = source_of(name), entailment_of(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model, loading = AutoModelForSequenceClassification.from_pretrained(
            source, dtype=torch.float32, use_safetensors=True, output_loading_info=True
        )
        if entails is None or loading["missing_keys"]:
            message = f"its head for inference lacks {', '.join(sorted(loading['missing_keys'])) or 'a label for entailment'}"
            raise ValueError(message)
    except UNREADABLE as error:
        raise unloadable(name, error) from error
    limit = fitted(tokenizer, model, _MOST_TOKENS)
    pairs = [(text[: limit * LONGEST_TOKEN_CHARS], words) for text in texts for words in hypotheses]
    read = tokenizer([text for text, _ in pairs], [words for _, words in pairs], truncation="only_first", max_length=limit)
    rows = [{key: values[at] for key, values in read.items()} for at in range(len(pairs))]
    found = np.empty(len(pairs))
    model.eval().to(device)
    with torch.inference_mode():
        for batch in by_length([len(row["input_ids"]) for row in rows], _PAIRS_PER_BATCH):
            inputs = tokenizer.pad([rows[at] for at in batch], return_tensors="pt").to(device)
            logits = model(**inputs).logits.double().cpu()
            others = [at for at in range(logits.shape[1]) if at != entails]
            found[batch] = (logits[:, entails] - logits[:, others].logsumexp(dim=1)).numpy()
    return found.reshape(len(texts), len(hypotheses))
