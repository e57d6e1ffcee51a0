"""The head that a token classifier begins to learn with: its new rows are solved, so that few steps are enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from perennial_artifact.tagging import tags
from trainers.learners.heads.solving import solve
from trainers.learners.tagging.rows import NOT_SAID, TaggedRow, Window
from trainers.learners.tagging.tagger import Tagger

_MOST_OF_A_TYPE = 64
"""Rows that stand for a type."""
_STRENGTH = 10.0
_WINDOWS_PER_BATCH = 32


def begin(tagger: Tagger, rows: Sequence[TaggedRow], new: Tensor) -> None:
    """Set the head's `new` rows (booleans, one for each tag) to those of a logistic regression on a sample of `rows`.

    Only words whose tag is certain take part. Where no tag can be told from another the new rows stay as they are.
    """
    if not bool(new.any()):
        return
    features, labels, weights = _words(tagger, _sample(rows))
    found = np.unique(labels)
    if len(found) < 2:  # noqa: PLR2004 - one tag is nothing to tell apart
        return
    # The strength is meant for features of length 1; the solution is brought back to theirs.
    scale = float(np.linalg.norm(features, axis=1).mean()) or 1.0
    solved = solve(features / scale, labels, weights, strength=_STRENGTH)
    head = tagger.head
    with torch.no_grad():
        # What the sample does not show is not likely.
        head.bias[new] = float(solved.bias.min())
        for row, tag in enumerate(solved.labels.tolist()):
            if new[tag]:
                head.weight[tag] = torch.from_numpy(solved.weight[row] / scale)
                head.bias[tag] = float(solved.bias[row])


def _sample(rows: Sequence[TaggedRow]) -> list[Window]:
    """Return the windows of at most 64 rows of each type, spread evenly over all that carry it, and of as many of none."""
    by_type: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        for label in {label for _first, _after, label in row.entities} or {""}:
            by_type.setdefault(label, []).append(at)
    chosen = {at for found in by_type.values() for at in found[:: -(-len(found) // _MOST_OF_A_TYPE)]}
    return [window for at in sorted(chosen) for window in rows[at].windows]


def _words(tagger: Tagger, windows: Sequence[Window]) -> tuple[Any, Any, Any]:
    """Return the head's input for each word whose tag is certain, its tag and the weight of its row."""
    inputs: list[Tensor] = []

    def keep(_layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inputs.append(given[0].detach().float())

    handle = tagger.head.register_forward_pre_hook(keep)
    parts: list[Tensor] = []
    labels: list[int] = []
    weights: list[float] = []
    was_training = tagger.model.training
    tagger.model.eval()
    try:
        with torch.inference_mode():
            for start in range(0, len(windows), _WINDOWS_PER_BATCH):
                batch = windows[start : start + _WINDOWS_PER_BATCH]
                tagger.model(**tagger.pad([window.input_ids for window in batch]))
                hidden = inputs.pop()
                for at, window in enumerate(batch):
                    certain = [
                        place
                        for place, tag in enumerate(window.tags)
                        if tag != NOT_SAID and not (tag == tags.OUTSIDE and window.silent_on)
                    ]
                    parts.append(hidden[at, certain])
                    labels += [window.tags[place] for place in certain]
                    weights += [window.weight] * len(certain)
    finally:
        handle.remove()
        tagger.model.train(was_training)
    return torch.cat(parts).numpy(), np.array(labels, dtype=np.intp), np.array(weights)
