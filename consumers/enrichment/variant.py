"""The encoder in OpenVINO's form, made in this process where that library is installed: quicker, and the same vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
import torch
from torch import Tensor, nn

from perennial_artifact.variants.graph import Graph, Numbers, cosine, filled

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

LEAST_COSINE = 0.999
"""Between a vector and what the weights make of the same text: below it stories would be told apart otherwise."""
_LEAST_GAIN = 1.1

_log = structlog.get_logger(__name__)


class _Embedding(nn.Module):
    def __init__(self, model: SentenceTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        found: Tensor = self.model({"input_ids": input_ids, "attention_mask": attention_mask})["sentence_embedding"]
        return found


def quicker(
    model: SentenceTransformer, weights: Graph, rows: Sequence[Sequence[int]], *, fill: int, precision: str
) -> Graph | None:
    """Return the model, in fp32, in OpenVINO's form; None where the library is missing or fails, or where it does not pay.

    `weights` computes by the weights; both are asked about `rows` of token ids. It pays where every vector stays above
    `LEAST_COSINE` and they take less processor time.
    """
    if find_spec("openvino") is None:
        return None
    try:
        found = _converted(model, rows[0], fill=fill, precision=precision)
        ours, our_s = _timed(found, rows, fill)
        theirs, their_s = _timed(weights, rows, fill)
    except Exception as error:  # noqa: BLE001 - a library of another maker; the weights are there
        _log.warning("encoder.variant_refused", reason=f"{type(error).__name__}: {error}"[:500], next="the weights embed on")
        return None
    alike, gain = cosine(ours, theirs), their_s / max(our_s, 1e-9)
    if alike < LEAST_COSINE or gain < _LEAST_GAIN:
        _log.info("encoder.variant_refused", cosine=round(alike, 5), gain=round(gain, 2), next="the weights embed on")
        return None
    _log.info("encoder.variant_used", variant=f"openvino-{precision}", cosine=round(alike, 5), gain=round(gain, 2))
    return found


def _converted(model: SentenceTransformer, row: Sequence[int], *, fill: int, precision: str) -> Graph:
    from perennial_artifact.variants.openvino import compiled, converted  # noqa: PLC0415 - an extra

    ids, mask = filled([row, row[:2]], fill)
    with torch.inference_mode():
        network = converted(_Embedding(model).eval(), torch.from_numpy(ids), torch.from_numpy(mask))
    return compiled(network, precision=precision, threads=torch.get_num_threads())


def _timed(graph: Any, rows: Sequence[Sequence[int]], fill: int) -> tuple[Numbers, float]:  # noqa: ANN401 - a Graph
    graph(*filled(rows[:1], fill))  # the first call prepares
    began = time.process_time()
    found = [graph(*filled(rows[at : at + 16], fill)) for at in range(0, len(rows), 16)]
    return np.concatenate(found), time.process_time() - began
