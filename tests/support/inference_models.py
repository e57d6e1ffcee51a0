"""A tiny DeBERTa v2 with a head for natural language inference, of random weights, and its kind of tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, DebertaV2Tokenizer

from tests.support.tiny_models import TOPIC_WORDS

ENTAILMENT = ("entailment", "neutral", "contradiction")


def make_tiny_deberta(folder: Path, outputs: Sequence[str] = ENTAILMENT) -> Path:
    """Write the model into `folder` and return it; `outputs` are the labels of its head."""
    folder.mkdir(parents=True)
    words = [word for topic in TOPIC_WORDS.values() for word in topic]
    letters = "abcdefghijklmnopqrstuvwxyz."
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *(f"▁{word}" for word in words), "▁", *letters, "[MASK]"]
    DebertaV2Tokenizer(vocab=[(piece, -float(at)) for at, piece in enumerate(pieces)], unk_id=3).save_pretrained(folder)
    torch.manual_seed(3)
    config = DebertaV2Config(
        vocab_size=len(pieces), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16, type_vocab_size=0,
        initializer_range=0.1, id2label=dict(enumerate(outputs)), label2id={name: at for at, name in enumerate(outputs)},
    )  # fmt: skip
    DebertaV2ForSequenceClassification(config).save_pretrained(folder)
    return folder
