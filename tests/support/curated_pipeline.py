"""A pipeline with a tiny random transformer, as spaCy ships large ones: what tags and what recognises entities listen to it."""

from __future__ import annotations

from pathlib import Path

import spacy
import torch
from spacy_curated_transformers.tokenization.wordpiece_encoder import build_wordpiece_encoder_loader_v1
from thinc.api import fix_random_seed

from tests.support.ner_rows import examples

WIDTH = 32


def make_curated_pipeline(folder: Path, *, pipes: tuple[str, ...] = ("ner",), all_layers: bool = False) -> Path:
    """Write a pipeline with a BERT of two layers and `pipes` that listen to it into `folder` and return that."""
    fix_random_seed(3)
    torch.manual_seed(3)
    words = sorted({word for row in examples(300) for word in row.text.split()})
    vocabulary = folder.with_suffix(".vocab.txt")
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words]) + "\n", encoding="utf-8")
    curated = "spacy-curated-transformers."
    nlp = spacy.blank("en")
    transformer = nlp.add_pipe("curated_transformer", "transformer", config={
        "all_layer_outputs": all_layers,
        "model": {
            "@architectures": f"{curated}BertTransformer.v1", "vocab_size": len(words) + 4, "hidden_width": WIDTH,
            "intermediate_width": 64, "num_attention_heads": 2, "num_hidden_layers": 2, "padding_idx": 0,
            "piece_encoder": {"@architectures": f"{curated}BertWordpieceEncoder.v1"},
            "with_spans": {"@architectures": f"{curated}WithStridedSpans.v1"},
        },
    })  # fmt: skip
    for pipe in pipes:
        pooling = {"@layers": "reduce_mean.v1"}
        listener = {"@architectures": f"{curated}LastTransformerLayerListener.v1", "width": WIDTH, "pooling": pooling}
        if all_layers:
            weighting = {"@architectures": f"{curated}ScalarWeight.v1", "num_layers": 2}
            listener |= {"@architectures": f"{curated}ScalarWeightingListener.v1", "weighting": weighting}
        model = {"tok2vec": listener} | ({"@architectures": "spacy.Tagger.v2"} if pipe == "tagger" else {})
        nlp.add_pipe(pipe, config={"model": model}).add_label("NN" if pipe == "tagger" else "CARDINAL")
    transformer.model.get_ref("piece_encoder").init = build_wordpiece_encoder_loader_v1(path=vocabulary)
    nlp.initialize()
    nlp.to_disk(folder)
    return folder
