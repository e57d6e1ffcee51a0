"""Entities found by a Hugging Face token classifier: the folder is a stock one, with `labels.json` and `model.json` beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedModel, PreTrainedTokenizerBase

from perennial_artifact.compute import Compute, Used
from perennial_artifact.description import MODEL_FILE, Description
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LABELS_FILE, LabelSet
from perennial_artifact.manifest import MANIFEST_FILE
from perennial_artifact.pieces import joined as joined_spans
from perennial_artifact.pieces import pieces, portions
from perennial_artifact.predictor import Answer
from perennial_artifact.tagging import tags
from perennial_artifact.tagging.windows import Reading, has_offsets, longest_window, read
from perennial_artifact.transformer.encoder import UNREADABLE, joined, load, load_tokenizer
from perennial_artifact.transformer.reading import by_length
from perennial_artifact.variants.graph import Graph, Ids, Numbers, filled
from perennial_artifact.variants.note import of_the_export, of_the_tokenizer
from perennial_artifact.variants.opening import open_variant

FORMAT = "transformers-ner"
PIECE_CHARS = 5_000
"""Characters that are answered in one go, some 1,200 tokens: others' texts need not wait for more of a long one."""
_WINDOWS_PER_BATCH = 32
_TOKENS_PER_STEP = 256
"""On a processor, where more tokens at once are hardly quicker each: others wait for one step."""
_TOKENIZER_FILE = "tokenizer.json"
_TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def makes_the_variant(name: str) -> bool:
    """Return whether a variant of a token classifier is made from a file of its folder (POSIX, relative)."""
    return not (of_the_export(name) or of_the_tokenizer(name)) and name not in (LABELS_FILE, MANIFEST_FILE, MODEL_FILE)


class TokenClassifier:
    """A loaded token classifier: every text is read whole, long ones in windows that overlap."""

    def __init__(
        self,
        graph: Graph,
        tokenizer: PreTrainedTokenizerBase,
        labels: LabelSet,
        used: Used,
        *,
        max_tokens: int,
        piece_chars: int = PIECE_CHARS,
        device: str = "cpu",
    ) -> None:
        """Take a network over that gives the logits of tags, and answer with the types that the rows of `labels` have shown."""
        self.used = used
        """What computes."""
        self._tokenizer = tokenizer
        self._types = labels.names
        self._answered = [tags.OUTSIDE, *tags.of_types(labels.seen_ids)]
        self._max_tokens = longest_window(tokenizer, max_tokens)
        self._piece_chars = piece_chars
        self._device = device
        self._seen = tuple(sorted(labels.seen))
        self._graph = graph

    @classmethod
    def of_weights(
        cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, labels: LabelSet, compute: Compute, *, max_tokens: int
    ) -> Self:
        """Return one of a loaded model, which moves to where `compute` says. Raises `UnusableError` for an unknown precision."""
        used = Used(compute.precision)
        return cls(by_torch(model, compute), tokenizer, labels, used, max_tokens=max_tokens, device=compute.device)

    @classmethod
    def open(cls, folder: Path, description: Description, compute: Compute) -> Self:
        """Return the token classifier in `folder`, by the variant beside the weights where it fits.

        Raises `UnusableError` when it cannot be read.
        """
        labels = LabelSet.read(folder)
        found = open_variant(folder, compute, makes_the_variant, threads=torch.get_num_threads())
        if found.graph is not None:
            graph, tokenizer, config = found.graph, load_tokenizer(folder), _config(folder)
        else:
            model, tokenizer = open_weights(folder)
            graph, config = by_torch(model, found.compute, compiled=found.compiled), model.config
        if [config.id2label.get(number) for number in range(config.num_labels)] != tags.names(labels.names):
            message = f"the model in {folder} has tags that are not those of its {len(labels.names)} entity types"
            raise UnusableError(message)
        # Without the file the library makes a tokenizer that knows no word, and says nothing.
        if not (folder / _TOKENIZER_FILE).is_file() or not has_offsets(tokenizer):
            message = f"the tokenizer in {folder} does not tell where its tokens stand, or {_TOKENIZER_FILE} is missing"
            raise UnusableError(message)
        return cls(
            graph, tokenizer, labels, found.used,
            max_tokens=description.input.max_tokens or tokenizer.model_max_length,
            piece_chars=description.input.piece_chars or PIECE_CHARS, device=compute.device,
        )  # fmt: skip

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types this model may answer with, sorted."""
        return self._seen

    def divide(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the parts of a text that can be answered one by one; `join` puts their answers together."""
        return list(pieces(text, longest=self._piece_chars))

    def join(self, starts: Sequence[int], answers: Sequence[Answer]) -> Answer:
        """Return the answer to a text from those to its parts, which begin at `starts`."""
        return joined_spans(starts, answers)

    def predict(self, texts: Sequence[str]) -> list[Answer]:
        """Return `{"spans": [{"start", "end", "label"}]}` per text, offsets in code points, in order of the text."""
        return self.predict_pausing(texts, lambda: None)

    def predict_pausing(self, texts: Sequence[str], pause: Callable[[], None]) -> list[Answer]:
        """Return what `predict` returns, and call `pause` between two steps of some windows; it may call `predict`."""
        spans: list[list[dict[str, Any]]] = [[] for _text in texts]
        for portion in portions(texts, longest=self._piece_chars):
            readings = read(self._tokenizer, [text for _at, _offset, text in portion], max_tokens=self._max_tokens)
            for (at, offset, _text), reading, scores in zip(portion, readings, self._scores(readings, pause), strict=True):
                spans[at] += self._spans(reading, offset, scores)
        return [{"spans": found} for found in spans]

    def borders_of(self, text: str) -> list[tuple[int, int]]:
        """Return (start, end) of the words of a text, in code points."""
        parts = list(pieces(text, longest=self._piece_chars))
        readings = read(self._tokenizer, [text[start:end] for start, end in parts], max_tokens=self._max_tokens)
        return [
            (offset + start, offset + end)
            for (offset, _end), reading in zip(parts, readings, strict=True)
            for start, end in reading.words
        ]

    def _scores(self, readings: Sequence[Reading], pause: Callable[[], None]) -> list[tags.Scores]:
        """Return the scores of each text's words, shape (words, tags); a type that is not answered has none."""
        windows = [(number, at) for number, reading in enumerate(readings) if reading.words for at in range(len(reading.windows))]
        ids = [readings[number].windows[at] for number, at in windows]
        logits: dict[tuple[int, int], tags.Scores] = {}
        for batch in self._steps([len(one) for one in ids]):
            if logits:
                pause()
            found = self._graph(*filled([ids[index] for index in batch], int(self._tokenizer.pad_token_id)))
            if not np.isfinite(found).all():
                message = "the token classifier computes numbers that are not finite, so it answers nothing"
                raise UnusableError(message)
            logits.update(zip((windows[index] for index in batch), found, strict=True))
        return [self._of_words(number, reading, logits) for number, reading in enumerate(readings)]

    def _steps(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield the indices of windows that are computed together."""
        for batch in by_length(lengths, _WINDOWS_PER_BATCH):
            each = max(1, _TOKENS_PER_STEP // lengths[batch[-1]]) if self._device == "cpu" else len(batch)
            yield from (batch[start : start + each] for start in range(0, len(batch), each))

    def _of_words(self, number: int, reading: Reading, logits: dict[tuple[int, int], tags.Scores]) -> tags.Scores:
        scores = np.full((len(reading.words), 1 + 2 * len(self._types)), -np.inf, dtype=np.float32)
        for word, (window, place) in enumerate(reading.places):
            scores[word, self._answered] = logits[number, window][place, self._answered]
        return scores

    def _spans(self, reading: Reading, offset: int, scores: tags.Scores) -> list[dict[str, Any]]:
        if not reading.words:
            return []
        return [
            {
                "start": offset + reading.words[first][0],
                "end": offset + reading.words[after - 1][1],
                "label": self._types[number],
            }
            for first, after, number in tags.entities(tags.best_path(scores))
        ]


def open_weights(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model in a folder, in fp32, and its tokenizer.

    Raises `UnusableError` for weights that are missing or not finite.
    """
    found = joined(*load(AutoModelForTokenClassification, folder))
    if not all(bool(torch.isfinite(weights).all()) for weights in found.model.state_dict().values()):
        message = f"the model in {folder} has weights that are not finite"
        raise UnusableError(message)
    return found.model, found.tokenizer


def by_torch(model: PreTrainedModel, compute: Compute, *, compiled: bool = False) -> Graph:
    """Return what torch computes by a model, which moves to where `compute` says. Raises `UnusableError`."""
    if compute.precision not in _TYPES:
        message = f"precision {compute.precision!r} is not one of {', '.join(_TYPES)}"
        raise UnusableError(message)
    # The decorated method's type loses its self.
    model.to(device=compute.device, dtype=_TYPES[compute.precision]).eval()  # type: ignore[call-arg]
    network: Any = torch.compile(model, dynamic=True) if compiled else model

    def logits(input_ids: Ids, attention_mask: Ids) -> Numbers:
        with torch.inference_mode():
            given = [torch.from_numpy(values).to(compute.device) for values in (input_ids, attention_mask)]
            found: Numbers = network(input_ids=given[0], attention_mask=given[1]).logits.float().cpu().numpy()
        return found

    return logits


def _config(folder: Path) -> Any:  # noqa: ANN401 - each architecture has its own class
    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except UNREADABLE as error:
        message = f"the model in {folder} cannot be read ({error})"
        raise UnusableError(message) from error
