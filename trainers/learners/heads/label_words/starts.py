"""What the words of labels say in an encoder's features: a row for each label, from which its head is learnt away.

A head's weights are drawn to these rows, times how much they are trusted (`Choice.words`), instead of to zero: a label of few
rows stays near what its words mean, one of many rows becomes what its rows say. Nothing here loads torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.sentence.head import Matrix
from perennial_artifact.sentence.layout import HEAD_FOLDER

Row = npt.NDArray[np.float32]
Source = Literal["embedding", "entailment"]
"""The words as the encoder reads them, or what a checkpoint for inference says of texts and words."""

WORDS_FILE = f"{HEAD_FOLDER}/words.safetensors"
"""Beside the head, because a refresh learns it anew from there."""
_MOST_SPREAD_BY = 2_000
"""Rows by which starts are scaled."""


@dataclass(frozen=True, slots=True)
class Starts:
    """A row for each label that has words, in the features of one encoder; not scaled yet."""

    rows: Mapping[str, Row]
    """Label -> its row, shape (features)."""
    source: Source

    def scaled(self, labels: Sequence[str], features: Matrix) -> Row | None:
        """Return the rows of these labels, shape (labels, columns of `features`), zero for labels without words.

        They are scaled so that their logits differ by a standard deviation of 1 between the texts of `features`, which may have
        further columns. None where no label has words, or the words tell no text from another.
        """
        ids = [at for at, name in enumerate(labels) if name in self.rows]
        if not ids:
            return None
        rows = np.stack([self.rows[labels[at]] for at in ids])
        sample = features[:: -(-features.shape[0] // _MOST_SPREAD_BY) or 1, : rows.shape[1]]
        spread = float(np.sqrt(np.var(np.asarray(sample @ rows.T, dtype=np.float64), axis=0).mean())) if ids else 0.0
        if not np.isfinite(spread) or spread < np.finfo(np.float32).eps:
            return None
        found = np.zeros((len(labels), features.shape[1]), dtype=np.float32)
        found[ids, : rows.shape[1]] = rows / spread
        return found

    def write(self, folder: Path) -> None:
        """Write `WORDS_FILE` into a model folder that has a head."""
        names = list(self.rows)
        said = {"labels": json.dumps(names, ensure_ascii=False), "source": self.source}
        save_file({"rows": np.stack([self.rows[name] for name in names])}, folder / WORDS_FILE, metadata=said)


def read(folder: Path) -> Starts | None:
    """Return what `Starts.write` wrote; None for a model without it. Raises `UnusableError` when it is damaged."""
    path = folder / WORDS_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            said, rows = file.metadata() or {}, np.asarray(file.get_tensor("rows"), dtype=np.float32)
        names = decode(b'{"labels": ' + said["labels"].encode() + b"}")["labels"]
        if said["source"] not in get_args(Source) or rows.ndim != 2 or len(names) != len(rows) or not np.isfinite(rows).all():  # noqa: PLR2004 - a matrix
            message = f"it holds rows of shape {rows.shape} for {len(names)} labels"
            raise ValueError(message)
        return Starts(
            dict(zip(map(str, names), rows, strict=True)), "entailment" if said["source"] == "entailment" else "embedding"
        )
    except (OSError, SafetensorError, *WRONG) as error:
        message = f"the words of labels in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from error
