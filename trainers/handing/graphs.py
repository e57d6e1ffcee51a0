"""A published model as one graph, from token ids to what it answers with: for ONNX Runtime or OpenVINO, in fp32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from config.errors import UserError
from perennial_artifact.description import describe
from perennial_artifact.transformer.encoder import joined, load
from trainers.export import catalog
from trainers.export.network import Network
from trainers.handing.writing import FIRST_CLASSIFIER_FORMAT, TAGGING_FORMAT, text_classifier_of, write_thresholds

ONNX_FILE, OPENVINO_FILE = "model.onnx", "openvino_model.xml"
_LARGEST_BYTES = 2_000_000_000
"""What one file of ONNX can hold."""


class Logits(nn.Module):
    """A model that takes nothing but token ids and their mask, and gives nothing but its outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the outputs, shape (rows, outputs), or of each token (rows, tokens, outputs)."""
        found: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return found


def write_onnx(published: Path, target: Path) -> None:
    """Write `model.onnx`, tokenizer and configuration. Raises `UserError` where its packages are missing, or it is too large."""
    _need("onnx", "onnxruntime", "onnxscript")
    from trainers.export.onnx import convert  # noqa: PLC0415 - needs its library

    network = _prepared(published, target)
    if sum(weights.nbytes for weights in network.module.state_dict().values()) > _LARGEST_BYTES:
        message = "its weights are larger than one ONNX file can hold (2 GB); write it in another format"
        raise UserError(message)
    convert(network.module, network.example(), target / ONNX_FILE)


def write_openvino(published: Path, target: Path) -> None:
    """Write `openvino_model.xml` with its weights, tokenizer and configuration. Raises `UserError` without its package."""
    _need("openvino")
    from perennial_artifact.variants import openvino as runtime  # noqa: PLC0415 - needs its library

    network = _prepared(published, target)
    ids, mask = network.example()
    with torch.inference_mode():
        model = runtime.converted(network.module, ids, mask)
    runtime.library().save_model(model, target / OPENVINO_FILE, compress_to_fp16=False)


def _need(*libraries: str) -> None:
    if (absent := catalog.missing(*libraries)) is not None:
        message = f"{absent}; nothing was written"
        raise UserError(message)


def _prepared(published: Path, target: Path) -> Network:
    """Write all but the graph into the new folder `target`; return the model."""
    described = describe(published)
    if described.format in (TAGGING_FORMAT, FIRST_CLASSIFIER_FORMAT):
        from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification  # noqa: PLC0415 - heavy

        tagging = described.format == TAGGING_FORMAT
        found = joined(*load(AutoModelForTokenClassification if tagging else AutoModelForSequenceClassification, published))
        model, tokenizer = found.model, found.tokenizer
        vocabulary = int(model.config.vocab_size)
        if described.input.max_tokens is not None:
            tokenizer.model_max_length = described.input.max_tokens
    else:
        model, tokenizer = text_classifier_of(published)
        vocabulary = int(model.transformer.config.vocab_size)
    target.mkdir()
    tokenizer.save_pretrained(target)
    config: Any = model.config
    said = {
        "id2label": {str(at): config.id2label[at] for at in range(config.num_labels)}, "max_tokens": tokenizer.model_max_length,
        "outputs": "tags of tokens" if described.kind == "ner" else (config.problem_type or "single_label_classification"),
    }  # fmt: skip
    (target / "outputs.json").write_text(json.dumps(said, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    write_thresholds(published, target)
    return Network(Logits(model).eval(), int(tokenizer.pad_token_id or 0), vocabulary)
